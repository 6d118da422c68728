/* What a worker has to know of a registry before it speaks to it, and can't see any more once it is locked in: who we
 * are there, the ways to it, and which certificates count. doc/registry.md says what is read, and in which order. */
#ifndef CX_IMAGE_REMOTE_H
#define CX_IMAGE_REMOTE_H

#include "image/verb.h"

/* Between cx_verb_task and cx_verb_start of a verb that takes a registry: v->job.json's "remote", and, where a
 * credential helper is to be asked, v->job.before. Mirrors that can't be are refused here. -EINVAL; -EACCES: a file, or
 * helper, that should know who we are doesn't exist; ... With an error the task is gone, as after cx_verb_start.
 * "remote": {"plain": true, "mirrors": [URL ...], "proxies": {"http", "https", "no"}, "certificates": [directory ...],
 * "who": [{"host", "user", "password", "identity"} ...]}, all of it that there is. */
int cx_remote_describe(struct cx_verb *v, conex_error **err);

#endif
