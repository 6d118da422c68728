/* linux.netDevices -> a plan operation: which devices move, and how they are called inside. */
#include "network/compile.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "spec/spec.h"

#include <sched.h>

int cx_network_needs_outside(const json_t *spec)
{
	return json_object_size(cx_json_at(spec, "linux.netDevices")) != 0;
}

/* The host's name, the name inside, and so on; NULL-ended. */
static const char **pairs(const json_t *devices)
{
	const char **list = calloc(2 * json_object_size(devices) + 1, sizeof *list), *name;
	size_t n = 0;
	json_t *device;

	if (!list)
		return NULL;
	json_object_foreach((json_t *)devices, name, device) {
		const char *inside = cx_json_text(device, "name");

		list[n++] = name;
		list[n++] = inside && *inside ? inside : name;
	}
	return list;
}

int cx_network_compile_devices(struct cx_compile *c, conex_error **err)
{
	cx_autofree const char **list = NULL;

	if (c->exec || !cx_network_needs_outside(c->spec))
		return 0;
	/* who joins a user namespace has no rights in the host's network any more */
	if ((c->joined | c->given) & CONEX_NS_USER)
		return cx_refuse(err, -EOPNOTSUPP, "linux.netDevices", NULL,
			"a new user namespace, or none: not one that is joined");
	if (!((c->made | c->joined | c->given) & CONEX_NS_NET))
		return cx_refuse(err, -EINVAL, "linux.netDevices", NULL,
			"a network namespace of the container's to move them to");
	list = pairs(cx_json_at(c->spec, "linux.netDevices"));
	if (!list)
		return cx_fail_memory(err);
	cx_op(c->build, net_devices, "linux.netDevices", cx_cell_list(c->build, list));
	return 0;
}

int cx_network_compile_join(struct cx_compile *c, conex_error **err)
{
	if ((!c->networked && !c->usermode) || c->exec)
		return 0;
	if (!(c->made & CONEX_NS_NET))
		return cx_refuse(err, -EINVAL, "conex_run_options.network", NULL,
			"a network namespace of the container's own: neither .share, .join nor the spec may name another");
	/* ours can't be opened by its pid: neither may an unprivileged user, nor would it surely be ours */
	if (c->usermode)
		cx_op(c->build, give_namespace, "conex_run_options.network", CLONE_NEWNET);
	cx_op(c->build, barrier, "conex_run_options.network", CX_BARRIER_NETWORK);
	if (!c->usermode)
		cx_op(c->build, network, "conex_run_options.network", cx_cell_slot_bytes(c->build, CX_SLOT_NETWORK));
	return 0;
}
