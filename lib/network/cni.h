/* The Container Network Interface: interfaces of containers that other people's programs make. Nothing here starts
 * one of them: container/cni.c has the keeper do it, conex-undo does it itself.
 * https://www.cni.dev/docs/spec/ (1.1.0, 1.0.0, 0.4.0, 0.3.1, 0.3.0) */
#ifndef CX_NETWORK_CNI_H
#define CX_NETWORK_CNI_H

#include <jansson.h>
#include <netinet/in.h>
#include "base/error.h"

#define CX_CNI_CONFIGS "/etc/cni/net.d"         /* or NETCONFPATH of the environment */
#define CX_CNI_PLUGINS "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"     /* or CNI_PATH */
#define CX_CNI_RESULTS "/var/lib/cni/results"   /* libcni's, as containerd, CRI-O and cnitool have it */

enum { CX_CNI_BYTES = 4 << 20,          /* of a configuration, and of what a plugin answers */
	CX_CNI_PLUGINS_MAX = 32, CX_CNI_NAME_MAX = 64, CX_CNI_PLUGIN_MS = 60000 };

/* ---- cni-config.c: lists of plugins ---- */

/* A name as networks, plugins and containers have it. 0, -EINVAL */
int cx_cni_check_name(const char *name, const char *where, conex_error **err);
/* A list as its file has it: refused by path and value, or made whole (cniVersion of cniVersions). 0, -EINVAL */
int cx_cni_check_list(json_t *list, const char *file, conex_error **err);
/* By its name: *.conflist in the order of their names, then *.conf and *.json, which hold one plugin. -ENOENT */
int cx_cni_find(const char *name, json_t **ret, conex_error **err);
/* Where plugins are: directories with colons between. */
const char *cx_cni_path(void);
/* A plugin's file (free); only root's, in a directory that only root writes to. -ENOENT, -EPERM */
int cx_cni_locate(const char *path, const char *type, char **ret, conex_error **err);
int cx_cni_locate_all(const json_t *list, const char *path, conex_error **err);
/* Does a plugin of the list take this from who runs it ("portMappings")? */
int cx_cni_takes(const json_t *list, const char *capability);
/* "0.4.0" and later ones: CHECK, and the result for DEL. */
int cx_cni_is_new(const json_t *list);

/* ---- cni-attachment.c: one interface of one container, on file ---- */

/* All that DEL takes, written down before ADD, and the latest result: whatever is left of a host that was killed,
 * and whatever has become of /etc/cni, can be undone. The root: {"config", "containerId", "ifName", "netns", "path",
 * "capabilityArgs", "result"}. */
struct cx_cni {
	json_t *root;
	char *file;
};
void cx_cni_clear(struct cx_cni *a);
#define cx_autocni cx_cleanup(cx_cni_clear) struct cx_cni
const json_t *cx_cni_list(const struct cx_cni *a);
size_t cx_cni_count(const struct cx_cni *a);            /* plugins */
/* The file's text; whole or not there. 0, -errno */
int cx_cni_save(const struct cx_cni *a);
int cx_cni_load(const char *file, struct cx_cni *ret);  /* -ENOENT: nothing is left to undo; -EBADMSG */
int cx_cni_forget(const struct cx_cni *a);              /* the file, and libcni's */
int cx_cni_sweep(const char *file);                     /* it, and what a killed writer has left beside it */
/* For whoever else looks (kind cniCacheV1). 0, -errno */
int cx_cni_cache(const struct cx_cni *a);
/* A descriptor that a plugin and all that it starts hold open, locked; -errno. */
int cx_cni_hold(const struct cx_cni *a);
/* Waits until no plugin of it runs that a killed host has left behind; not for one that is past its time-out.
 * 0, -EBUSY */
int cx_cni_wait_idle(const struct cx_cni *a, int timeout_ms);

/* ---- cni-call.c: one plugin ---- */

enum cx_cni_command { CX_CNI_ADD, CX_CNI_CHECK, CX_CNI_DEL };

struct cx_cni_call {
	char *file;                     /* to execute */
	char *env[10];                  /* NULL-ended */
	int in, out, err, held;         /* descriptors; -1 */
};
void cx_cni_call_clear(struct cx_cni_call *c);
/* What a plugin reads; new. NULL: no memory */
json_t *cx_cni_input(const struct cx_cni *a, enum cx_cni_command command, size_t plugin);
int cx_cni_call_make(const struct cx_cni *a, enum cx_cni_command command, size_t plugin, struct cx_cni_call *ret,
	conex_error **err);
/* How it ended, in a wait(2) status; ADD's result becomes the attachment's. -errno: in the plugin's own words */
int cx_cni_call_end(struct cx_cni *a, enum cx_cni_command command, size_t plugin, const struct cx_cni_call *c,
	int status, conex_error **err);
/* Could not be run, or was killed at its deadline. Returns `code`. */
int cx_cni_call_failed(const struct cx_cni *a, enum cx_cni_command command, size_t plugin, int code,
	conex_error **err);
/* Of a result of any version: the first address of each family that is inside; "" for none. 0, -EBADMSG */
int cx_cni_addresses(const json_t *result, char address[2][INET6_ADDRSTRLEN]);

/* Undoing by whoever plays the journal: DEL of each plugin, last first. `run` executes one to its end within
 * CX_CNI_PLUGIN_MS: its status, or -errno (-EBUSY: nobody can here). 0; -EBUSY: to be tried again, all is kept. */
typedef int (*cx_cni_run_fn)(const struct cx_cni_call *call, int *ret_status, void *data);
int cx_cni_undo(const char *file, cx_cni_run_fn run, void *data, conex_error **err);

#endif
