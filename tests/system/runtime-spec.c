/* What runtime-spec 1.1 to 1.3 have added for the process: each field as the kernel shows it inside. */
#include "box.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#define BOX(...) &(struct conex_run_options){ __VA_ARGS__ }

/* ---- personality ---- */

TEST(personality)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"personality": {"domain": "LINUX32"}}})),
		"cat /proc/self/personality; exec uname -m"), 0);
	CHECK(strncmp(box.out, "00000008\n", 9) == 0);
#ifdef __x86_64__
	CHECK_STR(strchr(box.out, '\n'), "\ni686");
#endif
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"personality": {"domain": "LINUX"}}})),
		"cat /proc/self/personality"), 0);
	CHECK_STR(box.out, "00000000");
}

/* ---- scheduler ---- */

TEST(scheduler)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"scheduler": {"policy": "SCHED_BATCH", "nice": 5}}})),
		"cut -d' ' -f19,41 /proc/self/stat"), 0);
	CHECK_STR(box.out, "5 3");
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"scheduler": {"policy": "SCHED_OTHER", "nice": -7}}})),
		"cut -d' ' -f19,41 /proc/self/stat"), 0);
	CHECK_STR(box.out, "-7 0");
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"scheduler": {"policy": "SCHED_IDLE"}}})),
		"cut -d' ' -f41 /proc/self/stat"), 0);
	CHECK_STR(box.out, "5");
}

/* SCHED_FLAG_RESET_ON_FORK: what the program starts is ordinary again. */
TEST(scheduler_flags)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"scheduler": {"policy": "SCHED_OTHER", "nice": -5,
		"flags": ["SCHED_FLAG_RESET_ON_FORK"]}}})),
		"read -r line </proc/self/stat; set -- $line; shift 18; echo $1; cut -d' ' -f19 /proc/self/stat; true"), 0);
	CHECK_STR(box.out, "-5\n0");
}

/* A group of cgroup v1 has no realtime until it is given some. Either way it is the kernel's word. */
TEST(scheduler_realtime)
{
	int r = box_run(BOX(.oci = OCI({"process": {"scheduler": {"policy": "SCHED_FIFO", "priority": 10}}})),
		"cut -d' ' -f40,41 /proc/self/stat");

	if (r == 0) {
		CHECK_STR(box.out, "10 1");
		return;
	}
	CHECK_INT(r, -EPERM);
	SAID("process.scheduler");
	SAID("SCHED_FIFO");
	SAID("realtimeRuntime");
}

/* A right over the host's processors, which root of a user namespace doesn't have. */
TEST(scheduler_in_a_user_namespace)
{
	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS,
		.oci = OCI({"process": {"scheduler": {"policy": "SCHED_OTHER", "nice": -7}}})), "true"), -EPERM);
	SAID("process.scheduler");
	SAID("CAP_SYS_NICE");
}

/* ---- I/O priority ---- */

TEST(io_priority)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}}})),
		"ionice -p $$"), 0);
	CHECK_STR(box.out, "best-effort: prio 6");
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}})),
		"ionice -p $$"), 0);
	CHECK(strncmp(box.out, "idle", 4) == 0);
}

/* ---- processors of exec ---- */

#define ALLOWED "sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status"

TEST(exec_affinity)
{
	conex_container *c;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one processor");
	c = box_sleeper(BOX(.oci = OCI({"process": {"execCPUAffinity": {"initial": "0", "final": "1"}}})));
	CHECK_INT(box_exec(c, NULL, ALLOWED), 0);
	CHECK_STR(box.out, "1");
	CHECK(strstr(status_of(conex_container_pid(c), "Cpus_allowed_list"), "0") != NULL);  /* exec only */
	CHECK_INT(box_exec(c, BOX(.oci = OCI({"process": {"execCPUAffinity": {"initial": "0", "final": "0-1"}}})),
		ALLOWED), 0);
	CHECK_STR(box.out, "0-1");
	CHECK_INT(box_exec(c, BOX(.oci = OCI({"process": {"execCPUAffinity": {"final": "8000"}}})), ALLOWED), -EINVAL);
	SAID("process.execCPUAffinity.final");
	box_end(c);
}

/* ---- memory policy ---- */

TEST(memory_policy)
{
	if (access("/proc/self/numa_maps", F_OK) < 0)
		SKIP("no NUMA in this kernel");
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}}})),
		"head -n 1 /proc/self/numa_maps | cut -d' ' -f2"), 0);
	CHECK_STR(box.out, "bind:0");
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0",
		"flags": ["MPOL_F_STATIC_NODES"]}}})), "head -n 1 /proc/self/numa_maps | cut -d' ' -f2"), 0);
	CHECK_STR(box.out, "interleave=static:0");
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "1000"}}})),
		"true"), -EINVAL);
	SAID("linux.memoryPolicy");
}

/* ---- clocks ---- */

TEST(clocks)
{
	struct timespec now;
	long up;

	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"namespaces": [{"type": "time"}],
		"timeOffsets": {"boottime": {"secs": 1000000, "nanosecs": 5}, "monotonic": {"secs": 77}}}})),
		"cut -d. -f1 /proc/uptime; tr -s ' ' </proc/self/timens_offsets"), 0);
	clock_gettime(CLOCK_BOOTTIME, &now);
	up = strtol(box.out, NULL, 10);
	CHECK(up >= now.tv_sec + 1000000 - 60 && up <= now.tv_sec + 1000000);
	CHECK(strstr(box.out, "monotonic 77 0") != NULL);
	CHECK(strstr(box.out, "boottime 1000000 5") != NULL);
}

/* In a user namespace of its own the clocks are set from outside of it. */
TEST(clocks_in_a_user_namespace)
{
	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS, .oci = OCI({"linux": {"namespaces": [{"type": "time"}],
		"timeOffsets": {"boottime": {"secs": 1000000}}}})), "tr -s ' ' </proc/self/timens_offsets"), 0);
	CHECK(strstr(box.out, "boottime 1000000 0") != NULL);
}

/* Sysctls are written through a proc of the second stage's own. */
TEST(clocks_and_sysctls)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"namespaces": [{"type": "time"}],
		"timeOffsets": {"boottime": {"secs": 1000000}}, "sysctl": {"kernel.shm_rmid_forced": "1"}}})),
		"cat /proc/sys/kernel/shm_rmid_forced"), 0);
	CHECK_STR(box.out, "1");
}

TEST(clocks_below_zero)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"namespaces": [{"type": "time"}],
		"timeOffsets": {"monotonic": {"secs": -4000000000}}}})), "true"), -ERANGE);
	SAID("linux.timeOffsets");
	SAID("below zero");
}

/* ---- console ---- */

static int console_size(const char *oci, struct winsize *size)
{
	struct conex_run_options o = box_options(&(struct conex_run_options){ .flags = CONEX_RUN_TTY, .oci = oci });
	conex_container *c = NULL;
	int r;

	box_clear();
	r = conex_run(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err);
	if (GOOD(r))
		r = ioctl(conex_container_stdio(c, 0), TIOCGWINSZ, size);
	box_end(c);
	return r;
}

TEST(console)
{
	struct winsize size = { 0 };

	CHECK_INT(console_size(OCI({"process": {"consoleSize": {"height": 31, "width": 97}}}), &size), 0);
	CHECK_INT(size.ws_row, 31);
	CHECK_INT(size.ws_col, 97);
	CHECK_INT(console_size(NULL, &size), 0);
	CHECK_INT(size.ws_row, 0);
}

/* ---- keyring ---- */

static long session_keyring(void)
{
	return syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3 /* KEY_SPEC_SESSION_KEYRING */, 0);
}

/* The serial number of the session keyring in a container; Docker's filter has no keyctl. */
static long keyring_inside(const char *json)
{
	CHECK_INT(box_run_args(BOX(.mounts = (struct conex_mount[]){ BOX_USR, { 0 } }, .oci = json),
		CONEX_STRINGS("/probe", "keyring")), 0);
	return atol(box.out);
}

TEST(keyrings)
{
	long ours = session_keyring(), one, two;

	if (ours < 0)
		SKIP("no keys in this kernel");
	one = keyring_inside(OCI({"linux": {"seccomp": null}}));
	two = keyring_inside(OCI({"linux": {"seccomp": null}}));
	CHECK(one > 0 && two > 0 && one != two && one != ours && two != ours);
	one = keyring_inside(OCI({"linux": {"seccomp": null}, "process": {"newKeyring": false}}));
	two = keyring_inside(OCI({"linux": {"seccomp": null}, "process": {"newKeyring": false}}));
	CHECK(one > 0 && one == two && one != ours);    /* the keeper's */
}

/* ---- labels ---- */

/* Refused where there is nobody to enforce them, by the module's name. */
TEST(labels_without_a_module)
{
	if (access("/sys/module/apparmor/parameters/enabled", F_OK) == 0 || access("/sys/fs/selinux/enforce", F_OK) == 0)
		SKIP("this machine has a labelling security module");
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"apparmorProfile": "mine"}})), "true"), -EOPNOTSUPP);
	SAID("process.apparmorProfile");
	SAID("AppArmor");
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"selinuxLabel": "system_u:system_r:x:s0"}})), "true"),
		-EOPNOTSUPP);
	SAID("process.selinuxLabel");
	SAID("SELinux");
	/* a mount's label is nobody's confinement */
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"mountLabel": "system_u:object_r:x:s0"}})), "true"), 0);
	CHECK_INT(box_run(BOX(.oci = OCI({"process": {"apparmorProfile": "unconfined", "selinuxLabel": ""},
		"linux": {"mountLabel": ""}})), "true"), 0);
}

TEST(resctrl)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"intelRdt": {"closID": "a"}}})), "true"), -EOPNOTSUPP);
	SAID("linux.intelRdt");
	SAID("resctrl");
}

/* ---- mapped ids ---- */

#define SEEN "stat -c %u:%g /data/zero /data/thousand"

/* Files of 0:0 and 1000:1000 in <box>/data, and another file system of such in <box>/data/deep. */
static const char *data_made(void)
{
	CHECK_INT(command("set -e; cd %s; mkdir -p data/deep; mountpoint -q data/deep || mount -t tmpfs none data/deep;"
		"cd data; touch zero thousand deep/zero; chown 1000:1000 thousand", box.dir), 0);
	return say("%s/data", box.dir);
}

static void data_unmade(void)
{
	CHECK_INT(command("umount %s/data/deep", box.dir), 0);
}

#define IDMAP(...) say(OCI({"mounts": [{"destination": "/data", "source": "%s", __VA_ARGS__}]}), data_made())
#define PAIRS(host) "uidMappings": [{"containerID": 0, "hostID": host, "size": 1}, \
	{"containerID": 1000, "hostID": 5, "size": 1}], \
	"gidMappings": [{"containerID": 0, "hostID": host, "size": 1}, {"containerID": 1000, "hostID": 6, "size": 1}]

/* What is written goes back through the map. */
TEST(mapped_mount)
{
	struct stat st;

	CHECK_INT(box_run(BOX(.user = "7:7", .oci = IDMAP("options": ["bind", "idmap"], PAIRS(7))),
		SEEN "; stat -c %u /; touch /data/mine"), 0);
	CHECK_STR(box.out, "7:7\n5:6\n0");
	CHECK_INT(stat(say("%s/data/mine", box.dir), &st), 0);
	CHECK_INT(st.st_uid, 0);
	data_unmade();
}

/* idmap is for the one mount, ridmap for all below. */
TEST(mapped_recursively)
{
	CHECK_INT(box_run(BOX(.oci = IDMAP("options": ["rbind", "idmap"], PAIRS(7))),
		"stat -c %u /data/zero /data/deep/zero"), 0);
	CHECK_STR(box.out, "7\n0");
	if (box_run(BOX(.oci = IDMAP("options": ["rbind", "ridmap", "rro"], PAIRS(7))),
		"stat -c %u /data/zero /data/deep/zero; touch /data/deep/x 2>&1") == -EINVAL) {
		data_unmade();
		SKIP("tmpfs without mapped ids (before Linux 6.3)");
	}
	CHECK(strncmp(box.out, "7\n7\ntouch: ", 11) == 0);
	data_unmade();
}

/* Without mappings of its own: the container's, so that what root owns is root's inside as well. */
TEST(mapped_as_the_user_namespace)
{
	struct stat st;

	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS, .oci = IDMAP("options": ["bind", "idmap", "ro"])),
		SEEN "; touch /data/new 2>&1"), 1);
	CHECK(strncmp(box.out, "0:0\n1000:1000\ntouch: ", 21) == 0);
	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS, .oci = IDMAP("options": ["bind", "idmap"])),
		"touch /data/new; cat /proc/self/uid_map | tr -s ' '; grep -c . /proc/self/mountinfo >/dev/null"), 0);
	CHECK_STR(box.out, " 0 100000 65536");
	CHECK_INT(stat(say("%s/data/new", box.dir), &st), 0);
	CHECK_INT(st.st_uid, 0);
	data_unmade();
	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS, .oci = say(OCI({"mounts": [{"destination": "/data",
		"source": "%s", "options": ["rbind"]}]}), data_made())), SEEN), 0);
	CHECK_STR(box.out, "65534:65534\n65534:65534");
	data_unmade();
}

/* The keeper has no child: neither a stage nor the process of a map was left. */
static void check_nobody_left(void)
{
	CHECK_STR(content("/proc/%d/task/%d/children", (int)conex_keeper_pid(box.cx),
		(int)conex_keeper_pid(box.cx)), "");
}

/* procfs takes no map: with a user namespace the first stage says so, without one the container itself. */
TEST(mapped_where_it_cannot_be)
{
	static const uint64_t flags[] = { 0, CONEX_RUN_USERNS };

	for (int i = 0; i < 2; i++) {
		CHECK_INT(box_run(BOX(.flags = flags[i], .oci = OCI({"mounts": [{"destination": "/data", "source": "/proc",
			"options": ["bind", "idmap"], "uidMappings": [{"containerID": 0, "hostID": 7, "size": 1}],
			"gidMappings": [{"containerID": 0, "hostID": 7, "size": 1}]}]})), "true"), -EINVAL);
		SAID("mounts[");
		SAID("mount_setattr");
		SAID("file system can't be mounted with mapped ids");
		check_nobody_left();
	}
}

/* The tree comes from the host's mounts: what is mounted in it inside stays inside. */
TEST(mapped_mount_is_apart)
{
	const char *data = data_made();

	CHECK_INT(command("mount --make-shared %s/deep", data), 0);
	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS, .oci = IDMAP("options": ["rbind", "idmap"])),
		"grep ' /data' /proc/self/mountinfo"), 0);
	CHECK(strstr(box.out, " /data ") && strstr(box.out, " /data/deep "));
	CHECK(strstr(box.out, "idmapped") != NULL);
	CHECK(strstr(box.out, "shared:") == NULL && strstr(box.out, "master:") == NULL);
	data_unmade();
}

static void tests(void)
{
	RUN(personality);
	RUN(scheduler);
	RUN(scheduler_flags);
	RUN(scheduler_realtime);
	RUN(scheduler_in_a_user_namespace);
	RUN(io_priority);
	RUN(exec_affinity);
	RUN(memory_policy);
	RUN(clocks);
	RUN(clocks_in_a_user_namespace);
	RUN(clocks_and_sysctls);
	RUN(clocks_below_zero);
	RUN(console);
	RUN(keyrings);
	RUN(labels_without_a_module);
	RUN(resctrl);
	RUN(mapped_mount);
	RUN(mapped_recursively);
	RUN(mapped_as_the_user_namespace);
	RUN(mapped_where_it_cannot_be);
	RUN(mapped_mount_is_apart);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "keyring"))
		return printf("%ld\n", session_keyring()) < 0;
	return with_box(tests);
}
