/* network: devices of the host that move into the container; spec -> plan operations. */
#ifndef CX_NETWORK_COMPILE_H
#define CX_NETWORK_COMPILE_H
#include "plan/compile.h"
/* Whether the first of two stages has to stay in the host's network (cx_compile.staged). */
int cx_network_needs_outside(const json_t *spec);
/* Before any namespace is entered. */
int cx_network_compile_devices(struct cx_compile *c, conex_error **err);
/* Interfaces that the host makes while we wait: once in the namespace, as its root. */
int cx_network_compile_join(struct cx_compile *c, conex_error **err);
#endif
