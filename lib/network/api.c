/* conex/network.h: named networks. */
#include "network/cni.h"
#include "network/policy.h"
#include "base/error.h"
#include "base/options.h"
#include "base/path.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

/* ---- create ---- */

static int check_list(const struct cx_network *n, conex_error **err)
{
	json_t *list = NULL;
	int r = cx_cni_find(n->list, &list, err);

	if (r == 0)
		r = cx_cni_locate_all(list, cx_cni_path(), err);
	json_decref(list);
	return r;
}

/* A name that isn't ours is somebody's device. */
static int check_device(const struct cx_network *n, conex_error **err)
{
	if (n->driver == CX_NETWORK_CNI)
		return check_list(n, err);
	if (n->driver == CX_NETWORK_MACVLAN)
		return if_nametoindex(n->parent) ? 0 : cx_fail_errno(err, CONEX_STAGE_LAUNCH, "ioctl",
			"name a device of this machine (ip link)", "conex_network_options.parent %s", n->parent);
	if (!if_nametoindex(n->bridge))
		return 0;
	return cx_fail(err, CONEX_STAGE_LAUNCH, -EEXIST, NULL, "remove it (ip link delete), or use another name",
		"a device %s is there already", n->bridge);
}

/* Locked. The rules come before it is up: there is no moment in which members reach what they mustn't. Somebody may
 * have flushed all rules; then it is all networks' that are made anew. */
static int bring_up(const struct cx_networks *place, const struct cx_network *n, conex_error **err)
{
	struct cx_networks *mine = (struct cx_networks *)place;
	int r;

	if (n->driver != CX_NETWORK_BRIDGE || (cx_bridge_is_up(n) && cx_nft_is_there()))
		return 0;
	r = cx_bridge_make(n, err);
	if (r == 0 && !mine->nft)
		r = cx_nft_open(&mine->nft, err);
	if (r == 0)
		r = cx_nft_network_add(mine->nft, n, err);
	if (r > 0)
		r = cx_nft_networks_add(mine->nft, place, err);
	if (r >= 0)
		r = cx_policy_restore(mine->nft, n, err);
	return r < 0 ? r : cx_bridge_up(n, err);
}

static int take_down(const struct cx_networks *place, const struct cx_network *n, conex_error **err)
{
	struct cx_networks *mine = (struct cx_networks *)place;
	int r = n->driver == CX_NETWORK_BRIDGE ? cx_bridge_down(n, err) : 0;

	if (n->driver != CX_NETWORK_BRIDGE)
		return 0;
	if (r == 0 && !mine->nft)
		r = cx_nft_open(&mine->nft, err);
	if (r == 0)
		r = cx_policy_end(mine->nft, n, err);
	return r < 0 ? r : cx_nft_network_remove(mine->nft, n, err);
}

/* Locked: no other process chooses subnets meanwhile. */
static int create_locked(const struct cx_networks *place, struct cx_network *n, conex_error **err)
{
	int r = check_device(n, err);

	if (r == 0 && !n->subnets && n->driver != CX_NETWORK_CNI)
		r = cx_subnets_choose(place, n, err);
	if (r == 0)
		r = cx_network_write(place, n, err);
	if (r < 0)
		return r;
	r = bring_up(place, n, err);
	if (r < 0) {
		cx_autonetwork again = { .dir = -1 };

		take_down(place, n, NULL);
		if (cx_network_load(place, n->name, &again, NULL) == 0)
			cx_network_erase(place, &again);
	}
	return r;
}

static int create(const struct cx_networks *place, struct cx_network *n, uint64_t flags, conex_error **err)
{
	cx_autoclose int lock = cx_networks_lock(place->dir);
	cx_autonetwork known = { .dir = -1 };

	if (lock < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, lock, "flock", NULL, "%s", place->path);
	if (cx_network_load(place, n->name, &known, NULL) == 0)
		return flags & CONEX_NETWORK_EXISTING ? bring_up(place, &known, err)
			: cx_fail(err, CONEX_STAGE_LAUNCH, -EEXIST, NULL,
				"use it (CONEX_NETWORK_EXISTING), or another name", "network %s", n->name);
	return create_locked(place, n, err);
}

int conex_network_create(conex *cx, const char *name, const struct conex_network_options *options, conex_error **err)
{
	struct conex_network_options o;
	struct cx_network n = { .dir = -1 };
	const struct cx_networks *place;
	int r = cx_options_read("conex_network_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = cx_network_read_options(name, &o, &n, err);
	if (r == 0)
		r = cx_networks_of(cx, &place, err);
	return r < 0 ? r : create(place, &n, o.flags, err);
}

int cx_network_need(conex *cx, const char *name, struct cx_network *ret, conex_error **err)
{
	const struct cx_networks *place;
	int r = cx_networks_of(cx, &place, err);

	if (r < 0)
		return r;
	r = cx_network_load(place, name, ret, err);
	if (r == -ENOENT && !strcmp(name, CX_NETWORK_DEFAULT)) {
		struct conex_network_options o = { .size = sizeof o, .flags = CONEX_NETWORK_EXISTING };

		if (err) {
			conex_error_free(*err);
			*err = NULL;
		}
		r = conex_network_create(cx, name, &o, err);
		if (r == 0)
			r = cx_network_load(place, name, ret, err);
	}
	if (r == 0 && ret->driver == CX_NETWORK_BRIDGE && (!cx_bridge_is_up(ret) || !cx_nft_is_there())) {
		cx_autoclose int lock = cx_networks_lock(place->dir);

		r = lock < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, lock, "flock", NULL, "%s", place->path)
			: bring_up(place, ret, err);
		if (r < 0)
			cx_network_clear(ret);
	}
	return r;
}

/* ---- delete ---- */

/* -EAGAIN: somebody holds it, who may be waiting for the lock that we have. */
static int delete_locked(const struct cx_networks *place, struct cx_network *n, conex_error **err)
{
	int members = cx_lease_each(n, NULL, NULL), r;

	if (members > 0)
		return cx_fail(err, CONEX_STAGE_TEARDOWN, -EBUSY, NULL, "delete them first", "network %s has %d members",
			n->name, members);
	if (flock(n->dir, LOCK_EX | LOCK_NB) < 0)       /* nobody joins from here on */
		return errno == EWOULDBLOCK ? -EAGAIN
			: cx_fail_errno(err, CONEX_STAGE_TEARDOWN, "flock", NULL, "network %s", n->name);
	if (cx_lease_each(n, NULL, NULL) > 0)
		return -EAGAIN;
	r = take_down(place, n, err);
	if (r == 0 && (r = cx_network_erase(place, n)) < 0)
		r = cx_fail(err, CONEX_STAGE_TEARDOWN, r, "unlink", NULL, "network %s", n->name);
	return r;
}

static int delete_once(const struct cx_networks *place, const char *name, conex_error **err)
{
	cx_autoclose int lock = cx_networks_lock(place->dir);
	cx_autonetwork n = { .dir = -1 };
	int r;

	if (lock < 0)
		return cx_fail(err, CONEX_STAGE_TEARDOWN, lock, "flock", NULL, "%s", place->path);
	r = cx_network_load(place, name, &n, err);
	return r < 0 ? r : delete_locked(place, &n, err);
}

/* Who holds a network looks at it, or is about to be its member: either is soon known. */
int conex_network_delete(conex *cx, const char *name, conex_error **err)
{
	static const struct timespec moment = { .tv_nsec = 5000000 };
	const struct cx_networks *place;
	int r = cx_networks_of(cx, &place, err);

	if (r < 0)
		return r;
	for (int i = 0; i < 400; i++) {
		r = delete_once(place, name, err);
		if (r != -EAGAIN)
			return r;
		nanosleep(&moment, NULL);
	}
	return cx_fail(err, CONEX_STAGE_TEARDOWN, -EBUSY, NULL, "try again", "network %s is held by somebody", name);
}

/* ---- look ---- */

int conex_network_list(conex *cx, char ***ret_names, conex_error **err)
{
	const struct cx_networks *place;
	int r = cx_networks_of(cx, &place, err);

	if (r < 0)
		return r;
	r = cx_network_names(place, ret_names);
	return r < 0 ? cx_fail(err, CONEX_STAGE_RUN, r, NULL, NULL, "%s", place->path) : r;
}

struct members { const struct cx_network *network; json_t *list; };

/* What the plugins have said. */
static void add_told(const struct cx_network *n, const char *tag, json_t *addresses)
{
	char file[512], told[2][INET6_ADDRSTRLEN];
	cx_autocni a = { NULL, NULL };

	snprintf(file, sizeof file, "%s/attached/%s", n->path, tag);
	if (cx_cni_load(file, &a) < 0 || cx_cni_addresses(json_object_get(a.root, "result"), told) < 0)
		return;
	for (int i = 0; i < 2; i++)
		if (told[i][0])
			json_array_append_new(addresses, json_string(told[i]));
}

static void add_member(const struct cx_member *member, void *data)
{
	struct members *m = data;
	json_t *addresses = json_array();
	char text[INET6_ADDRSTRLEN];

	if (m->network->driver == CX_NETWORK_CNI)
		add_told(m->network, member->lease.tag, addresses);
	for (int i = 0; i < m->network->subnets; i++) {
		struct cx_address a = cx_subnet_address(&m->network->subnet[i], member->lease.number);

		cx_address_print(&a, text);
		json_array_append_new(addresses, json_string(text));
	}
	json_array_append_new(m->list, json_pack("{s:s, s:o}", "container", member->id, "addresses", addresses));
}

/* What is written down, and who is there. NULL: no memory, or it isn't readable. */
static json_t *describe(const struct cx_network *n)
{
	cx_autofree char *text = NULL, *policy = NULL;
	struct members m = { .network = n, .list = json_array() };
	json_t *root = NULL;
	int r = m.list ? cx_lease_each(n, add_member, &m) : -ENOMEM;

	if (r >= 0 && cx_file_load(n->dir, "network.json", 1 << 16, &text) > 0)
		root = json_loads(text, 0, NULL);
	if (root && cx_file_load(n->dir, "policy.json", CX_POLICY_SIZE, &policy) > 0)
		r = json_object_set_new(root, "policy", json_loads(policy, 0, NULL));
	if (root && (r < 0 || json_object_set(root, "members", m.list) < 0)) {
		json_decref(root);
		root = NULL;
	}
	json_decref(m.list);
	return root;
}

int conex_network_json(conex *cx, const char *name, char **ret_json, conex_error **err)
{
	const struct cx_networks *place;
	cx_autonetwork n = { .dir = -1 };
	char *json = NULL;
	json_t *root;
	int r = cx_networks_of(cx, &place, err);

	if (r == 0)
		r = cx_network_load(place, name, &n, err);
	if (r < 0)
		return r;
	root = describe(&n);
	if (root)
		json = json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	if (!json)
		return cx_fail(err, CONEX_STAGE_RUN, -ENOMEM, NULL, NULL, "network %s", name);
	*ret_json = json;
	return 0;
}
