/* Who we are to the kernel: effective id, user namespace, the ids that it knows. */
#include "base/ids.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAP_BYTES = 16 * 1024 };         /* 340 lines of 32 bytes (fs/proc, UID_GID_MAP_MAX_EXTENTS) */

int cx_ids_rootless(void)
{
	return geteuid() != 0;
}

/* The first user namespace has this inode number in every kernel (PROC_USER_INIT_INO); its map looks
 * the same as that of one that maps everything. */
int cx_ids_nested(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino != 0xeffffffdU;
}

const char *cx_ids_next(const char *text, struct cx_id_range *ret)
{
	int size = 0;

	if (sscanf(text, "%u %u %u\n%n", &ret->inside, &ret->outside, &ret->count, &size) != 3 || !size)
		return NULL;
	return text + size;
}

int cx_ids_mapped(const char *map, int64_t id)
{
	char path[32], text[MAP_BYTES];
	const char *at = text;
	struct cx_id_range r;

	snprintf(path, sizeof path, "/proc/self/%s", map);
	if (cx_file_read(AT_FDCWD, path, text, sizeof text) < 0)
		return 0;
	while ((at = cx_ids_next(at, &r)))
		if (id >= r.inside && id - r.inside < r.count)
			return 1;
	return 0;
}
