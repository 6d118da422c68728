/* conex_plan: compile once, look, launch often. */
#include "container/container.h"
#include "base/options.h"
#include "network/rate.h"
#include "plan/build.h"
#include "security/capabilities.h"

#include <string.h>

conex_plan *cx_plan_ref(conex_plan *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

/* The keeper frees its copy when the last process made from it has ended; only one that still runs is told. */
static void forget(conex_plan *p)
{
	struct cx_message m = { .type = CX_MSG_FORGET, .id = p->id };

	if (p->id && p->cx->pid == getpid() && p->cx->keeper && p->generation == p->cx->keeper->generation
	    && p->cx->keeper->socket >= 0)
		cx_keeper_send(p->cx, &m, NULL, 0, NULL, 0, NULL);
}

static void plan_free(conex_plan *p)
{
	for (uint32_t i = 0; i < p->joins; i++)
		conex_namespace_free(p->join[i]);
	free(p->join);
	json_decref(p->spec);
	cx_cgroup_limits_free(p->limits);
	free(p->bytes);
	free(p->spec_name);
	free(p->bundle);
	cx_image_use_free(p->image);
	free(p->network);
	free(p->hosts);
	free(p->others_hosts);
	free(p->others_resolv);
	free(p->resolv);
	free(p->ports);
	cx_context_unref(p->cx);
	free(p);
}

void cx_plan_unref(conex_plan *p)
{
	if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	forget(p);
	plan_free(p);
}

void conex_plan_free(conex_plan *plan)
{
	conex *cx;
	int held;

	if (!plan)
		return;
	cx = cx_context_ref(plan->cx);
	held = cx_context_hold(cx);
	cx_plan_unref(plan);
	cx_context_release(cx, held);
	cx_context_unref(cx);
}

static int keep_joins(conex_plan *p, const struct conex_run_options *o, conex_error **err)
{
	uint32_t n = 0;
	int r;

	while (o->join && o->join[n])
		n++;
	p->join = calloc(n + 2, sizeof(*p->join));
	if (!p->join)
		return cx_fail_memory(err);
	for (; p->joins < n; p->joins++)
		p->join[p->joins] = cx_namespace_ref(o->join[p->joins]);
	r = cx_modes_join(p, o->network, &p->join[n], err);
	p->joins += r > 0;
	return r < 0 ? r : 0;
}

/* Whose network is another's, or loopback alone, has nothing of his own to be limited. */
static int read_rates(conex_plan *p, const struct conex_run_options *o, conex_error **err)
{
	const char *field = o->ingress_bps ? "conex_run_options.ingress_bps" : "conex_run_options.egress_bps";
	int r;

	if ((o->ingress_bps || o->egress_bps) && !p->network)
		return cx_refuse(err, -EINVAL, field, NULL, "limits are of interfaces in networks, and .network names none: it is %s",
			o->network ? o->network : "not set");
	r = cx_rate_check("conex_run_options.ingress_bps", o->ingress_bps, err);
	if (r == 0)
		r = cx_rate_check("conex_run_options.egress_bps", o->egress_bps, err);
	p->ingress_bps = o->ingress_bps;
	p->egress_bps = o->egress_bps;
	return r;
}

/* The limit of what comes out is inside, where these go round it: by another queue, or by sending packets past it. */
static void note_rights(conex *cx, const json_t *spec)
{
	static const char *const sets[] = { "bounding", "permitted", "effective", "inheritable", "ambient" };
	uint64_t has = 0, both = UINT64_C(1) << cx_capability_number("CAP_NET_ADMIN")
		| UINT64_C(1) << cx_capability_number("CAP_NET_RAW");

	for (size_t i = 0; i < CX_ARRAY_SIZE(sets); i++)
		has |= cx_capability_mask(json_object_get(cx_json_at(spec, "process.capabilities"), sets[i]));
	if (has & both)
		cx_log(cx, 4, "conex_run_options.egress_bps: who has CAP_NET_ADMIN or CAP_NET_RAW inside can get round it");
}

static int plan_new(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	conex_plan *p, conex_error **err)
{
	int r = cx_options_spec(cx, image, args, o, &p->image, &p->spec, err);
	unsigned how;

	if (r == 0 && o->spec && o->spec->bundle && !(p->bundle = strdup(o->spec->bundle)))
		r = cx_fail_memory(err);
	if (r == 0 && cx_modes_networks(o->network, &p->network) < 0)
		r = cx_fail_memory(err);
	if (r == 0)
		r = cx_modes_usermode(cx, o->network, &p->usermode, err);
	if (r == 0)
		r = cx_ports_read(o, p->network != NULL, p->usermode, &p->ports, &p->ports_count, err);
	if (r == 0)
		r = cx_names_read(o, p->network || p->usermode, &p->hosts, &p->resolv, err);
	if (r == 0)
		r = read_rates(p, o, err);
	if (r == 0)
		r = cx_context_need_cgroups(cx, err);
	if (r == 0)
		r = keep_joins(p, o, err);
	how = (p->network ? CX_COMPILE_NETWORKED : 0) | (p->usermode ? CX_COMPILE_USERMODE : 0)
		| (p->network || p->usermode || p->others_hosts ? CX_COMPILE_NAMED : 0);
	if (r == 0)
		r = cx_plan_compile(cx, p->spec, how, p->join, &p->bytes, &p->limits, err);
	if (r == 0 && p->egress_bps)
		note_rights(cx, p->spec);
	p->grace_ms = o->grace_ms ? o->grace_ms : 10000;
	return r;
}

/* What options may say depends on the call: conex_run reads all of them. */
int cx_plan_make(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	conex_plan **ret, conex_error **err)
{
	conex_plan *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return cx_fail_memory(err);
	p->refs = 1;
	p->cx = cx_context_ref(cx);
	r = plan_new(cx, image, args, o, p, err);
	if (r < 0)
		plan_free(p);
	else
		*ret = p;
	return r;
}

int conex_plan_new(conex *cx, const char *image, const char *const *args,
	const struct conex_run_options *options, conex_plan **ret, conex_error **err)
{
	struct conex_run_options o;
	int r = cx_options_read("conex_run_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = cx_options_check("conex_plan_new", &o, CX_FOR_PLAN, err);
	if (r < 0)
		return r;
	r = cx_context_begin(cx, err);
	if (r < 0)
		return r;
	r = cx_plan_make(cx, image, args, &o, ret, err);
	cx_context_end(cx);
	return r;
}

int conex_plan_dump(const conex_plan *plan, char **ret_text, conex_error **err)
{
	const struct cx_op *op = (const struct cx_op *)(plan->bytes + 1);
	struct cx_str text = { 0 };
	char *taken;

	for (uint32_t i = 0; i < plan->bytes->operations; i++) {
		cx_plan_print_op(plan->bytes, &op[i], &text);
		cx_str_add(&text, "\n", 1);
	}
	taken = cx_str_take(&text);
	if (!taken)
		return cx_fail_memory(err);
	*ret_text = taken;
	return 0;
}

int cx_plan_send(conex_plan *p, conex_error **err)
{
	struct cx_keeper *k = p->cx->keeper;
	int r;

	if (p->id && p->generation == k->generation)
		return 0;
	p->id = k->next_id++;
	r = cx_keeper_send_plan(p->cx, p->id, p->bytes, err);
	p->generation = k->generation;
	return r;
}
