/* Writing journals: what would have to be undone is on file before it is done. record.c
 * reads them back, in this process or in the one that cleans up after it. */
#include "state/inside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct cx_journal {
	const struct cx_state *state;
	struct cx_str pending;
	int on_file;            /* the file exists: flush appends */
	int failed;             /* remembered until flush */
	char id[65];
};

static void add(struct cx_journal *j, uint16_t kind, uint16_t code, const char *first,
	const char *second)
{
	size_t a = strlen(first) + 1, b = strlen(second) + 1;
	struct cx_record_head head = { .kind = kind, .code = code };

	if (a + b > CX_RECORD_MAX - sizeof head) {
		j->failed = -E2BIG;
		return;
	}
	head.size = (uint32_t)(sizeof head + a + b);
	cx_str_add(&j->pending, &head, sizeof head);
	cx_str_add(&j->pending, first, a);
	cx_str_add(&j->pending, second, b);
}

static int journal_new(struct cx_state *s, const char *id, struct cx_journal **ret,
	conex_error **err)
{
	struct cx_journal *j;

	if (!cx_state_good_id(id))
		return cx_refuse(err, -EINVAL, "id", id,
			"1 to 64 letters, digits, '_', '.', '-'");
	if (s->read_only)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EROFS, NULL,
			"open the context without CONEX_READ_ONLY", "container %s", id);
	j = calloc(1, sizeof *j);
	if (!j)
		return cx_fail_memory(err);
	j->state = s;
	snprintf(j->id, sizeof j->id, "%s", id);
	*ret = j;
	return 0;
}

int cx_journal_create(struct cx_state *s, const char *id, struct cx_journal **ret,
	conex_error **err)
{
	char where[CX_WHERE_TEXT];
	struct cx_journal *j;
	int r = journal_new(s, id, &j, err);

	if (r < 0)
		return r;
	cx_where_print(&s->here, &s->self, where);
	add(j, CX_RECORD_HEADER, CX_JOURNAL_VERSION, CX_JOURNAL_MAGIC, where);
	*ret = j;
	return 0;
}

/* Cuts what a dead writer left half-written, else what we append could not be read. */
static int mend_tail(const struct cx_state *s, const char *id, const struct cx_record *r)
{
	const struct cx_owner *creator;
	const struct cx_where *where = cx_record_where(r, &creator);
	cx_autoclose int fd = -1;

	if (cx_record_good(r) == cx_record_size(r)
		|| cx_where_alive(&s->here, where, creator))
		return 0;
	fd = openat(s->containers, id, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 || ftruncate(fd, (off_t)cx_record_good(r)) < 0 ? -errno : 0;
}

int cx_journal_open(struct cx_state *s, const char *id, struct cx_journal **ret,
	conex_error **err)
{
	struct cx_record *record = NULL;
	struct cx_journal *j = NULL;
	int r = cx_record_read(s, id, &record, err);

	if (r < 0)
		return r;
	r = journal_new(s, id, &j, err);
	if (r == 0 && (r = mend_tail(s, id, record)) < 0)
		cx_fail(err, CONEX_STAGE_RUN, r, "ftruncate", NULL,
			"journal %s/containers/%s", s->path, id);
	cx_record_free(record);
	if (r < 0) {
		cx_journal_free(j);
		return r;
	}
	j->on_file = 1;
	*ret = j;
	return 0;
}

static const char *undo_name(enum cx_op_code code)
{
	switch (code) {
#define CX_OPERATION(name, ...) case CX_OP_##name: return #name;
#include "plan/operations.def"
#undef CX_OPERATION
	default: return NULL;
	}
}

void cx_journal_undo(struct cx_journal *j, enum cx_op_code undo, const char *text)
{
	const char *name = undo_name(undo);

	if (!name || strncmp(name, "undo_", 5)) { /* nobody could play it */
		j->failed = -EINVAL;
		return;
	}
	add(j, CX_RECORD_UNDO, 0, name, text);
}

void cx_journal_note(struct cx_journal *j, const char *key, const char *value)
{
	add(j, CX_RECORD_NOTE, 0, key, value);
}

static int create(const struct cx_journal *j)
{
	if (j->pending.size > CX_JOURNAL_MAX)
		return -E2BIG;
	return cx_state_publish(j->state, j->state->containers, j->id, j->pending.data,
		j->pending.size);
}

static int append(const struct cx_journal *j)
{
	cx_autoclose int fd = openat(j->state->containers, j->id,
		O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size + j->pending.size > CX_JOURNAL_MAX)
		return -E2BIG;
	n = write(fd, j->pending.data, j->pending.size);
	if (n < 0)
		return -errno;
	if ((size_t)n == j->pending.size)
		return 0;
	/* Half a record would hide all that came after it. */
	return ftruncate(fd, st.st_size) < 0 ? -errno : -ENOSPC;
}

static int flush_failed(const struct cx_journal *j, int r, conex_error **err)
{
	const char *hint = NULL;

	if (r == -ENOMEM)
		return cx_fail_memory(err);
	if (r == -EEXIST)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL,
			"the name is taken: delete that container first, or give another id",
			"container %s in %s", j->id, j->state->path);
	if (r == -ENOENT)
		hint = "another process has deleted the container";
	else if (r == -ENOSPC)
		hint = "the file system of the state directory is full";
	else if (r == -E2BIG)
		hint = "an entry may have 64 KiB, and a journal 4 MiB";
	return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, hint, "journal %s/containers/%s",
		j->state->path, j->id);
}

int cx_journal_flush(struct cx_journal *j, conex_error **err)
{
	int r = j->failed ? j->failed : j->pending.failed;

	if (r == 0 && j->pending.size == 0)
		return 0;
	if (r == 0)
		r = j->on_file ? append(j) : create(j);
	if (r < 0)
		return flush_failed(j, r, err);
	j->pending.size = 0;
	j->on_file = 1;
	return 0;
}

void cx_journal_free(struct cx_journal *j)
{
	if (!j)
		return;
	cx_str_free(&j->pending);
	free(j);
}

int cx_journal_remove(struct cx_state *s, const char *id)
{
	if (!cx_state_good_id(id) || s->containers < 0)
		return -ENOENT;
	return unlinkat(s->containers, id, 0) < 0 ? -errno : 0;
}
