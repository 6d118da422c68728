/* conex_image_unpack: an image of the store becomes a directory. Until it is whole it has another name beside the one that
 * it will have, which is in a journal: who dies meanwhile leaves nothing there. */
#include "image/verb.h"
#include "base/error.h"
#include "image/store-inside.h"

#include <limits.h>
#include <poll.h>

enum { PASSING = sizeof ".unpack-0123456789abcdef", DEAD_MS = 5000 };

/* One directory on its way. */
struct unpacking {
	conex *cx;              /* counted */
	int parent;             /* O_PATH */
	char name[NAME_MAX + 1];
	char passing[PASSING];  /* the other name */
	char journal[40];       /* its id; "": there is none */
	char path[PATH_MAX];    /* of the passing name */
	uint64_t noise;         /* in it and in the journal's */
};

int cx_images_remove_tree(const char *path)
{
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)       /* where nothing may be written (by now), removing nothing is EROFS */
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	r = cx_store_remove(AT_FDCWD, path);
	return r == -ENOENT ? 0 : r;
}

static void clean(struct unpacking *u)
{
	int r = cx_images_remove_tree(u->path);

	if (r < 0) {            /* the journal stays, and somebody tries again */
		cx_log(u->cx, 4, "%s, which was to become %s, can't be removed: %s", u->path, u->name, strerrordesc_np(-r));
		return;
	}
	cx_journal_remove(u->cx->state, u->journal);
	u->journal[0] = '\0';
}

static void forget(void *own)
{
	struct unpacking *u = own;

	if (*u->journal && u->cx->state)
		clean(u);       /* it never ran */
	cx_closep(&u->parent);
	cx_context_unref(u->cx);
	free(u);
}

/* The worker is dead, or dies now: it has been killed then, or has done all that there was to do. */
static void ended(void *own, int socket)
{
	struct pollfd p = { .fd = socket };

	if (socket >= 0)
		poll(&p, 1, DEAD_MS);
	clean(own);
}

/* ---- where ---- */

static int refuse(conex_error **err, int code, const char *directory, const char *mend)
{
	return cx_refuse(err, code, "directory", directory, "%s", mend);
}

/* Its parent and its name: "a/b/" is b in a. */
static int split(const char *directory, char parent[PATH_MAX], struct unpacking *u, conex_error **err)
{
	size_t size = directory ? strlen(directory) : 0, name;

	while (size > 1 && directory[size - 1] == '/')
		size--;
	for (name = size; name > 0 && directory[name - 1] != '/'; name--)
		;
	if (size >= PATH_MAX || size - name > NAME_MAX)
		return refuse(err, -ENAMETOOLONG, directory, "a path has at most 4095 bytes, a name 255");
	snprintf(u->name, sizeof u->name, "%.*s", (int)(size - name), size ? directory + name : "");
	snprintf(parent, PATH_MAX, "%.*s", name ? (int)name : 1, name ? directory : ".");
	if (!*u->name || !strcmp(u->name, ".") || !strcmp(u->name, ".."))
		return refuse(err, -EINVAL, directory, "the path of a directory that isn't there yet");
	return 0;
}

static int look_at(const char *directory, const char *parent, struct unpacking *u, conex_error **err)
{
	u->parent = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (u->parent < 0)
		return refuse(err, -errno, directory, errno == ENOENT ? "make its parent first"
			: "its parent has to be a directory that can be opened");
	if (faccessat(u->parent, u->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return refuse(err, -EEXIST, directory, "remove it first, or give another one");
	if (faccessat(u->parent, ".", W_OK, AT_EACCESS) < 0)
		return refuse(err, -errno, directory, "its parent has to be writable");
	return 0;
}

/* The whole path, for whoever has to remove it and knows nothing but the journal. */
static int name_passing(struct unpacking *u, conex_error **err)
{
	char link[40];
	uint64_t noise;
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", u->parent);
	n = readlink(link, u->path, sizeof u->path - PASSING - 1);
	if (n < 0 || cx_random(&noise, sizeof noise) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "readlink", NULL, "directory %s", u->name);
	if (u->path[0] != '/' || (size_t)n == sizeof u->path - PASSING - 1)
		return refuse(err, -ENAMETOOLONG, u->name, "its parent's absolute path has at most 4000 bytes");
	snprintf(u->passing, sizeof u->passing, ".unpack-%016llx", (unsigned long long)noise);
	snprintf(u->path + n, sizeof u->path - (size_t)n, "%s%s", n > 1 ? "/" : "", u->passing);
	u->noise = noise;
	return 0;
}

static int place(const char *directory, struct unpacking *u, conex_error **err)
{
	char parent[PATH_MAX];
	int r = split(directory, parent, u, err);

	if (r == 0)
		r = look_at(directory, parent, u, err);
	return r < 0 ? r : name_passing(u, err);
}

/* ---- how ---- */

static int note(struct unpacking *u, conex_error **err)
{
	const struct cx_state *s = u->cx->state;
	struct cx_journal *j;
	char owner[64], id[sizeof u->journal];
	int r;

	if (u->cx->flags & CONEX_READ_ONLY)
		return cx_fail(err, CONEX_STAGE_RUN, -EROFS, NULL, "open it without CONEX_READ_ONLY", "the context");
	snprintf(id, sizeof id, "unpack:%016llx", (unsigned long long)u->noise);
	r = cx_journal_create(u->cx->state, id, &j, err);
	if (r < 0)
		return r;
	snprintf(owner, sizeof owner, "%d %llu", (int)s->self.pid, (unsigned long long)s->self.start);
	cx_journal_note(j, "owner", owner);
	cx_journal_undo(j, CX_OP_undo_tree, u->path);
	r = cx_journal_flush(j, err);
	cx_journal_free(j);
	if (r == 0)
		strcpy(u->journal, id);
	return r;
}

/* From here on `u` is the job's, however it goes. */
static int start(struct cx_verb *v, struct unpacking *u, conex_job **ret, conex_error **err)
{
	int r = cx_context_begin(u->cx, err);

	if (r == 0) {
		r = note(u, err);
		cx_context_end(u->cx);
	}
	if (r < 0) {
		json_decref(v->job.json);
		forget(u);
		return r;
	}
	v->job.fds = &u->parent;
	v->job.count = 1;
	v->job.own = u;
	v->job.ended = ended;
	v->job.forget = forget;
	return cx_verb_start(v, ret, err);
}

/* A directory's name may be any bytes, and JSON's texts are UTF-8: so it is told in hex digits. */
static int task(struct cx_verb *v, const struct unpacking *u, conex_error **err)
{
	char hex[2 * sizeof u->name];
	int r = cx_verb_task(v, "unpack", err);

	for (size_t i = 0; u->name[i]; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)u->name[i]);
	if (r == 0 && (json_object_set_new(v->job.json, "directory", json_string(hex)) < 0
	    || json_object_set_new(v->job.json, "passing", json_string(u->passing)) < 0)) {
		json_decref(v->job.json);
		r = cx_fail_memory(err);
	}
	return r;
}

int conex_image_unpack(conex *cx, const char *image, const char *directory, const struct conex_image_options *options,
	conex_job **ret, conex_error **err)
{
	struct cx_digest target;
	struct unpacking *u;
	struct cx_verb v;
	int r = cx_verb_begin(cx, image, options, 0, &v, err);

	if (r < 0)
		return r;
	u = calloc(1, sizeof *u);
	if (!u)
		return cx_fail_memory(err);
	u->cx = cx_context_ref(cx);
	u->parent = -1;
	r = place(directory, u, err);
	if (r == 0)
		r = cx_store_get_image(v.store, &v.name, &target, err);
	if (r == 0)
		r = task(&v, u, err);
	if (r < 0) {
		forget(u);
		return r;
	}
	return start(&v, u, ret, err);
}
