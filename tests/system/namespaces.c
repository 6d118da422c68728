/* Namespaces as the kernel shows them: new, joined by path and by handle, shared, pinned; what lives in
 * them (names, ids, clocks, sysctls, the loopback interface). */
#include "system/box.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/utsname.h>
#include <sys/mount.h>
#include <sys/socket.h>

static const struct { const char *file, *type; uint32_t kind; } kinds[] = {
	{ "mnt", "mount", CONEX_NS_MOUNT }, { "pid", "pid", CONEX_NS_PID }, { "net", "network", CONEX_NS_NET },
	{ "ipc", "ipc", CONEX_NS_IPC }, { "uts", "uts", CONEX_NS_UTS }, { "user", "user", CONEX_NS_USER },
	{ "cgroup", "cgroup", CONEX_NS_CGROUP }, { "time", "time", CONEX_NS_TIME },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

#define RANGES \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}," \
	"{\"containerID\":1000,\"hostID\":0,\"size\":1},{\"containerID\":2000,\"hostID\":300000,\"size\":500}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":200000,\"size\":65536}]"
#define USER_NS "\"namespaces\":[{\"type\":\"user\"}]," RANGES

static int is_hosts(pid_t pid, const char *kind)
{
	return !strcmp(ns_of(pid, kind), ns_of(0, kind));
}

TEST(defaults)
{
	conex_container *c = box_sleeper(NULL);
	pid_t pid = c ? conex_container_pid(c) : 0;

	for (int i = 0; c && i < KINDS; i++)
		CHECK_INT(is_hosts(pid, kinds[i].file),
			(kinds[i].kind & (CONEX_NS_USER | CONEX_NS_TIME)) != 0);
	box_end(c);
}

TEST(all_eight)
{
	struct conex_run_options o = {
		.oci = "{\"linux\":{\"namespaces\":[{\"type\":\"user\"},{\"type\":\"time\"}]," RANGES "}}" };
	conex_container *c = box_sleeper(&o);
	pid_t pid = c ? conex_container_pid(c) : 0;

	for (int i = 0; c && i < KINDS; i++) {
		CHECK_INT(is_hosts(pid, kinds[i].file), 0);
		CHECK_INT(box_exec(c, NULL, say("readlink /proc/self/ns/%s", kinds[i].file)), 0);
		CHECK_STR(box.out, ns_of(pid, kinds[i].file));
	}
	box_end(c);
}

TEST(shared)
{
	for (int i = 0; i < KINDS; i++) {
		struct conex_run_options o = { .share = kinds[i].kind };

		if (kinds[i].kind == CONEX_NS_PID || kinds[i].kind == CONEX_NS_NET) {
			/* proc and sysfs show the caller's: what the host has mounted is bound instead */
			o.oci = "{\"linux\":{\"maskedPaths\":null}}";
		}
		if (!CHECK_INT(box_run(&o, say("readlink /proc/self/ns/%s", kinds[i].file)), 0))
			printf("# share %s: %s%s\n", kinds[i].file, conex_error_text(box.err), box.out);
		CHECK_STR(box.out, ns_of(0, kinds[i].file));
	}
}

TEST(all_shared)
{
	struct conex_run_options o = { .share = CONEX_NS_ALL };

	CHECK_INT(box_run(&o, "for n in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$n; done"), 0);
	for (int i = 0; i < KINDS; i++)
		CHECK(strstr(box.out, ns_of(0, kinds[i].file)) != NULL);
}

/* ---- joined ---- */

/* Linux 6.15 is the first that can put a root file system together which no namespace knows. */
static int may_be_apart(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2
		&& (major > 6 || (major == 6 && minor >= 15));
}

static void joins_by_path(conex_container *a, int i)
{
	pid_t pid = conex_container_pid(a);
	const char *json = say("{\"linux\":{\"namespaces\":[{\"type\":\"%s\",\"path\":\"/proc/%d/ns/%s\"}]}}",
		kinds[i].type, (int)pid, kinds[i].file);
	struct conex_run_options o = { .oci = json, .in = CONEX_STDIO_PIPE };
	conex_container *b;
	int status = -1;

	if (kinds[i].kind == CONEX_NS_UTS)
		o.oci = say("{\"hostname\":null,%s", json + 1);
	b = box_start(&o, CONEX_STRINGS("sh", "-c", "read x; exit 7"));
	if (kinds[i].kind == CONEX_NS_MOUNT && !may_be_apart()) {
		CHECK(!b && conex_error_code(box.err) == -EOPNOTSUPP);
		SAID("takes Linux 6.15");
		return;
	}
	if (!box_good(b ? 0 : -1, kinds[i].type, __FILE__, __LINE__))
		return;
	for (int k = 0; k < KINDS; k++)
		if (k == i)
			CHECK_STR(ns_of(conex_container_pid(b), kinds[k].file), ns_of(pid, kinds[k].file));
		else if (!is_hosts(pid, kinds[k].file) && !is_hosts(conex_container_pid(b), kinds[k].file))
			CHECK(strcmp(ns_of(conex_container_pid(b), kinds[k].file), ns_of(pid, kinds[k].file)));
	close(conex_container_take_stdio(b, 0));
	CHECK_INT(conex_container_wait(b, -1, &status, &box.err), 1);
	CHECK_INT(status, 7);
	box_end(b);
}

TEST(joined_by_path)
{
	struct conex_run_options o = {
		.oci = "{\"linux\":{\"namespaces\":[{\"type\":\"user\"},{\"type\":\"time\"}]," RANGES "}}" };
	conex_container *a = box_sleeper(&o);

	for (int i = 0; a && i < KINDS; i++)
		if (kinds[i].kind != CONEX_NS_USER)     /* its ids would need the box's files to be theirs */
			joins_by_path(a, i);
	box_end(a);
}

TEST(joined_user_namespace)
{
	struct conex_run_options o = { .flags = CONEX_RUN_USERNS };
	conex_container *a = box_sleeper(&o);
	int i = 5;

	if (a)
		joins_by_path(a, i);
	box_end(a);
}

/* Everything of another container but its mounts: a helper beside a service. */
TEST(joined_many)
{
	struct conex_run_options o = { .flags = CONEX_RUN_USERNS };
	conex_container *a = box_sleeper(&o);
	int pid = a ? (int)conex_container_pid(a) : 0;
	struct conex_run_options join = { .oci = say("{\"hostname\":null,\"linux\":{\"namespaces\":["
		"{\"type\":\"user\",\"path\":\"/proc/%d/ns/user\"},{\"type\":\"network\",\"path\":\"/proc/%d/ns/net\"},"
		"{\"type\":\"ipc\",\"path\":\"/proc/%d/ns/ipc\"},{\"type\":\"uts\",\"path\":\"/proc/%d/ns/uts\"},"
		"{\"type\":\"pid\",\"path\":\"/proc/%d/ns/pid\"},{\"type\":\"cgroup\",\"path\":\"/proc/%d/ns/cgroup\"}]}}",
		pid, pid, pid, pid, pid, pid) };

	if (a && GOOD(box_run(&join, "hostname; cat /proc/1/cmdline | tr '\\0' ' '; echo; id -u"))) {
		CHECK(strstr(box.out, conex_container_id(a)) == box.out);
		CHECK(strstr(box.out, "sleep 1000") != NULL);
		CHECK(strstr(box.out, "\n0") != NULL);
	}
	box_end(a);
}

/* The process proper is the second clone: its pid, its exit, its signals, its death with its time-out. */
TEST(two_stages)
{
	conex_container *a = box_sleeper(NULL), *b;
	struct conex_run_options o = { .oci = say("{\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/%d/ns/pid\"}]}}",
		(int)conex_container_pid(a)) };
	int status = -1;

	CHECK_INT(box_run(&o, "test $$ != 1 && ps | grep -q 'sleep 1000' && exit 42"), 42);
	b = box_sleeper(&o);
	if (b) {
		CHECK_STR(content("/proc/%d/comm", (int)conex_container_pid(b)), "sleep");
		GOOD(conex_container_kill(b, 15, &box.err));
		CHECK_INT(conex_container_wait(b, -1, &status, &box.err), 1);
		CHECK_INT(status, 143);
	}
	box_end(b);
	o.timeout_ms = test_slow(1000);
	CHECK_INT(box_run(&o, "sleep 1000 & sleep 1001"), 137);
	CHECK_INT(box.exit.cause, CONEX_EXIT_TIMEOUT);
	CHECK_INT(box_exec(a, NULL, "ps | grep -v grep | grep -c 'sleep 100'"), 0);
	CHECK_STR(box.out, "1");        /* the time-out took its children, too, and left the other's */
	box_end(a);
}

/* ---- handles ---- */

/* What a container that joins `ns` sees. */
static void joins_handle(conex_namespace *ns, int i)
{
	struct conex_run_options o = { .join = (conex_namespace *const[]){ ns, NULL } };
	struct stat st;

	CHECK_INT(fstat(conex_namespace_fd(ns), &st), 0);
	if (!CHECK_INT(box_run(&o, say("readlink /proc/self/ns/%s", kinds[i].file)), 0))
		printf("# join %s: %s%s\n", kinds[i].type, conex_error_text(box.err), box.out);
	else
		CHECK_STR(box.out, say("%s:[%llu]", kinds[i].file, (unsigned long long)st.st_ino));
}

TEST(created)
{
	for (int i = 0; i < KINDS; i++) {
		conex_namespace *ns = NULL;
		int r = conex_namespace_create(box.cx, kinds[i].kind, NULL, &ns, &box.err);

		if (kinds[i].kind & (CONEX_NS_PID | CONEX_NS_USER)) {
			CHECK_INT(r, -EOPNOTSUPP);      /* they can't be without a process, or without maps */
		} else if (GOOD(r) && kinds[i].kind != CONEX_NS_MOUNT) {
			joins_handle(ns, i);
			joins_handle(ns, i);
		}
		conex_namespace_free(ns);
	}
	CHECK_INT(conex_namespace_create(box.cx, 0, NULL, &(conex_namespace *){ NULL }, &box.err), -EINVAL);
	CHECK_INT(conex_namespace_create(box.cx, CONEX_NS_NET | CONEX_NS_IPC, NULL, &(conex_namespace *){ NULL }, &box.err),
		-EINVAL);
}

TEST(opened)
{
	conex_container *a = box_sleeper(NULL);

	for (int i = 0; a && i < KINDS; i++) {
		conex_namespace *ns = NULL;

		if (kinds[i].kind != CONEX_NS_MOUNT && kinds[i].kind != CONEX_NS_USER
			&& GOOD(conex_namespace_open(box.cx, say("/proc/%d/ns/%s", (int)conex_container_pid(a), kinds[i].file),
				&ns, &box.err)))
			joins_handle(ns, i);
		conex_namespace_free(ns);
	}
	CHECK_INT(conex_namespace_open(box.cx, "/etc/passwd", &(conex_namespace *){ NULL }, &box.err), -EINVAL);
	SAID("/etc/passwd");
	CHECK_INT(conex_namespace_open(box.cx, "/nowhere/net", &(conex_namespace *){ NULL }, &box.err), -ENOENT);
	box_end(a);
}

/* The pins lie on a private mount: the kernel binds no mount namespace where the mount would spread (EINVAL),
 * and under systemd all mounts are shared. */
TEST(pinned)
{
	CHECK_INT(command("mkdir %s/pins && mount --bind %s/pins %s/pins && mount --make-private %s/pins",
		box.dir, box.dir, box.dir, box.dir), 0);
	for (int i = 0; i < KINDS; i++) {
		const char *pin = say("%s/pins/%s", box.dir, kinds[i].file);
		conex_namespace *ns = NULL, *again = NULL;

		if (kinds[i].kind & (CONEX_NS_PID | CONEX_NS_USER))
			continue;
		if (!GOOD(conex_namespace_create(box.cx, kinds[i].kind, pin, &ns, &box.err)))
			continue;
		conex_namespace_free(ns);       /* it lives by its file */
		if (GOOD(conex_namespace_open(box.cx, pin, &again, &box.err)) && kinds[i].kind != CONEX_NS_MOUNT)
			joins_handle(again, i);
		conex_namespace_free(again);
		CHECK_INT(umount2(pin, MNT_DETACH), 0);
		unlink(pin);
	}
	CHECK_INT(command("umount %s/pins", box.dir), 0);
	CHECK_INT(conex_namespace_create(box.cx, CONEX_NS_NET, "pin", &(conex_namespace *){ NULL }, &box.err), -EINVAL);
	CHECK_INT(conex_namespace_create(box.cx, CONEX_NS_NET, "/nowhere/pin", &(conex_namespace *){ NULL }, &box.err), -ENOENT);
}

/* `ip netns exec` without iproute2: all is the host's but this network. */
TEST(only_network)
{
	conex_namespace *ns = NULL;
	struct conex_run_options o = { .share = CONEX_NS_ALL };

	if (!GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &ns, &box.err)))
		return;
	o.join = (conex_namespace *const[]){ ns, NULL };
	CHECK_INT(box_run(&o, "readlink /proc/self/ns/net /proc/self/ns/mnt; tail -n +3 /proc/self/net/dev | wc -l"), 0);
	CHECK(strstr(box.out, ns_of(0, "net")) == NULL);
	CHECK(strstr(box.out, ns_of(0, "mnt")) != NULL);
	CHECK(strstr(box.out, "\n1") != NULL);  /* lo */
	o.join = (conex_namespace *const[]){ ns, ns, NULL };
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("join[1]");
	conex_namespace_free(ns);
}

/* How many links a netlink socket sees; the last one's index is in *ret_index. */
static int links(int fd, int *ret_index)
{
	struct { struct nlmsghdr h; struct ifinfomsg i; } ask = {
		.h = { sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 } };
	char buffer[16384];
	int n = 0;

	if (send(fd, &ask, sizeof ask, 0) < 0)
		return -1;
	for (;;) {
		ssize_t left = recv(fd, buffer, sizeof buffer, 0);
		struct nlmsghdr *h = (struct nlmsghdr *)buffer;

		if (left <= 0)
			return -1;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return n;
			if (h->nlmsg_type == NLMSG_ERROR)
				return -1;
			*ret_index = ((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index;
			n++;
		}
	}
}

TEST(socket_inside)
{
	conex_namespace *ns = NULL, *uts = NULL;
	int fd = -1, index = 0;

	if (!GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &ns, &box.err)))
		return;
	if (GOOD(conex_namespace_take_socket(ns, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, &fd, &box.err))) {
		CHECK_INT(links(fd, &index), 1);
		CHECK_INT(index, 1);
		CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
		close(fd);
	}
	if (GOOD(conex_namespace_take_socket(ns, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, &fd, &box.err))) {
		CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
		close(fd);
	}
	fd = -1;
	CHECK_INT(conex_namespace_take_socket(ns, 12345, SOCK_RAW, 0, &fd, &box.err), -EAFNOSUPPORT);
	SAID("socket");
	CHECK_INT(fd, -1);
	if (GOOD(conex_namespace_create(box.cx, CONEX_NS_UTS, NULL, &uts, &box.err)))
		CHECK_INT(conex_namespace_take_socket(uts, AF_INET, SOCK_RAW, 0, &fd, &box.err), -EINVAL);
	conex_namespace_free(uts);
	conex_namespace_free(ns);
}

/* ---- user namespaces ---- */

TEST(user_flag)
{
	struct conex_run_options o = { .flags = CONEX_RUN_USERNS };
	conex_container *c = box_sleeper(&o);
	struct stat st;

	if (!c)
		return;
	CHECK_INT(stat(say("/proc/%d", (int)conex_container_pid(c)), &st), 0);
	CHECK_INT(st.st_uid, 100000);
	CHECK_INT(box_exec(c, NULL, "id -u; id -g; stat -c %u /bin/busybox; cat /proc/self/uid_map | tr -s ' '"), 0);
	CHECK_STR(box.out, "0\n0\n65534\n 0 100000 65536");
	CHECK(box_exec(c, NULL, "mknod /tmp/n c 1 3 2>&1") != 0);
	CHECK(box_exec(c, NULL, "touch /etc/passwd") != 0);     /* root's, who is nobody here */
	CHECK_INT(box_exec(c, NULL, "echo x >/dev/null && head -c 4 /dev/urandom | wc -c && grep -c ' /dev/null ' /proc/self/mountinfo"), 0);
	CHECK_STR(box.out, "4\n1");                             /* bound from the host */
	box_end(c);
}

TEST(user_ranges)
{
	struct conex_run_options o = { .oci = "{\"linux\":{" USER_NS "}}" };
	struct stat st;
	conex_container *c;

	CHECK_INT(box_run(&o, "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; stat -c %u /bin/busybox; id -u"), 0);
	CHECK_STR(box.out, " 0 100000 1000\n 1000 0 1\n 2000 300000 500\n 0 200000 65536\n1000\n0");
	o.user = "2001:7";
	c = box_sleeper(&o);
	if (c) {
		CHECK_INT(stat(say("/proc/%d", (int)conex_container_pid(c)), &st), 0);
		CHECK_INT(st.st_uid, 300001);
		CHECK_INT(st.st_gid, 200007);
	}
	box_end(c);
	o.user = "1500";
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("process.user.uid");
}

/* ---- what lives in them ---- */

TEST(names)
{
	struct conex_run_options o = { .id = "a-name", .oci = "{\"domainname\":\"example.org\"}" };

	CHECK_INT(box_run(&o, "hostname; cat /proc/sys/kernel/domainname"), 0);
	CHECK_STR(box.out, "a-name\nexample.org");
	o.hostname = "other";
	CHECK_INT(box_run(&o, "hostname"), 0);
	CHECK_STR(box.out, "other");
	o.hostname = "no spaces";
	CHECK_INT(box_run(&o, "hostname"), -EINVAL);
	SAID("hostname");
}

TEST(sysctls)
{
	struct conex_run_options o = { .oci = "{\"linux\":{\"sysctl\":{\"net.ipv4.ip_forward\":\"1\","
		"\"net/ipv4/conf/lo/forwarding\":\"0\",\"kernel.shmmax\":\"65536\",\"kernel.msgmax\":\"1234\"}}}" };

	CHECK_INT(box_run(&o, "cd /proc/sys; cat kernel/shmmax kernel/msgmax net/ipv4/conf/lo/forwarding"), 0);
	CHECK_STR(box.out, "65536\n1234\n0");
	o.oci = "{\"linux\":{\"sysctl\":{\"net.core.nothing\":\"1\"}}}";
	CHECK_INT(box_run(&o, "true"), -ENOENT);
	SAID("net.core.nothing");
	o.oci = "{\"linux\":{\"sysctl\":{\"kernel.panic\":\"1\"}}}";   /* the host's */
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("kernel.panic");
}

/* The listener's standard input doesn't end: nc would end the connection with it, before or after "hi". */
TEST(loopback)
{
	CHECK_INT(box_run(NULL, "ip addr show lo; echo; ip link | grep -c '^[0-9]'; mkfifo /tmp/open;"
		" nc -l -p 7777 <>/tmp/open >/tmp/got &"
		" until echo hi | nc -w 60 127.0.0.1 7777 2>/dev/null; do :; done; wait; cat /tmp/got"), 0);
	CHECK(strstr(box.out, "LOOPBACK,UP") != NULL);
	CHECK(strstr(box.out, "127.0.0.1/8") != NULL);
	CHECK(strstr(box.out, "\n\n1\nhi") != NULL);
	if (test_state.faults)
		printf("# %s\n", box.out);
}

TEST(first_process)
{
	CHECK_INT(box_run(NULL, "echo $$; ls /proc | grep -c '^[0-9]'"), 0);
	CHECK(!strncmp(box.out, "1\n", 2));
}

static void tests(void)
{
	RUN(defaults);
	RUN(all_eight);
	RUN(shared);
	RUN(all_shared);
	RUN(joined_by_path);
	RUN(joined_user_namespace);
	RUN(joined_many);
	RUN(two_stages);
	RUN(created);
	RUN(opened);
	RUN(pinned);
	RUN(only_network);
	RUN(socket_inside);
	RUN(user_flag);
	RUN(user_ranges);
	RUN(names);
	RUN(sysctls);
	RUN(loopback);
	RUN(first_process);
}

int main(void)
{
	return with_box(tests);
}
