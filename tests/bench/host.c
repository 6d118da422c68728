/* A host process: opens its subjects when first asked, launches, and answers with the times. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "bench.h"
#include "host.h"

enum { SUBJECTS_MAX = 16, BIG_THREADS = 64 };
static const size_t big_size = (size_t)2 << 30;

struct process {
	const struct setup *setup;
	const struct subject *const *subjects;
	int subject_count;
	void *own[SUBJECTS_MAX];        /* NULL: not open */
};

struct worker {
	const struct subject *subject;
	void *own;
	int number, count, result;
	int64_t *ns;
	pthread_barrier_t *go;          /* NULL: alone */
};

static void *work(void *arg)
{
	struct worker *w = arg;

	if (w->go)
		pthread_barrier_wait(w->go);
	for (int i = 0; i < w->count && w->result == 0; i++) {
		int64_t start = bench_now_ns();

		w->result = w->subject->launch(w->own, w->number);
		w->ns[i] = bench_now_ns() - start;
	}
	return NULL;
}

static int work_together(struct worker *workers, int count)
{
	pthread_t thread[SUBJECT_WORKERS];
	pthread_barrier_t go;
	int result = 0;

	if (count == 1) {
		work(workers);
		return workers->result;
	}
	pthread_barrier_init(&go, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		workers[i].go = &go;
		if (pthread_create(&thread[i], NULL, work, &workers[i]))
			_exit(3); /* the barrier would never open */
	}
	for (int i = 0; i < count; i++) {
		pthread_join(thread[i], NULL);
		result = result ? result : workers[i].result;
	}
	pthread_barrier_destroy(&go);
	return result;
}

static void serve_run(struct process *p, const struct host_request *q, struct host_reply *a)
{
	struct worker workers[SUBJECT_WORKERS];

	for (int i = 0; i < q->at_once; i++)
		workers[i] = (struct worker){ .subject = p->subjects[q->subject],
			.own = p->own[q->subject], .number = i, .count = q->count,
			.ns = a->ns + i * q->count };
	a->n = q->at_once * q->count;
	a->result = work_together(workers, q->at_once);
	if (a->result)
		snprintf(a->text, sizeof a->text, "a launch ended with %d (%s)", a->result,
			a->result < 0 ? strerror(-a->result) : "exit status");
}

static void serve_timeline(const struct subject *s, void *own, struct host_reply *a)
{
	char *json = NULL;

	if (!s->timeline) {
		a->result = -ENOTSUP;
		return;
	}
	a->result = s->timeline(own, &json, a->text);
	if (a->result == 0)
		snprintf(a->text, sizeof a->text, "%s", json);
	free(json);
}

static void serve(struct process *p, const struct host_request *q, struct host_reply *a)
{
	const struct subject *s = p->subjects[q->subject];

	a->result = 0;
	a->n = 0;
	a->text[0] = '\0';
	if (!p->own[q->subject])
		a->result = s->open(s, p->setup, &p->own[q->subject], a->text);
	if (a->result < 0)
		return;
	if (q->what == HOST_RUN)
		serve_run(p, q, a);
	else if (q->what == HOST_TIMELINE)
		serve_timeline(s, p->own[q->subject], a);
	else
		a->result = s->alive ? s->alive(p->own[q->subject], q->count, a->text) : -ENOTSUP;
}

static void *idle(void *unused)
{
	const struct timespec while_ago = { .tv_nsec = 100000000 };

	(void)unused;
	for (;;)
		nanosleep(&while_ago, NULL);
	return NULL;
}

static void grow(void)
{
	char *memory = mmap(NULL, big_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	if (memory == MAP_FAILED)
		_exit(3);
	madvise(memory, big_size, MADV_NOHUGEPAGE); /* as a heap that grew bit by bit: many page tables */
	memset(memory, 1, big_size);
	for (int i = 0; i < BIG_THREADS; i++)
		if (pthread_create(&thread, NULL, idle, NULL))
			_exit(3);
}

static _Noreturn void host_main(int fd, int kind, int big, struct process *p)
{
	struct host_reply *answer = malloc(sizeof *answer);
	struct host_request request;
	int mounted = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (kind == HOST_PEERS)
		mounted = host_peers_enter();
	if (big)
		grow();
	while (answer && recv(fd, &request, sizeof request, 0) == sizeof request
		&& request.what != HOST_QUIT) {
		serve(p, &request, answer);
		if (send(fd, answer, sizeof *answer, MSG_NOSIGNAL) < 0)
			break;
	}
	for (int i = 0; i < p->subject_count; i++)
		if (p->own[i])
			p->subjects[i]->close(p->own[i]);
	if (kind == HOST_PEERS)
		host_peers_leave(mounted);
	_exit(0);
}

int host_start(struct host *h, int kind, int big, const struct setup *s,
	const struct subject *const *subjects, int subject_count)
{
	struct process p = { .setup = s, .subjects = subjects, .subject_count = subject_count };
	const int size = 4 * (int)sizeof(struct host_reply);
	int pair[2];

	if (subject_count > SUBJECTS_MAX
		|| socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	fflush(NULL);
	h->pid = fork();
	if (h->pid == 0) {
		close(pair[0]);
		host_main(pair[1], kind, big, &p);
	}
	close(pair[1]);
	h->fd = pair[0];
	return h->pid < 0 ? -errno : 0;
}

int host_call(const struct host *h, const struct host_request *request, struct host_reply *reply)
{
	if (send(h->fd, request, sizeof *request, MSG_NOSIGNAL) != sizeof *request)
		return -EPIPE;
	return recv(h->fd, reply, sizeof *reply, 0) == sizeof *reply ? 0 : -EPIPE;
}

void host_stop(struct host *h)
{
	const struct host_request quit = { .what = HOST_QUIT };

	if (h->pid <= 0)
		return;
	send(h->fd, &quit, sizeof quit, MSG_NOSIGNAL);
	waitpid(h->pid, NULL, 0);
	close(h->fd);
	h->pid = 0;
}
