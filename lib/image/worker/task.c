/* What the tasks that work on the store have in common. */
#include "image/worker/hash.h"
#include "image/worker/lockdown.h"
#include "image/worker/remote.h"
#include "image/worker/tasks.h"

#include <fcntl.h>
#include <string.h>

const char *cx_task_word(const struct cx_worker *w, const char *key)
{
	return json_string_value(json_object_get(w->task, key));
}

static void read_limits(const json_t *from, struct cx_unpack_limits *to)
{
	to->bytes = (uint64_t)json_integer_value(json_object_get(from, "bytes"));
	to->ratio = (uint64_t)json_integer_value(json_object_get(from, "ratio"));
	to->entries = (uint64_t)json_integer_value(json_object_get(from, "entries"));
	to->depth = (uint32_t)json_integer_value(json_object_get(from, "depth"));
	to->path = (uint32_t)json_integer_value(json_object_get(from, "path"));
	to->header = (uint32_t)json_integer_value(json_object_get(from, "header"));
	to->xattrs = (uint32_t)json_integer_value(json_object_get(from, "xattrs"));
}

int cx_work_place_open(const struct cx_worker *w, struct cx_work_place *ret, conex_error **err)
{
	const char *name = cx_task_word(w, "name"), *store = cx_task_word(w, "store");
	int r = name && store ? cx_reference_parse(name, &ret->name, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the worker's task");

	if (r == 0)
		r = cx_platform_parse(cx_task_word(w, "platform"), &ret->platform, err);
	if (r == 0)
		r = cx_store_open(store, 0, &ret->store, err);
	if (r == 0)
		r = cx_store_lease_take(ret->store, CX_LEASE_PROCESS, &ret->lease, err);
	ret->unpack.whiteouts = CX_WHITEOUT_OVERLAY;
	read_limits(json_object_get(w->task, "limits"), &ret->unpack.limits);
	return r;
}

void cx_work_place_close(struct cx_work_place *p)
{
	if (p->lease)
		cx_store_lease_return(p->store, p->lease->id, NULL);
	cx_store_lease_free(p->lease);
	cx_store_close(p->store);
	p->lease = NULL;
	p->store = NULL;
}

int cx_work_place_lock(struct cx_worker *w, const struct cx_work_place *p, int readable, int network, conex_error **err)
{
	int read[1 + CX_REMOTE_FILES] = { readable }, given = readable >= 0, files = network ? cx_remote_files(w, read + given) : 0;
	const struct cx_lockdown lock = { .writable = &p->store->root, .count = 1, .readable = read,
		.readable_count = given + files, .network = network };
	int r = cx_worker_lock(&lock, err);

	for (int i = given; i < given + files; i++)
		close(read[i]);
	return r < 0 ? r : cx_worker_watch(w, err);
}

/* Of an index all that it leads to is held, as far as it is there. */
static int hold(const struct cx_work_place *p, struct cx_digest *target, conex_error **err)
{
	int r = cx_store_get_image(p->store, &p->name, target, err);

	if (r == 0)
		r = cx_store_lease_hold(p->lease, target, err);
	if (r == 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, "pull it again", "the image was deleted just now");
	return r < 0 ? r : 0;
}

int cx_work_place_lock_out(struct cx_worker *w, const struct cx_work_place *p, int writable, struct cx_digest *ret_target,
	conex_error **err)
{
	cx_autoclose int leases = openat(p->store->root, "leases", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const int both[] = { leases, writable };
	const struct cx_lockdown lock = { .writable = both, .count = 1 + (writable >= 0), .readable = &p->store->root,
		.readable_count = 1 };
	int r = leases < 0 ? cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s/leases", p->store->path) : 0;

	if (r == 0)
		r = hold(p, ret_target, err);
	if (r == 0)
		r = cx_worker_lock(&lock, err);
	return r < 0 ? r : cx_worker_watch(w, err);
}

int cx_work_place_read(const struct cx_work_place *p, const struct cx_digest *digest, char **ret, size_t *ret_size,
	conex_error **err)
{
	cx_autofree char *text = NULL;
	char name[CX_DIGEST_TEXT];
	struct cx_digest is;
	int r = cx_store_read_blob(p->store, digest, &text, ret_size, err);

	if (r < 0)
		return r;
	cx_digest_print(digest, name);
	if (cx_hash_of(digest->algorithm, text, *ret_size, &is) < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_Digest", NULL, "blob %s", name);
	if (!cx_digest_equal(&is, digest))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "cx_store_verify puts it aside; then pull the image again",
			"store %s: blob %s isn't what its name says", p->store->path, name);
	*ret = cx_steal_ptr(&text);
	return 0;
}

int cx_result_digest(const struct cx_digest *digest, char **ret, conex_error **err)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	*ret = strdup(text);
	return *ret ? 0 : cx_fail_memory(err);
}
