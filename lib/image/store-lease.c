/* Leases: who needs what. leases/KIND-NOISE is a file: its owner, then a line for each thing that is held,
 * "sha256:ab..." or "layer:NAME". One file, because to make and remove a directory costs milliseconds. store-gc.c
 * asks what they hold. */
#include "image/store-inside.h"

#include <stdlib.h>

#define LAYER "layer:"
enum { LEASE_MAX = 16 << 20 };

static int fail(const struct cx_store_lease *l, int code, const char *call, conex_error **err)
{
	return cx_store_fail(err, l->store, code, call, "lease %s", l->id);
}

/* "p-", "b-", "l-": how long it lasts. */
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

/* What nobody collects until it is written: an empty one is a dead one's. */
static int make(struct cx_store_lease *l, const char *path, const char *owner)
{
	int sync = l->id[0] == 'l' && !(l->store->flags & CX_STORE_NO_SYNC), r;
	cx_autoclose int lock = cx_store_lock(l->store, LOCK_SH);

	if (lock < 0)
		return lock;
	r = cx_store_write(l->store->root, path, owner, 0);
	cx_closep(&lock);
	return r == 0 && sync ? cx_store_sync_folder(l->store, "leases") : r;
}

int cx_store_lease_name(enum cx_store_lease_kind kind, char id[CX_LEASE_ID])
{
	uint64_t noise[2];
	int r = cx_random(noise, sizeof noise);

	if (r == 0)
		snprintf(id, CX_LEASE_ID, "%c-%016llx%016llx", kind_letter(kind), (unsigned long long)noise[0],
			(unsigned long long)noise[1]);
	return r;
}

static int take(struct cx_store_lease *l)
{
	char path[CX_STORE_PATH], owner[CX_WHERE_TEXT];
	int r = is_id(l->id) ? owner_text(owner) : -EINVAL;

	if (r < 0)
		return r;
	snprintf(path, sizeof path, "leases/%s", l->id);
	return make(l, path, owner);
}

int cx_store_lease_take_named(struct cx_store *s, const char *id, struct cx_store_lease **ret, conex_error **err)
{
	struct cx_store_lease *l = calloc(1, sizeof *l);
	int r;

	if (!l)
		return cx_fail_memory(err);
	l->store = s;
	snprintf(l->id, sizeof l->id, "%s", strlen(id) < CX_LEASE_ID ? id : "");
	r = take(l);
	if (r < 0) {
		fail(l, r, "open", err);
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

int cx_store_lease_take(struct cx_store *s, enum cx_store_lease_kind kind, struct cx_store_lease **ret,
	conex_error **err)
{
	char id[CX_LEASE_ID];
	int r = cx_store_lease_name(kind, id);

	return r < 0 ? cx_store_fail(err, s, r, "getrandom", "a lease") : cx_store_lease_take_named(s, id, ret, err);
}

void cx_store_lease_free(struct cx_store_lease *l)
{
	free(l);
}

/* One more line, while nobody collects; so what is there afterwards stays. It begins a line of its own, whatever a
 * full disk left before it. 0, -errno (-ENOENT: the lease was given back) */
static int hold(const struct cx_store_lease *l, const char *what)
{
	char path[CX_STORE_PATH], line[CX_STORE_PATH + CX_LAYER_NAME];
	cx_autoclose int lock = cx_store_lock(l->store, LOCK_SH), fd = -1;
	size_t size = (size_t)snprintf(line, sizeof line, "\n%s\n", what);
	ssize_t n;

	if (lock < 0)
		return lock;
	snprintf(path, sizeof path, "leases/%s", l->id);
	fd = openat(l->store->root, path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, line, size);
	if (n != (ssize_t)size)
		return n < 0 ? -errno : -ENOSPC;
	cx_closep(&lock);
	return l->id[0] == 'l' && !(l->store->flags & CX_STORE_NO_SYNC) && fdatasync(fd) < 0 ? -errno : 0;
}

int cx_store_lease_hold(struct cx_store_lease *l, const struct cx_digest *digest, conex_error **err)
{
	char text[CX_DIGEST_TEXT];
	int r;

	cx_digest_print(digest, text);
	r = *text ? hold(l, text) : -EINVAL;
	return r < 0 ? fail(l, r, "write", err) : cx_store_has_blob(l->store, digest);
}

int cx_store_lease_hold_layer(struct cx_store_lease *l, const char *layer, conex_error **err)
{
	char text[CX_STORE_PATH];
	struct stat st;
	int r;

	if (!cx_store_layer_is_name(layer))
		return fail(l, -EINVAL, NULL, err);
	snprintf(text, sizeof text, LAYER "%s", layer);
	r = hold(l, text);
	if (r < 0)
		return fail(l, r, "write", err);
	snprintf(text, sizeof text, "layers/%s", layer);
	return fstatat(l->store->root, text, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int cx_store_lease_return(struct cx_store *s, const char *id, conex_error **err)
{
	struct cx_store_lease l = { .store = s };
	char path[CX_STORE_PATH];

	snprintf(l.id, sizeof l.id, "%s", id);
	if (!is_id(id))
		return fail(&l, -EINVAL, NULL, err);
	snprintf(path, sizeof path, "leases/%s", id);
	return unlinkat(s->root, path, 0) < 0 && errno != ENOENT ? fail(&l, -errno, "unlink", err) : 0;
}

/* ---- for the collector ---- */

/* By its first line. One that has none was never taken: its maker died over it, or the power failed. */
static int is_alive(const struct cx_where *here, const char *id, const char *text)
{
	size_t size = strcspn(text, "\n");
	char owner_line[CX_WHERE_TEXT];
	struct cx_where there;
	struct cx_owner owner;

	snprintf(owner_line, sizeof owner_line, "%.*s\n", (int)(size < CX_WHERE_TEXT ? size : 0), text);
	if (!text[size] || cx_where_parse(owner_line, &there, &owner) < 0)
		return 0;
	return id[0] == 'l' || (id[0] == 'b' ? !strcmp(here->boot, there.boot) : cx_where_alive(here, &there, &owner));
}

/* Each line behind the first; what isn't a whole one says nothing. */
static int each_held(char *text, cx_held_fn each, void *data)
{
	struct cx_digest digest;
	char *save, *line;
	int r = 0;

	strtok_r(text, "\n", &save);
	while (r == 0 && (line = strtok_r(NULL, "\n", &save))) {
		if (!strncmp(line, LAYER, strlen(LAYER)) && cx_store_layer_is_name(line + strlen(LAYER)))
			r = each(NULL, line + strlen(LAYER), data);
		else if (cx_digest_parse(line, "", &digest, NULL) == 0)
			r = each(&digest, NULL, data);
	}
	return r;
}

static int look_at(const struct cx_store *s, const struct cx_where *here, const char *id, cx_held_fn each, void *data,
	size_t *dead)
{
	cx_autofree char *text = NULL;
	char path[CX_STORE_PATH];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof path, "leases/%s", id);
	if (fstatat(s->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)) {
		++*dead;        /* nobody's: a FIFO would keep us waiting */
		return cx_store_remove(s->root, path);
	}
	n = cx_file_load(s->root, path, LEASE_MAX, &text);
	if (n < 0)
		return n == -ENOENT ? 0 : (int)n;       /* given back just now */
	if (is_alive(here, id, text))
		return each_held(text, each, data);
	++*dead;
	return unlinkat(s->root, path, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int cx_store_lease_each(const struct cx_store *s, cx_held_fn each, void *data, size_t *ret_dead)
{
	cx_autofree char **ids = NULL;
	cx_autoclose int dir = cx_store_folder(s, "leases");
	struct cx_where here;
	int n, r = dir < 0 ? dir : cx_where_here(&here);

	if (r < 0)
		return r;
	n = cx_state_names(dir, 0, &ids);
	for (int i = 0; r == 0 && i < n; i++)
		if (is_id(ids[i]))
			r = look_at(s, &here, ids[i], each, data, ret_dead);
	return n < 0 ? n : r;
}
