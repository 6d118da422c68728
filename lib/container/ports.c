/* Published ports of a container: read for the plan, taken for each launch, given back at its end. */
#include "container/container.h"
#include "network/nft.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { TRIES = 16 };                    /* at a free port, which others may take meanwhile */

struct cx_wanted {
	struct cx_address host;
	uint16_t host_port, port;
	uint8_t protocol;
};

struct cx_published {
	int count, is_published;
	struct cx_port of[];
};

/* ---- for the plan ---- */

static int read_protocol(const char *text, uint8_t *ret)
{
	*ret = !text || !strcmp(text, "tcp") ? IPPROTO_TCP : !strcmp(text, "udp") ? IPPROTO_UDP
		: !strcmp(text, "sctp") ? IPPROTO_SCTP : 0;
	return *ret != 0;
}

/* What rules can do and a program's sockets can't, and the other way round. */
static int check_mode(const struct cx_wanted *w, enum cx_usermode mode, const char *where, const char *address,
	conex_error **err)
{
	if (mode && w->protocol == IPPROTO_SCTP)
		return cx_refuse(err, -EOPNOTSUPP, where, "sctp", "%s knows tcp and udp", cx_usermode_program(mode));
	if (mode == CX_USERMODE_SLIRP4NETNS && w->host.family == AF_INET6)
		return cx_refuse(err, -EAFNOSUPPORT, where, address, "slirp4netns publishes at IPv4 addresses: use \"pasta\"");
	if (!mode && w->host.family == AF_INET6 && IN6_IS_ADDR_LOOPBACK((struct in6_addr *)w->host.byte))
		return cx_refuse(err, -EOPNOTSUPP, where, address,
			"Linux has no way back to ::1 from another interface than lo: use 127.0.0.1");
	return 0;
}

static int read_port(const struct conex_port *p, int n, enum cx_usermode mode, struct cx_wanted *w, conex_error **err)
{
	char where[64];

	snprintf(where, sizeof where, "conex_run_options.ports[%d]", n);
	if (!p->port)
		return cx_refuse(err, -EINVAL, where, NULL, "name the container's port: 1 to 65,535");
	if (!read_protocol(p->protocol, &w->protocol))
		return cx_refuse(err, -EINVAL, where, p->protocol, "write tcp, udp or sctp");
	w->port = p->port;
	w->host_port = p->host_port;
	if (cx_address_parse(p->address ? p->address : "127.0.0.1", &w->host) < 0)
		return cx_refuse(err, -EINVAL, where, p->address, "an address of this machine, 0.0.0.0, or :: (no name)");
	return check_mode(w, mode, where, p->address, err);
}

static int is_end(const struct conex_port *p)
{
	return !p->address && !p->host_port && !p->port && !p->protocol;
}

int cx_ports_read(const struct conex_run_options *o, int networked, enum cx_usermode mode, struct cx_wanted **ret,
	int *ret_count, conex_error **err)
{
	int n = 0, r = 0;

	while (o->ports && !is_end(&o->ports[n]))
		n++;
	*ret_count = n;
	if (!n)
		return 0;
	if (!networked && !mode)
		return cx_refuse(err, -EINVAL, "conex_run_options.ports", NULL, "name a .network that they lead into");
	*ret = calloc((size_t)n, sizeof **ret);
	if (!*ret)
		return cx_fail_memory(err);
	for (int i = 0; i < n && r == 0; i++)
		r = read_port(&o->ports[i], i, mode, &(*ret)[i], err);
	return r;
}

/* ---- for a launch ---- */

/* Where the container has an address of this family; 0: nowhere. */
static int target(const conex_container *c, int family, struct cx_address *ret)
{
	const char *text = c->task.plan->usermode ? conex_container_address(c, NULL, family) : cx_container_bridged(c, family);

	return text && cx_address_parse(text, ret) == 0;
}

/* Of one port of the container's all hosts' ends that are chosen have one number, as conex_container_port says. */
static uint16_t chosen_already(const struct cx_published *to, const struct cx_wanted *w)
{
	for (int i = 0; i < to->count && !w->host_port; i++)
		if (to->of[i].port == w->port && to->of[i].protocol == w->protocol)
			return to->of[i].host_port;
	return w->host_port;
}

static int add_one(conex_container *c, const struct cx_wanted *w, int n, conex_error **err)
{
	struct cx_published *to = c->published;
	struct cx_port p = { .host = w->host, .port = w->port, .protocol = w->protocol,
		.host_port = chosen_already(to, w) };
	char where[64];
	int r;

	snprintf(where, sizeof where, "conex_run_options.ports[%d]", n);
	if (!target(c, p.host.family, &p.to))
		return cx_refuse(err, -EAFNOSUPPORT, where, NULL, "none of its %s has %s: name an address of the other family",
			c->task.plan->usermode ? "networks" : "bridge networks", p.host.family == AF_INET6 ? "IPv6" : "IPv4");
	r = cx_port_check(&p, where, err);
	if (r == 0)
		to->of[to->count++] = p;
	return r;
}

/* Written down first, all at once. */
static int note_ports(conex_container *c, const struct cx_networks *place, conex_error **err)
{
	struct cx_journal *j;
	char text[CX_PORT_TEXT];
	int r = cx_journal_open(c->task.cx->state, c->id, &j, err);

	if (r < 0)
		return r;
	for (int i = 0; i < c->published->count && r == 0; i++) {
		cx_autofree char *undo = place ? cx_port_text(place, &c->published->of[i]) : NULL;

		cx_port_print(&c->published->of[i], text);
		cx_journal_note(j, "port", text);
		if (undo)
			cx_journal_undo(j, CX_OP_undo_port, undo);
		else if (place)
			r = cx_fail_memory(err);
	}
	if (r == 0)
		r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

static int try_once(conex_container *c, const struct cx_networks *place, int *is_chosen, conex_error **err)
{
	const conex_plan *plan = c->task.plan;
	int r = 0;

	c->published->count = 0;
	for (int i = 0; i < plan->ports_count && r == 0; i++) {
		*is_chosen |= !plan->ports[i].host_port;
		r = add_one(c, &plan->ports[i], i, err);
	}
	if (r == 0)
		r = note_ports(c, place, err);
	if (r == 0 && place)
		r = cx_ports_publish(place, c->published->of, c->published->count, c->id, err);
	return r;
}

/* Into networks of other people's plugins: they are told of them, and do it. Where it will be isn't known yet. */
static int map_all(conex_container *c, conex_error **err)
{
	const conex_plan *plan = c->task.plan;
	struct cx_published *to = c->published;
	char text[CX_PORT_TEXT], where[64];
	struct cx_journal *j;
	int r = cx_journal_open(c->task.cx->state, c->id, &j, err);

	if (r < 0)
		return r;
	for (int i = 0; i < plan->ports_count && r == 0; i++) {
		struct cx_port *p = &to->of[to->count];

		*p = (struct cx_port){ .host = plan->ports[i].host, .to = { .family = plan->ports[i].host.family },
			.host_port = chosen_already(to, &plan->ports[i]), .port = plan->ports[i].port,
			.protocol = plan->ports[i].protocol };
		snprintf(where, sizeof where, "conex_run_options.ports[%d]", i);
		r = cx_port_check(p, where, err);
		to->count += r == 0;
		cx_port_print(p, text);
		cx_journal_note(j, "port", text);
	}
	if (r == 0)
		r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

/* As the plugins' conventions have it. */
json_t *cx_ports_mappings(const conex_container *c)
{
	json_t *list = json_array();
	char host[INET6_ADDRSTRLEN];

	for (int i = 0; list && i < c->published->count; i++) {
		const struct cx_port *p = &c->published->of[i];

		cx_address_print(&p->host, host);
		if (json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:s}", "hostPort", p->host_port, "containerPort",
		    p->port, "protocol", cx_port_protocol(p->protocol), "hostIP", host)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int cx_container_publish(conex_container *c, const struct cx_networks *place, conex_error **err)
{
	int wanted = c->task.plan->ports_count, is_chosen = 0, r;

	if (!wanted)
		return 0;
	if (!c->published)
		c->published = calloc(1, sizeof *c->published + (size_t)wanted * sizeof c->published->of[0]);
	if (!c->published)
		return cx_fail_memory(err);
	r = place ? cx_cni_takes_ports(c, err) : 0;
	if (r != 0)
		return r < 0 ? r : map_all(c, err);
	r = -EADDRINUSE;
	for (int i = 0; r == -EADDRINUSE && (i == 0 || (is_chosen && i < TRIES)); i++)
		r = try_once(c, place, &is_chosen, err);
	c->published->is_published = r == 0 && place;
	return r;
}

const struct cx_port *cx_container_ports(const conex_container *c, int *ret_count)
{
	*ret_count = c->published ? c->published->count : 0;
	return c->published ? c->published->of : NULL;
}

int cx_container_port_lost(const conex_container *c)
{
	for (int i = 0; c->published && i < c->published->count; i++) {
		struct cx_port p = c->published->of[i];

		if (!c->task.plan->ports[i].host_port && cx_port_check(&p, "", NULL) == -EADDRINUSE)
			return 1;
	}
	return 0;
}

void cx_container_withdraw(conex_container *c)
{
	const struct cx_networks *place = c->task.cx->networks;
	int r;

	if (!c->published || !c->published->is_published || !place)
		return;
	r = cx_ports_withdraw(place, c->published->of, c->published->count);
	c->published->is_published = 0;
	if (r < 0)
		cx_log(c->task.cx, 4, "container %s: its ports could not be withdrawn: %s", c->id, strerrordesc_np(-r));
}

/* ---- looking ---- */

int conex_container_port(const conex_container *c, uint16_t port, const char *protocol)
{
	uint8_t number;

	if (!read_protocol(protocol, &number))
		return 0;
	for (int i = c->published ? c->published->count : 0; i-- > 0;)  /* of another process's tries the last */
		if (c->published->of[i].port == port && c->published->of[i].protocol == number)
			return c->published->of[i].host_port;
	return 0;
}

/* From another process's journal. */
void cx_container_take_ports(conex_container *c, const char *const *notes, int count)
{
	if (count <= 0 || c->published)
		return;
	c->published = calloc(1, sizeof *c->published + (size_t)count * sizeof c->published->of[0]);
	for (int i = 0; c->published && i < count; i++)
		c->published->count += cx_port_parse(notes[i], &c->published->of[c->published->count]) == 0;
}
