/* A container's networks: addresses and interfaces, taken in the order of the journal and given back in the
 * other one. The inner ends are made while the child waits at its barrier (CX_BARRIER_NETWORK). */
#include "container/container.h"
#include "container/joined.h"
#include "network/cni.h"
#include "network/names.h"
#include "network/policy.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { LOOKS = 100, TRIES = 50 };               /* of 2 ms */

/* ---- taking ---- */

/* Where plugins give the addresses, a lease says who is a member. */
static int choose(conex_container *c, struct joined *j, conex_error **err)
{
	char interface[16];

	if (j->network.driver != CX_NETWORK_CNI)
		return cx_lease_choose(&j->network, &j->lease, err);
	snprintf(interface, sizeof interface, "eth%d", (int)(j - c->joined->of));
	return cx_lease_name(&j->lease, c->id, interface, err);
}

/* Written down first; another process may be faster, then it is another address. */
static int take_address(conex_container *c, struct joined *j, conex_error **err)
{
	struct cx_journal *journal;
	int r;

	for (;;) {
		r = choose(c, j, err);
		if (r < 0)
			return r;
		cx_freep(&j->lease_text);
		j->lease_text = cx_lease_text(&j->network, &j->lease);
		if (!j->lease_text)
			return cx_fail_memory(err);
		r = cx_journal_open(c->task.cx->state, c->id, &journal, err);
		if (r < 0)
			return r;
		cx_journal_undo(journal, CX_OP_undo_lease, j->lease_text);
		r = cx_journal_flush(journal, err);
		cx_journal_free(journal);
		if (r < 0)
			return r;
		r = cx_lease_claim(&j->network, &j->lease, c->id, (const char *const *)c->labels);
		if (r != -EEXIST || !j->lease.number)
			break;
	}
	if (r == -EEXIST)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, "another one of that id is: use another id",
			"container %s is a member of network %s already", c->id, j->network.name);
	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, "symlink", NULL, "an address of network %s",
		j->network.name) : 0;
}

void cx_joined_note(struct cx_journal *journal, const struct joined *j)
{
	char text[sizeof j->network.name + 2 * INET6_ADDRSTRLEN + 4];

	snprintf(text, sizeof text, "%s %s %s", j->network.name, j->address[0][0] ? j->address[0] : "-",
		j->address[1][0] ? j->address[1] : "-");
	cx_journal_note(journal, "address", text);
}

static void note_addresses(struct cx_journal *journal, struct joined *j)
{
	for (int i = 0; i < j->network.subnets; i++) {
		struct cx_address a = cx_subnet_address(&j->network.subnet[i], j->lease.number);

		cx_address_print(&a, j->address[a.family == AF_INET6]);
	}
	cx_joined_note(journal, j);
}

/* All interfaces' names at once; they are made later, by name. */
static int note_links(conex_container *c, const struct cx_networks *place, conex_error **err)
{
	struct cx_journal *journal;
	int r = cx_journal_open(c->task.cx->state, c->id, &journal, err), index = cx_links_index(c->joined->count);

	if (r < 0)
		return r;
	cx_journal_note(journal, "hosts", c->joined->hosts);
	cx_journal_note(journal, "resolv", c->joined->resolv);
	for (int i = 0; i < c->joined->count && r == 0; i++) {
		struct joined *j = &c->joined->of[i];

		j->link = (struct cx_link){ .network = &j->network, .number = j->lease.number,
			.tag = strtoull(j->lease.tag, NULL, 16), .index = index + i,
			.hairpin = c->task.plan->ports_count > 0, .ingress_bps = c->task.plan->ingress_bps,
			.egress_bps = c->task.plan->egress_bps };
		if (j->network.driver == CX_NETWORK_CNI) {
			j->link.ingress_bps = j->link.egress_bps = 0;   /* its plugins' */
			continue;
		}
		note_addresses(journal, j);
		if (j->network.driver != CX_NETWORK_BRIDGE)
			continue;       /* all of it is inside, and goes with that */
		cx_lease_link(&j->lease, j->link.host);
		if (!(j->link_text = cx_link_text(place, j->link.host)))
			r = cx_fail_memory(err);
		else
			cx_journal_undo(journal, CX_OP_undo_link, j->link_text);
	}
	if (r == 0)
		r = cx_journal_flush(journal, err);
	cx_journal_free(journal);
	return r;
}

/* A macvlan has no end at the host's; what plugins make one of them limits. */
static int may_limit(const conex_plan *plan, const struct joined *j, conex_error **err)
{
	const char *field = plan->ingress_bps ? "conex_run_options.ingress_bps" : "conex_run_options.egress_bps";

	if ((plan->ingress_bps || plan->egress_bps) && j->list && !cx_cni_takes(j->list, "bandwidth"))
		return cx_refuse(err, -EOPNOTSUPP, field, j->network.name, "no plugin of CNI network %s takes it: add bandwidth "
			"with \"capabilities\": {\"bandwidth\": true} to its list", j->network.list);
	if (plan->ingress_bps && j->network.driver == CX_NETWORK_MACVLAN)
		return cx_refuse(err, -EOPNOTSUPP, field, j->network.name, "what goes into a macvlan can't be limited");
	return 0;
}

static int join_all(conex_container *c, const struct cx_networks *place, conex_error **err)
{
	cx_autofree char *list = strdup(c->task.plan->network);
	char *rest = list, *name;
	int r = list ? 0 : cx_fail_memory(err);

	while (r == 0 && (name = strsep(&rest, ","))) {
		struct joined *j = &c->joined->of[c->joined->count];

		r = cx_network_need(c->task.cx, name, &j->network, err);
		if (r == 0) {
			c->joined->count++;
			r = j->network.driver == CX_NETWORK_CNI ? cx_cni_find(j->network.list, &j->list, err) : 0;
		}
		if (r == 0)
			r = may_limit(c->task.plan, j, err);
		if (r == 0)
			r = take_address(c, j, err);
		if (r == 0)     /* before there is an interface that it could be used by */
			r = cx_policy_enter(place, &j->network, &j->lease, c->id, (const char *const *)c->labels, err);
	}
	return r;
}

/* ---- names ---- */

/* Most members share their network's file; with lines that aren't everybody's, or several networks, one has a file
 * of one's own, which is in all of them. */
static int own_files(conex_container *c, int own, conex_error **err)
{
	cx_autoclose int file = -1;
	int r = 0, i;

	for (i = 0; i < c->joined->count && r == 0 && own; i++)
		r = cx_hosts_own(&c->joined->of[i].network, c->joined->of[i].lease.tag, c->task.plan->hosts, &file);
	for (i = 0; i < c->joined->count && r == 0; i++)
		r = cx_member_enter(&c->joined->of[i].network, &c->joined->of[i].lease, c->id, err);
	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "/etc/hosts of container %s", c->id) : 0;
}

/* The first network that has a way out knows whom to ask. */
static const struct joined *asked(const conex_container *c)
{
	for (int i = 0; i < c->joined->count; i++)
		if (!(c->joined->of[i].network.flags & CONEX_NETWORK_INTERNAL))
			return &c->joined->of[i];
	return &c->joined->of[0];
}

static int name(conex_container *c, conex_error **err)
{
	const struct joined *first = &c->joined->of[0], *out = asked(c);
	const char *resolv = c->task.plan->resolv;
	int own = c->task.plan->hosts || c->joined->count > 1, r = own_files(c, own, err);

	if (r < 0)
		return r;
	r = cx_resolv_write(&out->network, resolv ? out->lease.tag : NULL, resolv);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "/etc/resolv.conf of container %s", c->id);
	c->joined->hosts = cx_hosts_path(&first->network, own ? first->lease.tag : NULL);
	c->joined->resolv = cx_resolv_path(&out->network, resolv ? out->lease.tag : NULL);
	return c->joined->hosts && c->joined->resolv ? 0 : cx_fail_memory(err);
}

void cx_container_files(const conex_container *c, const char **hosts, const char **resolv)
{
	const conex_plan *plan = c->task.plan;

	*hosts = c->joined ? c->joined->hosts : plan ? plan->others_hosts : NULL;
	*resolv = c->joined ? c->joined->resolv : plan ? plan->others_resolv : NULL;
}

void cx_network_launch_clear(struct cx_network_launch *l)
{
	cx_str_free(&l->inside);
}

/* ---- all of it, before there is a process ---- */

static int what_is_done_inside(conex_container *c, struct cx_str *to, conex_error **err)
{
	struct cx_link links[CX_LINKS_MAX];

	for (int i = 0; i < c->joined->count; i++)
		links[i] = c->joined->of[i].link;
	return cx_links_inside(links, c->joined->count, to) < 0 ? cx_fail_memory(err) : 0;
}

static int join(conex_container *c, struct cx_network_launch *l, conex_error **err)
{
	const struct cx_networks *place;
	int r;

	c->joined = calloc(1, sizeof *c->joined);
	if (!c->joined)
		return cx_fail_memory(err);
	r = cx_networks_of(c->task.cx, &place, err);
	if (r == 0)
		r = join_all(c, place, err);
	if (r == 0)
		r = name(c, err);
	if (r == 0)
		r = note_links(c, place, err);
	if (r == 0)
		r = cx_container_publish(c, place, err);
	if (r == 0)
		r = cx_cni_prepare(c, place, err);
	cx_container_files(c, &l->hosts, &l->resolv);
	return r < 0 ? r : what_is_done_inside(c, &l->inside, err);
}

int cx_container_join(conex_container *c, struct cx_network_launch *l, conex_error **err)
{
	int r;

	cx_container_files(c, &l->hosts, &l->resolv);
	if (c->task.plan->usermode) {
		r = cx_stack_prepare(c, err);
		cx_container_files(c, &l->hosts, &l->resolv);
		return r;
	}
	if (!c->task.plan->network)
		return 0;
	r = join(c, l, err);
	return r == -EPERM ? cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, "it takes CAP_NET_ADMIN; without privileges use "
		"\"pasta\" or \"slirp4netns\"", "conex_run_options.network: %s", c->task.plan->network) : r;
}

/* ---- at the barrier ---- */

int cx_container_link(conex_container *c, conex_error **err)
{
	struct cx_link links[CX_LINKS_MAX];
	int r;

	if (!c->joined)
		return 0;
	for (int i = 0; i < c->joined->count; i++)
		links[i] = c->joined->of[i].link;
	r = cx_links_make(links, c->joined->count, c->task.pid, err);
	for (int i = 0; i < c->joined->count && r == 0; i++)
		cx_link_find(&c->joined->of[i].link);
	cx_container_let_networks_go(c);
	return r;
}

/* Nobody deletes a network that has members, so none has to be held for longer. */
void cx_container_let_networks_go(conex_container *c)
{
	for (int i = 0; c->joined && i < c->joined->count; i++)
		cx_network_clear(&c->joined->of[i].network);
}

/* ---- giving back ---- */

/* The kernel deletes a pair with the namespace of its inner end, soon after the last process has ended. That is left
 * to it, for nobody waits meanwhile; who keeps the namespace open doesn't keep the interface. */
static int links_are_gone(struct cx_joined *joined)
{
	for (int i = 0; i < joined->count && joined->looks < LOOKS; i++)
		if (joined->of[i].link_text && !cx_link_is_gone(&joined->of[i].link)) {
			joined->looks++;
			return 0;
		}
	return 1;
}

/* Who waits for a container's end anyway may as well wait for the kernel to delete its interfaces, while its
 * processes are dying: that is half of what it takes with the namespace. Locked; unlocks meanwhile. */
void cx_container_cut(conex_container *c)
{
	conex *cx = c->task.cx;
	char *texts[CX_LINKS_MAX];
	int count = 0;

	for (int i = 0; c->joined && !c->undoing && i < c->joined->count; i++)
		if (c->joined->of[i].link_text && (texts[count] = strdup(c->joined->of[i].link_text)))
			count++;
	if (!count)
		return;
	cx->busy++;
	pthread_mutex_unlock(&cx->lock);
	for (int i = 0; i < count; i++) {
		cx_link_delete(texts[i]);
		free(texts[i]);
	}
	pthread_mutex_lock(&cx->lock);
	if (--cx->busy == 0)
		cx_context_notify(cx);
}

int cx_container_leave(conex_container *c)
{
	cx_container_let_networks_go(c);
	if (c->task.plan && c->task.plan->usermode)
		cx_names_remove(c);
	cx_container_withdraw(c);
	cx_cni_unpin(c);        /* which else would hold on to the others' interfaces */
	if (c->joined && !links_are_gone(c->joined))
		return 0;
	for (int i = c->joined ? c->joined->count : 0; i-- > 0;) {
		struct joined *j = &c->joined->of[i];
		int r = j->link_text && !cx_link_is_gone(&j->link) ? cx_link_delete(j->link_text) : 0;

		if (j->lease_text && r == 0 && !j->attachment)
			r = cx_member_leave(j->lease_text);
		if (r < 0 && c->joined->tries++ < TRIES)
			return 0;
		c->joined->failed |= r < 0;
		if (r < 0)
			cx_log(c->task.cx, 4, "container %s: network %s: %s", c->id, j->network.name, strerrordesc_np(-r));
		cx_freep(&j->link_text);
		cx_freep(&j->lease_text);
	}
	return 1;
}

int cx_container_has_left(const conex_container *c)
{
	return !c->joined || !c->joined->failed;
}

void cx_container_joined_free(conex_container *c)
{
	cx_container_let_networks_go(c);
	for (int i = 0; c->joined && i < c->joined->count; i++) {
		struct joined *j = &c->joined->of[i];

		free(j->link_text);
		free(j->lease_text);
		free(j->attachment);
		free(j->planned);
		json_decref(j->list);
		json_decref(j->ports);
	}
	if (c->joined) {
		free(c->joined->pin);
		free(c->joined->hosts);
		free(c->joined->resolv);
	}
	free(c->joined);
	free(c->published);
	c->published = NULL;
	c->joined = NULL;
}

/* ---- looking ---- */

const char *conex_container_address(const conex_container *c, const char *network, int family)
{
	int v6 = family == AF_INET6;

	if (family != AF_INET && family != AF_INET6)
		return NULL;
	for (int i = 0; c->joined && i < c->joined->count; i++) {
		const struct joined *j = &c->joined->of[i];

		if ((!network || !strcmp(network, j->network.name)) && j->address[v6][0])
			return j->address[v6];
	}
	return NULL;
}

/* Where the host can send what comes to a published port. */
const char *cx_container_bridged(const conex_container *c, int family)
{
	for (int i = 0; c->joined && i < c->joined->count; i++) {
		const struct joined *j = &c->joined->of[i];

		if (j->network.driver == CX_NETWORK_BRIDGE && j->address[family == AF_INET6][0])
			return j->address[family == AF_INET6];
	}
	return NULL;
}

int cx_container_has_bridge(const conex_container *c)
{
	for (int i = 0; c->joined && i < c->joined->count; i++)
		if (c->joined->of[i].network.driver == CX_NETWORK_BRIDGE)
			return 1;
	return 0;
}

/* Those that we have made. */
int cx_container_check_links(const conex_container *c, conex_error **err)
{
	for (int i = 0; c->joined && i < c->joined->count; i++)
		if (c->joined->of[i].link_text && cx_link_is_gone(&c->joined->of[i].link))
			return cx_fail(err, CONEX_STAGE_RUN, -ENODEV, NULL, "somebody has deleted it", "network %s: interface %s",
				c->joined->of[i].network.name, c->joined->of[i].link.host);
	return 0;
}

/* From another process's journal: "NETWORK IPV4 IPV6", "-" for none. */
void cx_container_take_addresses(conex_container *c, const char *const *notes, int count)
{
	if (count <= 0 || c->joined || !(c->joined = calloc(1, sizeof *c->joined)))
		return;
	for (int i = 0; i < count && c->joined->count < CX_LINKS_MAX; i++) {
		struct joined *j = &c->joined->of[c->joined->count];

		j->network.dir = -1;
		if (sscanf(notes[i], "%64s %45s %45s", j->network.name, j->address[0], j->address[1]) != 3)
			continue;
		for (int k = 0; k < 2; k++)
			if (!strcmp(j->address[k], "-"))
				j->address[k][0] = '\0';
		c->joined->count++;
	}
}

void cx_container_take_files(conex_container *c, const char *hosts, const char *resolv)
{
	if (!c->joined || !hosts || !resolv || c->joined->hosts)
		return;
	c->joined->hosts = strdup(hosts);
	c->joined->resolv = strdup(resolv);
}
