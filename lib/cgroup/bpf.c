/* Device programs and the kernel: loading, and attaching to a cgroup without a moment between old and new. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <linux/bpf.h>
#include <string.h>

static const char program_name[] = "conex_devices";     /* by which ours is known again: at most 15 letters */

static uint64_t address(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* The licence matters only to programs that call helpers under the GPL: this one calls none. */
int cx_device_program_load(const struct cx_device_program *p)
{
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof a);
	a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	a.insns = address(p->insns);
	a.insn_cnt = p->count;
	a.license = address("");
	memcpy(a.prog_name, program_name, sizeof program_name);
	a.expected_attach_type = BPF_CGROUP_DEVICE;
	fd = cx_sys_bpf(BPF_PROG_LOAD, &a, sizeof a);
	return fd < 0 ? -errno : fd;
}

int cx_device_program_possible(const struct cx_cgroups *g)
{
	struct cx_cgroups *note = (struct cx_cgroups *)g; /* only the atomic changes */
	struct cx_device_program p = { NULL, 0 };
	int fd, r = note->bpf;

	if (r)
		return r < 0 ? r : 0;
	if ((r = cx_device_program_build(NULL, 0, &p)) < 0)
		return r;
	fd = cx_device_program_load(&p);
	free(p.insns);
	note->bpf = fd < 0 ? fd : 1;
	r = fd < 0 ? fd : 0;
	cx_closep(&fd);
	return r;
}

/* An fd of the program with this id, if it is one of ours; else -1. */
static int ours(uint32_t id)
{
	struct bpf_prog_info info;
	cx_autoclose int fd = -1;
	union bpf_attr a;

	memset(&a, 0, sizeof a);
	a.prog_id = id;
	if ((fd = cx_sys_bpf(BPF_PROG_GET_FD_BY_ID, &a, sizeof a)) < 0)
		return -1;
	memset(&a, 0, sizeof a);
	memset(&info, 0, sizeof info);
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = sizeof info;
	a.info.info = address(&info);
	if (cx_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof a) < 0
	    || strcmp((const char *)info.name, program_name))
		return -1;
	return cx_steal_fd(&fd);
}

/* Which of ours is at work in this very cgroup: an fd, -1 none. */
static int attached(int dir)
{
	uint32_t ids[64];               /* BPF_CGROUP_MAX_PROGS */
	union bpf_attr a;
	int fd = -1;

	memset(&a, 0, sizeof a);
	a.query.target_fd = (uint32_t)dir;
	a.query.attach_type = BPF_CGROUP_DEVICE;
	a.query.prog_ids = address(ids);
	a.query.prog_cnt = CX_ARRAY_SIZE(ids);
	if (cx_sys_bpf(BPF_PROG_QUERY, &a, sizeof a) < 0)
		return -1;
	for (uint32_t i = 0; fd < 0 && i < a.query.prog_cnt; i++)
		fd = ours(ids[i]);
	return fd;
}

/* With BPF_F_ALLOW_MULTI programs of others (systemd's DevicePolicy=) stay, and every one must allow. */
int cx_device_program_attach(const struct cx_hierarchy *h, const char *path, const struct cx_device_program *p)
{
	cx_autoclose int program = cx_device_program_load(p), dir = -1, old = -1;
	union bpf_attr a;

	if (program < 0)
		return program;
	dir = cx_cgroup_open(h, "", *path ? path : ".", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return dir;
	old = attached(dir);
	memset(&a, 0, sizeof a);
	a.target_fd = (uint32_t)dir;
	a.attach_bpf_fd = (uint32_t)program;
	a.attach_type = BPF_CGROUP_DEVICE;
	a.attach_flags = BPF_F_ALLOW_MULTI | (old < 0 ? 0 : BPF_F_REPLACE);
	a.replace_bpf_fd = old < 0 ? 0 : (uint32_t)old;
	return cx_sys_bpf(BPF_PROG_ATTACH, &a, sizeof a) < 0 ? -errno : 0;
}
