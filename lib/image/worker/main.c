/* conex-worker: what reads and writes strangers' bytes for the library. The keeper executes it, with a socket to the
 * host (3), its task (4), and the directories and files of that. It does one task and ends; when the host's end of the
 * socket closes, at once. By hand it does nothing. */
#include "image/worker/tasks.h"
#include "image/protocol.h"
#include "base/path.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { TELL_NS = 100000000, TASK_MAX = 16 << 20 };

/* ---- telling ---- */

static void say(struct cx_worker *w, struct cx_work *m, const void *bytes, size_t size, int flags)
{
	struct iovec iov[2] = { { m, sizeof *m }, { (void *)bytes, size } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };

	m->size = (uint32_t)size;
	while (sendmsg(w->socket, &h, MSG_NOSIGNAL | flags) < 0 && errno == EINTR)
		;
}

static void tell(struct cx_worker *w)
{
	struct cx_work m = { .type = CX_WORK_PROGRESS };
	char step[sizeof w->step];

	pthread_mutex_lock(&w->lock);
	memcpy(step, w->step, sizeof step);
	pthread_mutex_unlock(&w->lock);
	m.progress.done = __atomic_load_n(&w->done, __ATOMIC_RELAXED) + __atomic_load_n(&w->others, __ATOMIC_RELAXED);
	m.progress.total = __atomic_load_n(&w->total, __ATOMIC_RELAXED);
	m.progress.unpacked = __atomic_load_n(&w->unpacked, __ATOMIC_RELAXED);
	m.progress.done_layers = __atomic_load_n(&w->done_layers, __ATOMIC_RELAXED);
	m.progress.total_layers = __atomic_load_n(&w->total_layers, __ATOMIC_RELAXED);
	if (m.progress.total && m.progress.done > m.progress.total)
		m.progress.total = m.progress.done;     /* some bytes come twice */
	say(w, &m, step, strlen(step) + 1, MSG_DONTWAIT);
}

void cx_worker_tell(struct cx_worker *w)
{
	int64_t now = cx_now_ns(CLOCK_MONOTONIC), told = __atomic_load_n(&w->told_ns, __ATOMIC_RELAXED);

	if (now - told >= TELL_NS
	    && __atomic_compare_exchange_n(&w->told_ns, &told, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		tell(w);
}

void cx_worker_step(struct cx_worker *w, const char *format, ...)
{
	char step[sizeof w->step];
	va_list args;
	int is_new;

	va_start(args, format);
	vsnprintf(step, sizeof step, format, args);
	va_end(args);
	pthread_mutex_lock(&w->lock);
	is_new = strcmp(w->step, step) != 0;
	strcpy(w->step, step);
	pthread_mutex_unlock(&w->lock);
	if (is_new)
		tell(w);
	else
		cx_worker_tell(w);
}

static void tell_failure(struct cx_worker *w, const conex_error *e)
{
	struct cx_work m = { .type = CX_WORK_FAILED, .failed = { conex_error_code(e), conex_error_stage(e) } };
	const char *part[3] = { conex_error_object(e), conex_error_call(e), conex_error_hint(e) };
	char bytes[CX_WORK_BYTES];
	size_t at = 0;

	for (int i = 0; i < 3; i++) {
		size_t n = part[i] ? strlen(part[i]) : 0;

		if (n > sizeof bytes / 3 - 1)
			n = sizeof bytes / 3 - 1;
		if (n)
			memcpy(bytes + at, part[i], n);
		bytes[at + n] = '\0';
		at += n + 1;
	}
	say(w, &m, bytes, at, 0);
}

/* ---- the host's end ---- */

static void *watch(void *socket)
{
	struct pollfd p = { .fd = *(int *)socket };

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	_exit(0);       /* nobody would hear how it ends; what was fetched stays */
	return NULL;
}

int cx_worker_watch(struct cx_worker *w, conex_error **err)
{
	pthread_attr_t a;
	pthread_t thread;
	int r = pthread_attr_init(&a);

	if (r == 0)
		r = pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	if (r == 0)
		r = pthread_create(&thread, &a, watch, &w->socket);
	return r ? cx_fail(err, CONEX_STAGE_IMAGE, -r, "pthread_create", NULL, "conex-worker") : 0;
}

/* ---- the task ---- */

const struct cx_worker_task cx_worker_tasks[] = {
	{ "export", cx_task_export },
	{ "import", cx_task_import },
	{ "pull", cx_task_pull },
	{ "push", cx_task_push },
	{ "unpack", cx_task_unpack },
	{ NULL, NULL }
};

static int read_task(struct cx_worker *w, conex_error **err)
{
	cx_autofree char *text = NULL;
	ssize_t n = cx_file_load(AT_FDCWD, "/proc/self/fd/4", TASK_MAX, &text);

	w->task = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (n > 0)
		explicit_bzero(text, (size_t)n);        /* who we are to registries */
	close(CX_WORKER_TASK);
	return w->task ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, n < 0 ? (int)n : -EBADMSG, NULL, NULL, "the worker's task");
}

static int work(struct cx_worker *w, char **result, conex_error **err)
{
	const char *kind;
	int r = read_task(w, err);

	if (r < 0)
		return r;
	kind = json_string_value(json_object_get(w->task, "kind"));
	for (size_t i = 0; kind && cx_worker_tasks[i].kind; i++)
		if (!strcmp(kind, cx_worker_tasks[i].kind))
			return cx_worker_tasks[i].work(w, result, err);
	return cx_fail(err, CONEX_STAGE_IMAGE, -EOPNOTSUPP, NULL, "library and worker are of different versions", "task %s",
		kind ? kind : "");
}

int main(void)
{
	struct cx_worker w = { .socket = CX_WORKER_SOCKET, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct cx_work m = { .type = CX_WORK_DONE };
	conex_error *err = NULL;
	char *result = NULL;
	int type;
	socklen_t size = sizeof type;

	if (getsockopt(w.socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, "conex-worker: the library executes it\n");
		return 2;
	}
	prctl(PR_SET_DUMPABLE, 0);
	if (work(&w, &result, &err) < 0) {
		tell_failure(&w, err);
		return 1;
	}
	tell(&w);
	say(&w, &m, result, strlen(result) + 1, 0);
	return 0;
}
