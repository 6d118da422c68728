/* Namespaces without a container: made and entered by the keeper's children, held by a descriptor. */
#include "namespace/namespace.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/kernel.h"
#include "base/path.h"
#include "keeper/host.h"
#include "namespace/compile.h"
#include "plan/build.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/nsfs.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

struct conex_namespace {
	int refs;               /* atomic */
	conex *cx;              /* counted */
	int fd;
	uint32_t kind;
};

uint32_t cx_namespace_kind(const conex_namespace *ns)
{
	return ns->kind;
}

conex_namespace *cx_namespace_ref(conex_namespace *ns)
{
	__atomic_add_fetch(&ns->refs, 1, __ATOMIC_RELAXED);
	return ns;
}

int conex_namespace_fd(const conex_namespace *ns)
{
	return ns->fd;
}

void conex_namespace_free(conex_namespace *ns)
{
	if (!ns || __atomic_sub_fetch(&ns->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	cx_closep(&ns->fd);
	cx_context_unref(ns->cx);
	free(ns);
}

static int namespace_new(conex *cx, int fd, uint32_t kind, conex_namespace **ret, conex_error **err)
{
	conex_namespace *ns = calloc(1, sizeof *ns);

	if (!ns) {
		close(fd);
		return cx_fail_memory(err);
	}
	ns->refs = 1;
	ns->cx = cx_context_ref(cx);
	ns->fd = fd;
	ns->kind = kind;
	*ret = ns;
	return 0;
}

/* Runs a plan of `b` as a helper and returns its gift. The words for a failed operation are made here. */
static int help(conex *cx, struct cx_build *b, uint32_t fds, const int *fd, const char *object, conex_error **err)
{
	cx_autofree struct cx_plan *plan = NULL;
	struct cx_message m;
	int r;

	b->head.flags |= CX_PLAN_HELPER;
	r = cx_build_end(b, &plan, err);
	cx_build_free(b);
	if (r == 0)
		r = cx_context_lock(cx, err);
	if (r < 0)
		return r;
	r = cx_keeper_start(cx, err);
	if (r == 0)
		r = cx_keeper_help(cx, plan, fds, fd, &m, err);
	cx_context_unlock(cx);
	if (r < 0 && m.type == CX_MSG_FAILED)
		cx_fail(err, CONEX_STAGE_CHILD, r, cx_call_name(m.failed.call),
			r == -EPERM ? "it takes CAP_SYS_ADMIN" : NULL, "%s%s%s", object,
			m.failed.detail[0] ? " " : "", m.failed.detail);
	return r;
}

/* A bound context takes its pins away again, at the latest when it is closed; those of a detached one stay
 * until somebody unmounts them. Undone from the last entry on: unmounted, then removed where it is ours. */
static int journal_pin(conex *cx, const char *pin, conex_error **err)
{
	struct cx_journal *j;
	uint64_t noise;
	char id[32], owner[64];
	int r;

	if (cx->flags & CONEX_DETACHED)
		return 0;
	if (cx_random(&noise, sizeof noise) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "pin %s", pin);
	snprintf(id, sizeof id, "pin:%016llx", (unsigned long long)noise);
	r = cx_journal_create(cx->state, id, &j, err);
	if (r < 0)
		return r;
	snprintf(owner, sizeof owner, "%d %llu", (int)cx->state->self.pid, (unsigned long long)cx->state->self.start);
	cx_journal_note(j, "owner", owner);
	if (access(pin, F_OK) < 0)
		cx_journal_undo(j, CX_OP_undo_unlink, pin);
	cx_journal_undo(j, CX_OP_undo_umount, pin);
	r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

/* The file that a pinned namespace is bound to; made when missing. */
static int make_pin(conex *cx, const char *pin, conex_error **err)
{
	cx_autoclose int fd = -1;
	int r;

	if (pin[0] != '/')
		return cx_refuse(err, -EINVAL, "pin", pin, "give an absolute path");
	r = journal_pin(cx, pin, err);
	if (r < 0)
		return r;
	fd = open(pin, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? cx_fail_errno(err, CONEX_STAGE_LAUNCH, "open", NULL, "pin %s", pin) : 0;
}

int conex_namespace_create(conex *cx, uint32_t kind, const char *pin, conex_namespace **ret, conex_error **err)
{
	struct cx_build b = { .failed = 0 };
	uint64_t flag = cx_namespace_clone_flags(kind);
	cx_autoclose int mounts = -1;   /* where the pin is */
	int r;

	if (__builtin_popcount(kind) != 1 || !flag)
		return cx_refuse(err, -EINVAL, "kind", NULL, "name one of CONEX_NS_...");
	if (kind == CONEX_NS_PID || kind == CONEX_NS_USER)
		return cx_refuse(err, -EOPNOTSUPP, "kind", kind == CONEX_NS_PID ? "CONEX_NS_PID" : "CONEX_NS_USER",
			kind == CONEX_NS_PID ? "a pid namespace lives only with its first process: run a container"
			: "a user namespace needs id maps: give linux.uidMappings to a container");
	if (pin && (r = make_pin(cx, pin, err)) < 0)
		return r;
	if (pin && kind == CONEX_NS_MOUNT && (mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "open", "mount /proc", "/proc/self/ns/mnt");
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, unshare, NULL, flag);
	if (kind == CONEX_NS_NET)
		cx_op(&b, loopback, NULL);
	cx_op(&b, give_namespace, NULL, flag, cx_cell_text(&b, pin));
	r = help(cx, &b, mounts < 0 ? 0 : 1U << CX_FD_JOIN, &mounts, "the namespace", err);
	return r < 0 ? r : namespace_new(cx, r, kind, ret, err);
}

static uint32_t kind_of(int fd)
{
	switch (ioctl(fd, NS_GET_NSTYPE)) {
	case CLONE_NEWNS: return CONEX_NS_MOUNT;
	case CLONE_NEWPID: return CONEX_NS_PID;
	case CLONE_NEWNET: return CONEX_NS_NET;
	case CLONE_NEWIPC: return CONEX_NS_IPC;
	case CLONE_NEWUTS: return CONEX_NS_UTS;
	case CLONE_NEWUSER: return CONEX_NS_USER;
	case CLONE_NEWCGROUP: return CONEX_NS_CGROUP;
	case CLONE_NEWTIME: return CONEX_NS_TIME;
	default: return 0;
	}
}

int conex_namespace_open(conex *cx, const char *path, conex_namespace **ret, conex_error **err)
{
	cx_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint32_t kind;

	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "open", "name a file like /proc/PID/ns/net", "%s", path);
	kind = kind_of(fd);
	if (!kind)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EINVAL, "ioctl",
			"it is no namespace: name a file like /proc/PID/ns/net", "%s", path);
	return namespace_new(cx, cx_steal_fd(&fd), kind, ret, err);
}

/* The user namespace through which an unprivileged user gets there; -1: he needs none, or has none. */
static int owner_of(const conex_namespace *ns)
{
	int fd = cx_ids_rootless() ? ioctl(ns->fd, NS_GET_USERNS) : -1;

	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

int conex_namespace_take_socket(conex_namespace *ns, int domain, int type, int protocol, int *ret_fd,
	conex_error **err)
{
	struct cx_build b = { .failed = 0 };
	cx_autoclose int owner = owner_of(ns);
	int fds[2] = { ns->fd, owner }, r;

	if (ns->kind != CONEX_NS_NET)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EINVAL, NULL, "only a network namespace has sockets",
			"the namespace");
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	if (fds[1] >= 0)
		cx_op(&b, join, NULL, CX_FD_JOIN + 1, CLONE_NEWUSER);
	cx_op(&b, join, NULL, CX_FD_JOIN, CLONE_NEWNET);
	cx_op(&b, give_socket, NULL, domain, type, protocol);
	r = help(ns->cx, &b, (fds[1] >= 0 ? 3U : 1U) << CX_FD_JOIN, fds, "the socket", err);
	if (r < 0)
		return r;
	if (type & SOCK_NONBLOCK)
		fcntl(r, F_SETFL, O_RDWR | O_NONBLOCK);
	*ret_fd = r;
	return 0;
}
