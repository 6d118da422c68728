/* Leases: who needs what. leases/KIND-NOISE/ has a file "owner" and one empty file for each thing that is held:
 * "sha256:ab..." or "layer:NAME". store-gc.c asks what they hold. */
#include "image/store-inside.h"

#include <stdlib.h>

#define LAYER "layer:"

static int fail(const struct cx_store_lease *l, int code, const char *call, conex_error **err)
{
	return cx_store_fail(err, l->store, code, call, "lease %s", l->id);
}

/* "p-", "b-", "l-": a look at the name tells how long it lasts, whatever became of the file. */
static char kind_letter(enum cx_store_lease_kind kind)
{
	return kind == CX_LEASE_PROCESS ? 'p' : kind == CX_LEASE_BOOT ? 'b' : 'l';
}

static int is_id(const char *id)
{
	return id[0] && strchr("pbl", id[0]) && id[1] == '-' && strlen(id) == 2 + 32
		&& strspn(id + 2, "0123456789abcdef") == 32;
}

static int owner_text(char text[CX_WHERE_TEXT])
{
	struct cx_where here;
	struct cx_owner self;
	int r = cx_where_here(&here);

	if (r == 0)
		r = cx_owner_self(&self);
	if (r == 0)
		cx_where_print(&here, &self, text);
	return r;
}

/* Made aside, so that it has an owner when it shows up. With the store locked. */
static int make(struct cx_store_lease *l, const char *temporary, const char *owner)
{
	char path[CX_STORE_PATH + 16];
	int r;

	snprintf(path, sizeof path, "%s/owner", temporary);
	if (mkdirat(l->store->root, temporary, 0700) < 0)
		return -errno;
	r = cx_store_write(l->store->root, path, owner, 0);     /* needed as long as this boot lasts */
	snprintf(path, sizeof path, "leases/%s", l->id);
	if (r == 0 && renameat(l->store->root, temporary, l->store->root, path) < 0)
		r = -errno;
	if (r < 0)
		cx_store_remove(l->store->root, temporary);
	return r;
}

static int take(struct cx_store_lease *l, enum cx_store_lease_kind kind)
{
	char temporary[CX_STORE_PATH], owner[CX_WHERE_TEXT];
	cx_autoclose int lock = -1;
	int r = cx_store_temporary("lease", temporary);

	if (r == 0)
		r = owner_text(owner);
	if (r < 0)
		return r;
	snprintf(l->id, sizeof l->id, "%c-%.32s", kind_letter(kind), strchr(temporary, '-') + 1);
	lock = cx_store_lock(l->store, LOCK_SH);
	r = lock < 0 ? lock : make(l, temporary, owner);
	cx_closep(&lock);
	return r == 0 && kind == CX_LEASE_LASTING ? cx_store_sync_folder(l->store, "leases") : r;
}

int cx_store_lease_take(struct cx_store *s, enum cx_store_lease_kind kind, struct cx_store_lease **ret,
	conex_error **err)
{
	struct cx_store_lease *l = calloc(1, sizeof *l);
	int r;

	if (!l)
		return cx_fail_memory(err);
	l->store = s;
	r = take(l, kind);
	if (r < 0) {
		fail(l, r, "mkdir", err);
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void cx_store_lease_free(struct cx_store_lease *l)
{
	free(l);
}

/* The mark, while nobody collects; so what is there afterwards stays. 0, -errno (-ENOENT: the lease was given back) */
static int hold(const struct cx_store_lease *l, const char *what)
{
	char path[CX_STORE_PATH + CX_LAYER_NAME];
	cx_autoclose int lock = cx_store_lock(l->store, LOCK_SH), fd = -1;

	if (lock < 0)
		return lock;
	snprintf(path, sizeof path, "leases/%s/%s", l->id, what);
	fd = openat(l->store->root, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	cx_closep(&lock);
	if (l->id[0] != 'l')
		return 0;
	snprintf(path, sizeof path, "leases/%s", l->id);
	return cx_store_sync_folder(l->store, path);
}

int cx_store_lease_hold(struct cx_store_lease *l, const struct cx_digest *digest, conex_error **err)
{
	char text[CX_DIGEST_TEXT];
	int r;

	cx_digest_print(digest, text);
	r = *text ? hold(l, text) : -EINVAL;
	return r < 0 ? fail(l, r, "open", err) : cx_store_has_blob(l->store, digest);
}

int cx_store_lease_hold_layer(struct cx_store_lease *l, const char *layer, conex_error **err)
{
	char text[CX_STORE_PATH + CX_LAYER_NAME];
	struct stat st;
	int r;

	if (!cx_store_layer_is_name(layer))
		return fail(l, -EINVAL, NULL, err);
	snprintf(text, sizeof text, LAYER "%s", layer);
	r = hold(l, text);
	if (r < 0)
		return fail(l, r, "open", err);
	snprintf(text, sizeof text, "layers/%s", layer);
	return fstatat(l->store->root, text, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Away at once, then emptied: a lease is never half given back. */
static int put_away(const struct cx_store *s, const char *id, const char *into)
{
	char from[CX_STORE_PATH];

	snprintf(from, sizeof from, "leases/%s", id);
	return renameat(s->root, from, s->root, into) < 0 && errno != ENOENT ? -errno : 0;
}

int cx_store_lease_return(struct cx_store *s, const char *id, conex_error **err)
{
	struct cx_store_lease l = { .store = s };
	char temporary[CX_STORE_PATH];
	cx_autoclose int lock = -1;
	int r;

	snprintf(l.id, sizeof l.id, "%s", id);
	if (!is_id(id))
		return fail(&l, -EINVAL, NULL, err);
	r = cx_store_temporary("lease", temporary);
	if (r == 0)
		r = lock = cx_store_lock(s, LOCK_SH);
	if (r >= 0)
		r = put_away(s, id, temporary);
	if (r == 0)
		r = cx_store_remove(s->root, temporary);
	return r < 0 ? fail(&l, r, "rename", err) : 0;
}

/* ---- for the collector ---- */

/* A file that can't be read is of before a power failure: a lease shows up with its owner. */
static int is_alive(const struct cx_store *s, const struct cx_where *here, const char *id)
{
	char path[CX_STORE_PATH], text[CX_WHERE_TEXT];
	struct cx_where there;
	struct cx_owner owner;
	ssize_t n;

	if (id[0] == 'l')
		return 1;
	snprintf(path, sizeof path, "leases/%s/owner", id);
	n = cx_file_read(s->root, path, text, sizeof text);
	if (n < 0 && n != -ENOENT)
		return 1;
	if (n <= 0 || cx_where_parse(text, &there, &owner) < 0)
		return 0;
	return id[0] == 'b' ? !strcmp(here->boot, there.boot) : cx_where_alive(here, &there, &owner);
}

static int each_held(const struct cx_store *s, const char *id, cx_held_fn each, void *data)
{
	cx_autofree char **names = NULL;
	char path[CX_STORE_PATH];
	struct cx_digest digest;
	cx_autoclose int dir = -1;
	int n, r = 0;

	snprintf(path, sizeof path, "leases/%s", id);
	dir = cx_store_folder(s, path);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	n = cx_state_names(dir, 0, &names);
	for (int i = 0; r == 0 && i < n; i++) {
		if (!strncmp(names[i], LAYER, strlen(LAYER)))
			r = each(NULL, names[i] + strlen(LAYER), data);
		else if (cx_digest_parse(names[i], "", &digest, NULL) == 0)
			r = each(&digest, NULL, data);
	}
	return n < 0 ? n : r;
}

int cx_store_lease_each(const struct cx_store *s, const char *trash, cx_held_fn each, void *data, size_t *ret_dead)
{
	cx_autofree char **ids = NULL;
	cx_autoclose int dir = cx_store_folder(s, "leases");
	char into[CX_STORE_PATH + CX_LEASE_ID];
	struct cx_where here;
	int n, r = dir < 0 ? dir : cx_where_here(&here);

	if (r < 0)
		return r;
	n = cx_state_names(dir, 0, &ids);
	for (int i = 0; r == 0 && i < n; i++) {
		if (!is_id(ids[i]))
			continue;
		if (is_alive(s, &here, ids[i])) {
			r = each_held(s, ids[i], each, data);
			continue;
		}
		snprintf(into, sizeof into, *trash ? "%s/%s" : "%sleases/%s", trash, ids[i]);
		r = *trash ? put_away(s, ids[i], into) : cx_store_remove(s->root, into);
		++*ret_dead;
	}
	return n < 0 ? n : r;
}
