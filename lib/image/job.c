/* The life of a job on the host's side. The worker's words come over a socket that is watched like the keeper's;
 * that it is dead the keeper says. */
#include "image/images.h"
#include "image/job.h"
#include "image/protocol.h"
#include "image/refuse.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/options.h"
#include "base/path.h"
#include "image/credentials.h"
#include "keeper/spawn.h"
#include "plan/build.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

enum { RATE_MS = 2000, FDS_MAX = CX_FD_COUNT - CX_FD_EXTRA - 2, ERRNO_END = 4096 };

struct conex_job {
	struct cx_news news;            /* first: the queue gives it back */
	struct conex_job *next;         /* of the context's */
	conex *cx;                      /* counted */
	int refs;                       /* locked: the user's, the queue's, the running worker's, those lent by events */
	int has_handle;                 /* the user's; without it there is no news */
	struct cx_job_task task;        /* until the worker has it; then what of it is for its end */
	int fds[FDS_MAX];               /* the task's, ours */
	struct cx_helper helper;        /* the worker, or who comes before it */
	int theirs;                     /* the worker's end of the socket, until it has it */
	int socket;                     /* -1: nothing more comes */
	int state;                      /* 0: it runs; 1: done; -errno */
	int is_over;                    /* the worker has said how it ended */
	conex_error *error;
	char *result, *step, *shown;    /* shown: lent by conex_job_progress */
	struct cx_work progress;
	uint64_t rate, rate_bytes;      /* so many bytes were done */
	int64_t rate_ns;                /* then */
	json_t *uids, *gids;            /* of its worker's own user namespace; NULL: it has none */
};

static conex_job *job_of_helper(struct cx_helper *h)
{
	return (conex_job *)((char *)h - offsetof(conex_job, helper));
}

/* What the caller holds for the worker, which reads it no more. */
static void forget(conex_job *job)
{
	if (job->task.forget)
		job->task.forget(job->task.own);
	job->task.forget = NULL;
}

/* All that was for the worker. */
static void let_go(conex_job *job)
{
	for (int i = 0; i < FDS_MAX; i++)
		cx_closep(&job->fds[i]);
	cx_closep(&job->theirs);
	cx_credentials_wipe(job->task.json);
	json_decref(job->task.json);
	job->task.json = NULL;
	if (job->task.before)
		job->task.before->free(job->task.before);
	job->task.before = NULL;
}

void cx_job_task_clear(struct cx_job_task *task)
{
	cx_credentials_wipe(task->json);
	json_decref(task->json);
	if (task->before)
		task->before->free(task->before);
	if (task->forget)
		task->forget(task->own);
	*task = (struct cx_job_task){ .json = NULL };
}

void cx_job_unref(conex_job *job)
{
	if (--job->refs > 0)
		return;
	let_go(job);
	cx_job_task_clear(&job->task);
	conex_error_free(job->error);
	free(job->result);
	free(job->step);
	free(job->shown);
	json_decref(job->uids);
	json_decref(job->gids);
	cx_context_unref(job->cx);
	free(job);
}

static void post(conex_job *job)
{
	if (job->cx->closed || !job->has_handle)
		return;
	if (!job->news.queued)
		job->refs++;
	cx_queue_post(&job->cx->queue, &job->news, CONEX_EVENT_JOB);
	cx_context_notify(job->cx);
}

/* Out of the context's list; the reference of what runs goes with it. Locked. */
static void end(conex_job *job)
{
	conex_job **at = &job->cx->jobs;

	while (*at && *at != job)
		at = &(*at)->next;
	if (*at)
		*at = job->next;
	if (job->task.ended)
		job->task.ended(job->task.own, job->socket);
	cx_closep(&job->socket);
	let_go(job);
	forget(job);
	post(job);
	cx_job_unref(job);
}

/* ---- what the worker says ---- */

static void set_step(conex_job *job, const char *step)
{
	char *copy = job->step && !strcmp(job->step, step) ? NULL : strdup(step);

	if (copy) {
		free(job->step);
		job->step = copy;
	}
}

static void take_progress(conex_job *job, const struct cx_work *w, const char *step)
{
	int64_t now = cx_now_ns(CLOCK_MONOTONIC), passed = now - job->rate_ns;

	job->progress = *w;
	set_step(job, step);
	if (passed >= RATE_MS * INT64_C(1000000) || !job->rate) {
		double rate = passed > 0 && w->progress.done > job->rate_bytes
			? (double)(w->progress.done - job->rate_bytes) * 1e9 / (double)passed : 0;

		job->rate = rate < 1e18 ? (uint64_t)rate : 0;   /* more is a lie */
		job->rate_ns = now;
		job->rate_bytes = w->progress.done;
	}
	post(job);
}

static void take_failure(conex_job *job, const struct cx_work *w, const char *bytes)
{
	const char *part[3] = { "", "", "" }, *at = bytes, *last = bytes + w->size;

	for (int i = 0; i < 3 && at < last; i++) {
		part[i] = at;
		at += strlen(at) + 1;
	}
	job->state = w->failed.code < 0 && w->failed.code > -ERRNO_END ? w->failed.code : -EIO;
	cx_fail(&job->error, w->failed.stage > CONEX_STAGE_NONE && w->failed.stage <= CONEX_STAGE_TEARDOWN ? w->failed.stage
		: CONEX_STAGE_IMAGE, job->state, *part[1] ? part[1] : NULL, *part[2] ? part[2] : NULL, "%s", part[0]);
}

static void take_result(conex_job *job, const char *bytes)
{
	int r;

	job->result = strdup(bytes);
	r = job->result ? 0 : cx_fail_memory(&job->error);
	if (r == 0 && job->task.finish)
		r = job->task.finish(job->task.own, job->result, &job->error);
	job->state = r < 0 ? r : 1;
}

static void take(conex_job *job, const struct cx_work *w, const char *bytes)
{
	if (job->is_over)
		return;
	if (w->type == CX_WORK_PROGRESS) {
		take_progress(job, w, bytes);
		return;
	}
	job->is_over = 1;
	if (w->type == CX_WORK_DONE)
		take_result(job, bytes);
	else
		take_failure(job, w, bytes);
	if (!job->task.ended)           /* who is to be told of its end needs `own` until then */
		forget(job);
}

/* A message that isn't one is a worker that somebody else writes: as good as dead. Who has been taken over by strangers'
 * bytes may also write what is one: its words are cleaned as theirs would be. */
static int hear(conex_job *job)
{
	struct { struct cx_work w; char bytes[CX_WORK_BYTES + 1]; } m;
	ssize_t n;
	int happened = 0;

	while (job->socket >= 0 && (n = recv(job->socket, &m, sizeof m.w + CX_WORK_BYTES, MSG_DONTWAIT)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return happened;
		if (n < (ssize_t)sizeof m.w || m.w.size != (size_t)n - sizeof m.w)
			break;
		m.bytes[m.w.size] = '\0';
		cx_image_clean(m.bytes, m.w.size);
		take(job, &m.w, m.bytes);
		happened = 1;
	}
	cx_closep(&job->socket);
	return 1;
}

int cx_jobs_pump(conex *cx)
{
	int happened = 0;

	for (conex_job *job = cx->jobs, *next; job; job = next) {
		next = job->next;
		if (job->socket >= 0)
			happened |= hear(job);
	}
	return cx_images_sweep_again(cx) | happened;
}

static void worker_ended(conex *cx, struct cx_helper *h)
{
	conex_job *job = job_of_helper(h);

	(void)cx;
	hear(job);
	if (!job->is_over) {
		job->state = h->done == -EPIPE ? -EPIPE : h->done < 0 ? h->done : -EPIPE;
		cx_fail(&job->error, CONEX_STAGE_IMAGE, job->state, NULL, h->done < 0 ? "is it installed?" : NULL,
			h->done < 0 ? "conex-worker could not be executed" : "conex-worker died (status 0x%x)", (unsigned)h->status);
	}
	end(job);
}

/* ---- starting ---- */

/* An unprivileged user's worker keeps layers' owners as his containers have them: by the same maps. */
static int add_own_ids(conex_job *job, struct cx_build *b, conex_error **err)
{
	return cx_ids_rootless() && job->cx->own_ids->compile(b, &job->uids, &job->gids) < 0 ? cx_fail_memory(err) : 0;
}

static int worker_plan(conex_job *job, struct cx_plan **ret, conex_error **err)
{
	const char *program = secure_getenv("CONEX_WORKER");
	const char *const args[] = { program ? program : CX_LIBEXECDIR "/conex/conex-worker", NULL };
	const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct cx_build b = { .failed = 0 };
	int r;

	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	r = add_own_ids(job, &b, err);
	cx_op(&b, death_signal, NULL);
	cx_op(&b, exec, "conex-worker", cx_cell_list(&b, (const char **)args), cx_cell_list(&b, (const char **)env), 0);
	if (r == 0)
		r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

/* jansson's own copies would be left in freed memory. */
static int task_memfd(const json_t *json)
{
	size_t size = json_dumpb(json, NULL, 0, JSON_COMPACT);
	char *text = size ? malloc(size) : NULL;
	int fd = -1;

	if (text && json_dumpb(json, text, size, JSON_COMPACT) == size)
		fd = cx_keeper_memfd("conex-task", text, size);
	if (text)
		explicit_bzero(text, size);
	free(text);
	return fd;
}

static void mapped(void *arg, conex_error *err)
{
	conex_job *job = arg;

	if (err && !job->is_over) {
		job->is_over = 1;
		job->state = conex_error_code(err);
		job->error = err;
	} else {
		conex_error_free(err);
	}
	cx_job_unref(job);
}

static void worker_waits(conex *cx, struct cx_helper *h, pid_t pid)
{
	conex_job *job = job_of_helper(h);

	job->refs++;
	cx->own_ids->write(cx, h->id, pid, job->uids, job->gids, mapped, job);
}

/* Locked. */
static int launch(conex_job *job, conex_error **err)
{
	cx_autofree struct cx_plan *plan = NULL;
	cx_autoclose int memfd = task_memfd(job->task.json);
	int fds[CX_FD_COUNT] = { job->theirs, memfd }, r;
	uint32_t bits = 3U << CX_FD_EXTRA;

	if (memfd < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "memfd_create", NULL, "the task");
	for (int i = 0; i < job->task.count; i++) {
		fds[2 + i] = job->fds[i];
		bits |= 4U << (CX_FD_EXTRA + i);
	}
	r = worker_plan(job, &plan, err);
	if (r == 0)
		r = cx_keeper_start(job->cx, err);
	if (r == 0 && (r = cx_context_watch(job->cx, job->socket)) < 0)
		r = cx_fail(err, CONEX_STAGE_IMAGE, r, "epoll_ctl", NULL, "the worker's socket");
	job->helper = (struct cx_helper){ .ended = worker_ended, .waits = worker_waits };
	if (r == 0)
		r = cx_keeper_help_later(job->cx, &job->helper, plan, bits, fds, err);
	if (r == 0)
		let_go(job);
	return r;
}

/* ---- what comes before the worker ---- */

static int go_on(conex_job *job, conex_error **err);

static void before_ended(conex *cx, struct cx_helper *h)
{
	conex_job *job = job_of_helper(h);
	struct cx_job_before *b = job->task.before;
	int r;

	(void)cx;
	if (job->is_over) {
		end(job);
		return;
	}
	r = b->ended(b, h, &job->error);
	if (r == 0)
		r = go_on(job, &job->error);
	if (r < 0) {
		job->is_over = 1;
		job->state = r;
		end(job);
	}
}

/* The next program, or the worker. Locked. */
static int go_on(conex_job *job, conex_error **err)
{
	struct cx_job_before *b = job->task.before;
	cx_autofree struct cx_plan *plan = NULL;
	int fds[3] = { -1, -1, -1 }, r = b ? b->next(b, &plan, fds, err) : 0;

	if (r == 0)
		return launch(job, err);
	if (r > 0)
		r = cx_keeper_start(job->cx, err);
	if (r == 0) {
		set_step(job, b->step);
		post(job);
		job->helper = (struct cx_helper){ .ended = before_ended, .timeout_ms = b->timeout_ms };
		r = cx_keeper_help_later(job->cx, &job->helper, plan, 1U << CX_FD_IN | 1U << CX_FD_OUT | 1U << CX_FD_ERR, fds, err);
	}
	for (int i = 0; i < 3; i++)
		cx_closep(&fds[i]);
	return r;
}

/* ---- starting ---- */

/* The task is its, also when it fails: then it has an error alone. */
static conex_job *job_new(conex *cx, struct cx_job_task *task)
{
	conex_job *job = calloc(1, sizeof *job);

	if (!job)
		return NULL;
	job->cx = cx_context_ref(cx);
	job->refs = 1;
	job->has_handle = !task->quiet;
	job->socket = job->theirs = -1;
	for (int i = 0; i < FDS_MAX; i++)
		job->fds[i] = -1;
	job->task = *task;
	*task = (struct cx_job_task){ .json = NULL };
	job->rate_ns = cx_now_ns(CLOCK_MONOTONIC);
	return job;
}

static int open_all(conex_job *job, conex_error **err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "socketpair", NULL, "a job");
	job->socket = pair[0];
	job->theirs = pair[1];
	for (int i = 0; i < job->task.count; i++) {
		job->fds[i] = fcntl(job->task.fds[i], F_DUPFD_CLOEXEC, 3);
		if (job->fds[i] < 0)
			return cx_fail_errno(err, CONEX_STAGE_IMAGE, "fcntl", NULL, "a job's descriptor");
	}
	job->task.fds = NULL;           /* the caller's */
	return 0;
}

/* Locked. */
static int begin(conex_job *job, conex_error **err)
{
	int r = go_on(job, err);

	if (r == 0) {
		job->refs++;            /* what runs */
		job->next = job->cx->jobs;
		job->cx->jobs = job;
	}
	return r;
}

int cx_job_start(conex *cx, struct cx_job_task *task, conex_job **ret, conex_error **err)
{
	conex_job *job = job_new(cx, task);
	int r;

	if (!job) {
		int held = cx_context_hold(cx);

		cx_job_task_clear(task);
		cx_context_release(cx, held);
		return cx_fail_memory(err);
	}
	r = open_all(job, err);
	if (r == 0)
		r = cx_context_lock_to_change(cx, err);
	if (r == 0) {
		r = begin(job, err);
		cx_context_unlock(cx);
	}
	if (r < 0) {
		int held = cx_context_hold(cx);

		cx_closep(&job->socket);
		cx_job_unref(job);
		cx_context_release(cx, held);
	} else {
		*ret = job;
	}
	return r;
}

conex_job *cx_job_start_alone(conex *cx, struct cx_job_task *task)
{
	conex_job *job = job_new(cx, task);
	int failed;

	if (!job) {
		cx_job_task_clear(task);
		return NULL;
	}
	failed = open_all(job, NULL) < 0 || begin(job, NULL) < 0;
	job->has_handle = 0;
	if (failed)
		cx_closep(&job->socket);
	cx_job_unref(job);
	return failed ? NULL : job;
}

/* ---- the public verbs ---- */

static int has_ended(void *arg)
{
	return ((conex_job *)arg)->state != 0;
}

int conex_job_wait(conex_job *job, int timeout_ms, conex_error **err)
{
	int r = cx_context_lock(job->cx, err);

	if (r < 0)
		return r;
	job->refs++;
	r = cx_context_wait(job->cx, cx_context_deadline(timeout_ms), has_ended, job);
	if (r < 0)
		cx_fail(err, CONEX_STAGE_IMAGE, r, NULL, "conex_close was called", "the context");
	else if (r == 1 && job->state < 0) {
		r = job->state;
		if (err) {
			conex_error_free(*err);
			*err = cx_error_copy(job->error);
		}
	}
	cx_job_unref(job);
	cx_context_unlock(job->cx);
	return r;
}

int conex_job_progress(conex_job *job, struct conex_progress *ret, conex_error **err)
{
	struct conex_progress p = { .size = sizeof p };
	int r = cx_context_lock(job->cx, err);

	if (r < 0)
		return r;
	cx_context_pump(job->cx);
	free(job->shown);
	job->shown = job->step ? strdup(job->step) : NULL;
	p.done_bytes = job->progress.progress.done;
	p.total_bytes = job->progress.progress.total;
	p.unpacked_bytes = job->progress.progress.unpacked;
	p.rate = job->rate;
	p.done_layers = job->progress.progress.done_layers;
	p.total_layers = job->progress.progress.total_layers;
	p.step = job->shown ? job->shown : "";
	cx_context_unlock(job->cx);
	return cx_options_write("conex_progress", ret, sizeof p, sizeof p, &p, err);
}

const char *conex_job_result(const conex_job *job)
{
	int held = cx_context_hold(job->cx);
	const char *result = job->state == 1 ? job->result : NULL;

	cx_context_release(job->cx, held);
	return result;
}

static void cancel(conex_job *job)
{
	struct cx_message m = { .type = CX_MSG_KILL, .id = job->helper.id };

	job->is_over = 1;
	job->state = -ECANCELED;
	cx_fail(&job->error, CONEX_STAGE_IMAGE, -ECANCELED, NULL, NULL, "the job");
	cx_keeper_send(job->cx, &m, NULL, 0, NULL, 0, NULL);
}

void conex_job_free(conex_job *job)
{
	conex *cx;
	int held;

	if (!job)
		return;
	cx = cx_context_ref(job->cx);
	held = cx_context_hold(cx);
	if (held && !job->state && !cx->closed)
		cancel(job);
	job->has_handle = 0;
	if (held && job->news.queued) {
		cx_queue_forget(&cx->queue, &job->news);
		cx_job_unref(job);
	}
	cx_job_unref(job);
	cx_context_release(cx, held);
	cx_context_unref(cx);
}

/* ---- for the context ---- */

conex_job *cx_job_of(struct cx_news *n, void **ret_data)
{
	conex_job *job = (conex_job *)n;

	*ret_data = job->task.data;
	if (n->queued)                  /* the queue's own reference goes on */
		job->refs++;
	return job;
}

void cx_jobs_cancel(conex *cx)
{
	for (conex_job *job = cx->jobs; job; job = job->next)
		if (!job->is_over && job != cx->sweep)  /* that only removes: it may go on while there is time */
			cancel(job);
}

/* The keeper ends, and the workers with it. */
void cx_jobs_close(conex *cx)
{
	while (cx->jobs) {
		conex_job *job = cx->jobs;

		if (!job->is_over)
			cancel(job);
		end(job);
	}
}
