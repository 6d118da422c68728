/* What the modules' compile.c share: a validated spec on one side, the plan being built on the other. */
#ifndef CX_PLAN_COMPILE_H
#define CX_PLAN_COMPILE_H

#include <jansson.h>
#include <conex/namespace.h>
#include "plan/build.h"

struct cx_compile {
	const json_t *spec;             /* a whole config.json, validated (spec/validate.c) */
	struct cx_build *build;
	int exec;                       /* 1: one more program in a running container */
	/* Set by cx_namespace_compile_begin; CONEX_NS_... bits. What is in none of the three is the host's. */
	uint32_t made;                  /* new ones */
	uint32_t joined;                /* by path or descriptor */
	uint32_t given;                 /* joined by descriptor (run_options.join), from CX_FD_JOIN on, in .given_kinds' order */
	uint32_t given_kinds[8];
	/* How to mount the container's cgroups on `target` (attributes as for mount_setattr); set by container/. */
	int (*mount_cgroup)(struct cx_compile *c, const char *object, const char *target,
		uint64_t attributes, conex_error **err);
	const void *cgroups;            /* its struct cx_cgroups */
	int staged;                     /* 1: two stages, whatever the namespaces are: something must be done
	                                 * outside of the new ones. Set by container/ before all else */
	int released;                   /* held containers outlive host and keeper: nobody is there at their start */
	int apart;                      /* a root file system, but no mount namespace of its own to mount it in:
	                                 * a detached tree, made the root directory */
	int unlabelled;                 /* nothing here reads SELinux's labels, so no mount takes one; set by container/ */
	int networked;                  /* it joins networks of the host's; set by container/ */
	int named;                      /* each launch brings its /etc/hosts and /etc/resolv.conf; set by container/ */
	int usermode;                   /* a program outside makes its network, of the namespace itself; set by container/ */
	int placed;                     /* systemd puts it into its cgroup, at a barrier; set by container/ */
	int userns;                     /* the container lives in a user namespace other than ours */
	int rootless;                   /* we have no privileges but those of a user namespace of its own */
	int nested;                     /* ours isn't the first user namespace: what it may not do, we may not */
};

#endif
