/* What the tasks that work on the store have in common. */
#include "image/worker/lockdown.h"
#include "image/worker/tasks.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_BYTES = 16 * 1024 };         /* 340 lines at most */

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

/* All that this process's user namespace has, as it is. */
static int own_ranges(const char *file, struct cx_id_range **ret, size_t *ret_count)
{
	cx_autofree char *text = NULL;
	struct cx_id_range range, *list;
	const char *at;

	if (cx_file_load(AT_FDCWD, file, MAP_BYTES, &text) < 0)
		return -EIO;
	for (at = text; (at = cx_ids_next(at, &range));) {
		list = realloc(*ret, (*ret_count + 1) * sizeof **ret);
		if (!list)
			return -ENOMEM;
		*ret = list;
		range.outside = range.inside;
		list[(*ret_count)++] = range;
	}
	return 0;
}

static int is_single(const struct cx_id_range *list, size_t count)
{
	return count == 1 && list->count == 1;
}

/* In a user namespace (a rootless user's own, or the one that the host is root of) overlay has its notes in user.*,
 * devices can't be made, and ids are those that it has; if that is one alone, all is its. */
static int read_ids(struct cx_work_place *p, conex_error **err)
{
	struct cx_unpack_options *o = &p->unpack;
	int r;

	o->whiteouts = CX_WHITEOUT_OVERLAY;
	if (!cx_ids_nested())
		return 0;
	o->whiteouts = CX_WHITEOUT_USER;
	o->flags |= CX_UNPACK_ROOTLESS;
	r = own_ranges("/proc/self/uid_map", &p->uids, &o->uid_count);
	if (r == 0)
		r = own_ranges("/proc/self/gid_map", &p->gids, &o->gid_count);
	o->uids = p->uids;
	o->gids = p->gids;
	if (is_single(p->uids, o->uid_count) || is_single(p->gids, o->gid_count))
		o->flags |= CX_UNPACK_SQUASH;
	return r < 0 ? cx_fail(err, CONEX_STAGE_IMAGE, r, NULL, NULL, "the worker's ids") : 0;
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
	if (r == 0)
		r = read_ids(ret, err);
	read_limits(json_object_get(w->task, "limits"), &ret->unpack.limits);
	return r;
}

void cx_work_place_close(struct cx_work_place *p)
{
	if (p->lease)
		cx_store_lease_return(p->store, p->lease->id, NULL);
	cx_store_lease_free(p->lease);
	cx_store_close(p->store);
	free(p->uids);
	free(p->gids);
	*p = (struct cx_work_place){ .lease = NULL };
}

int cx_work_place_lock(struct cx_worker *w, const struct cx_work_place *p, int readable, int network, conex_error **err)
{
	const struct cx_lockdown lock = { .writable = &p->store->root, .count = 1, .readable = &readable,
		.readable_count = readable >= 0, .network = network };
	int r = cx_worker_lock(&lock, err);

	return r < 0 ? r : cx_worker_watch(w, err);
}

int cx_result_digest(const struct cx_digest *digest, char **ret, conex_error **err)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	*ret = strdup(text);
	return *ret ? 0 : cx_fail_memory(err);
}
