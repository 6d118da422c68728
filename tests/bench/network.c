/* bench network: from nothing to the first byte that a published port answers, and back to nothing; in turns, in a
 * network namespace of its own. README.md says what is measured and why so. */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"
#include "network.h"
#include "subject.h"

static const struct network_way *const ways[] = { &network_conex, &network_floor, &network_netavark, &network_cni };
enum { WAYS = sizeof ways / sizeof *ways, PACE_MS = 50 };

struct network_bench {
	struct bench_options options;
	struct bench_report *report;
	struct setup setup;
	int out[WAYS];
	double *up[WAYS], *down[WAYS], *both[WAYS];
	size_t count[WAYS];
};

static void drop(struct network_bench *b, int way, const char *kase, const char *why)
{
	b->out[way] = 1;
	bench_note(b->report, "%s is missing from %s on: %.*s", ways[way]->name, kase, (int)strcspn(why, "\n"), why);
}

/* As soon as something answers: asked again and again, for the server may not listen yet, and nobody waits for TCP
 * to repeat what was lost before the way was there. */
static int first_byte(void)
{
	const struct timeval patience = { .tv_usec = 5000 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(NETWORK_PORT) };
	int64_t end = bench_now_ns() + INT64_C(5000000000);
	char byte;

	inet_aton(NETWORK_HOST, &a.sin_addr);
	while (bench_now_ns() < end) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), good;

		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		good = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL) == 18
			&& recv(fd, &byte, 1, 0) == 1;
		close(fd);
		if (good)
			return 0;
		usleep(100);
	}
	return -ETIMEDOUT;
}

static int one_turn(struct network_bench *b, int way, int counts, char *why)
{
	int64_t begin = bench_now_ns(), answered;
	int r = ways[way]->up(why);

	if (r == 0 && (r = first_byte()) < 0) {
		ways[way]->down(why);   /* the others mustn't meet what is left of it */
		snprintf(why, NETWORK_WHY, "no answer at the published port");
	}
	answered = bench_now_ns();
	if (r == 0)
		r = ways[way]->down(why);
	if (r == 0 && counts) {
		size_t n = b->count[way]++;
		int64_t end = bench_now_ns();

		b->up[way][n] = (double)(answered - begin) / 1e6;
		b->down[way][n] = (double)(end - answered) / 1e6;
		b->both[way][n] = (double)(end - begin) / 1e6;
	}
	return r;
}

static void run_case(struct network_bench *b, const char *kase, int paced)
{
	int rounds = paced ? b->options.n_paced : b->options.n;
	int64_t next = bench_now_ns();
	char why[NETWORK_WHY] = "";

	for (int round = -1; round < rounds; round++)   /* round -1 warms up */
		for (int w = 0; w < WAYS; w++) {
			if (b->out[w])
				continue;
			if (paced)
				bench_pace(&next, PACE_MS);
			if (one_turn(b, w, round >= 0, why) < 0)
				drop(b, w, kase, why);
		}
	for (int w = 0; w < WAYS; w++) {
		if (b->out[w])
			continue;
		bench_row(b->report, ways[w]->name, kase, "ms", b->both[w], b->count[w]);
		bench_detail(b->report, "to the first byte", ways[w]->name, kase, "ms", b->up[w], b->count[w]);
		bench_detail(b->report, "back to nothing", ways[w]->name, kase, "ms", b->down[w], b->count[w]);
		b->count[w] = 0;
	}
	bench_ratio(b->report, "conex", "floor", kase);
	bench_ratio(b->report, "netavark", "conex", kase);
	bench_ratio(b->report, "cni", "conex", kase);
}

static int open_all(struct network_bench *b)
{
	char why[NETWORK_WHY] = "";
	int n = b->options.n > b->options.n_paced ? b->options.n : b->options.n_paced;

	for (int w = 0; w < WAYS; w++) {
		b->up[w] = calloc((size_t)n, sizeof(double));
		b->down[w] = calloc((size_t)n, sizeof(double));
		b->both[w] = calloc((size_t)n, sizeof(double));
		if (!b->up[w] || !b->down[w] || !b->both[w])
			return -ENOMEM;
		b->out[w] = !bench_options_wants(&b->options, ways[w]->name);
		if (!b->out[w] && ways[w]->open(b->setup.rootfs, why) < 0)
			drop(b, w, "the beginning", why);
	}
	return 0;
}

static void close_all(struct network_bench *b)
{
	for (int w = 0; w < WAYS; w++) {
		if (!b->out[w])
			ways[w]->close();
		free(b->up[w]);
		free(b->down[w]);
		free(b->both[w]);
	}
}

int main(int argc, char **argv)
{
	struct network_bench b = { .options = { .n = 100, .n_paced = 40, .output = "bench" } };
	char why[SUBJECT_WHY] = "";
	int r;

	if (bench_options_parse(&b.options, argc, argv) < 0) {
		fprintf(stderr, "usage: bench-network [--quick] [--n N] [--only NAME,NAME] [--output DIRECTORY] [ROOTFS]\n");
		return 2;
	}
	if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up && ip addr add " NETWORK_HOST "/32 dev lo") != 0) {
		fprintf(stderr, "bench-network: needs root and iproute2\n");
		return 1;
	}
	if (setup_make(&b.setup, NULL, b.options.rootfs, why) < 0) {
		fprintf(stderr, "bench-network: %s\n", why);
		return 1;
	}
	b.report = bench_report_new("network");
	r = b.report ? open_all(&b) : -ENOMEM;
	if (r == 0) {
		run_case(&b, "hot", 0);
		run_case(&b, "paced", 1);
		r = bench_report_write(b.report, b.options.output);
	}
	close_all(&b);
	bench_report_free(b.report);
	setup_remove(&b.setup);
	return r < 0;
}
