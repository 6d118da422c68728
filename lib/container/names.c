/* What .hosts and .dns say: texts for a container's /etc/hosts and /etc/resolv.conf. */
#include "container/container.h"
#include "network/names.h"

#include <stdio.h>
#include <string.h>

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
