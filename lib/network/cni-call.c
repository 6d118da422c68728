/* One call of a CNI plugin: what it reads, its environment, and what its answer says. */
#include "network/cni.h"
#include "base/str.h"
#include "keeper/host.h"
#include "network/subnet.h"
#include "spec/spec.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

enum { IDLE_MS = 5000 };

static const char *const commands[] = { [CX_CNI_ADD] = "ADD", [CX_CNI_CHECK] = "CHECK", [CX_CNI_DEL] = "DEL" };

static const json_t *plugin_of(const struct cx_cni *a, size_t n)
{
	return json_array_get(json_object_get(cx_cni_list(a), "plugins"), n);
}

static const char *type_of(const struct cx_cni *a, size_t n)
{
	const char *type = cx_json_text(plugin_of(a, n), "type");

	return type ? type : "";
}

void cx_cni_call_clear(struct cx_cni_call *c)
{
	cx_freep(&c->file);
	for (size_t i = 0; i < CX_ARRAY_SIZE(c->env); i++)
		cx_freep(&c->env[i]);
	cx_closep(&c->in);
	cx_closep(&c->out);
	cx_closep(&c->err);
	cx_closep(&c->held);
}

/* ---- what it reads ---- */

/* Of what was given, that which the plugin says it takes. */
static int add_runtime(const struct cx_cni *a, const json_t *plugin, json_t *input)
{
	json_t *taken = json_object_get(plugin, "capabilities"), *runtime = json_object(), *yes;
	const char *key;
	int r = runtime ? 0 : -1;

	json_object_foreach(taken, key, yes) {
		json_t *value = json_object_get(json_object_get(a->root, "capabilityArgs"), key);

		if (r == 0 && json_is_true(yes) && value)
			r = json_object_set(runtime, key, value);
	}
	if (r == 0 && json_object_size(runtime))
		r = json_object_set(input, "runtimeConfig", runtime);
	json_decref(runtime);
	return r;
}

json_t *cx_cni_input(const struct cx_cni *a, enum cx_cni_command command, size_t plugin)
{
	const json_t *list = cx_cni_list(a), *own = plugin_of(a, plugin);
	json_t *input = json_copy((json_t *)own), *result = json_object_get(a->root, "result");
	int r = input ? 0 : -1;

	if (r == 0) {
		json_object_del(input, "runtimeConfig");        /* both are ours to give */
		json_object_del(input, "prevResult");
		r = json_object_set(input, "name", json_object_get(list, "name"));
	}
	if (r == 0)
		r = json_object_set(input, "cniVersion", json_object_get(list, "cniVersion"));
	if (r == 0)
		r = add_runtime(a, own, input);
	if (r == 0 && result && (command == CX_CNI_ADD || cx_cni_is_new(list)))
		r = json_object_set(input, "prevResult", result);
	if (r < 0) {
		json_decref(input);
		return NULL;
	}
	return input;
}

/* A path that no namespace is at any more would be an error to most. */
static const char *netns_of(const struct cx_cni *a, enum cx_cni_command command)
{
	const char *path = cx_json_text(a->root, "netns");
	struct statfs st;

	return command != CX_CNI_DEL || (statfs(path, &st) == 0 && st.f_type == NSFS_MAGIC) ? path : "";
}

static int make_env(const struct cx_cni *a, enum cx_cni_command command, struct cx_cni_call *c)
{
	const struct { const char *key, *value; } all[] = {
		{ "CNI_COMMAND", commands[command] }, { "CNI_CONTAINERID", cx_json_text(a->root, "containerId") },
		{ "CNI_NETNS", netns_of(a, command) }, { "CNI_IFNAME", cx_json_text(a->root, "ifName") },
		{ "CNI_ARGS", "IgnoreUnknown=1" }, { "CNI_PATH", cx_json_text(a->root, "path") },
		{ "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
	};

	_Static_assert(CX_ARRAY_SIZE(all) < CX_ARRAY_SIZE(c->env), "and a NULL behind them");
	for (size_t i = 0; i < CX_ARRAY_SIZE(all); i++)
		if (asprintf(&c->env[i], "%s=%s", all[i].key, all[i].value) < 0) {
			c->env[i] = NULL;
			return -ENOMEM;
		}
	return 0;
}

static int make_files(const struct cx_cni *a, enum cx_cni_command command, size_t plugin, struct cx_cni_call *c)
{
	json_t *input = cx_cni_input(a, command, plugin);
	cx_autofree char *text = input ? json_dumps(input, JSON_COMPACT) : NULL;

	json_decref(input);
	if (!text)
		return -ENOMEM;
	c->in = cx_keeper_memfd("conex-cni", text, strlen(text));
	if (c->in < 0)
		return -errno;
	c->out = cx_keeper_answer("conex-cni", CX_CNI_BYTES);
	c->err = c->out < 0 ? -1 : cx_keeper_answer("conex-cni", CX_CNI_BYTES);
	if (c->err < 0)
		return -errno;
	c->held = cx_cni_hold(a);
	return c->held < 0 ? c->held : 0;
}

int cx_cni_call_make(const struct cx_cni *a, enum cx_cni_command command, size_t plugin, struct cx_cni_call *ret,
	conex_error **err)
{
	int r;

	*ret = (struct cx_cni_call){ .in = -1, .out = -1, .err = -1, .held = -1 };
	r = cx_cni_locate(cx_json_text(a->root, "path"), type_of(a, plugin), &ret->file, err);
	if (r < 0)
		return r;
	r = make_env(a, command, ret);
	if (r == 0)
		r = make_files(a, command, plugin, ret);
	if (r < 0) {
		cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "CNI plugin %s", type_of(a, plugin));
		cx_cni_call_clear(ret);
	}
	return r;
}

/* ---- what it answers ---- */

static int answered(int fd, struct cx_str *to)
{
	char part[8192];
	ssize_t n;

	while ((n = pread(fd, part, sizeof part, (off_t)to->size)) > 0) {
		size_t size = strnlen(part, (size_t)n); /* behind what was written all is zero */

		cx_str_add(to, part, size);
		if (size < (size_t)n)
			break;
	}
	cx_str_add(to, "", 0);
	return n < 0 ? -errno : to->failed;
}

/* The specification's numbers; what a plugin adds begins at 100. */
static int code_of(int64_t code)
{
	switch (code) {
	case 1: return -EPROTONOSUPPORT;        /* that version */
	case 2: return -EOPNOTSUPP;             /* a field */
	case 3: return -ESRCH;                  /* the container */
	case 4: case 7: return -EINVAL;         /* the environment, the configuration */
	case 5: return -EIO;
	case 6: return -EBADMSG;
	case 11: return -EAGAIN;
	default: return -ECANCELED;
	}
}

static int fail(const struct cx_cni *a, enum cx_cni_command command, size_t plugin, int code, const char *hint,
	const char *what, conex_error **err)
{
	static const int stages[] = { [CX_CNI_ADD] = CONEX_STAGE_LAUNCH, [CX_CNI_CHECK] = CONEX_STAGE_RUN,
		[CX_CNI_DEL] = CONEX_STAGE_TEARDOWN };
	char words[400], more[400];

	snprintf(words, sizeof words, "%s", what);
	snprintf(more, sizeof more, "%s", hint ? hint : "");
	words[strcspn(words, "\n")] = more[strcspn(more, "\n")] = '\0';
	return cx_fail(err, stages[command], code, NULL, *more ? more : NULL, "CNI network %s: plugin %s: %s: %s",
		cx_json_text(a->root, "config.name"), type_of(a, plugin), commands[command], words);
}

int cx_cni_call_failed(const struct cx_cni *a, enum cx_cni_command command, size_t plugin, int code, conex_error **err)
{
	return fail(a, command, plugin, code, NULL, code == -ETIMEDOUT ? "it was killed at its time-out"
		: "it could not be executed", err);
}

static int in_its_words(const struct cx_cni *a, enum cx_cni_command command, size_t plugin,
	const struct cx_cni_call *c, const char *out, int status, conex_error **err)
{
	cx_autostr said = { 0 };
	json_t *root = json_loads(out, 0, NULL);
	const char *message = cx_json_text(root, "msg"), *details = cx_json_text(root, "details");
	char how[64];
	int r;

	snprintf(how, sizeof how, WIFSIGNALED(status) ? "was ended by signal %d" : "ended with %d",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (message && *message)
		r = fail(a, command, plugin, code_of(cx_json_int(root, "code", 0)), details, message, err);
	else if (answered(c->err, &said) == 0 && said.size)
		r = fail(a, command, plugin, -ECANCELED, how, said.data, err);
	else
		r = fail(a, command, plugin, -ECANCELED, NULL, how, err);
	json_decref(root);
	return r;
}

static int keep_result(struct cx_cni *a, size_t plugin, const char *out, conex_error **err)
{
	char address[2][INET6_ADDRSTRLEN];
	json_t *result = NULL;
	const char *version;
	int r = cx_spec_parse_json(out, "result", &result, NULL);

	version = r < 0 ? NULL : cx_json_text(result, "cniVersion");
	if (r < 0 || cx_cni_addresses(result, address) < 0)
		r = fail(a, CX_CNI_ADD, plugin, -EBADMSG, out, "its result isn't one", err);
	else if (version && *version && strcmp(version, cx_json_text(cx_cni_list(a), "cniVersion")))
		r = fail(a, CX_CNI_ADD, plugin, -EPROTONOSUPPORT, version, "its result is of another version", err);
	else if ((!version || !*version)
	    && json_object_set(result, "cniVersion", json_object_get(cx_cni_list(a), "cniVersion")) < 0)
		r = cx_fail_memory(err);
	else
		r = json_object_set(a->root, "result", result) < 0 ? cx_fail_memory(err) : 0;
	json_decref(result);
	return r;
}

int cx_cni_call_end(struct cx_cni *a, enum cx_cni_command command, size_t plugin, const struct cx_cni_call *c,
	int status, conex_error **err)
{
	cx_autostr out = { 0 };
	int r = answered(c->out, &out);

	if (r < 0)
		return cx_cni_call_failed(a, command, plugin, r, err);
	if (status)
		return in_its_words(a, command, plugin, c, out.data, status, err);
	return command == CX_CNI_ADD ? keep_result(a, plugin, out.data, err) : 0;
}

/* ---- a result ---- */

/* One that names no interface, or one that isn't the host's. */
static int is_inside(const json_t *result, const json_t *ip)
{
	const json_t *index = json_object_get(ip, "interface");
	const char *sandbox;

	if (!json_is_integer(index))
		return 1;
	sandbox = cx_json_text(json_array_get(json_object_get(result, "interfaces"),
		(size_t)json_integer_value(index)), "sandbox");
	return sandbox && *sandbox;
}

int cx_cni_addresses(const json_t *result, char address[2][INET6_ADDRSTRLEN])
{
	const json_t *ips = json_object_get(result, "ips"), *interfaces = json_object_get(result, "interfaces"), *ip;
	struct cx_address a;
	int prefix, v6;
	size_t i;

	address[0][0] = address[1][0] = '\0';
	if (!json_is_object(result) || (ips && !json_is_array(ips) && !json_is_null(ips))
	    || (interfaces && !json_is_array(interfaces) && !json_is_null(interfaces)))
		return -EBADMSG;
	json_array_foreach((json_t *)ips, i, ip) {
		const char *text = cx_json_text(ip, "address");

		if (!text || cx_address_parse_long(text, &a, &prefix) < 0)
			return -EBADMSG;
		v6 = a.family == AF_INET6;
		if (!address[v6][0] && is_inside(result, ip))
			cx_address_print(&a, address[v6]);
	}
	return 0;
}

/* ---- undoing ---- */

static int undo_one(struct cx_cni *a, size_t plugin, cx_cni_run_fn run, void *data, conex_error **err)
{
	struct cx_cni_call call;
	int status = 0, r = cx_cni_call_make(a, CX_CNI_DEL, plugin, &call, err);

	if (r < 0)
		return r;
	r = run(&call, &status, data);
	r = r < 0 ? cx_cni_call_failed(a, CX_CNI_DEL, plugin, r, err)
		: cx_cni_call_end(a, CX_CNI_DEL, plugin, &call, status, err);
	cx_cni_call_clear(&call);
	return r;
}

/* The specification ends a list at the first plugin that fails. */
int cx_cni_undo(const char *file, cx_cni_run_fn run, void *data, conex_error **err)
{
	cx_autocni a = { NULL, NULL };
	int r = cx_cni_load(file, &a);

	if (r == -ENOENT)
		return cx_cni_sweep(file);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_TEARDOWN, r, NULL, NULL, "%s", file);
	if (!run || cx_cni_wait_idle(&a, IDLE_MS) < 0)
		return cx_fail(err, CONEX_STAGE_TEARDOWN, -EBUSY, NULL, NULL, "CNI network %s",
			cx_json_text(a.root, "config.name"));
	for (size_t n = cx_cni_count(&a); n-- > 0;)
		if (undo_one(&a, n, run, data, err) < 0)
			return -EBUSY;
	r = cx_cni_forget(&a);
	return r < 0 ? cx_fail(err, CONEX_STAGE_TEARDOWN, r, "unlink", NULL, "%s", file) : 0;
}
