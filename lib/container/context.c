/* conex_open: puts the modules' parts of a context together. events.c hands out its news, close.c ends it. */
#include "container/container.h"
#include "base/options.h"
#include "base/path.h"
#include "image/images.h"
#include "network/network.h"
#include "security/compile.h"
#include "state/context-cgroup.h"

#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>

enum { CLOSE_MS = 5000 };

/* ---- cgroups: detected at the first need ---- */

int cx_context_need_cgroups_locked(conex *cx, conex_error **err)
{
	int r = cx->cgroups ? 0 : cx_cgroups_detect(cx->cgroup_parent, cx->cgroup_driver, &cx->cgroups, err);

	if (r == 0 && !cx->said_no_cgroups && !cx_cgroups_any(cx->cgroups)) {
		cx->said_no_cgroups = 1;
		cx_log(cx, 5, "no cgroup may be made here: containers run without limits and statistics "
			"(have a subtree delegated, or name one in conex_options.cgroup)");
	}
	return r;
}

int cx_context_need_cgroups(conex *cx, conex_error **err)
{
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	r = cx_context_need_cgroups_locked(cx, err);
	cx_context_unlock(cx);
	return r;
}

const struct cx_cgroups *cx_context_cgroups(conex *cx, conex_error **err)
{
	return cx_context_need_cgroups(cx, err) < 0 ? NULL : cx->cgroups;
}

void cx_context_cgroup_ref(conex *cx)
{
	cx_context_ref(cx);
}

void cx_context_cgroup_unref(conex *cx)
{
	cx_context_unref(cx);
}

/* ---- open ---- */

static int driver_of(const char *name)
{
	if (!name)
		return CX_DRIVER_CHOSEN;
	return !strcmp(name, "cgroupfs") ? CX_DRIVER_CGROUPFS : !strcmp(name, "systemd") ? CX_DRIVER_SYSTEMD : -1;
}

static int check_options(const struct conex_options *o, conex_error **err)
{
	char value[32];

	if (o->flags & ~(CONEX_DETACHED | CONEX_READ_ONLY)) {
		snprintf(value, sizeof value, "0x%llx", (unsigned long long)o->flags);
		return cx_refuse(err, -EINVAL, "conex_options.flags", value, "use CONEX_DETACHED and CONEX_READ_ONLY");
	}
	if (o->flags && !o->state)
		return cx_refuse(err, -EINVAL, "conex_options.state", NULL,
			"name the directory in which others will find the containers");
	if (o->cgroup_driver && driver_of(o->cgroup_driver) < 0)
		return cx_refuse(err, -EINVAL, "conex_options.cgroup_driver", o->cgroup_driver, "\"cgroupfs\" or \"systemd\"");
	if (o->close_ms < 0)
		return cx_refuse(err, -EINVAL, "conex_options.close_ms", "negative", "0 means 5,000");
	return 0;
}

static int new_parts(conex *cx)
{
	cx->containers = calloc(1, sizeof *cx->containers);
	cx->seccomp = cx_seccomp_cache_new();
	if (!cx->containers || !cx->seccomp || cx_keeper_new(cx) < 0)
		return -ENOMEM;
	cx->keeper->message = cx_containers_message;
	cx->keeper->lost = cx_containers_lost;
	cx->pump = cx_containers_pump;
	cx->own_ids = &cx_maps_own_ids;
	cx->containers->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return cx->containers->timer < 0 ? -errno : cx_context_watch(cx, cx->containers->timer);
}

/* What dead owners left is undone now; what is busy is left for the next open. Not locked: CNI plugins may have to
 * run for it. */
static void recover(conex *cx)
{
	struct cx_undo who = { .run = cx_cni_run, .data = cx, .sweeps = 1 };
	int r = cx_context_need_cgroups(cx, NULL);

	who.cgroups = cx->cgroups;
	if (r == 0)
		r = cx_state_recover(cx->state, cx_undo_play, &who);
	cx_undo_swept(cx, &who);
	if (r < 0)
		cx_log(cx, 4, "what a dead owner left could not all be undone: %s", strerrordesc_np(-r));
}

void cx_context_drop_parts(conex *cx)
{
	if (cx->containers) {
		cx_closep(&cx->containers->timer);
		free(cx->containers);
		cx->containers = NULL;
	}
	cx_seccomp_cache_free(cx->seccomp);
	cx_cgroups_free(cx->cgroups);
	cx_networks_free(cx->networks);
	cx_store_close(cx->store);
	free(cx->sweep_again);
	free(cx->keeper);
	cx->seccomp = NULL;
	cx->cgroups = NULL;
	cx->networks = NULL;
	cx->store = NULL;
	cx->sweep_again = NULL;
	cx->keeper = NULL;
}

static int open_context(conex *cx, const struct conex_options *o, conex_error **err)
{
	int r = new_parts(cx);

	if (r < 0)
		return r == -ENOMEM ? cx_fail_memory(err)
			: cx_fail(err, CONEX_STAGE_OPEN, r, "timerfd_create", NULL, "the context");
	cx->flags = o->flags;
	cx->close_ms = o->close_ms ? o->close_ms : CLOSE_MS;
	cx->cgroup_driver = driver_of(o->cgroup_driver);
	cx->log = o->log;
	cx->log_data = o->log_data;
	if (o->store && !(cx->store_path = strdup(o->store)))
		return cx_fail_memory(err);
	if (o->cgroup && !(cx->cgroup_parent = strdup(o->cgroup)))
		return cx_fail_memory(err);
	r = cx_state_open(o->state, (o->flags & CONEX_READ_ONLY) != 0, &cx->state, err);
	if (r == 0 && (o->cgroup || o->cgroup_driver))  /* what is bad is refused now, not at the first launch */
		r = cx_context_need_cgroups_locked(cx, err);
	if (r == 0 && !(o->flags & CONEX_READ_ONLY))
		recover(cx);
	if (r == 0 && !cx->state->is_private && !(o->flags & CONEX_READ_ONLY))
		cx_seccomp_cache_keep(cx->seccomp, cx->state->fd);
	return r;
}

int conex_open(const struct conex_options *options, conex **ret, conex_error **err)
{
	struct conex_options o;
	conex *cx;
	int r = cx_options_read("conex_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = check_options(&o, err);
	if (r == 0)
		r = cx_context_new(&cx, err);
	if (r < 0)
		return r;
	r = open_context(cx, &o, err);
	if (r < 0) {
		if (cx->state)
			cx_state_close(cx->state, 1);
		cx_context_drop_parts(cx);
		cx_context_unref(cx);
		return r;
	}
	*ret = cx;
	return 0;
}

int conex_fd(const conex *cx)
{
	__atomic_store_n(&((conex *)cx)->listens, 1, __ATOMIC_RELAXED);
	return cx->fd;
}

pid_t conex_keeper_pid(const conex *cx)
{
	int held = cx_context_hold((conex *)cx);
	pid_t pid = held && cx->keeper ? cx->keeper->pid : 0;

	cx_context_release((conex *)cx, held);
	return pid;
}

enum { PARTIAL_AGE_S = 24 * 3600 };     /* a download that was broken off may be gone on with for so long */

static int prune_store(conex *cx, uint64_t *ret_bytes, conex_error **err)
{
	struct cx_store_gone gone = { .bytes = 0 };
	struct cx_store *s;
	int r = cx_images_existing(cx, &s, err);

	if (r == 0 && s)
		r = cx_images_collect(cx, s, PARTIAL_AGE_S, &gone, err);
	if (ret_bytes)
		*ret_bytes = gone.bytes;
	return r;
}

int conex_prune(conex *cx, uint64_t *ret_bytes, conex_error **err)
{
	int r = cx_context_begin(cx, err);

	if (r < 0)
		return r;
	recover(cx);
	r = prune_store(cx, ret_bytes, err);
	cx_context_end(cx);
	return r;
}
