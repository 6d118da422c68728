/* What has gone through containers' interfaces: conex_container_stats, _sample and _details beside what the kernel
 * shows inside; and that a pid which is another's by now tells nothing. */
#include "network-box.h"
#include "base/kernel.h"

#include <jansson.h>
#include <sys/resource.h>

#define UNKNOWN UINT64_MAX

static struct conex_stats stats_of(conex_container *c)
{
	struct conex_stats s = { .size = sizeof s };

	GOOD(c ? conex_container_stats(c, &s, &box.err) : -1);
	return s;
}

static int all_are(const struct conex_stats *s, uint64_t value)
{
	return s->net_rx_bytes == value && s->net_tx_bytes == value && s->net_rx_packets == value
		&& s->net_tx_packets == value && s->net_rx_errors == value && s->net_tx_errors == value
		&& s->net_rx_dropped == value && s->net_tx_dropped == value;
}

/* The kernel's own, from inside: /sys shows the namespace that it was mounted in. */
static uint64_t inside(conex_container *c, const char *what)
{
	uint64_t sum = 0;
	char *at;

	CHECK_INT(box_exec(c, NULL, say("cat /sys/class/net/eth*/statistics/%s", what)), 0);
	for (at = box.out; *at; at += strspn(at, "\n"))
		sum += strtoull(at, &at, 10);
	return sum;
}

/* Between two looks of the kernel's: something may come meanwhile. */
static void same_as_inside(conex_container *c)
{
	static const struct { const char *name; size_t at; } fields[] = {
		{ "rx_bytes", offsetof(struct conex_stats, net_rx_bytes) }, { "tx_bytes", offsetof(struct conex_stats, net_tx_bytes) },
		{ "rx_packets", offsetof(struct conex_stats, net_rx_packets) }, { "tx_packets", offsetof(struct conex_stats, net_tx_packets) },
		{ "rx_errors", offsetof(struct conex_stats, net_rx_errors) }, { "tx_errors", offsetof(struct conex_stats, net_tx_errors) },
		{ "rx_dropped", offsetof(struct conex_stats, net_rx_dropped) }, { "tx_dropped", offsetof(struct conex_stats, net_tx_dropped) },
	};

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		uint64_t before = inside(c, fields[i].name), after, got;
		struct conex_stats s = stats_of(c);

		memcpy(&got, (char *)&s + fields[i].at, sizeof got);
		after = inside(c, fields[i].name);
		if (!CHECK(before <= got && got <= after))
			printf("# %s: %llu, between %llu and %llu\n", fields[i].name, (unsigned long long)got,
				(unsigned long long)before, (unsigned long long)after);
	}
}

/* A sink; busybox's nc hears nothing once it has nothing more to say, so it waits for what it may say. And a million
 * bytes that are sent to it from a container of that network, and have arrived. */
static conex_container *sink(const char *networks)
{
	return box_start(BOX(.network = networks), CONEX_STRINGS("sh", "-c", "mkfifo /tmp/never && exec 3<>/tmp/never && rm /tmp/never;"
		" while :; do nc -l -p 80 <&3 >/dev/null; done"));
}

static int sent_million(const char *network, const char *address)
{
	return box_run(BOX(.network = network), say("for i in 1 2 3 4 5 6 7 8 9 10; do"
		" head -c 1000000 /dev/zero | nc -w 5 %s 80 && exit; sleep 0.3; done; exit 1", address)) == 0;
}

static uint64_t number(const json_t *o, const char *interface, const char *name)
{
	const json_t *n = json_object_get(json_object_get(json_object_get(o, "interfaces"), interface), name);

	return json_is_integer(n) ? (uint64_t)json_integer_value(n) : UNKNOWN;
}

static json_t *details_of(conex_container *c)
{
	char *text = NULL;
	json_t *o;

	GOOD(conex_container_details(c, &text, &box.err));
	o = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	return o;
}

/* Two networks: the sums are of both interfaces, and of nothing else. */
TEST(known_numbers)
{
	conex_container *c;
	struct conex_stats s, t;
	json_t *details;

	GOOD(network("front", 0, NULL));
	GOOD(network("back", CONEX_NETWORK_INTERNAL, NULL));
	c = sink("front,back");
	if (!box_good(c ? 0 : -1, "sink", __FILE__, __LINE__))
		return;
	s = stats_of(c);
	CHECK(s.net_rx_bytes < 100000 && s.net_tx_bytes < 100000 && s.pids > 0);
	CHECK(sent_million("front", conex_container_address(c, "front", AF_INET)));
	CHECK(sent_million("back", conex_container_address(c, "back", AF_INET6)));
	t = stats_of(c);
	printf("# received %llu, sent %llu\n", (unsigned long long)(t.net_rx_bytes - s.net_rx_bytes), (unsigned long long)t.net_tx_bytes);
	CHECK(t.net_rx_bytes - s.net_rx_bytes >= 2000000 && t.net_rx_bytes - s.net_rx_bytes < 2400000);
	CHECK(t.net_rx_packets > s.net_rx_packets && t.net_tx_packets > s.net_tx_packets);
	CHECK(t.net_tx_bytes > s.net_tx_bytes && t.net_tx_bytes < 400000);
	same_as_inside(c);
	/* loopback doesn't count */
	CHECK_INT(box_exec(c, NULL, "head -c 3000000 /dev/zero | nc -w 5 127.0.0.1 80;"
		" awk '$1 == \"lo:\" && $2 > 3000000' /proc/net/dev | grep -q lo"), 0);
	CHECK(stats_of(c).net_rx_bytes < 2600000);
	details = details_of(c);
	CHECK(number(details, "eth0", "rx_bytes") >= 1000000 && number(details, "eth0", "rx_bytes") < 1300000);
	CHECK(number(details, "eth1", "rx_bytes") >= 1000000 && number(details, "eth1", "rx_bytes") < 1300000);
	CHECK(number(details, "eth1", "tx_packets") > 0 && number(details, "eth1", "tx_packets") < 100000);
	CHECK_INT(number(details, "eth0", "tx_errors"), 0);
	CHECK(!json_object_get(json_object_get(details, "interfaces"), "lo"));
	json_decref(details);
	box_end(c);
	GOOD(gone("front"));
	GOOD(gone("back"));
}

/* The host's network has no counters of a container; loopback alone has none either, but that is known. */
TEST(without_interfaces)
{
	conex_container *host = box_sleeper(BOX(.network = "host")), *alone = box_sleeper(NULL);
	struct conex_stats s = stats_of(host), t = stats_of(alone), both[3] = { { .size = sizeof s } };
	json_t *details = details_of(host);

	CHECK(all_are(&s, UNKNOWN) && s.pids == 1);
	CHECK(details && !json_object_get(details, "interfaces"));
	json_decref(details);
	CHECK(all_are(&t, 0));
	details = details_of(alone);
	CHECK(json_is_object(json_object_get(details, "interfaces")));
	json_decref(details);
	CHECK_INT(conex_container_sample((conex_container *const[]){ host, NULL, alone }, 3, both, &box.err), 2);
	CHECK(all_are(&both[0], UNKNOWN) && all_are(&both[1], UNKNOWN) && all_are(&both[2], 0));
	CHECK(both[0].pids == 1 && both[1].pids == UNKNOWN && both[2].pids == 1);
	box_end(host);
	box_end(alone);
}

TEST(of_a_group_unknown)
{
	struct conex_stats s = { .size = sizeof s };
	conex_cgroup *g = NULL;
	char *text = NULL;

	GOOD(conex_cgroup_create(box.cx, "counters", NULL, &g, &box.err));
	GOOD(conex_cgroup_stats(g, &s, &box.err));
	CHECK(all_are(&s, UNKNOWN));
	GOOD(conex_cgroup_details(g, &text, &box.err));
	CHECK(text && !strstr(text, "interfaces"));
	free(text);
	GOOD(conex_cgroup_delete(g, -1, &box.err));
	conex_cgroup_free(g);
}

/* By another context, as another process would: found through the journal. */
TEST(of_others)
{
	struct conex_options where = { .size = sizeof where, .state = say("%s/state", box.dir), .flags = CONEX_DETACHED };
	struct conex_run_options o = box_options(BOX(.network = "bridge", .id = "theirs"));
	conex_container *c = NULL, *d = NULL;
	conex *theirs = NULL, *cx = NULL;

	GOOD(conex_open(&where, &theirs, &box.err));
	GOOD(conex_run(theirs, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err));
	GOOD(conex_open(&where, &cx, &box.err));
	GOOD(conex_container_get(cx, "theirs", &d, &box.err));
	if (c && d) {
		CHECK_INT(command("busybox ping -c 3 -i 0.2 %s >/dev/null", conex_container_address(d, NULL, AF_INET)), 0);
		CHECK(stats_of(d).net_rx_packets >= 3 && stats_of(d).net_tx_packets >= 3);
		same_as_inside(d);
		GOOD(conex_container_delete(d, -1, &box.err));
	}
	conex_container_free(d);
	conex_container_free(c);
	conex_close(cx);
	conex_close(theirs);
	GOOD(gone("bridge"));
}

/* ---- a pid that is another's ---- */

/* A process of ours with a chosen pid, and a network of its own as containers have; 0: the kernel lets nobody choose. */
static pid_t with_pid(pid_t want)
{
	struct cx_clone_args a = { .flags = CLONE_NEWNET, .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&want, .set_tid_size = 1 };
	pid_t pid = -1;

	for (int i = 0; i < 100 && pid < 0 && (i == 0 || errno == EEXIST); i++) {
		pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
		if (pid == 0)
			for (;;)
				pause();
		usleep(pid < 0 ? 20000 : 0);
	}
	return pid == want ? pid : 0;
}

static void dies_and_pid_is_anothers(int looked_before)
{
	conex_container *c = box_sleeper(BOX(.network = "bridge"));
	pid_t pid = c ? conex_container_pid(c) : 0, other;
	struct conex_stats s = { .size = sizeof s };
	int r;

	if (!pid)
		return;
	if (looked_before)
		CHECK(stats_of(c).net_rx_bytes != UNKNOWN);
	kill(pid, SIGKILL);
	for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
		usleep(10000);
	other = with_pid(pid);
	if (!other)
		printf("# pid %d can't be had again (%s): only that it is gone is tested\n", (int)pid, strerror(errno));
	r = conex_container_stats(c, &s, &box.err);
	if (looked_before)      /* nothing has been read since: for the context it runs */
		CHECK_INT(r, 0);
	CHECK(r == 0 || r == -ESRCH);
	CHECK(r < 0 || all_are(&s, UNKNOWN));
	if (other) {
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
	}
	box_end(c);
}

TEST(another_with_its_pid)
{
	dies_and_pid_is_anothers(1);
	dies_and_pid_is_anothers(0);
	GOOD(gone("bridge"));
}

/* ---- descriptors ---- */

static int next_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

/* One stays, until it has ended; none where half of the table is in use. */
TEST(descriptors)
{
	conex_container *c = box_sleeper(BOX(.network = "bridge"));
	int before, count;
	struct rlimit limit, little;

	before = box_entries("/proc/self/fd");
	CHECK(stats_of(c).net_rx_bytes != UNKNOWN);
	count = box_entries("/proc/self/fd");
	CHECK_INT(count, before + 1);
	CHECK(stats_of(c).net_rx_bytes != UNKNOWN);
	CHECK_INT(box_entries("/proc/self/fd"), count);
	kill(conex_container_pid(c), SIGKILL);
	CHECK_INT(conex_container_wait(c, -1, NULL, &box.err), 1);
	CHECK_INT(box_entries("/proc/self/fd"), before);
	box_end(c);
	c = box_sleeper(BOX(.network = "bridge"));
	before = box_entries("/proc/self/fd");
	getrlimit(RLIMIT_NOFILE, &limit);
	little = (struct rlimit){ (rlim_t)next_descriptor() + 6, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &little);
	CHECK(stats_of(c).net_rx_bytes != UNKNOWN);
	CHECK(stats_of(c).net_rx_bytes != UNKNOWN);
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK_INT(box_entries("/proc/self/fd"), before);
	box_end(c);
	GOOD(gone("bridge"));
}

static void tests(void)
{
	RUN(known_numbers);
	RUN(without_interfaces);
	RUN(of_a_group_unknown);
	RUN(of_others);
	RUN(another_with_its_pid);
	RUN(descriptors);
	rmdir(directory);
}

int main(void)
{
	return network_box() ? with_box(tests) : 0;
}
