/* Interfaces that CNI plugins make: while the container's first process waits at its barrier (ADD), on request
 * (CHECK), and before its undoing (DEL). They run one after another as helpers of the keeper, and nobody waits for
 * them but this container. */
#include "container/container.h"
#include "container/joined.h"
#include "network/cni.h"
#include "plan/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

struct cx_chain {                       /* at most one a container */
	struct cx_helper helper;        /* first: it is handed back */
	conex_container *c;             /* counted */
	enum cx_cni_command command;
	struct cx_cni of[CX_LINKS_MAX]; /* one a network */
	struct cx_cni_call call;        /* the plugin that runs */
	int count, at;
	size_t plugin;
	conex_error *err;               /* the first that failed */
	struct check *check;            /* who waits; NULL */
};

struct check { int done; conex_error *err; };

static int is_cni(const struct joined *j)
{
	return j->network.driver == CX_NETWORK_CNI;
}

/* ---- one plugin ---- */

static int plugin_plan(const struct cx_cni_call *call, struct cx_plan **ret, conex_error **err)
{
	const char *args[] = { call->file, NULL };
	struct cx_build b = { .failed = 0 };
	int r;

	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, exec, "the CNI plugin", cx_cell_list(&b, args), cx_cell_list(&b, (const char *const *)call->env),
		cx_cell_text(&b, call->file));
	r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

#define PLUGIN_FDS (1U << CX_FD_IN | 1U << CX_FD_OUT | 1U << CX_FD_ERR | 1U << CX_FD_EXTRA)

static int64_t deadline_ms(void)
{
	const char *given = secure_getenv("CONEX_CNI_MS");      /* for tests */

	return given ? strtol(given, NULL, 10) : CX_CNI_PLUGIN_MS;
}

/* Locked. */
static int start(conex *cx, struct cx_helper *h, const struct cx_cni_call *call, conex_error **err)
{
	const int fds[] = { call->in, call->out, call->err, call->held };
	cx_autofree struct cx_plan *plan = NULL;
	int r = cx_keeper_start(cx, err);

	if (r == 0)
		r = plugin_plan(call, &plan, err);
	h->timeout_ms = deadline_ms();
	h->flags = CX_LAUNCH_RELEASED;  /* one that is killed midway leaves what its DEL doesn't find: it ends by itself */
	return r < 0 ? r : cx_keeper_help_later(cx, h, plan, PLUGIN_FDS, fds, err);
}

/* ---- the chain ---- */

static void free_chain(struct cx_chain *ch)
{
	for (int i = 0; i < ch->count; i++)
		cx_cni_clear(&ch->of[i]);
	cx_cni_call_clear(&ch->call);
	conex_error_free(ch->err);
	free(ch);
}

/* ADD and CHECK begin with the first network's first plugin, DEL with the last one's last. 0: there is none. */
static int is_left(const struct cx_chain *ch)
{
	return ch->at >= 0 && ch->at < ch->count;
}

static void first_plugin(struct cx_chain *ch)
{
	if (is_left(ch))
		ch->plugin = ch->command == CX_CNI_DEL ? cx_cni_count(&ch->of[ch->at]) - 1 : 0;
}

static void next_network(struct cx_chain *ch)
{
	ch->at += ch->command == CX_CNI_DEL ? -1 : 1;
	first_plugin(ch);
}

/* What the plugins say of a network is told when all of them are done. */
static int is_added(struct cx_chain *ch, conex_error **err)
{
	struct cx_cni *a = &ch->of[ch->at];
	struct cx_joined *joined = ch->c->joined;
	struct cx_journal *journal;
	int r = cx_cni_cache(a);

	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "open", NULL, "the result in " CX_CNI_RESULTS);
	r = cx_journal_open(ch->c->task.cx->state, ch->c->id, &journal, err);
	if (r < 0)
		return r;
	for (int i = 0; i < joined->count; i++)
		if (joined->of[i].attachment && !strcmp(joined->of[i].attachment, a->file)) {
			cx_cni_addresses(json_object_get(a->root, "result"), joined->of[i].address);
			cx_joined_note(journal, &joined->of[i]);
		}
	r = cx_journal_flush(journal, err);
	cx_journal_free(journal);
	return r;
}

static void is_deleted(struct cx_chain *ch)
{
	const char *file = ch->of[ch->at].file;
	struct cx_joined *joined = ch->c->joined;
	int r = cx_cni_forget(&ch->of[ch->at]);

	if (r < 0)
		cx_log(ch->c->task.cx, 4, "container %s: %s: %s", ch->c->id, file, strerrordesc_np(-r));
	for (int i = 0; joined && i < joined->count; i++)
		if (joined->of[i].attachment && !strcmp(joined->of[i].attachment, file))
			cx_freep(&joined->of[i].attachment);
}

/* Behind a plugin that has done its part. */
static int advance(struct cx_chain *ch, conex_error **err)
{
	struct cx_cni *a = &ch->of[ch->at];
	int r = 0;

	if (ch->command == CX_CNI_ADD && (r = cx_cni_save(a)) < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "write", NULL, "%s", a->file);
	if (ch->command == CX_CNI_DEL ? ch->plugin > 0 : ch->plugin + 1 < cx_cni_count(a)) {
		ch->plugin += ch->command == CX_CNI_DEL ? -1 : 1;
		return 0;
	}
	if (ch->command == CX_CNI_ADD)
		r = is_added(ch, err);
	else if (ch->command == CX_CNI_DEL)
		is_deleted(ch);
	next_network(ch);
	return r;
}

static void end(struct cx_chain *ch)
{
	conex_container *c = ch->c;

	c->chain = NULL;
	if (ch->command == CX_CNI_ADD) {
		if (ch->err && !c->task.error)
			c->task.error = cx_error_copy(ch->err);
		cx_task_lift(&c->task, ch->err ? ECANCELED : 0);
	} else if (ch->command == CX_CNI_DEL) {
		c->unplugged = ch->err ? -1 : 1;
		if (ch->err)
			cx_log(c->task.cx, 3, "container %s: the next one that opens its state directory tries again: %s",
				c->id, conex_error_text(ch->err));
	} else if (ch->check) {
		ch->check->done = 1;
		ch->check->err = ch->err;
		ch->err = NULL;
	}
	free_chain(ch);
	if (c->undo_later)
		c->task.cx->containers->undo_pending = 1;
	cx_context_notify(c->task.cx);
	cx_task_let_go(&c->task);
}

/* A list ends at its first fault, as the specification has it; DEL goes on with the other networks'. */
static void go_on(struct cx_chain *ch, int r, conex_error *why)
{
	if (r < 0 && !ch->err)
		ch->err = why;
	else
		conex_error_free(why);
	if (r < 0 && ch->command == CX_CNI_DEL)
		next_network(ch);
	else if (r < 0)
		ch->at = ch->count;
}

/* Starts the next one that can be started; at the end of all, ends. */
static void run_next(struct cx_chain *ch)
{
	conex *cx = ch->c->task.cx;

	while (is_left(ch)) {
		conex_error *err = NULL;
		int r = ch->command != CX_CNI_DEL && ch->c->task.state >= CONEX_EXITED
			? cx_fail(&err, CONEX_STAGE_LAUNCH, -ECANCELED, NULL, NULL, "container %s has ended", ch->c->id)
			: cx_cni_call_make(&ch->of[ch->at], ch->command, ch->plugin, &ch->call, &err);

		if (r == 0 && (r = start(cx, &ch->helper, &ch->call, &err)) == 0)
			return;
		cx_cni_call_clear(&ch->call);
		go_on(ch, r, err);
	}
	end(ch);
}

static void plugin_ended(conex *cx, struct cx_helper *h)
{
	struct cx_chain *ch = (struct cx_chain *)h;
	struct cx_cni *a = &ch->of[ch->at];
	conex_error *err = NULL;
	int r;

	(void)cx;
	if (h->done < 0)
		r = cx_cni_call_failed(a, ch->command, ch->plugin, h->done, &err);
	else if (h->cause == CX_ENDED_TIMEOUT)
		r = cx_cni_call_failed(a, ch->command, ch->plugin, -ETIMEDOUT, &err);
	else
		r = cx_cni_call_end(a, ch->command, ch->plugin, &ch->call, h->status, &err);
	cx_cni_call_clear(&ch->call);
	if (r == 0)
		r = advance(ch, &err);
	go_on(ch, r, err);
	run_next(ch);
}

static struct cx_chain *chain_new(conex_container *c, enum cx_cni_command command)
{
	struct cx_chain *ch = calloc(1, sizeof *ch);

	if (!ch)
		return NULL;
	ch->c = c;
	ch->command = command;
	ch->helper.ended = plugin_ended;
	ch->call = (struct cx_cni_call){ .in = -1, .out = -1, .err = -1, .held = -1 };
	return ch;
}

static void chain_begin(struct cx_chain *ch)
{
	ch->c->refs++;
	ch->c->chain = ch;
	ch->at = ch->command == CX_CNI_DEL ? ch->count - 1 : 0;
	first_plugin(ch);
	run_next(ch);
}

void cx_cni_drop(conex_container *c)
{
	struct cx_chain *ch = c->chain;

	if (!ch)
		return;
	c->chain = NULL;
	free_chain(ch);
	cx_container_unref(c);
}

/* ---- ADD ---- */

/* What can be refused before anything runs. */
static int prepare_one(conex_container *c, struct joined *j, conex_error **err)
{
	int r = cx_cni_check_name(c->id, "conex_run_options.id", err);      /* theirs are a bit stricter than ours */

	if (r == 0)
		r = cx_cni_locate_all(j->list, cx_cni_path(), err);
	if (r == 0 && asprintf(&j->planned, "%s/attached/%s", j->network.path, j->lease.tag) < 0) {
		j->planned = NULL;
		r = cx_fail_memory(err);
	}
	return r;
}

int cx_cni_prepare(conex_container *c, const struct cx_networks *place, conex_error **err)
{
	int r = 0, mapped = !c->published || cx_container_has_bridge(c);   /* by the first that takes them */

	for (int i = 0; i < c->joined->count && r == 0; i++) {
		struct joined *j = &c->joined->of[i];

		if (!is_cni(j))
			continue;
		r = prepare_one(c, j, err);
		if (r == 0 && !c->joined->pin && asprintf(&c->joined->pin, "%s/.pins/%s", place->path, j->lease.tag) < 0) {
			c->joined->pin = NULL;
			r = cx_fail_memory(err);
		}
		if (r == 0 && !mapped && cx_cni_takes(j->list, "portMappings")) {
			mapped = 1;
			if (!(j->ports = cx_ports_mappings(c)))
				r = cx_fail_memory(err);
		}
	}
	if (r == 0 && c->joined->pin && mkdirat(place->dir, ".pins", 0700) < 0 && errno != EEXIST)
		r = cx_fail_errno(err, CONEX_STAGE_LAUNCH, "mkdir", NULL, "%s/.pins", place->path);
	return r;
}

static int journal(conex_container *c, conex_error **err)
{
	struct cx_journal *j;
	int r = cx_journal_open(c->task.cx->state, c->id, &j, err);

	if (r < 0)
		return r;
	cx_journal_undo(j, CX_OP_undo_unlink, c->joined->pin);
	cx_journal_undo(j, CX_OP_undo_umount, c->joined->pin);
	for (int i = 0; i < c->joined->count; i++)
		if (is_cni(&c->joined->of[i])) {
			cx_journal_undo(j, CX_OP_undo_cni, c->joined->of[i].planned);
			cx_journal_note(j, "attachment", c->joined->of[i].planned);
		}
	r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

/* The namespace has to outlive its processes: what plugins have to undo in it most of them only find from there. */
static int pin(conex_container *c, conex_error **err)
{
	char namespace[40];
	cx_autoclose int fd = open(c->joined->pin, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "open", NULL, "%s", c->joined->pin);
	c->joined->is_pinned = 1;
	snprintf(namespace, sizeof namespace, "/proc/%d/ns/net", (int)c->task.pid);
	if (mount(namespace, c->joined->pin, NULL, MS_BIND, NULL) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "mount", "CNI networks take CAP_SYS_ADMIN", "%s on %s", namespace,
			c->joined->pin);
	return 0;
}

void cx_cni_unpin(conex_container *c)
{
	struct cx_joined *joined = c->joined;

	if (!joined || !joined->is_pinned || c->unplugged < 0)
		return;
	umount2(joined->pin, MNT_DETACH | UMOUNT_NOFOLLOW);
	unlink(joined->pin);
	joined->is_pinned = 0;
}

/* As the plugins' conventions have it: bits a second, and in how many bits at once. 0, -1 */
static int put_limits(const conex_plan *plan, json_t *capabilities)
{
	const struct { const char *rate, *burst; uint64_t bps; } ways[] = {
		{ "ingressRate", "ingressBurst", plan->ingress_bps }, { "egressRate", "egressBurst", plan->egress_bps },
	};
	json_t *limits = json_object();
	int r = limits ? 0 : -1;

	for (size_t i = 0; i < CX_ARRAY_SIZE(ways) && r == 0; i++)
		if (ways[i].bps)
			r = json_object_set_new(limits, ways[i].rate, json_integer((json_int_t)ways[i].bps))
				| json_object_set_new(limits, ways[i].burst, json_integer(INT32_MAX));     /* as Kubernetes */
	if (r == 0 && json_object_size(limits))
		r = json_object_set(capabilities, "bandwidth", limits);
	json_decref(limits);
	return r;
}

static int attach(conex_container *c, int n, struct cx_cni *a, conex_error **err)
{
	struct joined *j = &c->joined->of[n];
	char interface[16];
	int r;

	snprintf(interface, sizeof interface, "eth%d", n);
	a->file = strdup(j->planned);
	a->root = json_pack("{s:O, s:s, s:s, s:s, s:s, s:{}}", "config", j->list, "containerId", c->id, "ifName", interface,
		"netns", c->joined->pin, "path", cx_cni_path(), "capabilityArgs");
	if (!a->file || !a->root || put_limits(c->task.plan, json_object_get(a->root, "capabilityArgs")) < 0 || (j->ports
	    && json_object_set(json_object_get(a->root, "capabilityArgs"), "portMappings", j->ports) < 0))
		return cx_fail_memory(err);
	r = cx_cni_save(a);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "write", NULL, "%s", a->file);
	j->attachment = j->planned;
	j->planned = NULL;
	return 0;
}

int cx_cni_plug(conex_container *c, conex_error **err)
{
	struct cx_chain *ch;
	int r;

	if (!c->joined || !c->joined->pin)
		return 0;
	ch = chain_new(c, CX_CNI_ADD);
	if (!ch)
		return cx_fail_memory(err);
	r = journal(c, err);
	if (r == 0)
		r = pin(c, err);
	for (int i = 0; i < c->joined->count && r == 0; i++)
		if (is_cni(&c->joined->of[i]))
			r = attach(c, i, &ch->of[ch->count++], err);
	if (r < 0) {
		free_chain(ch);
		return r;
	}
	chain_begin(ch);
	return 1;
}

/* ---- DEL and CHECK ---- */

/* Of another process's container they are in its journal. */
static int collect_foreign(struct cx_chain *ch)
{
	struct cx_record *record;
	cx_autofree const char **files = NULL;
	int n;

	if (cx_record_read(ch->c->task.cx->state, ch->c->id, &record, NULL) < 0)
		return 0;
	n = cx_record_notes(record, "attachment", &files);
	for (int i = 0; i < n && ch->count < CX_LINKS_MAX; i++)
		ch->count += cx_cni_load(files[i], &ch->of[ch->count]) == 0;
	cx_record_free(record);
	return ch->count;
}

/* What can't be read is left to the journal. */
static int collect(struct cx_chain *ch)
{
	const struct cx_joined *joined = ch->c->joined;

	if (ch->c->start)
		return collect_foreign(ch);
	for (int i = 0; joined && i < joined->count; i++)
		if (joined->of[i].attachment)
			ch->count += cx_cni_load(joined->of[i].attachment, &ch->of[ch->count]) == 0;
	return ch->count;
}

/* A keeper that was killed has left its plugin alone, which may be at it still. */
static int is_idle(const struct cx_chain *ch)
{
	for (int i = 0; i < ch->count; i++)
		if (cx_cni_wait_idle(&ch->of[i], 0) < 0)
			return 0;
	return 1;
}

int cx_cni_unplug(conex_container *c)
{
	struct cx_chain *ch;

	if (c->unplugged || (!c->joined && !c->start))
		return 0;
	ch = chain_new(c, CX_CNI_DEL);
	if (!ch)
		return 1;       /* later */
	if (!collect(ch) || !is_idle(ch)) {
		c->unplugged = !ch->count;
		free_chain(ch);
		return !c->unplugged;
	}
	c->unplugged = 1;
	chain_begin(ch);
	return c->chain != NULL;
}

static int is_checked(void *arg)
{
	return ((struct check *)arg)->done;
}

/* Those whose list says that it isn't to be checked are fine. */
static int collect_to_check(struct cx_chain *ch, conex_error **err)
{
	int kept = 0;

	collect(ch);
	for (int i = 0; i < ch->count; i++) {
		const json_t *no = json_object_get(cx_cni_list(&ch->of[i]), "disableCheck");
		const char *text = json_string_value(no);
		struct cx_cni one = ch->of[i];

		if (!cx_cni_is_new(cx_cni_list(&one)))
			return cx_fail(err, CONEX_STAGE_RUN, -EOPNOTSUPP, NULL, "CHECK takes \"cniVersion\" 0.4.0 or later",
				"CNI network %s", cx_json_text(one.root, "config.name"));
		ch->of[i] = (struct cx_cni){ NULL, NULL };
		if (json_is_true(no) || (text && !strcmp(text, "true")))
			cx_cni_clear(&one);
		else
			ch->of[kept++] = one;
	}
	ch->count = kept;
	return 0;
}

/* Locked. */
static int check(conex_container *c, conex_error **err)
{
	struct check waiting = { .done = 0 };
	struct cx_chain *ch;
	int r;

	if (c->task.state == CONEX_CREATING || c->task.state >= CONEX_EXITED)
		return cx_fail(err, CONEX_STAGE_RUN, -ESRCH, NULL, NULL, "container %s doesn't run", c->id);
	if (c->chain)
		return cx_fail(err, CONEX_STAGE_RUN, -EBUSY, NULL, "another thread is at it", "container %s", c->id);
	ch = chain_new(c, CX_CNI_CHECK);
	if (!ch)
		return cx_fail_memory(err);
	r = collect_to_check(ch, err);
	if (r < 0) {
		free_chain(ch);
		return r;
	}
	ch->check = &waiting;
	chain_begin(ch);
	r = cx_context_wait(c->task.cx, -1, is_checked, &waiting);
	if (!waiting.done && c->chain)
		c->chain->check = NULL;
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r, NULL, NULL, "the context was closed");
	r = waiting.err ? conex_error_code(waiting.err) : 0;
	if (err && waiting.err) {
		conex_error_free(*err);
		*err = waiting.err;
	} else {
		conex_error_free(waiting.err);
	}
	return r;
}

int conex_container_check_networks(conex_container *c, conex_error **err)
{
	int r = cx_context_lock_to_change(c->task.cx, err);

	if (r < 0)
		return r;
	c->refs++;
	r = c->task.state == CONEX_DELETED ? cx_fail(err, CONEX_STAGE_RUN, -ENOENT, NULL, NULL, "container %s was deleted", c->id)
		: cx_container_check_links(c, err);
	if (r == 0)
		r = check(c, err);
	cx_task_let_go(&c->task);
	cx_context_unlock(c->task.cx);
	return r;
}

/* ---- ports ---- */

int cx_cni_takes_ports(const conex_container *c, conex_error **err)
{
	const char *refused = NULL;

	if (cx_container_has_bridge(c))
		return 0;
	for (int i = 0; i < c->joined->count; i++) {
		const struct joined *j = &c->joined->of[i];

		if (is_cni(j) && cx_cni_takes(j->list, "portMappings"))
			return 1;
		refused = is_cni(j) ? j->network.list : refused;
	}
	return refused ? cx_refuse(err, -EOPNOTSUPP, "conex_run_options.ports", NULL, "no plugin of CNI network %s takes them: "
		"add portmap with \"capabilities\": {\"portMappings\": true} to its list", refused) : 0;
}

/* ---- for whoever plays a journal in this process ---- */

int cx_cni_run(const struct cx_cni_call *call, int *ret_status, void *data)
{
	struct cx_helper h = { .ended = NULL, .gift = -1 };
	conex *cx = data;
	int r = cx_context_lock(cx, NULL);

	if (r < 0)
		return -EBUSY;
	r = start(cx, &h, call, NULL);
	if (r == 0)
		r = cx_keeper_wait(cx, &h);
	cx_context_unlock(cx);
	cx_closep(&h.gift);
	if (r == 0)
		*ret_status = h.status;
	return r < 0 ? r : h.cause == CX_ENDED_TIMEOUT ? -ETIMEDOUT : 0;
}
