/* A member of a network: its address, and what follows from that. What its journal holds is the address alone, so
 * all else is found by it and taken back before it. */
#include "network/names.h"
#include "network/policy.h"
#include "base/error.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int cx_member_enter(const struct cx_network *n, const struct cx_lease *l, const char *id, conex_error **err)
{
	int r = cx_hosts_enter(n, l->number, id);

	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "the names of network %s", n->name) : 0;
}

/* ---- leaving ---- */

/* "BASE/networks/COOKIE/NAME/members/NUMBER TAG" */
struct text { char *path, *place, *name; const char *tag; uint32_t number; uint64_t cookie; };

static char *cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return NULL;
	*slash = '\0';
	return slash + 1;
}

static int parse(char *copy, struct text *t)
{
	char *tag = strrchr(copy, ' '), *number, *members, *cookie;

	if (!tag)
		return -EINVAL;
	*tag = '\0';
	t->tag = tag + 1;
	t->place = copy;
	number = cut(copy);
	members = number ? cut(copy) : NULL;
	t->name = members ? cut(copy) : NULL;
	cookie = t->name ? strrchr(copy, '/') : NULL;
	if (!cookie)
		return -EINVAL;
	t->number = (uint32_t)strtoul(number, NULL, 10);
	t->cookie = strtoull(cookie + 1, NULL, 10);
	return 0;
}

static int leave(const struct text *t)
{
	struct cx_networks place = { .dir = open(t->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path = t->place,
		.cookie = t->cookie };
	cx_autoclose int dir = place.dir;
	struct cx_lease l = { .number = t->number };
	cx_autonetwork n = { .dir = -1 };
	int r;

	if (dir < 0 || cx_network_load(&place, t->name, &n, NULL) < 0)
		return 0;               /* with the network all of it is gone */
	snprintf(l.tag, sizeof l.tag, "%s", t->tag);
	r = cx_policy_leave(&place, &n, &l);
	return r < 0 ? r : cx_hosts_leave(&n, t->number, t->tag);
}

/* Only its holder takes a lease away, so what was read as ours stays ours until it is returned. */
int cx_member_leave(const char *lease)
{
	cx_autofree char *copy = strdup(lease);
	struct text t;
	int r = copy ? parse(copy, &t) : -ENOMEM;

	if (r < 0)
		return r;
	if (cx_lease_is_held(lease) && (r = leave(&t)) < 0)
		return r;
	return cx_lease_return(lease);
}
