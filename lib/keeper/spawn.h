/* Starting the keeper without forking the host. */
#ifndef CX_KEEPER_SPAWN_H
#define CX_KEEPER_SPAWN_H

#include <conex/base.h>

#ifndef CX_LIBEXECDIR           /* configure's --libexecdir: conex/conex-keeper, conex/conex-undo */
#define CX_LIBEXECDIR "/usr/libexec"
#endif

/* Executes the keeper program with `socket` as its descriptor 3; it is not our child. -errno in err's terms. */
int cx_keeper_spawn(int socket, conex_error **err);

#endif
