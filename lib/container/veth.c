/* conex_veth_create and _delete: a pair, the journal in front of it, and a socket from inside. */
#include "container/container.h"
#include "base/options.h"
#include "network/network.h"

#include <linux/netlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int check_device(const char *name, const char *where, conex_error **err)
{
	size_t n = name ? strlen(name) : 0;

	if (n && n < IFNAMSIZ && strcmp(name, ".") && strcmp(name, "..") && !strpbrk(name, "/:% \t\n"))
		return 0;
	return cx_refuse(err, -EINVAL, where, name, "the name of a network device: 1 to 15 bytes without / : %% and blanks");
}

static int check_long(const char *text, const char *where, struct cx_address *ret, int *ret_prefix, conex_error **err)
{
	ret->family = 0;
	if (!text || cx_address_parse_long(text, ret, ret_prefix) == 0)
		return 0;
	return cx_refuse(err, -EINVAL, where, text, "write an address and its subnet's length, as 10.9.0.1/30");
}

static int check(const struct conex_veth_options *o, struct cx_veth *v, conex_error **err)
{
	int r;

	v->host_name = o->host_name;
	v->name = o->name ? o->name : "eth0";
	if (!o->ns || !(cx_namespace_kind(o->ns) & CONEX_NS_NET))
		return cx_refuse(err, -EINVAL, "conex_veth_options.ns", NULL, "a network namespace");
	r = check_device(v->host_name, "conex_veth_options.host_name", err);
	if (r == 0)
		r = check_device(v->name, "conex_veth_options.name", err);
	if (r == 0)
		r = check_long(o->host_address, "conex_veth_options.host_address", &v->host_address, &v->host_prefix, err);
	if (r == 0)
		r = check_long(o->address, "conex_veth_options.address", &v->address, &v->prefix, err);
	v->gateway.family = 0;
	if (r == 0 && o->gateway && cx_address_parse(o->gateway, &v->gateway) < 0)
		r = cx_refuse(err, -EINVAL, "conex_veth_options.gateway", o->gateway, "write an address, as 10.9.0.1");
	return r;
}

static int journal(conex *cx, const char *id, const char *host, conex_error **err)
{
	const struct cx_networks *place;
	cx_autofree char *text = NULL;
	struct cx_journal *j;
	char owner[64];
	int r = cx_networks_of(cx, &place, err);

	if (r < 0)
		return r;
	text = cx_link_text(place, host);
	if (!text)
		return cx_fail_memory(err);
	r = cx_journal_create(cx->state, id, &j, err);
	if (r < 0)
		return r;
	snprintf(owner, sizeof owner, "%d %llu", (int)cx->state->self.pid, (unsigned long long)cx->state->self.start);
	cx_journal_note(j, "owner", cx->flags & CONEX_DETACHED ? "nobody" : owner);
	cx_journal_undo(j, CX_OP_undo_link, text);
	r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

static int make(conex *cx, const struct conex_veth_options *o, const struct cx_veth *v, conex_error **err)
{
	char id[32];
	int r, inside;

	if (if_nametoindex(v->host_name))       /* written down it would be undone, though it is another's */
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EEXIST, NULL, "use another name", "a device %s is there already",
			v->host_name);
	r = conex_namespace_take_socket(o->ns, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, &inside, err);
	if (r < 0)
		return r;
	snprintf(id, sizeof id, "veth:%s", v->host_name);
	r = journal(cx, id, v->host_name, err);
	if (r < 0) {
		close(inside);
		return r;
	}
	r = cx_veth_make(v, conex_namespace_fd(o->ns), inside, err);
	if (r == -EEXIST)       /* somebody was faster: it is his */
		cx_journal_remove(cx->state, id);
	else if (r < 0)
		cx_state_undo(cx->state, id, cx_undo_play, &(struct cx_undo){ .cgroups = cx->cgroups });
	return r;
}

int conex_veth_create(conex *cx, const struct conex_veth_options *options, conex_error **err)
{
	struct conex_veth_options o;
	struct cx_veth v;
	int r = cx_options_read("conex_veth_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = check(&o, &v, err);
	if (r == 0)
		r = cx_context_begin(cx, err);
	if (r < 0)
		return r;
	r = make(cx, &o, &v, err);
	cx_context_end(cx);
	return r;
}

int conex_veth_delete(conex *cx, const char *host_name, conex_error **err)
{
	struct cx_record *record;
	char id[32];
	int r = check_device(host_name, "host_name", err);

	if (r == 0)
		r = cx_context_begin(cx, err);
	if (r < 0)
		return r;
	snprintf(id, sizeof id, "veth:%s", host_name);
	r = cx_record_read(cx->state, id, &record, NULL);
	if (r == 0) {
		cx_record_free(record);
		r = cx_state_undo(cx->state, id, cx_undo_play, &(struct cx_undo){ .cgroups = cx->cgroups });
	}
	if (r < 0)
		cx_fail(err, CONEX_STAGE_TEARDOWN, r, NULL, r == -ENOENT ? "conex_veth_create makes them" : NULL,
			"veth pair %s", host_name);
	cx_context_end(cx);
	return r;
}
