/* What .network says: networks' names, devices of the host's, another container's network, or the host's. */
#include "container/container.h"
#include "network/network.h"
#include "base/path.h"

#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define DEVICE "device:"
#define CONTAINER "container:"

static const char field[] = "conex_run_options.network";

static const char *behind(const char *word, const char *kind)
{
	size_t n = strlen(kind);

	return strncmp(word, kind, n) ? NULL : word + n;
}

static int check_word(const char *word, int *networks, conex_error **err)
{
	const char *device = behind(word, DEVICE);

	if (behind(word, CONTAINER) || !strcmp(word, "host") || cx_usermode_of(word))
		return cx_refuse(err, -EINVAL, field, word, "it can't be one of several: name it alone");
	if (device)
		return *device && strlen(device) < IFNAMSIZ ? 0 : cx_refuse(err, -EINVAL, field, word, "device:NAME, of 1 to 15 bytes");
	if (++*networks > CX_LINKS_MAX)
		return cx_refuse(err, -E2BIG, field, word, "at most %d networks", CX_LINKS_MAX);
	return cx_network_check_name(word, field, err);
}

int cx_modes_check(const char *list, conex_error **err)
{
	const char *id = behind(list, CONTAINER);
	cx_autofree char *copy = strdup(list);
	char *rest = copy, *word;
	int networks = 0, r = 0;

	if (!copy)
		return cx_fail_memory(err);
	if (id)
		return cx_container_check_id(id, err);
	while (r == 0 && strcmp(list, "host") && !cx_usermode_of(list) && (word = strsep(&rest, ",")))
		r = check_word(word, &networks, err);
	return r;
}

int cx_modes_networks(const char *list, char **ret)
{
	cx_autofree char *copy = strdup(list ? list : "");
	cx_autostr names = { 0 };
	char *rest = copy, *word;

	*ret = NULL;
	if (!copy)
		return -ENOMEM;
	if (!list || !strcmp(list, "host") || behind(list, CONTAINER) || cx_usermode_of(list))
		return 0;
	while ((word = strsep(&rest, ",")))
		if (!behind(word, DEVICE))
			cx_str_addf(&names, "%s%s", names.size ? "," : "", word);
	if (names.size && !(*ret = cx_str_take(&names)))
		return -ENOMEM;
	return names.failed;
}

/* As linux.netDevices has them: they keep their names. new; NULL: no memory */
json_t *cx_modes_devices(const char *list)
{
	cx_autofree char *copy = strdup(list ? list : "");
	json_t *devices = json_object();
	char *rest = copy, *word;

	while (copy && devices && (word = strsep(&rest, ",")))
		if (behind(word, DEVICE) && json_object_set_new(devices, behind(word, DEVICE), json_object()) < 0) {
			json_decref(devices);
			return NULL;
		}
	return copy ? devices : NULL;
}

/* A program that was left behind by host and keeper would be nobody's to end but whoever deletes the container. */
int cx_modes_usermode(const conex *cx, const char *list, enum cx_usermode *ret, conex_error **err)
{
	*ret = cx_usermode_of(list);
	if (*ret && cx_is_released(cx))
		return cx_refuse(err, -EOPNOTSUPP, field, list, "its program ends with this process: not in a CONEX_DETACHED context");
	return 0;
}

/* ---- another container's ---- */

/* Its pid may be another process's by the time the file is opened: so it is looked at again, by its pidfd. */
static int open_of(conex *cx, conex_container *c, conex_namespace **ret, conex_error **err)
{
	struct pollfd p = { .fd = conex_container_pidfd(c), .events = POLLIN };
	pid_t pid = conex_container_pid(c);
	char path[40];
	int r;

	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
	r = p.fd >= 0 && pid > 0 ? conex_namespace_open(cx, path, ret, NULL) : -ESRCH;
	if (r == 0 && poll(&p, 1, 0) != 0) {
		conex_namespace_free(*ret);
		r = -ESRCH;
	}
	return r < 0 ? cx_fail(err, CONEX_STAGE_PLAN, r, NULL, "it has to run", "%s: container %s", field,
		conex_container_id(c)) : 0;
}

static int take_files(conex_plan *p, const conex_container *c, conex_error **err)
{
	const char *hosts, *resolv;

	cx_container_files(c, &hosts, &resolv);
	if (!hosts || !resolv)
		return 0;
	p->others_hosts = strdup(hosts);
	p->others_resolv = strdup(resolv);
	return p->others_hosts && p->others_resolv ? 0 : cx_fail_memory(err);
}

int cx_modes_join(conex_plan *p, const char *list, conex_namespace **ret, conex_error **err)
{
	const char *id = list ? behind(list, CONTAINER) : NULL;
	conex_container *c;
	int r;

	if (!id)
		return 0;
	r = conex_container_get(p->cx, id, &c, err);
	if (r < 0)
		return r;
	r = open_of(p->cx, c, ret, err);
	if (r == 0 && (r = take_files(p, c, err)) < 0)
		conex_namespace_free(*ret);
	conex_container_free(c);
	return r < 0 ? r : 1;
}
