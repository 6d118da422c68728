/* Where networks are written down: DIRECTORY/NAME/network.json, and members/ beside it. */
#include "network/nft.h"
#include "network/usermode.h"
#include "base/error.h"
#include "base/path.h"
#include "spec/spec.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- the directory of all ---- */

uint64_t cx_network_cookie(void)
{
	cx_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t size = sizeof cookie;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		return 0;
	return cookie;
}

void cx_networks_free(struct cx_networks *n)
{
	if (!n)
		return;
	cx_nft_free(n->nft);
	cx_closep(&n->dir);
	free(n->path);
	free(n);
}

static int open_place(const char *base, struct cx_networks *n, conex_error **err)
{
	int r;

	n->dir = -1;
	n->cookie = cx_network_cookie();
	if (!n->cookie)
		return cx_fail(err, CONEX_STAGE_OPEN, -EOPNOTSUPP, "getsockopt", "it takes Linux 5.14",
			"SO_NETNS_COOKIE");
	if (asprintf(&n->path, "%s/networks/%llu", base, (unsigned long long)n->cookie) < 0) {
		n->path = NULL;
		return cx_fail_memory(err);
	}
	r = cx_mkdirs(AT_FDCWD, n->path, 0700);
	if (r == 0 && (n->dir = open(n->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		r = -errno;
	return r < 0 ? cx_fail(err, CONEX_STAGE_OPEN, r, "open", NULL, "%s", n->path) : 0;
}

int cx_networks_of(conex *cx, const struct cx_networks **ret, conex_error **err)
{
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	if (!cx->networks && !cx->state->base)
		r = cx_fail(err, CONEX_STAGE_OPEN, -ENOENT, NULL, "set XDG_RUNTIME_DIR", "the directory of networks");
	if (r == 0 && !cx->networks) {
		struct cx_networks *n = calloc(1, sizeof *n);

		r = n ? open_place(cx->state->base, n, err) : cx_fail_memory(err);
		if (r < 0)
			cx_networks_free(n);
		else
			cx->networks = n;
	}
	*ret = cx->networks;
	cx_context_unlock(cx);
	return r;
}

/* A description of its own: what is locked by one thread is so for the others as well. */
int cx_networks_lock(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			cx_closep(&fd);
			break;
		}
	return fd < 0 ? -errno : fd;
}

/* ---- one of them ---- */

int cx_network_check_name(const char *name, const char *where, conex_error **err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strlen(name);

	if (!n || n > 64 || name[0] == '.' || name[0] == '-' || strspn(name, letters) != n)
		return cx_refuse(err, -EINVAL, where, name,
			"use 1 to 64 of a-z A-Z 0-9 _ . - and begin with a letter or digit");
	if (!strcmp(name, "host") || !strcmp(name, "none") || cx_usermode_of(name))
		return cx_refuse(err, -EINVAL, where, name, "that name means something else: use another");
	return 0;
}

void cx_network_clear(struct cx_network *n)
{
	cx_closep(&n->dir);
	cx_freep(&n->path);
}

static const char *const drivers[] = { [CX_NETWORK_BRIDGE] = "bridge", [CX_NETWORK_MACVLAN] = "macvlan",
	[CX_NETWORK_CNI] = "cni" };

/* Its bridge's name, or what it is on. */
static char *device_of(struct cx_network *n, size_t *ret_size)
{
	*ret_size = n->driver == CX_NETWORK_CNI ? sizeof n->list : sizeof n->bridge;
	return n->driver == CX_NETWORK_CNI ? n->list : n->driver == CX_NETWORK_MACVLAN ? n->parent : n->bridge;
}

static json_t *gateways(const struct cx_network *n)
{
	json_t *list = json_array();
	char text[INET6_ADDRSTRLEN];

	for (int i = 0; i < n->subnets; i++)
		if (n->gateway[i].family) {
			cx_address_print(&n->gateway[i], text);
			json_array_append_new(list, json_string(text));
		}
	return list;
}

static json_t *definition(const struct cx_network *n)
{
	json_t *subnets = json_array(), *root;
	char text[CX_SUBNET_TEXT];
	size_t size;
	const char *device = device_of((struct cx_network *)n, &size);

	for (int i = 0; i < n->subnets; i++) {
		cx_subnet_print(&n->subnet[i], text);
		json_array_append_new(subnets, json_string(text));
	}
	root = json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", n->name, "driver", drivers[n->driver],
		n->driver == CX_NETWORK_BRIDGE ? "bridge" : "parent", device,
		"internal", !!(n->flags & CONEX_NETWORK_INTERNAL), "subnets", subnets);
	if (root && n->mtu)
		json_object_set_new(root, "mtu", json_integer(n->mtu));
	if (root && n->range.base.family) {
		cx_subnet_print(&n->range, text);
		json_object_set_new(root, "range", json_string(text));
	}
	if (root && *n->parent)
		json_object_set_new(root, "gateways", gateways(n));
	return root;
}

static int read_device(const json_t *root, struct cx_network *n)
{
	const char *driver = cx_json_text(root, "driver"), *device;
	size_t size, i = 0;
	char *to;

	while (driver && i < CX_ARRAY_SIZE(drivers) && strcmp(driver, drivers[i]))
		i++;
	if (!driver || i == CX_ARRAY_SIZE(drivers))
		return -EBADMSG;
	n->driver = (enum cx_network_driver)i;
	to = device_of(n, &size);
	device = cx_json_text(root, n->driver == CX_NETWORK_BRIDGE ? "bridge" : "parent");
	if (!device || strlen(device) >= size)
		return -EBADMSG;
	strcpy(to, device);
	return 0;
}

static int read_gateways(const json_t *root, struct cx_network *n)
{
	const json_t *item;
	size_t i;

	json_array_foreach(cx_json_at(root, "gateways"), i, item) {
		struct cx_address a;

		if (!json_is_string(item) || cx_address_parse(json_string_value(item), &a) < 0)
			return -EBADMSG;
		for (int k = 0; k < n->subnets; k++)
			if (n->subnet[k].base.family == a.family)
				n->gateway[k] = a;
	}
	return 0;
}

static int read_definition(const json_t *root, struct cx_network *n)
{
	const json_t *list = cx_json_at(root, "subnets"), *item;
	const char *range = cx_json_text(root, "range");
	size_t i;

	if (read_device(root, n) < 0 || json_array_size(list) > 2
	    || !json_array_size(list) != (n->driver == CX_NETWORK_CNI))
		return -EBADMSG;
	n->flags = cx_json_true(root, "internal") ? CONEX_NETWORK_INTERNAL : 0;
	n->mtu = (uint32_t)cx_json_int(root, "mtu", 0);
	json_array_foreach((json_t *)list, i, item)
		if (!json_is_string(item)
		    || cx_subnet_parse(json_string_value(item), "subnets", &n->subnet[n->subnets++], NULL) < 0)
			return -EBADMSG;
	if (range && cx_subnet_parse(range, "range", &n->range, NULL) < 0)
		return -EBADMSG;
	return read_gateways(root, n);
}

/* Opened, then locked, then looked at again: who deletes one has it locked. */
static int hold(const struct cx_networks *place, struct cx_network *n)
{
	struct stat st;

	if (asprintf(&n->path, "%s/%s", place->path, n->name) < 0) {
		n->path = NULL;
		return -ENOMEM;
	}
	n->dir = openat(place->dir, n->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (n->dir < 0)
		return -errno;
	while (flock(n->dir, LOCK_SH) < 0)
		if (errno != EINTR)
			return -errno;
	return fstat(n->dir, &st) < 0 ? -errno : st.st_nlink ? 0 : -ENOENT;
}

int cx_network_load(const struct cx_networks *place, const char *name, struct cx_network *ret, conex_error **err)
{
	cx_autofree char *text = NULL;
	json_t *root = NULL;
	int r = cx_network_check_name(name, "network", err);

	*ret = (struct cx_network){ .dir = -1 };
	if (r < 0)
		return r;
	strcpy(ret->name, name);
	r = hold(place, ret);
	if (r == 0)
		r = (int)cx_file_load(ret->dir, "network.json", 1 << 16, &text);
	if (r >= 0)
		r = cx_spec_parse_json(text, "network.json", &root, NULL) < 0 ? -EBADMSG : read_definition(root, ret);
	json_decref(root);
	if (r < 0) {
		cx_network_clear(ret);
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, r == -ENOENT ? "conex_network_create makes one" : NULL,
			"network %s", name);
	}
	return 0;
}

/* Under another name until it is whole; what a killed writer left there is written over. */
static int write_new(const struct cx_networks *place, const struct cx_network *n, const char *text)
{
	cx_autoclose int dir = -1;
	int r;

	if (mkdirat(place->dir, ".new", 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(place->dir, ".new", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return -errno;
	unlinkat(dir, "network.json", 0);
	r = cx_file_create(dir, "network.json", text, strlen(text), 0600);
	if (r == 0 && mkdirat(dir, "members", 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && n->driver == CX_NETWORK_CNI && mkdirat(dir, "attached", 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && renameat2(place->dir, ".new", place->dir, n->name, RENAME_NOREPLACE) < 0)
		r = -errno;
	return r;
}

int cx_network_write(const struct cx_networks *place, const struct cx_network *n, conex_error **err)
{
	json_t *root = definition(n);
	cx_autofree char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	int r = text ? write_new(place, n, text) : -ENOMEM;

	json_decref(root);
	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, r == -EEXIST ? "use it, or another name" : NULL,
		"network %s", n->name) : 0;
}

static void remove_hosts(const struct cx_network *n)
{
	int fd = openat(n->dir, "hosts", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (list && (e = readdir(list)))
		unlinkat(fd, e->d_name, 0);
	if (list)
		closedir(list);
	unlinkat(n->dir, "hosts", AT_REMOVEDIR);
}

/* The directory goes first: under its new name nobody finds it. */
int cx_network_erase(const struct cx_networks *place, const struct cx_network *n)
{
	char gone[80];

	snprintf(gone, sizeof gone, ".gone-%s", n->name);
	if (renameat(place->dir, n->name, place->dir, gone) < 0)
		return errno == ENOENT ? 0 : -errno;
	unlinkat(n->dir, "network.json", 0);
	unlinkat(n->dir, "policy.new", 0);      /* a killed writer's */
	unlinkat(n->dir, "members", AT_REMOVEDIR);
	remove_hosts(n);
	unlinkat(n->dir, "attached", AT_REMOVEDIR);     /* CNI's; empty, as members/ is */
	return unlinkat(place->dir, gone, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int is_network(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int cx_network_names(const struct cx_networks *place, char ***ret)
{
	struct dirent **list;
	int n = scandirat(place->dir, ".", &list, is_network, alphasort);
	size_t size = 0;
	char *text;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		size += strlen(list[i]->d_name) + 1;
	*ret = malloc(((size_t)n + 1) * sizeof **ret + size);
	text = *ret ? (char *)(*ret + n + 1) : NULL;
	for (int i = 0; i < n; i++) {
		if (*ret) {
			(*ret)[i] = text;
			text = stpcpy(text, list[i]->d_name) + 1;
		}
		free(list[i]);
	}
	free(list);
	if (!*ret)
		return -ENOMEM;
	(*ret)[n] = NULL;
	return n;
}
