/* What the peers' host does to itself: on a hybrid machine crun refuses to start while a v1 controller
 * is known but mounted nowhere, here hugetlb; so it gets that mount, in a mount namespace of its own. */
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "host.h"

#define HUGETLB "/sys/fs/cgroup/hugetlb"

/* How many cgroups the kernel's hugetlb controller has; 0: the kernel lacks it. */
static int hugetlb_cgroups(void)
{
	FILE *file = fopen("/proc/cgroups", "re");
	char line[128];
	int count = 0;

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "hugetlb %*d %d", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

int host_peers_enter(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 0;
	if (access("/sys/fs/cgroup/memory/tasks", F_OK) < 0 || !hugetlb_cgroups()
		|| access(HUGETLB "/tasks", F_OK) == 0)
		return 0;
	mkdir(HUGETLB, 0755);
	if (mount("cgroup", HUGETLB, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hugetlb") == 0)
		return 1;
	rmdir(HUGETLB);
	return 0;
}

/* A hierarchy outlives its last mount for good if it still has a cgroup then, and a removed cgroup goes
 * some time after rmdir: so wait until only the root is left. */
static void unmount_hugetlb(void)
{
	for (int i = 0; i < 200 && hugetlb_cgroups() > 1; i++)
		usleep(10000);
	umount2(HUGETLB, 0);
	rmdir(HUGETLB);
}

/* The peers leave their parent cgroup behind, in hierarchies that the floor doesn't know as well. */
void host_peers_leave(int mounted)
{
	glob_t g;

	if (glob("/sys/fs/cgroup/*/" SETUP_CGROUP, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			rmdir(g.gl_pathv[i]);
		globfree(&g);
	}
	rmdir("/sys/fs/cgroup/" SETUP_CGROUP);
	if (mounted)
		unmount_hugetlb();
}
