/* Which ids a user namespace gets, and who may write that into it. */
#ifndef CX_NAMESPACE_MAPS_H
#define CX_NAMESPACE_MAPS_H

#include <jansson.h>
#include <conex/base.h>

/* The maps of a container for which none were asked, as linux.uidMappings and linux.gidMappings (new):
 * of root the ids that useradd(8) gives out first; of root in a user namespace all that it has, if it hasn't
 * those; of a user himself as root, and the subordinate ids that are his. 0, -ENOMEM */
int cx_maps_default(json_t **ret_uids, json_t **ret_gids);

/* May an unprivileged caller write this map himself? Only that of his own one id (user_namespaces(7)). */
int cx_maps_is_own(const json_t *map, uint32_t id);

/* The ranges of /etc/subuid's text for the user called `name` (NULL: unknown) or with this id, appended
 * to `map` behind what it has. How many, -ENOMEM. */
int cx_maps_add_subordinate(json_t *map, const char *text, const char *name, uint32_t id);

/* Where "newuidmap" or "newgidmap" is (free); NULL: not installed, or of no use to us. */
char *cx_maps_helper(const char *name);

#endif
