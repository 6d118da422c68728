/* Asks credential helpers, one after another: "docker-credential-NAME get", the server on stdin, JSON on stdout. They are
 * the user's own programs and get the host's environment, as from every other tool: without it they find neither their
 * home nor the agent that keeps what is secret. What they print is never shown, also not when they fail. */
#include "image/helper.h"
#include "base/error.h"
#include "base/kernel.h"
#include "keeper/host.h"
#include "plan/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct question {
	struct question *next;
	char *program;                  /* its path */
	char *name, *server;
	json_t *who;
};

struct asking {
	struct cx_job_before before;    /* first */
	struct question *first;
	int answer;                     /* of the one that runs; -1 */
};

static void question_free(struct question *q)
{
	free(q->program);
	free(q->name);
	free(q->server);
	json_decref(q->who);
	free(q);
}

static void asking_free(struct cx_job_before *b)
{
	struct asking *a = (struct asking *)b;
	struct question *q;

	while ((q = a->first)) {
		a->first = q->next;
		question_free(q);
	}
	cx_closep(&a->answer);
	free(a);
}

static int fail(const struct question *q, int code, const char *what, conex_error **err)
{
	cx_autofree char *hint = NULL;

	if (asprintf(&hint, "see what it says: echo %s | %s get", q->server, q->program) < 0)
		hint = NULL;
	return cx_fail(err, CONEX_STAGE_IMAGE, code, what, hint, "docker-credential-%s for %s", q->name, q->server);
}

/* ---- the program ---- */

static int is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* As a shell finds it, but for what is relative to wherever the host happens to be. */
static int find(const char *name, char **ret)
{
	const char *at = secure_getenv("PATH");

	for (at = at ? at : "/usr/local/bin:/usr/bin:/bin"; *at; at += *at == ':') {
		size_t size = strcspn(at, ":");
		char *path;

		if (*at == '/') {
			if (asprintf(&path, "%.*s/docker-credential-%s", (int)size, at, name) < 0)
				return -ENOMEM;
			if (is_program(path)) {
				*ret = path;
				return 0;
			}
			free(path);
		}
		at += size;
	}
	return -ENOENT;
}

static int make_plan(const struct question *q, struct cx_plan **ret, conex_error **err)
{
	static const char *const bare[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	const char *args[] = { q->program, "get", NULL };
	const char *const *env = getauxval(AT_SECURE) ? bare : (const char *const *)environ;
	struct cx_build b = { .failed = 0 };
	int r;

	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, death_signal, NULL);
	cx_op(&b, exec, "the credential helper", cx_cell_list(&b, args), cx_cell_list(&b, env), cx_cell_text(&b, q->program));
	r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

/* ---- before the worker ---- */

static int next(struct cx_job_before *b, struct cx_plan **ret, int fds[3], conex_error **err)
{
	struct asking *a = (struct asking *)b;
	struct question *q = a->first;

	if (!q)
		return 0;
	snprintf(b->step, sizeof b->step, "asking docker-credential-%.90s", q->name);
	fds[0] = cx_keeper_memfd("conex-server", q->server, strlen(q->server));
	fds[1] = fds[0] < 0 ? -1 : cx_keeper_answer("conex-credentials", CX_HELPER_BYTES);
	fds[2] = fds[1] < 0 ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
	a->answer = fds[2] < 0 ? -1 : fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
	if (a->answer < 0)
		return fail(q, -errno, "memfd_create", err);
	return make_plan(q, ret, err) < 0 ? -ENOMEM : 1;
}

/* The words that all helpers have for "nobody": the registry is asked without a login. */
static int is_nobody(const char *text)
{
	static const char words[] = "credentials not found in native keychain";

	text += strspn(text, " \t\r\n");
	return !strncmp(text, words, sizeof words - 1);
}

static int take(const struct question *q, const char *text, conex_error **err)
{
	cx_autocredentials c = { 0 };
	json_t *words;
	int r = cx_credentials_answer(text, strlen(text), q->name, &c, err);

	if (r < 0)
		return r;
	words = json_pack("{s:s*, s:s*, s:s*}", "user", c.user, "password", c.password, "identity", c.identity);
	r = words && json_object_update(q->who, words) == 0 ? 0 : cx_fail_memory(err);
	json_decref(words);
	return r;
}

static int judge(const struct question *q, const struct cx_helper *h, const char *text, conex_error **err)
{
	char how[64];

	if (h->done < 0)
		return fail(q, h->done, h->done == -EPIPE ? "the keeper ended" : "execve", err);
	if (h->cause == CX_ENDED_TIMEOUT)
		return fail(q, -ETIMEDOUT, "it was killed at its time-out", err);
	if (strlen(text) >= CX_HELPER_BYTES)
		return fail(q, -EFBIG, "its answer has no end", err);
	if (WIFEXITED(h->status) && WEXITSTATUS(h->status) == 0)
		return take(q, text, err);
	if (WIFEXITED(h->status) && is_nobody(text))
		return 0;
	snprintf(how, sizeof how, WIFSIGNALED(h->status) ? "it was ended by signal %d" : "it ended with %d",
		WIFSIGNALED(h->status) ? WTERMSIG(h->status) : WEXITSTATUS(h->status));
	return fail(q, -EACCES, how, err);
}

static int ended(struct cx_job_before *b, const struct cx_helper *h, conex_error **err)
{
	struct asking *a = (struct asking *)b;
	struct question *q = a->first;
	char *text = calloc(1, CX_HELPER_BYTES + 1);
	ssize_t n = text ? pread(a->answer, text, CX_HELPER_BYTES, 0) : 0;
	int r = !text ? cx_fail_memory(err) : n < 0 ? fail(q, -errno, "pread", err) : judge(q, h, text, err);

	if (text)
		explicit_bzero(text, CX_HELPER_BYTES);
	free(text);
	cx_closep(&a->answer);
	a->first = q->next;
	question_free(q);
	return r;
}

static int64_t deadline_ms(void)
{
	const char *given = secure_getenv("CONEX_HELPER_MS");   /* for tests */

	return given ? strtol(given, NULL, 10) : CX_HELPER_MS;
}

int cx_helper_ask(struct cx_job_before **before, const struct cx_credentials *c, json_t *who, conex_error **err)
{
	struct asking *a = *before ? (struct asking *)*before : calloc(1, sizeof *a);
	struct question *q = calloc(1, sizeof *q), **at;
	int r;

	if (a && !*before) {
		a->before = (struct cx_job_before){ .next = next, .ended = ended, .free = asking_free, .timeout_ms = deadline_ms() };
		a->answer = -1;
		*before = &a->before;
	}
	if (!a || !q || !(q->name = strdup(c->helper)) || !(q->server = strdup(c->server))) {
		if (q)
			question_free(q);
		return cx_fail_memory(err);
	}
	q->who = json_incref(who);
	r = find(q->name, &q->program);
	if (r < 0) {
		question_free(q);
		return r == -ENOMEM ? cx_fail_memory(err) : cx_fail(err, CONEX_STAGE_IMAGE, r, "it isn't on PATH",
			"install it, or log in to the registry without it", "docker-credential-%s", c->helper);
	}
	for (at = &a->first; *at;)
		at = &(*at)->next;
	*at = q;
	return 0;
}
