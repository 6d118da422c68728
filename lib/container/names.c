/* What .hosts and .dns say: texts for a container's /etc/hosts and /etc/resolv.conf. */
#include "container/container.h"
#include "network/names.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int read_hosts(const char *const *list, struct cx_str *to, conex_error **err)
{
	char where[48];
	int r = 0;

	for (int i = 0; list && list[i] && r == 0; i++) {
		snprintf(where, sizeof where, "conex_run_options.hosts[%d]", i);
		r = cx_hosts_check(list[i], where, err);
		cx_str_addf(to, "%s\n", list[i]);
	}
	return r;
}

static int read_dns(const char *const *list, struct cx_str *to, conex_error **err)
{
	char where[48];
	int r = 0;

	for (int i = 0; list && list[i] && r == 0; i++) {
		struct cx_address a;

		snprintf(where, sizeof where, "conex_run_options.dns[%d]", i);
		r = cx_resolv_check(list[i], where, err);
		cx_str_addf(to, "%s%s\n", cx_address_parse(list[i], &a) == 0 ? "nameserver " : "", list[i]);
	}
	return r;
}

static int take(struct cx_str *text, char **ret, conex_error **err)
{
	if (!text->size)
		return text->failed ? cx_fail_memory(err) : 0;
	*ret = cx_str_take(text);
	return *ret ? 0 : cx_fail_memory(err);
}

int cx_names_read(const struct conex_run_options *o, int networked, char **ret_hosts, char **ret_resolv,
	conex_error **err)
{
	cx_autostr hosts = { 0 }, resolv = { 0 };
	int r;

	if ((o->hosts || o->dns) && !networked)
		return cx_refuse(err, -EINVAL, o->hosts ? "conex_run_options.hosts" : "conex_run_options.dns", NULL,
			"name a .network; elsewhere bind a file of your own (.mounts)");
	r = read_hosts(o->hosts, &hosts, err);
	if (r == 0)
		r = read_dns(o->dns, &resolv, err);
	if (r == 0)
		r = take(&hosts, ret_hosts, err);
	return r < 0 ? r : take(&resolv, ret_resolv, err);
}

/* ---- of a container that is on no network of ours: files in the state directory ---- */

static char *path_of(const conex_container *c, const char *kind)
{
	char *path;

	return asprintf(&path, "%s/names/%s.%s", c->task.cx->state->path, c->id, kind) < 0 ? NULL : path;
}

int cx_names_note(conex_container *c, struct cx_journal *j)
{
	cx_autofree char *hosts = path_of(c, "hosts"), *resolv = path_of(c, "resolv");

	if (!hosts || !resolv)
		return -ENOMEM;
	cx_journal_undo(j, CX_OP_undo_unlink, hosts);
	cx_journal_undo(j, CX_OP_undo_unlink, resolv);
	cx_journal_note(j, "hosts", hosts);
	cx_journal_note(j, "resolv", resolv);
	return 0;
}

static int write_one(const char *path, const struct cx_str *text)
{
	unlink(path);
	return text->failed ? text->failed : cx_file_create(AT_FDCWD, path, text->data ? text->data : "", text->size, 0644);
}

int cx_names_write(conex_container *c, const char *const *servers, conex_error **err)
{
	cx_autostr hosts = { 0 }, resolv = { 0 };
	char *paths[2] = { path_of(c, "hosts"), path_of(c, "resolv") };
	int r = paths[0] && paths[1] ? 0 : -ENOMEM;

	cx_container_take_files(c, paths[0], paths[1]);
	cx_str_addf(&hosts, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	for (int i = 0; i < 2; i++) {
		const char *address = conex_container_address(c, NULL, i ? AF_INET6 : AF_INET);

		if (address)
			cx_str_addf(&hosts, "%s %s\n", address, c->id);
	}
	cx_str_addf(&hosts, "%s", c->task.plan->hosts ? c->task.plan->hosts : "");
	if (c->task.plan->resolv)
		cx_str_addf(&resolv, "%s", c->task.plan->resolv);
	else
		cx_resolv_add_host(&resolv, servers);
	if (r == 0 && mkdirat(c->task.cx->state->fd, "names", 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = write_one(paths[0], &hosts);
	if (r == 0)
		r = write_one(paths[1], &resolv);
	free(paths[0]);
	free(paths[1]);
	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, "open", NULL, "/etc/hosts of container %s", c->id) : 0;
}

void cx_names_remove(const conex_container *c)
{
	const char *hosts, *resolv;

	cx_container_files(c, &hosts, &resolv);
	if (hosts && resolv) {
		unlink(hosts);
		unlink(resolv);
	}
}
