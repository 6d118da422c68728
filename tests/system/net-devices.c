/* linux.netDevices: devices of the host move into the container, with their addresses. The "host" is
 * a network namespace of the test's own, in which the keeper is started. */
#include "box.h"

#include <net/if.h>
#include <sched.h>

#define BOX(...) &(struct conex_run_options){ __VA_ARGS__ }

/* A pair of devices, the first with what must come along. */
static void pair_made(void)
{
	CHECK_INT(command("set -e; ip link add cxhost0 type veth peer name cxhost1;"
		"ip link set cxhost0 mtu 1400 address 02:00:00:00:00:07; ip link set cxhost1 up;"
		"ip addr add 192.0.2.7/24 brd 192.0.2.255 dev cxhost0; ip addr add 2001:db8::7/64 dev cxhost0"), 0);
}

static void pair_unmade(void)
{
	command("ip link del cxhost1 2>/dev/null");
}

#define LOOK "ip addr show cxin; ip link show cxhost0 2>/dev/null"

static void check_inside(void)
{
	CHECK(strstr(box.out, "cxin@") != NULL);
	CHECK(strstr(box.out, ",UP") != NULL);
	CHECK(strstr(box.out, "mtu 1400") != NULL);
	CHECK(strstr(box.out, "02:00:00:00:00:07") != NULL);
	CHECK(strstr(box.out, "inet 192.0.2.7/24 brd 192.0.2.255") != NULL);
	CHECK(strstr(box.out, "inet6 2001:db8::7/64") != NULL);
	CHECK(strstr(box.out, "cxhost0") == NULL);
}

TEST(moved)
{
	pair_made();
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"netDevices": {"cxhost0": {"name": "cxin"}}}})), LOOK "; true"), 0);
	check_inside();
	CHECK_INT(if_nametoindex("cxhost0"), 0);
	pair_unmade();
}

/* The namespace belongs to the user namespace inside; the device comes from outside. */
TEST(moved_into_a_user_namespace)
{
	pair_made();
	CHECK_INT(box_run(BOX(.flags = CONEX_RUN_USERNS,
		.oci = OCI({"linux": {"netDevices": {"cxhost0": {"name": "cxin"}}}})), LOOK "; true"), 0);
	check_inside();
	pair_unmade();
}

/* As engines do it: the pod's namespace is there before the container. */
TEST(moved_into_a_joined_namespace)
{
	conex_container *pod = box_sleeper(NULL);
	const char *oci = say(OCI({"linux": {"namespaces": [{"type": "network", "path": "/proc/%d/ns/net"}],
		"netDevices": {"cxhost0": {"name": "cxin"}}}}), (int)conex_container_pid(pod));

	pair_made();
	CHECK_INT(box_run(BOX(.oci = oci), LOOK "; true"), 0);
	check_inside();
	CHECK_INT(box_exec(pod, NULL, LOOK "; true"), 0);
	check_inside();
	box_end(pod);
	pair_unmade();
}

/* Both ends, without new names, and exec finds them. */
TEST(several)
{
	conex_container *c;

	pair_made();
	c = box_sleeper(BOX(.oci = OCI({"linux": {"netDevices": {"cxhost0": {}, "cxhost1": {"name": ""}}}})));
	CHECK_INT(box_exec(c, NULL, "ls /sys/class/net | tr '\\n' ' '"), 0);
	CHECK_STR(box.out, "cxhost0 cxhost1 lo ");
	box_end(c);
	pair_unmade();
}

TEST(missing)
{
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"netDevices": {"cxnone": {}}}})), "true"), -ENODEV);
	SAID("linux.netDevices");
	SAID("cxnone");
}

/* Before anything has moved: the host keeps its device. */
TEST(name_taken_inside)
{
	pair_made();
	CHECK_INT(box_run(BOX(.oci = OCI({"linux": {"netDevices": {"cxhost0": {"name": "lo"}}}})), "true"), -EEXIST);
	SAID("linux.netDevices");
	SAID("cxhost0");
	CHECK(if_nametoindex("cxhost0") != 0);
	pair_unmade();
}

static void tests(void)
{
	RUN(moved);
	RUN(moved_into_a_user_namespace);
	RUN(moved_into_a_joined_namespace);
	RUN(several);
	RUN(missing);
	RUN(name_taken_inside);
}

int main(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNET) < 0)
		return 1;
	if (system("ip link add cxtry0 type veth peer name cxtry1 2>/dev/null && ip link del cxtry0") != 0) {
		printf("1..0 # SKIP needs root, iproute2 and veth\n");
		return 0;
	}
	return with_box(tests);
}
