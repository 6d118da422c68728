/* What the cgroup module needs of a context; implemented by lib/container/context.c. */
#ifndef CX_STATE_CONTEXT_CGROUP_H
#define CX_STATE_CONTEXT_CGROUP_H

#include <conex/base.h>

struct cx_cgroups;

/* The machine's hierarchies, detected at the first call; the context's. NULL with *err: -ECHILD in a
 * forked copy of the host, or why detection failed. */
const struct cx_cgroups *cx_context_cgroups(conex *cx, conex_error **err);
/* Before it is made: a journal of its own (named after the cgroup) with undo_cgroup `path`. A bound
 * context removes what is journalled when it closes. */
int cx_context_journal_cgroup(conex *cx, const char *name, const char *path, conex_error **err);
/* After it is gone. */
void cx_context_journal_forget(conex *cx, const char *name);
/* conex_cgroup_watch(g, what, data): from now on what happens in `path` is an event with this data; ends when the
 * journal is forgotten. */
int cx_context_watch_cgroup(conex *cx, const char *name, const char *path, const char *what, void *data,
	conex_error **err);

/* A handle counts its context: it may outlive conex_close. */
void cx_context_cgroup_ref(conex *cx);
void cx_context_cgroup_unref(conex *cx);

#endif
