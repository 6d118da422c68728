/* conex/network.h: published ports, which this version describes but refuses (-EOPNOTSUPP). */
#ifndef CONEX_NETWORK_H
#define CONEX_NETWORK_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

/* Frozen. address NULL: 127.0.0.1 and ::1 only; host_port 0: a free one; protocol NULL: tcp. */
struct conex_port { const char *address; uint16_t host_port, port; const char *protocol; };
#ifndef __cplusplus
#define CONEX_PORTS(...) ((const struct conex_port[]){ __VA_ARGS__, { NULL, 0, 0, NULL } })
#endif

CONEX_END_DECLARATIONS
#endif
