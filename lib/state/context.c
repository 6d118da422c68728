/* The context's life, its lock, and the lead: of the threads that wait, one reads for all. */
#include "state/context.h"
#include "base/error.h"
#include "base/path.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

static int add(int epoll, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int cx_context_watch(conex *cx, int fd)
{
	return add(cx->inner, fd);
}

static int open_fds(conex *cx)
{
	int r = cx_queue_init(&cx->queue);

	if (r < 0)
		return r;
	cx->fd = epoll_create1(EPOLL_CLOEXEC);
	cx->inner = epoll_create1(EPOLL_CLOEXEC);
	cx->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cx->fd < 0 || cx->inner < 0 || cx->wake < 0)
		return -errno;
	if ((r = add(cx->fd, cx->inner)) < 0 || (r = add(cx->fd, cx->queue.fd)) < 0)
		return r;
	return add(cx->inner, cx->wake);
}

static int no_pump(conex *cx)
{
	(void)cx;
	return 0;
}

int cx_context_new(conex **ret, conex_error **err)
{
	conex *cx = calloc(1, sizeof *cx);
	pthread_condattr_t clock;
	int r;

	if (!cx)
		return cx_fail_memory(err);
	cx->refs = 1;
	cx->pid = getpid();
	cx->fd = cx->inner = cx->wake = cx->queue.fd = -1;
	cx->pump = no_pump;
	pthread_mutex_init(&cx->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&cx->changed, &clock);
	pthread_condattr_destroy(&clock);
	r = open_fds(cx);
	if (r < 0) {
		cx_context_unref(cx);
		return cx_fail(err, CONEX_STAGE_OPEN, r, "epoll_create1",
			r == -EMFILE ? "the process has no free descriptor: close some, or raise RLIMIT_NOFILE" : NULL,
			"the context");
	}
	*ret = cx;
	return 0;
}

conex *cx_context_ref(conex *cx)
{
	__atomic_add_fetch(&cx->refs, 1, __ATOMIC_RELAXED);
	return cx;
}

void cx_context_unref(conex *cx)
{
	if (__atomic_sub_fetch(&cx->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	cx_closep(&cx->fd);
	cx_closep(&cx->inner);
	cx_closep(&cx->wake);
	cx_queue_close(&cx->queue);
	pthread_cond_destroy(&cx->changed);
	pthread_mutex_destroy(&cx->lock);
	free(cx->cgroup_parent);
	free(cx->store_path);
	free(cx);
}

int cx_context_lock(conex *cx, conex_error **err)
{
	if (cx->pid != getpid())
		return cx_fail(err, CONEX_STAGE_RUN, -ECHILD, NULL,
			"this process is a forked copy of the one that opened it: open a context of its own", "the context");
	pthread_mutex_lock(&cx->lock);
	if (!cx->closed)
		return 0;
	pthread_mutex_unlock(&cx->lock);
	return cx_fail(err, CONEX_STAGE_RUN, -ESHUTDOWN, NULL, "conex_close was called", "the context");
}

int cx_context_lock_to_change(conex *cx, conex_error **err)
{
	if (cx->flags & CONEX_READ_ONLY)
		return cx_fail(err, CONEX_STAGE_RUN, -EROFS, NULL, "open it without CONEX_READ_ONLY", "the context");
	return cx_context_lock(cx, err);
}

void cx_context_unlock(conex *cx)
{
	pthread_mutex_unlock(&cx->lock);
}

/* The last one out lets conex_close go on. */
static void leave(conex *cx)
{
	if (--cx->busy == 0 && cx->closed)
		pthread_cond_broadcast(&cx->changed);
}

int cx_context_begin(conex *cx, conex_error **err)
{
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	cx->busy++;
	pthread_mutex_unlock(&cx->lock);
	return 0;
}

void cx_context_end(conex *cx)
{
	pthread_mutex_lock(&cx->lock);
	leave(cx);
	pthread_mutex_unlock(&cx->lock);
}

int cx_context_hold(conex *cx)
{
	return cx->pid == getpid() && pthread_mutex_lock(&cx->lock) == 0;
}

void cx_context_release(conex *cx, int held)
{
	if (held)
		pthread_mutex_unlock(&cx->lock);
}

/* Followers sleep on the condition; the leader sleeps in poll, and what it polls has just been read by us. */
void cx_context_notify(conex *cx)
{
	uint64_t one = 1;

	pthread_cond_broadcast(&cx->changed);
	if (cx->leading && write(cx->wake, &one, sizeof one) < 0)
		return;         /* a full counter wakes as well */
}

int cx_context_pump(conex *cx)
{
	int happened = cx->pump(cx) > 0;

	if (happened)
		cx_context_notify(cx);
	return happened;
}

int64_t cx_context_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : cx_now_ns(CLOCK_MONOTONIC) + (int64_t)timeout_ms * 1000000;
}

static int milliseconds_to(int64_t deadline)
{
	int64_t left = deadline - cx_now_ns(CLOCK_MONOTONIC);

	if (deadline < 0)
		return -1;
	if (left <= 0)
		return 0;
	return left > 3600LL * 1000000000 ? 3600 * 1000 : (int)((left + 999999) / 1000000);
}

/* Polls for everybody, without the lock. */
static void lead(conex *cx, int64_t deadline)
{
	struct pollfd p = { .fd = cx->inner, .events = POLLIN };
	uint64_t woken;

	cx->leading = 1;
	pthread_mutex_unlock(&cx->lock);
	poll(&p, 1, milliseconds_to(deadline));
	pthread_mutex_lock(&cx->lock);
	cx->leading = 0;
	if (!cx->closed && read(cx->wake, &woken, sizeof woken) < 0)
		return;         /* nobody has woken us */
}

static void follow(conex *cx, int64_t deadline)
{
	struct timespec t = { deadline / 1000000000, deadline % 1000000000 };

	if (deadline < 0)
		pthread_cond_wait(&cx->changed, &cx->lock);
	else
		pthread_cond_timedwait(&cx->changed, &cx->lock, &t);
}

/* The first look is everybody's own: what the caller has just asked for may be done by the pump alone. */
static int wait_until(conex *cx, int64_t deadline, int (*ready)(void *arg), void *arg)
{
	for (int first = 1;; first = 0) {
		if (cx->closed)
			return -ESHUTDOWN;
		if (first || !cx->leading)
			cx_context_pump(cx);
		if (ready(arg))
			return 1;
		if (deadline >= 0 && cx_now_ns(CLOCK_MONOTONIC) >= deadline)
			return 0;
		if (cx->leading)
			follow(cx, deadline);
		else
			lead(cx, deadline);
	}
}

int cx_context_wait(conex *cx, int64_t deadline, int (*ready)(void *arg), void *arg)
{
	int r;

	cx->busy++;
	r = wait_until(cx, deadline, ready, arg);
	if (!cx->leading)
		pthread_cond_broadcast(&cx->changed);   /* the lead is free */
	leave(cx);
	return r;
}

void cx_log(const conex *cx, int level, const char *format, ...)
{
	cx_autofree char *line = NULL;
	va_list ap;

	if (!cx->log)
		return;
	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		line = NULL;
	va_end(ap);
	if (line)
		cx->log(level, line, cx->log_data);
}
