/* The one message by which the keeper learns all about a launch, and waiting for its answer. */
#include "container/container.h"

#include <string.h>

enum { INLINE_LAUNCH = 48 * 1024 };     /* larger launch buffers go in a memfd */

/* ---- the launch buffer ---- */

static uint32_t add_text(struct cx_str *b, const char *text)
{
	uint32_t at = (uint32_t)b->size;

	cx_str_add(b, text, strlen(text) + 1);
	return b->failed ? 0 : at;
}

/* count, offsets, texts; aligned for uint32_t. */
static uint32_t add_list(struct cx_str *b, uint32_t count, const char *(*item)(const void *list, uint32_t n),
	const void *list)
{
	static const char zero[8];
	uint32_t at;

	cx_str_add(b, zero, (8 - b->size % 8) % 8);
	at = (uint32_t)b->size;
	cx_str_add(b, &count, sizeof count);
	for (uint32_t i = 0; i < count; i++)
		cx_str_add(b, zero, sizeof(uint32_t));
	for (uint32_t i = 0; i < count; i++) {
		uint32_t text = add_text(b, item(list, i));

		if (!b->failed)
			memcpy(b->data + at + (1 + i) * sizeof(uint32_t), &text, sizeof text);
	}
	return at;
}

static uint32_t add_bytes(struct cx_str *b, const struct cx_str *bytes)
{
	static const char zero[4];
	uint32_t at, size = (uint32_t)bytes->size;

	cx_str_add(b, zero, (4 - b->size % 4) % 4);
	at = (uint32_t)b->size;
	cx_str_add(b, &size, sizeof size);
	cx_str_add(b, bytes->data, bytes->size);
	return at;
}

static const char *array_item(const void *list, uint32_t n)
{
	return ((const char *const *)list)[n];
}

static const char *json_item(const void *list, uint32_t n)
{
	return json_string_value(json_array_get(list, n));
}

/* Does systemd put it into its cgroup, when it has been cloned elsewhere? */
static int is_placed(const struct cx_task *t)
{
	return t->kind == CX_TASK_CONTAINER ? ((const conex_container *)t)->by_systemd != 0
		: ((const conex_process *)t)->container->by_systemd == CX_BY_USER_SYSTEMD;
}

/* Texts about the cgroup: where to attach, how to clone into it, how to kill it all. */
static int add_cgroup(struct cx_str *b, struct cx_launch *l, const struct cx_request *r)
{
	const struct cx_cgroups *g = r->task->cx->cgroups;
	cx_autofree char *clone = NULL, *kill = NULL;
	int pid_ns = (r->task->plan->bytes->flags & CX_PLAN_PID_NS) && r->task->kind == CX_TASK_CONTAINER;

	if (!r->cgroup)
		return 0;
	l->slot[CX_SLOT_CGROUP] = add_text(b, r->cgroup);
	/* A scope isn't there yet, and what is there by that name may be another's. */
	if (is_placed(r->task))
		return 0;
	if (cx_cgroup_clone_path(g, r->cgroup, &clone) < 0
	    || (!pid_ns && r->task->kind == CX_TASK_CONTAINER && cx_cgroup_kill_path(g, r->cgroup, &kill) < 0))
		return -ENOMEM;
	if (clone)
		l->cgroup2 = add_text(b, clone);
	if (kill)
		l->cgroup_kill = add_text(b, kill);
	return 0;
}

static void add_snapshot(struct cx_str *b, struct cx_launch *l, const char *path)
{
	cx_autostr text = { 0 };
	size_t n = strlen(path);

	cx_str_addf(&text, "%s/upper", path);
	l->slot[CX_SLOT_UPPER] = text.failed ? 0 : add_text(b, text.data);
	text.size = 0;
	cx_str_addf(&text, "%s/work", path);
	l->slot[CX_SLOT_WORK] = text.failed || text.size < n ? 0 : add_text(b, text.data);
	if (text.failed)
		b->failed = text.failed;
}

static int build_launch(struct cx_str *b, const struct cx_request *r, uint32_t fds, conex_error **err)
{
	struct cx_launch l = { .magic = CX_LAUNCH_MAGIC, .flags = r->launch_flags, .fds = fds,
		.timeout_ms = r->options->timeout_ms };

	cx_str_add(b, &l, sizeof l);
	if (r->args)
		l.slot[CX_SLOT_ARGS] = add_list(b, cx_count(r->args), array_item, r->args);
	if (r->env)
		l.slot[CX_SLOT_ENV] = add_list(b, (uint32_t)json_array_size(r->env), json_item, r->env);
	if (r->state)
		l.slot[CX_SLOT_STATE] = add_text(b, r->state);
	if (r->hostname)
		l.slot[CX_SLOT_HOSTNAME] = add_text(b, r->hostname);
	if (r->snapshot)
		add_snapshot(b, &l, r->snapshot);
	if (r->network && r->network->inside.size)
		l.slot[CX_SLOT_NETWORK] = add_bytes(b, &r->network->inside);
	if (r->network && r->network->hosts)
		l.slot[CX_SLOT_HOSTS] = add_text(b, r->network->hosts);
	if (r->network && r->network->resolv)
		l.slot[CX_SLOT_RESOLV] = add_text(b, r->network->resolv);
	if (add_cgroup(b, &l, r) < 0 || b->failed)
		return cx_fail_memory(err);
	l.size = (uint32_t)b->size;
	memcpy(b->data, &l, sizeof l);
	return 0;
}

/* ---- the message ---- */

/* The descriptors in the order of enum cx_fd. stderr may be the same as stdout. */
static uint32_t collect_fds(const struct cx_request *r, int *fds, int *ret_count)
{
	const conex_plan *plan = r->task->plan;
	uint32_t bits = 0;
	int n = 0;

#define GIVE(which, fd) \
	do { \
		if ((fd) >= 0) { \
			fds[n++] = (fd); \
			bits |= 1U << (which); \
		} \
	} while (0)
	for (int i = 0; i < 3; i++)
		GIVE(CX_FD_IN + i, r->stdio.child[i]);
	GIVE(CX_FD_LISTEN, r->listener);
	GIVE(CX_FD_EXEC, r->target_pidfd);
	for (uint32_t i = 0; i < plan->joins; i++)
		GIVE(CX_FD_JOIN + i, conex_namespace_fd(plan->join[i]));
	for (uint32_t i = 0; i < r->options->fds_size; i++)
		GIVE(CX_FD_EXTRA + i, r->options->fds[i]);
#undef GIVE
	*ret_count = n;
	return bits;
}

int cx_request_send(struct cx_request *r, conex_error **err)
{
	struct cx_message m = { .type = CX_MSG_LAUNCH, .id = r->task->id,
		.launch = { .target = r->target } };
	int fds[CX_FD_COUNT + 1], n = 0, ret;
	cx_autostr b = { 0 };
	cx_autoclose int memfd = -1;

	ret = cx_plan_send(r->task->plan, err);
	if (ret == 0)
		ret = build_launch(&b, r, collect_fds(r, fds, &n), err);
	if (ret < 0)
		return ret;
	m.launch.plan = r->task->plan->id;
	if (b.size <= INLINE_LAUNCH)
		return cx_keeper_send(r->task->cx, &m, b.data, b.size, fds, n, err);
	fds[n++] = memfd = cx_keeper_memfd("conex-launch", b.data, b.size);
	if (memfd < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "memfd_create", NULL, "the launch");
	return cx_keeper_send(r->task->cx, &m, NULL, 0, fds, n, err);
}

static int no_longer_creating(void *arg)
{
	const struct cx_task *t = arg;

	return t->state != CONEX_CREATING
		&& (t->kind != CX_TASK_CONTAINER || !((const conex_container *)t)->hooks);
}

int cx_task_started(struct cx_task *t, conex_error **err)
{
	int r = cx_context_wait(t->cx, -1, no_longer_creating, t);

	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "the context was closed");
	if (!t->error)
		return 0;
	if (err) {
		conex_error_free(*err);
		*err = cx_error_copy(t->error);
		if (!*err)
			return cx_fail_memory(err);
	}
	return conex_error_code(t->error);
}
