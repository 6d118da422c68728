/* exec: one more program in a container, described by a file or by options. */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A file's text, or standard input's for "-"; free. NULL after saying why. */
static char *read_text(const char *path)
{
	FILE *f = !strcmp(path, "-") ? stdin : fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (f && getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	if (!text)
		say("%s: %s", path, errno ? strerror(errno) : "it is empty");
	if (f && f != stdin)
		fclose(f);
	return text;
}

static int spec_of_file(struct oci *rt, const char *path, conex_spec **ret)
{
	char *text = read_text(path), *json = NULL;
	int r = text ? asprintf(&json, "{\"ociVersion\":\"" OCI_VERSION "\",\"process\":%s}", text) : -1;

	free(text);
	if (r < 0)
		return -1;
	r = conex_spec_parse(json, ret, &rt->err);
	free(json);
	return r < 0 ? say_error(rt, path) : 0;
}

/* ---- options as a layer over the container's own process ---- */

static void add_list(FILE *f, const char *key, const struct values *list, int quoted)
{
	fprintf(f, "\"%s\":[", key);
	for (int i = 0; i < list->count; i++) {
		char *item = quoted ? json_quote(list->at[i]) : strdup(list->at[i]);

		fprintf(f, "%s%s", i ? "," : "", item ? item : "");
		free(item);
	}
	fputs("],", f);
}

static void add_text(FILE *f, const char *key, const char *value)
{
	char *text = value ? json_quote(value) : NULL;

	if (text)
		fprintf(f, "\"%s\":%s,", key, text);
	free(text);
}

/* The container's list with more behind it. */
static void add_capabilities(FILE *f, const conex_spec *spec, const struct values *caps)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };

	fputs("\"capabilities\":{", f);
	for (size_t s = 0; s < 3; s++) {
		char pointer[64], *list = NULL;

		snprintf(pointer, sizeof pointer, "/process/capabilities/%s", sets[s]);
		if (conex_spec_get(spec, pointer, &list, NULL) == 0 && strlen(list) > 1)
			list[strlen(list) - 1] = '\0';
		fprintf(f, "%s\"%s\":%s", s ? "," : "", sets[s], list ? list : "[");
		for (int i = 0; i < caps->count; i++)
			fprintf(f, "%s\"%s\"", i || (list && list[1]) ? "," : "", caps->at[i]);
		fputs("]", f);
		free(list);
	}
	fputs("},", f);
}

static char *layer(const struct options *o, const conex_spec *spec)
{
	char *json = NULL;
	size_t size;
	FILE *f = open_memstream(&json, &size);

	if (!f)
		return NULL;
	fputs("{\"process\":{", f);
	add_text(f, "cwd", o->cwd && *o->cwd ? o->cwd : NULL);
	add_text(f, "apparmorProfile", o->apparmor);
	if (o->env.count)
		add_list(f, "env", &o->env, 1);
	if (o->caps.count)
		add_capabilities(f, spec, &o->caps);
	if (o->no_new_privs)
		fputs("\"noNewPrivileges\":true,", f);
	if (o->gids.count) {
		fputs("\"user\":{", f);
		add_list(f, "additionalGids", &o->gids, 0);
		fseek(f, -1, SEEK_CUR);
		fputs("},", f);
	}
	fprintf(f, "\"terminal\":%s}}", o->tty ? "true" : "false");
	fclose(f);
	return json;
}

static int spec_of_options(struct oci *rt, conex_container *c, conex_spec **ret)
{
	conex_spec *spec = NULL;
	char *json;
	int r = conex_container_spec(c, &spec, &rt->err);

	if (r < 0)
		return say_error(rt, "exec failed");
	json = layer(&rt->o, spec);
	r = json ? conex_spec_merge(spec, json, &rt->err) : -1;
	free(json);
	if (r < 0) {
		conex_spec_free(spec);
		return say_error(rt, "exec failed");
	}
	*ret = spec;
	return 0;
}

/* ---- the program ---- */

static int is_terminal(const conex_spec *spec)
{
	char *text = NULL;
	int yes = conex_spec_get(spec, "/process/terminal", &text, NULL) == 0 && !strcmp(text, "true");

	free(text);
	return yes;
}

static int host_stdio(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? CONEX_STDIO_NULL : CONEX_STDIO_HOST;
}

static void give_stdio_to_user(struct oci *rt, conex_container *c, const conex_spec *spec)
{
	conex_spec *container = NULL;
	char *end = NULL;
	long long uid = rt->o.user ? strtoll(rt->o.user, &end, 10) : 0;

	if (rt->o.user && end == rt->o.user)
		return;                 /* a name is the container's own matter */
	if (!rt->o.user)
		json_number(spec, "/process/user/uid", 0, &uid);
	if (conex_container_spec(c, &container, NULL) == 0)
		give_stdio(container, uid);
	conex_spec_free(container);
}

static int execute(struct oci *rt, conex_container *c, const conex_spec *spec, int terminal, conex_process **ret)
{
	struct conex_run_options o = { .size = sizeof o, .spec = spec,
		.flags = terminal ? CONEX_RUN_TTY : 0, .user = rt->o.user };
	const char *const *args = rt->o.process ? NULL : (const char *const *)rt->o.args + 1;
	const char *env[3];
	int fds[MAX_FDS];

	if (extra_fds(&rt->o, fds, &o.fds_size, env) < 0)
		return -1;
	o.fds = fds;
	o.env = env[0] ? env : NULL;
	if (!terminal) {
		give_stdio_to_user(rt, c, spec);
		o.in = host_stdio(0);
		o.out = host_stdio(1);
		o.err = host_stdio(2);
	}
	return conex_exec(c, args, &o, ret, &rt->err) < 0 ? say_error(rt, "exec failed") : 0;
}

static int hand_out(struct oci *rt, conex_process *p, const conex_spec *spec, int terminal)
{
	const char *socket = rt->o.console_socket;
	struct size size = console_size(spec, socket && *socket);
	int master, r = 0;

	if (terminal && size.rows > 0 && size.columns > 0)
		conex_process_resize(p, size.rows, size.columns, NULL);
	if (terminal && socket && *socket) {
		master = conex_process_take_stdio(p, 0);
		r = send_console(socket, master);
		if (master >= 0)
			close(master);
	}
	if (r == 0 && rt->o.pidfd_socket)
		r = send_pidfd(rt->o.pidfd_socket, conex_process_pidfd(p));
	return r < 0 ? r : write_pid_file(rt->o.pid_file, conex_process_pid(p));
}

/* Started, and handed out; then the program's status, 0 if it goes on without us, 255 for our own errors. */
static int exec_in(struct oci *rt, conex_container *c, const conex_spec *spec, struct attended *a)
{
	int terminal = is_terminal(spec), status = 255;

	if (terminal && rt->o.detach && !(rt->o.console_socket && *rt->o.console_socket))
		return say("cannot allocate tty if conex-oci will detach without setting console socket"), 255;
	if (execute(rt, c, spec, terminal, &a->process) < 0)
		return !is_exec_error(rt->err) ? 255 : conex_error_code(rt->err) == -ENOENT ? 127 : 126;
	if (hand_out(rt, a->process, spec, terminal) < 0) {
		conex_process_kill(a->process, SIGKILL, NULL);
		return 255;
	}
	if (rt->o.detach)
		return 0;
	a->master = conex_process_take_stdio(a->process, 0);
	if (attend(rt, a, &status) < 0)
		say_error(rt, "exec");
	if (a->master >= 0)
		close(a->master);
	return status;
}

static int check_state(const conex_container *c)
{
	int state = conex_container_state(c);

	if (state == CONEX_PAUSED)
		return say("cannot exec in a paused container");
	return state >= CONEX_EXITED ? say("cannot exec in a stopped container") : 0;
}

int verb_exec(struct oci *rt)
{
	struct attended a = { .master = -1, .signals = -1 };
	conex_container *c = NULL;
	conex_spec *spec = NULL;
	int status = 255;

	if (rt->o.count < 2 && !rt->o.process)
		return say("exec: name a program, or its description with --process"), 255;
	if (rt->o.cgroup && *rt->o.cgroup)
		return say("exec --cgroup: conex-oci runs programs in the container's own cgroup only"), 255;
	if (!rt->o.detach)
		block_signals(&a);
	if (open_context(rt, 0) < 0 || get_container(rt, &c) < 0 || check_state(c) < 0) {
		conex_container_free(c);
		return 255;
	}
	if ((rt->o.process ? spec_of_file(rt, rt->o.process, &spec) : spec_of_options(rt, c, &spec)) == 0)
		status = exec_in(rt, c, spec, &a);
	conex_spec_free(spec);
	conex_process_free(a.process);
	conex_container_free(c);
	return status;
}
