/* A network's policy comes into force, is kept by the members that come and go, and ends.
 *
 * It is written down as policy.json in the network's directory, before the members are looked for: who takes an address
 * looks for a policy behind that, so one of both sees the other. Beside a new one the policy before it stays as
 * policy.old until the kernel has changed from one to the other: whoever finds both settles it. */
#include "network/policy.h"
#include "base/error.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW "policy.json"
#define OLD "policy.old"
#define NEW "policy.new"

/* ---- files ---- */

static int is_there(const struct cx_network *n, const char *file)
{
	return faccessat(n->dir, file, F_OK, 0) == 0;
}

/* 0 and NULL: there is none; nor has a network that is only being made. */
static int load(const struct cx_network *n, const char *file, struct cx_policy **ret, conex_error **err)
{
	cx_autofree char *text = NULL;
	ssize_t size = cx_file_load(n->dir, file, CX_POLICY_SIZE, &text);

	*ret = NULL;
	if (size == -ENOENT || n->dir < 0)
		return 0;
	return size < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, (int)size, "read", NULL, "%s/%s", n->path, file)
		: cx_policy_parse(text, ret, err);
}

static int write_new(const struct cx_network *n, const char *text)
{
	cx_autoclose int fd = -1;
	size_t size = strlen(text);
	ssize_t done;

	unlinkat(n->dir, NEW, 0);       /* a killed writer's */
	fd = openat(n->dir, NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	done = fd < 0 ? -1 : write(fd, text, size);
	return done < 0 ? -errno : (size_t)done < size ? -ENOSPC : 0;
}

/* The one before is NOW until the new one is, and OLD from just before that. */
static int replace(const struct cx_network *n, const char *text)
{
	int r = write_new(n, text);

	if (r == 0 && linkat(n->dir, NOW, n->dir, OLD, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && renameat(n->dir, NEW, n->dir, NOW) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(n->dir, OLD, 0);
	return r;
}

static void take_back(const struct cx_network *n)
{
	if (renameat(n->dir, OLD, n->dir, NOW) < 0)
		unlinkat(n->dir, NOW, 0);
}

/* ---- members ---- */

struct each {
	const struct cx_network *network;
	const struct cx_policy *policy;
	const struct cx_lease *gone;    /* NULL: nobody's */
	struct cx_str *text;
	char unknown[80];               /* whose labels nobody knows; "" */
};

static void enter(const struct cx_member *m, void *data)
{
	struct each *e = data;

	if (e->gone && !strcmp(e->gone->tag, m->lease.tag))
		return;
	if (!m->labels && !e->unknown[0])
		snprintf(e->unknown, sizeof e->unknown, "%s", m->id);
	cx_policy_text_enter(e->text, e->network, e->policy, m);
}

static void leave(const struct cx_member *m, void *data)
{
	struct each *e = data;

	cx_policy_text_leave(e->text, e->network, e->policy, m);
}

static int refuse_labels(const struct cx_network *n, const char *id, conex_error **err)
{
	return cx_fail(err, CONEX_STAGE_LAUNCH, -E2BIG, NULL, "fewer labels, or a policy that asks for ids alone",
		"network %s: its policy asks for labels, and container %s has more than 4,000 bytes of them", n->name, id);
}

/* ---- the kernel ---- */

/* Members of a policed network don't reach one another by way of a port that one has published on the host. */
static int add_hairpin(struct cx_nft *nft, const struct cx_network *n, const char **said)
{
	cx_autostr text = { 0 };

	cx_str_addf(&text, "add element inet conex policed { \"%s\" . \"%s\" }\n", n->bridge, n->bridge);
	return cx_nft_run(nft, &text, said);
}

static void remove_hairpin(struct cx_nft *nft, const struct cx_network *n)
{
	cx_autostr text = { 0 };

	cx_str_addf(&text, "add element inet conex policed { \"%s\" . \"%s\" }\n", n->bridge, n->bridge);
	cx_str_addf(&text, "delete element inet conex policed { \"%s\" . \"%s\" }\n", n->bridge, n->bridge);
	cx_nft_run(nft, &text, NULL);
}

/* One transaction. The table is made where there is none. */
static int run_with_table(struct cx_nft *nft, const struct cx_str *text, const char **said)
{
	cx_autostr look = { 0 }, all = { 0 };
	int r = cx_nft_run(nft, text, said);

	if (r != -ENOENT)
		return r;
	cx_str_addf(&look, "list set bridge conex policed\n");
	if (cx_nft_run(nft, &look, NULL) != -ENOENT)
		return r;
	cx_str_addf(&all, "%s", cx_policy_table);
	cx_str_add(&all, text->data, text->size);
	return cx_nft_run(nft, &all, said);
}

/* All of it anew, in one moment. `gone`: a member that leaves. */
static int apply(struct cx_nft *nft, const struct cx_network *n, const struct cx_policy *p, const struct cx_policy *old,
	const struct cx_lease *gone, conex_error **err)
{
	cx_autostr text = { 0 };
	struct each e = { .network = n, .policy = p, .gone = gone, .text = &text };
	struct cx_member m = { .id = "" };
	const char *said = "";
	int r;

	cx_policy_text(&text, n, p, old);
	r = cx_lease_each(n, enter, &e);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "%s", n->path);
	if (e.unknown[0] && cx_policy_asks_labels(p))
		return refuse_labels(n, e.unknown, err);
	if (gone) {
		m.lease = *gone;
		cx_policy_text_leave(&text, n, p, &m);
	}
	r = add_hairpin(nft, n, &said);
	if (r == 0)
		r = run_with_table(nft, &text, &said);
	return r < 0 ? cx_nft_fail(err, r, said, n->name) : 0;
}

static int end(struct cx_nft *nft, const struct cx_network *n, const struct cx_policy *p, const struct cx_policy *old,
	conex_error **err)
{
	cx_autostr text = { 0 }, last = { 0 };
	struct each e = { .network = n, .policy = p, .text = &text };
	const char *said = "";
	int r;

	r = cx_lease_each(n, leave, &e);
	cx_policy_text_end(&text, n, p, old);
	if (r >= 0)
		r = cx_nft_run(nft, &text, &said);
	if (r == 0 && cx_nft_is_empty(nft, "bridge conex policed")) {
		cx_str_addf(&last, "delete table bridge conex\n");
		r = cx_nft_run(nft, &last, &said);
	}
	if (r < 0 && r != -ENOENT)
		return cx_nft_fail(err, r, said, n->name);
	remove_hairpin(nft, n);
	unlinkat(n->dir, OLD, 0);
	unlinkat(n->dir, NOW, 0);
	return 0;
}

/* As it is written. Where a change was cut short, the one before it may still be in force. */
static int restore(struct cx_nft *nft, const struct cx_network *n, const struct cx_lease *gone, conex_error **err)
{
	cx_autopolicy *p = NULL, *old = NULL;
	int r = load(n, NOW, &p, err);

	if (r == 0)
		r = load(n, OLD, &old, err);
	if (r < 0 || !p)
		return r;
	r = apply(nft, n, p, old, gone, err);
	if (r == 0)
		unlinkat(n->dir, OLD, 0);
	return r;
}

int cx_policy_restore(struct cx_nft *nft, const struct cx_network *n, conex_error **err)
{
	return restore(nft, n, NULL, err);
}

int cx_policy_end(struct cx_nft *nft, const struct cx_network *n, conex_error **err)
{
	cx_autopolicy *p = NULL, *old = NULL;
	int r = load(n, NOW, &p, err);

	if (r == 0)
		r = load(n, OLD, &old, err);
	return r < 0 || !p ? r : end(nft, n, p, old, err);
}

/* ---- who comes and goes ---- */

/* libnftables, and the table of networks, which somebody may have flushed. Locked. */
static int ready(const struct cx_networks *place, const struct cx_network *n, conex_error **err)
{
	struct cx_networks *mine = (struct cx_networks *)place;
	int r = mine->nft ? 0 : cx_nft_open(&mine->nft, err);

	if (r == 0 && add_hairpin(mine->nft, n, NULL) == -ENOENT) {
		r = cx_nft_network_add(mine->nft, n, err);
		if (r > 0)
			r = cx_nft_networks_add(mine->nft, place, err);
	}
	return r;
}

static int enter_locked(const struct cx_networks *place, const struct cx_network *n, const struct cx_member *m,
	conex_error **err)
{
	cx_autopolicy *p = NULL;
	cx_autostr text = { 0 };
	const char *said = "";
	int r = load(n, NOW, &p, err);

	if (r < 0 || !p)
		return r;
	if (!m->labels && cx_policy_asks_labels(p))
		return refuse_labels(n, m->id, err);
	r = ready(place, n, err);
	if (r < 0)
		return r;
	if (is_there(n, OLD))
		return cx_policy_restore(place->nft, n, err);
	cx_policy_text_enter(&text, n, p, m);
	r = cx_nft_run(place->nft, &text, &said);
	if (r == -ENOENT)
		return cx_policy_restore(place->nft, n, err);
	return r < 0 ? cx_nft_fail(err, r, said, n->name) : 0;
}

struct wanted { const struct cx_lease *lease; int is_unknown; };

static void note_unknown(const struct cx_member *m, void *data)
{
	struct wanted *w = data;

	if (!m->labels && !strcmp(m->lease.tag, w->lease->tag))
		w->is_unknown = 1;
}

int cx_policy_enter(const struct cx_networks *place, const struct cx_network *n, const struct cx_lease *l, const char *id,
	const char *const *labels, conex_error **err)
{
	static const char *const none[] = { NULL };
	struct cx_member m = { .lease = *l, .id = id, .labels = labels ? labels : none };
	struct wanted w = { .lease = l };
	cx_autoclose int lock = -1;

	if (!is_there(n, NOW))
		return 0;
	lock = cx_networks_lock(place->dir);
	if (lock < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, lock, "flock", NULL, "%s", place->path);
	if (labels && labels[0])
		cx_lease_each(n, note_unknown, &w);
	if (w.is_unknown)
		m.labels = NULL;        /* as others see it */
	return enter_locked(place, n, &m, err);
}

static int leave_locked(struct cx_nft *nft, const struct cx_network *n, const struct cx_policy *p, const struct cx_lease *l)
{
	struct cx_member m = { .lease = *l, .id = "" };
	cx_autostr text = { 0 };
	int r;

	cx_policy_text_leave(&text, n, p, &m);
	r = is_there(n, OLD) ? -ENOENT : cx_nft_run(nft, &text, NULL);
	if (r == -ENOENT)
		r = restore(nft, n, l, NULL);
	return r == -ENOENT ? 0 : r;
}

int cx_policy_leave(const struct cx_networks *place, const struct cx_network *n, const struct cx_lease *l)
{
	cx_autoclose int lock = -1;
	cx_autopolicy *p = NULL;
	cx_autonft *nft = NULL;
	int r;

	if (!is_there(n, NOW) || place->cookie != cx_network_cookie())
		return 0;               /* another namespace's is out of reach, and most likely gone */
	lock = cx_networks_lock(place->dir);
	r = lock < 0 ? lock : load(n, NOW, &p, NULL);
	if (r < 0 || !p)
		return r;
	r = cx_nft_open(&nft, NULL);
	return r < 0 ? r : leave_locked(nft, n, p, l);
}

/* ---- conex_network_policy ---- */

static int set(const struct cx_networks *place, const struct cx_network *n, const struct cx_policy *p, const char *json,
	conex_error **err)
{
	cx_autopolicy *old = NULL;
	int r = ready(place, n, err);

	if (r == 0 && is_there(n, OLD))
		r = cx_policy_restore(place->nft, n, err);
	if (r == 0)
		r = load(n, NOW, &old, err);
	if (r < 0)
		return r;
	r = replace(n, json);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "write", NULL, "%s/" NOW, n->path);
	r = apply(place->nft, n, p, old, NULL, err);
	if (r < 0)
		take_back(n);
	else
		unlinkat(n->dir, OLD, 0);
	if (r < 0 && !old)
		remove_hairpin(place->nft, n);
	return r;
}

static int set_locked(const struct cx_networks *place, const char *name, const struct cx_policy *p, const char *json,
	conex_error **err)
{
	struct cx_networks *mine = (struct cx_networks *)place;
	cx_autonetwork n = { .dir = -1 };
	int r = cx_network_load(place, name, &n, err);

	if (r < 0)
		return r;
	if (n.driver != CX_NETWORK_BRIDGE)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EOPNOTSUPP, NULL, "only a bridge's members pass by this machine's rules",
			"a policy for network %s", name);
	if (p)
		return set(place, &n, p, json, err);
	r = !mine->nft && is_there(&n, NOW) ? cx_nft_open(&mine->nft, err) : 0;
	return r < 0 ? r : cx_policy_end(mine->nft, &n, err);
}

int conex_network_policy(conex *cx, const char *name, const char *json, conex_error **err)
{
	const struct cx_networks *place;
	cx_autopolicy *p = NULL;
	cx_autoclose int lock = -1;
	int r = json ? cx_policy_parse(json, &p, err) : 0;

	if (r == 0)
		r = cx_networks_of(cx, &place, err);
	if (r < 0)
		return r;
	lock = cx_networks_lock(place->dir);
	if (lock < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, lock, "flock", NULL, "%s", place->path);
	return set_locked(place, name, p, json, err);
}
