/* conex/namespace.h: namespaces as descriptors. No thread of the host ever enters one. */
#ifndef CONEX_NAMESPACE_H
#define CONEX_NAMESPACE_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

#define CONEX_NS_MOUNT 1u
#define CONEX_NS_PID 2u
#define CONEX_NS_NET 4u
#define CONEX_NS_IPC 8u
#define CONEX_NS_UTS 16u
#define CONEX_NS_USER 32u
#define CONEX_NS_CGROUP 64u
#define CONEX_NS_TIME 128u
#define CONEX_NS_ALL 255u

/* Makes a namespace without a process, by a child of the keeper; loopback is up in a network
 * namespace. It lives as long as something holds it: this handle, processes in it, or the pin.
 * kind: one CONEX_NS_..., but PID (it lives only with its first process) and USER (it needs id
 * maps). pin: an absolute path of a file, made where missing, to bind the namespace to, as
 * ip-netns(8) does; NULL: none. A bound context takes its pins away when it is closed (or its owner
 * died); those of a CONEX_DETACHED one stay until somebody unmounts them. See namespaces(7).
 * Owner: *ret is the caller's: conex_namespace_free.
 * Returns: 0; -EINVAL kind is not one of them, or pin is relative; -EOPNOTSUPP PID or USER;
 * -EPERM without CAP_SYS_ADMIN; -ENOSPC a limit in /proc/sys/user is reached; what open(2) and
 * mount(2) answer for the pin (EINVAL: a mount namespace, where the mount is a shared one); -EMFILE
 * -EPIPE the keeper could not start, or died; the usual.
 * Threads: any. Since: 0.1 */
int conex_namespace_create(conex *cx, uint32_t kind, const char *pin, conex_namespace **ret,
	conex_error **err);

/* A handle on a namespace that exists, by a file like /proc/PID/ns/net or a pin. See nsfs in
 * ioctl_ns(2).
 * Owner: *ret is the caller's: conex_namespace_free.
 * Returns: 0; -EINVAL the file is no namespace; what open(2) answers; -ENOMEM.
 * Threads: any. Since: 0.1 */
int conex_namespace_open(conex *cx, const char *path, conex_namespace **ret, conex_error **err);

/* The namespace as a descriptor, for setns(2) in a process of one's own. Close-on-exec.
 * Returns: the descriptor; borrowed until conex_namespace_free.
 * Threads: any. Since: 0.1 */
int conex_namespace_fd(const conex_namespace *ns);

/* Makes a socket as socket(2) would inside of the network namespace: for netlink, for a probe,
 * for a proxy. domain, type (with or without SOCK_NONBLOCK) and protocol are socket(2)'s.
 * Owner: *ret_fd is the caller's: close(2). Close-on-exec.
 * Returns: 0; -EINVAL not a network namespace; -EPERM without CAP_SYS_ADMIN; what socket(2)
 * answers; -EMFILE -EPIPE the keeper could not start, or died; the usual.
 * Threads: any. Since: 0.1 */
int conex_namespace_take_socket(conex_namespace *ns, int domain, int type, int protocol,
	int *ret_fd, conex_error **err);

/* Frees the handle; ns may be NULL. Plans made with it (conex_run_options.join) keep the
 * namespace.
 * Threads: one. Since: 0.1 */
void conex_namespace_free(conex_namespace *ns);

CONEX_END_DECLARATIONS
#endif
