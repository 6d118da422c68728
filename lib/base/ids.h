/* Who we are to the kernel: an ordinary user, or root of a user namespace only. */
#ifndef CX_BASE_IDS_H
#define CX_BASE_IDS_H

#include <stdint.h>

/* 1: an unprivileged user, whose containers begin with a user namespace. */
int cx_ids_rootless(void);
/* 1: our own user namespace isn't the machine's first: root here is somebody's root only. */
int cx_ids_nested(void);

struct cx_id_range { uint32_t inside, outside, count; };
/* The next line of a text as /proc/PID/uid_map has it; NULL: there is none (or it is no such text). */
const char *cx_ids_next(const char *text, struct cx_id_range *ret);
/* Has our own user namespace this id? `map`: "uid_map" or "gid_map" */
int cx_ids_mapped(const char *map, int64_t id);

#endif
