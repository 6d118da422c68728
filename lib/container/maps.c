/* The id maps of an unprivileged user's container, or of a worker of images, at its barrier 0: newuidmap and newgidmap,
 * which may write what /etc/subuid and /etc/subgid allow, run side by side as helpers of the keeper. */
#include "container/container.h"
#include "namespace/compile.h"
#include "namespace/maps.h"
#include "plan/build.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { HELPER_MS = 60000, NUMBERS = 12 };

struct half {
	struct cx_helper helper;        /* first: it is handed back */
	struct cx_maps *maps;
	const char *program;
	int said;                       /* a memfd: its stderr */
};

struct cx_maps {
	struct half half[2];
	conex *cx;                      /* whoever is .arg holds it */
	uint64_t id;                    /* of the launch that waits */
	int pending;
	conex_error *err;               /* of the half that failed first */
	void (*done)(void *arg, conex_error *err);
	void *arg;
};

/* newuidmap PID (INSIDE OUTSIDE COUNT)... */
static int helper_plan(const char *file, pid_t pid, const json_t *map, struct cx_plan **ret, conex_error **err)
{
	static const char *const fields[] = { "containerID", "hostID", "size" };
	size_t n = json_array_size(map) * 3 + 2, at = 2;
	cx_autofree char (*texts)[NUMBERS] = calloc(n, sizeof *texts);
	cx_autofree const char **args = calloc(n + 1, sizeof *args);
	struct cx_build b = { .failed = 0 };
	const json_t *range;
	size_t i;
	int r;

	if (!texts || !args)
		return cx_fail_memory(err);
	args[0] = file;
	args[1] = texts[1];
	snprintf(texts[1], NUMBERS, "%d", (int)pid);
	json_array_foreach(map, i, range)
		for (int k = 0; k < 3; k++, at++) {
			snprintf(texts[at], NUMBERS, "%u", (uint32_t)cx_json_int(range, fields[k], 0));
			args[at] = texts[at];
		}
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, death_signal, NULL);
	cx_op(&b, exec, NULL, cx_cell_list(&b, args), 0);
	r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

static int begin_half(struct cx_maps *m, int n, pid_t pid, const json_t *map, conex_error **err)
{
	static const char *const programs[] = { "newuidmap", "newgidmap" };
	struct half *h = &m->half[n];
	cx_autofree struct cx_plan *plan = NULL;
	cx_autofree char *file = cx_maps_helper(h->program = programs[n]);
	int r;

	h->maps = m;
	if (!file)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -ENOENT, NULL,
			"an unprivileged user's maps need it (package uidmap), and it needs its rights (no_new_privs)",
			"%s", h->program);
	h->said = memfd_create("conex-said", MFD_CLOEXEC);
	if (h->said < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "memfd_create", NULL, "%s", h->program);
	r = helper_plan(file, pid, map, &plan, err);
	h->helper.timeout_ms = HELPER_MS;
	return r < 0 ? r : cx_keeper_help_later(m->cx, &h->helper, plan, 1U << CX_FD_ERR, &h->said, err);
}

/* Its own first line is the best hint. */
static int why(struct half *h, conex_error **err)
{
	int code = h->helper.done < 0 ? h->helper.done : h->helper.cause == CX_ENDED_TIMEOUT ? -ETIMEDOUT : -EPERM;
	char text[256] = "";

	if (pread(h->said, text, sizeof text - 1, 0) < 0)
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return cx_fail(err, CONEX_STAGE_LAUNCH, code, NULL, *text ? text
		: "is it set-user-id root, and are the ids in /etc/subuid and /etc/subgid?", "%s", h->program);
}

static void end(struct cx_maps *m)
{
	cx_keeper_lift(m->cx, m->id, m->err ? -conex_error_code(m->err) : 0);
	for (int n = 0; n < 2; n++)
		cx_closep(&m->half[n].said);
	m->done(m->arg, m->err);
	free(m);
}

static void half_ended(conex *cx, struct cx_helper *helper)
{
	struct half *h = (struct half *)helper;

	(void)cx;
	if ((helper->done < 0 || helper->status || helper->cause) && !h->maps->err)
		why(h, &h->maps->err);
	if (--h->maps->pending == 0)
		end(h->maps);
}

/* Its pid is known, and stays its: it waits. */
static void write_maps(conex *cx, uint64_t id, pid_t pid, const json_t *uids, const json_t *gids,
	void (*done)(void *arg, conex_error *err), void *arg)
{
	struct cx_maps *m = calloc(1, sizeof *m);
	conex_error *err = NULL;

	if (!m) {
		cx_fail_memory(&err);
		cx_keeper_lift(cx, id, ENOMEM);
		done(arg, err);
		return;
	}
	*m = (struct cx_maps){ .cx = cx, .id = id, .done = done, .arg = arg };
	m->half[0].said = m->half[1].said = -1;
	m->pending = 1;                 /* ours: neither half ends it before both have begun */
	for (int n = 0; n < 2 && !m->err; n++) {
		m->half[n].helper.ended = half_ended;
		if (begin_half(m, n, pid, n ? gids : uids, &m->err) == 0)
			m->pending++;
	}
	if (--m->pending == 0)
		end(m);
}

/* ---- a container's ---- */

static void container_mapped(void *arg, conex_error *err)
{
	conex_container *c = arg;

	if (!c->task.error)
		c->task.error = err;
	else
		conex_error_free(err);
	c->maps = 0;
	cx_task_let_go(&c->task);
}

void cx_maps_begin(conex_container *c)
{
	const json_t *spec = c->task.plan->spec;

	c->refs++;
	c->maps = 1;
	write_maps(c->task.cx, c->task.id, c->task.pid, cx_json_at(spec, "linux.uidMappings"),
		cx_json_at(spec, "linux.gidMappings"), container_mapped, c);
}

/* ---- a worker's ---- */

static int compile_maps(struct cx_build *b, json_t **ret_uids, json_t **ret_gids)
{
	int r = cx_maps_default(ret_uids, ret_gids);

	if (r == 0)
		cx_namespace_compile_own(b, *ret_uids, *ret_gids);
	return r;
}

const struct cx_own_ids cx_maps_own_ids = { .compile = compile_maps, .write = write_maps };
