/* Reading journals: bytes to entries, without believing a single size. journal.c wrote
 * them, recover.c plays them backwards. */
#include "state/inside.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct cx_record {
	char *data;
	size_t size, good;
	uint32_t *at;           /* where the entries after the header begin */
	size_t count;
	struct cx_where where;  /* of the header: which boot, which namespaces */
	struct cx_owner creator;
};

struct view { struct cx_record_head head; const char *first, *second; };

/* The record at `pos`: its size, or 0 where it is torn, or corrupt. */
static size_t view_at(const char *data, size_t size, size_t pos, struct view *v)
{
	size_t body, n;

	if (size - pos < sizeof v->head)
		return 0;
	memcpy(&v->head, data + pos, sizeof v->head);
	if (v->head.size > size - pos || v->head.size > CX_RECORD_MAX
		|| v->head.size < sizeof v->head + 2)
		return 0;
	body = v->head.size - sizeof v->head;
	v->first = data + pos + sizeof v->head;
	n = strnlen(v->first, body) + 1;
	if (n >= body || v->first[body - 1] != '\0')
		return 0;
	v->second = v->first + n;
	return v->head.size;
}

/* Counts the entries from `pos` on, and notes where they are if `at` is given. */
static size_t index_entries(const struct cx_record *r, size_t pos, uint32_t *at,
	size_t *ret_end)
{
	size_t count = 0, n;
	struct view v;

	for (; (n = view_at(r->data, r->size, pos, &v)) != 0; pos += n) {
		if (at)
			at[count] = (uint32_t)pos;
		count++;
	}
	*ret_end = pos;
	return count;
}

static int parse_header(struct cx_record *r, size_t *ret_end)
{
	struct view v;

	*ret_end = view_at(r->data, r->size, 0, &v);
	if (!*ret_end || v.head.kind != CX_RECORD_HEADER
		|| strcmp(v.first, CX_JOURNAL_MAGIC))
		return -EBADMSG;
	if (v.head.code != CX_JOURNAL_VERSION)
		return -EPROTONOSUPPORT;
	return cx_where_parse(v.second, &r->where, &r->creator);
}

static void record_freep(struct cx_record **r)
{
	cx_record_free(*r);
}

int cx_record_parse(char *data, size_t size, struct cx_record **ret)
{
	cx_cleanup(record_freep) struct cx_record *r = calloc(1, sizeof *r);
	size_t begin;
	int e;

	if (!r) {
		free(data);
		return -ENOMEM;
	}
	r->data = data;
	r->size = size;
	e = parse_header(r, &begin);
	if (e < 0)
		return e;
	r->count = index_entries(r, begin, NULL, &r->good);
	r->at = calloc(r->count + 1, sizeof *r->at);
	if (!r->at)
		return -ENOMEM;
	index_entries(r, begin, r->at, &r->good);
	*ret = cx_steal_ptr(&r);
	return 0;
}

int cx_record_load(int fd, struct cx_record **ret)
{
	cx_autofree char *data = NULL;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	if (st.st_size > CX_JOURNAL_MAX)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	n = pread(fd, data, (size_t)st.st_size, 0);
	if (n < 0)
		return -errno;
	data[n] = '\0';
	return cx_record_parse(cx_steal_ptr(&data), (size_t)n, ret);
}

int cx_record_read(const struct cx_state *s, const char *id, struct cx_record **ret,
	conex_error **err)
{
	cx_autoclose int fd = -1;
	int r = -ENOENT;

	if (cx_state_good_id(id) && s->containers >= 0) {
		fd = openat(s->containers, id,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		r = fd < 0 ? -errno : cx_record_load(fd, ret);
	}
	if (r == -ENOENT)
		return cx_fail(err, CONEX_STAGE_RUN, r, NULL,
			"no container of that name here: look at conex_container_list",
			"container %.64s in %s", id, s->path);
	if (r == -EPROTONOSUPPORT)
		return cx_fail(err, CONEX_STAGE_RUN, r, NULL,
			"a newer libconex made it: use that one",
			"journal %s/containers/%s", s->path, id);
	return r < 0 ? cx_fail(err, CONEX_STAGE_RUN, r, NULL, NULL,
		"journal %s/containers/%.64s",
		s->path, id) : 0;
}

void cx_record_free(struct cx_record *r)
{
	if (!r)
		return;
	free(r->data);
	free(r->at);
	free(r);
}

size_t cx_record_count(const struct cx_record *r)
{
	return r->count;
}

size_t cx_record_good(const struct cx_record *r)
{
	return r->good;
}

size_t cx_record_size(const struct cx_record *r)
{
	return r->size;
}

const struct cx_where *cx_record_where(const struct cx_record *r,
	const struct cx_owner **ret_creator)
{
	*ret_creator = &r->creator;
	return &r->where;
}

static enum cx_op_code op_by_name(const char *name)
{
	static const char *const names[] = {
#define CX_OPERATION(name, ...) [CX_OP_##name] = #name,
#include "plan/operations.def"
#undef CX_OPERATION
	};

	for (size_t i = 1; i < CX_ARRAY_SIZE(names); i++)
		if (!strncmp(names[i], "undo_", 5) && !strcmp(names[i], name))
			return (enum cx_op_code)i;
	return CX_OP_none;
}

int cx_record_undo(const struct cx_record *r, size_t n, enum cx_op_code *ret_code,
	const char **ret_text)
{
	struct view v;

	if (n >= r->count || !view_at(r->data, r->size, r->at[n], &v)
		|| v.head.kind != CX_RECORD_UNDO)
		return 0;
	*ret_code = op_by_name(v.first);
	*ret_text = v.second;
	return 1;
}

/* The value if entry n is a note of that key. */
static const char *note_at(const struct cx_record *r, size_t n, const char *key)
{
	struct view v;

	return view_at(r->data, r->size, r->at[n], &v) && v.head.kind == CX_RECORD_NOTE
		&& !strcmp(v.first, key) ? v.second : NULL;
}

const char *cx_record_note(const struct cx_record *r, const char *key)
{
	for (size_t n = r->count; n-- > 0;) {
		const char *value = note_at(r, n, key);

		if (value)
			return value;
	}
	return NULL;
}

int cx_record_notes(const struct cx_record *r, const char *key, const char ***ret)
{
	const char **values = calloc(r->count + 1, sizeof *values);
	int count = 0;

	if (!values)
		return -ENOMEM;
	for (size_t n = 0; n < r->count; n++)
		if ((values[count] = note_at(r, n, key)) != NULL)
			count++;
	*ret = values;
	return count;
}

/* Texts one behind another become a NULL-ended list in one block. */
static char **list_of(const struct cx_str *texts, int count)
{
	size_t pointers = ((size_t)count + 1) * sizeof(char *);
	char **list = malloc(pointers + texts->size), *p;

	if (!list)
		return NULL;
	p = (char *)list + pointers;
	if (texts->size)
		memcpy(p, texts->data, texts->size);
	for (int i = 0; i < count; i++, p += strlen(p) + 1)
		list[i] = p;
	list[count] = NULL;
	return list;
}

int cx_state_names(int dir, int hidden, char ***ret)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	cx_autostr names = { .data = NULL };
	struct dirent *e;

	if (!d) {
		cx_closep(&fd);
		return -errno;
	}
	while ((e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")
			|| (!hidden && e->d_name[0] == '.'))
			continue;
		cx_str_add(&names, e->d_name, strlen(e->d_name) + 1);
		count++;
	}
	closedir(d);
	if (names.failed || !(*ret = list_of(&names, count)))
		return -ENOMEM;
	return count;
}

int cx_state_list(const struct cx_state *s, char ***ret_ids, conex_error **err)
{
	const struct cx_str none = { .data = NULL };
	int r;

	if (s->containers < 0) /* opened to read, and nobody has ever written */
		return (*ret_ids = list_of(&none, 0)) ? 0 : cx_fail_memory(err);
	r = cx_state_names(s->containers, 0, ret_ids);
	return r < 0 ? cx_fail(err, CONEX_STAGE_RUN, r, "readdir", NULL, "%s/containers",
		s->path) : r;
}
