/* The id maps of an unprivileged user's container, at its barrier 0: newuidmap and newgidmap, which may write
 * what /etc/subuid and /etc/subgid allow, run side by side as helpers of the keeper. */
#include "container/container.h"
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
	conex_container *c;             /* counted */
	int pending;
	conex_error *err;               /* of the half that failed first */
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

static int begin_half(struct cx_maps *m, int n, conex_error **err)
{
	static const struct { const char *program, *map; } kinds[] = {
		{ "newuidmap", "linux.uidMappings" }, { "newgidmap", "linux.gidMappings" },
	};
	conex *cx = m->c->task.cx;
	struct half *h = &m->half[n];
	cx_autofree struct cx_plan *plan = NULL;
	cx_autofree char *file = cx_maps_helper(h->program = kinds[n].program);
	int r;

	h->maps = m;
	if (!file)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -ENOENT, NULL,
			"an unprivileged user's maps need it (package uidmap), and it needs its rights (no_new_privs)",
			"%s", h->program);
	h->said = memfd_create("conex-said", MFD_CLOEXEC);
	if (h->said < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "memfd_create", NULL, "%s", h->program);
	r = helper_plan(file, m->c->task.pid, cx_json_at(m->c->task.plan->spec, kinds[n].map), &plan, err);
	h->helper.timeout_ms = HELPER_MS;
	return r < 0 ? r : cx_keeper_help_later(cx, &h->helper, plan, 1U << CX_FD_ERR, &h->said, err);
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
	conex_container *c = m->c;
	struct cx_message lift = { .type = CX_MSG_LIFT, .id = c->task.id };

	if (m->err && !c->task.error) {
		c->task.error = m->err;
		m->err = NULL;
	}
	lift.kill.sig = c->task.error ? -conex_error_code(c->task.error) : 0;
	cx_keeper_send(c->task.cx, &lift, NULL, 0, NULL, 0, NULL);
	c->maps = NULL;
	for (int n = 0; n < 2; n++)
		cx_closep(&m->half[n].said);
	conex_error_free(m->err);
	free(m);
	cx_task_let_go(&c->task);
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

/* The pid is known, and stays the child's: it waits. Locked. */
void cx_maps_begin(conex_container *c)
{
	struct cx_maps *m = calloc(1, sizeof *m);
	struct cx_message lift = { .type = CX_MSG_LIFT, .id = c->task.id, .kill = { .sig = ENOMEM } };

	if (!m) {
		cx_keeper_send(c->task.cx, &lift, NULL, 0, NULL, 0, NULL);
		return;
	}
	m->c = c;
	c->refs++;
	c->maps = m;
	m->half[0].said = m->half[1].said = -1;
	m->pending = 1;                 /* ours: neither half ends it before both have begun */
	for (int n = 0; n < 2 && !m->err; n++) {
		m->half[n].helper.ended = half_ended;
		if (begin_half(m, n, &m->err) == 0)
			m->pending++;
	}
	if (--m->pending == 0)
		end(m);
}
