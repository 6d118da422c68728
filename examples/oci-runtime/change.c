/* kill, delete, pause, resume, update: what changes a container that is there. */
#include "oci.h"

#include <ctype.h>
#include <errno.h>

/* "15", "TERM", "SIGTERM", "sigterm", "RTMIN+3"; -1: no such signal */
static int parse_signal(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text && !*end)
		return n > 0 && n <= 64 ? (int)n : -1;
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (int sig = 1; sig < 32; sig++)
		if (!strcasecmp(text, sigabbrev_np(sig)))
			return sig;
	if (!strncasecmp(text, "RTMIN", 5) || !strncasecmp(text, "RTMAX", 5)) {
		n = (toupper((unsigned char)text[4]) == 'N' ? SIGRTMIN : SIGRTMAX) + strtol(text + 5, &end, 10);
		return !*end && n >= SIGRTMIN && n <= SIGRTMAX ? (int)n : -1;
	}
	return -1;
}

/* Opens, finds, does, closes. */
static int with_container(struct oci *rt, int (*act)(struct oci *, conex_container *))
{
	conex_container *c = NULL;
	int r = open_context(rt, 0);

	if (r == 0)
		r = get_container(rt, &c);
	if (r == 0)
		r = act(rt, c);
	conex_container_free(c);
	return r < 0;
}

/* ---- kill ---- */

static int kill_it(struct oci *rt, conex_container *c)
{
	const char *name = rt->o.count > 1 ? rt->o.args[1] : "TERM";
	int sig = parse_signal(name), r;

	if (sig < 0)
		return say("unknown signal \"%s\"", name);
	if (rt->o.all)
		r = conex_container_kill_all(c, sig, &rt->err);
	else
		r = conex_container_kill(c, sig, &rt->err);
	if (r == -ESRCH || r == -ENOENT)
		return rt->o.all ? 0 : say("container not running");
	return r < 0 ? say_error(rt, "kill") : 0;
}

int verb_kill(struct oci *rt)
{
	return with_container(rt, kill_it);
}

/* ---- delete ---- */

static int delete_it(struct oci *rt, conex_container *c)
{
	static const char *const names[] = { "", "creating", "created", "running", "paused" };
	int state = conex_container_state(c), r;

	if (state < CONEX_EXITED && !rt->o.force)
		return say("cannot delete container %s that is not stopped: %s", rt->id, names[state]);
	r = conex_container_delete(c, 10000, &rt->err);
	if (r == 0)
		return say("container %s is still being removed after 10 s", rt->id);
	return r < 0 ? say_error(rt, "delete") : 0;
}

/* Twice is once: engines clean up again after they have cleaned up. */
int verb_delete(struct oci *rt)
{
	conex_container *c = NULL;
	int r;

	if (open_context(rt, 0) < 0)
		return 1;
	r = conex_container_get(rt->cx, rt->id, &c, &rt->err);
	if (r == -ENOENT && rt->o.force)
		return 0;
	if (r == -ENOENT)
		return say("container %s does not exist", rt->id), 1;
	r = r < 0 ? say_error(rt, "container") : delete_it(rt, c);
	conex_container_free(c);
	return r < 0;
}

/* ---- pause, resume ---- */

static int pause_it(struct oci *rt, conex_container *c)
{
	int state = conex_container_state(c), r;

	if (state != CONEX_RUNNING && state != CONEX_HELD)
		return say(state == CONEX_PAUSED ? "container already paused" : "container not running");
	r = conex_container_pause(c, 10000, &rt->err);
	if (r == 0)
		return say("container %s is not paused yet after 10 s", rt->id);
	return r < 0 ? say_error(rt, "pause") : 0;
}

static int resume_it(struct oci *rt, conex_container *c)
{
	if (conex_container_state(c) != CONEX_PAUSED)
		return say("container not paused");
	return conex_container_resume(c, &rt->err) < 0 ? say_error(rt, "resume") : 0;
}

int verb_pause(struct oci *rt)
{
	return with_container(rt, pause_it);
}

int verb_resume(struct oci *rt)
{
	return with_container(rt, resume_it);
}

/* ---- update ---- */

/* A JSON object of the values that were given, with a comma before it unless it is the first. */
static void add_section(FILE *f, const char *name, const char *const *pairs, int quoted_from)
{
	int first = 1;

	for (int i = 0; pairs[i]; i += 2) {
		const char *quote = i >= quoted_from ? "\"" : "";

		if (!*pairs[i + 1])
			continue;
		if (first)
			fprintf(f, "%s\"%s\":{", ftell(f) > 1 ? "," : "", name);
		fprintf(f, "%s\"%s\":%s%s%s", first ? "" : ",", pairs[i], quote, pairs[i + 1], quote);
		first = 0;
	}
	if (!first)
		fputs("}", f);
}

/* "512M" as bytes, "-1" as it is, "" where nothing was given. */
static int bytes(struct oci *rt, const char *text, char to[24])
{
	uint64_t n;

	snprintf(to, 24, "%s", text ? text : "");
	if (!text || !strcmp(text, "-1"))
		return 0;
	if (conex_parse_size(text, &n, &rt->err) < 0)
		return say_error(rt, "update");
	snprintf(to, 24, "%llu", (unsigned long long)n);
	return 0;
}

static int is_number(const char *text)
{
	return !text || (*text && !text[(*text == '-') + strspn(text + (*text == '-'), "0123456789")]);
}

static char *resources_of_flags(struct oci *rt)
{
	const struct options *o = &rt->o;
	char memory[24], swap[24], reservation[24], *json = NULL;
	size_t size;
	FILE *f;

	if (!is_number(o->cpu_quota) || !is_number(o->cpu_period) || !is_number(o->cpu_share) || !is_number(o->pids_limit))
		return say("update: limits are whole numbers"), NULL;
	if (bytes(rt, o->memory, memory) < 0 || bytes(rt, o->memory_swap, swap) < 0
	    || bytes(rt, o->memory_reservation, reservation) < 0 || !(f = open_memstream(&json, &size)))
		return NULL;
#define OR_NONE(text) ((text) ? (text) : "")
	fputs("{", f);
	add_section(f, "memory", (const char *const[]){ "limit", memory, "swap", swap, "reservation", reservation, NULL }, 99);
	add_section(f, "cpu", (const char *const[]){ "quota", OR_NONE(o->cpu_quota), "period", OR_NONE(o->cpu_period),
		"shares", OR_NONE(o->cpu_share), "cpus", OR_NONE(o->cpuset_cpus), "mems", OR_NONE(o->cpuset_mems), NULL }, 6);
	add_section(f, "pids", (const char *const[]){ "limit", OR_NONE(o->pids_limit), NULL }, 99);
#undef OR_NONE
	fputs("}", f);
	fclose(f);
	return json;
}

static char *read_resources(const char *path)
{
	FILE *f = !strcmp(path, "-") ? stdin : fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!f || getdelim(&text, &size, '\0', f) < 0) {
		say("--resources %s: %s", path, f ? "there is nothing in it" : strerror(errno));
		free(text);
		text = NULL;
	}
	if (f && f != stdin)
		fclose(f);
	return text;
}

static int update_it(struct oci *rt, conex_container *c)
{
	char *json = rt->o.resources ? read_resources(rt->o.resources) : resources_of_flags(rt);
	struct conex_limits limits = { .size = sizeof limits, .oci = json };
	int r;

	if (!json)
		return -1;
	r = conex_container_update(c, &limits, &rt->err);
	free(json);
	if (r == -ESRCH)
		return say("container not running");
	return r < 0 ? say_error(rt, "update") : 0;
}

int verb_update(struct oci *rt)
{
	return with_container(rt, update_it);
}
