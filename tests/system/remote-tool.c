/* Images and registries on the command line, for tests, by the public API alone:
 *	remote-tool [--OPTION [VALUE]] ... import FILE NAME | push NAME | pull NAME | delete NAME | list | run NAME [WORD ...]
 * What came of it on stdout ("result sha256:...", "moved BYTES of BYTES", "step ..."), an error on stderr: then it exits
 * with 1. --seen FILE: the job is left when that file exists, --how says how: free (the job), close (the context). */
#include <conex/conex.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	struct conex_image_options options;
	const char *store, *seen, *how, *mirrors[8];
	size_t mirror_count;
	conex *cx;
	conex_error *err;
	char step[256];
} tool;

static int fail(void)
{
	fprintf(stderr, "error %d: %s\n", conex_error_code(tool.err), conex_error_text(tool.err));
	return 1;
}

/* ---- jobs ---- */

static void show(const struct conex_progress *p)
{
	if (*p->step && strcmp(p->step, tool.step)) {
		snprintf(tool.step, sizeof tool.step, "%s", p->step);
		printf("step %s\n", tool.step);
		fflush(stdout);
	}
}

static int leave(conex_job *job)
{
	if (tool.how && !strcmp(tool.how, "close")) {
		conex_close(tool.cx);
		tool.cx = NULL;
		printf("closed %d\n", conex_job_wait(job, 0, &tool.err));
	}
	conex_job_free(job);
	printf("left\n");
	return 0;
}

/* Every event of it is looked at; the poll is for --seen. */
static int finish(conex_job *job)
{
	struct conex_progress p = { .size = sizeof p };
	int r;

	while ((r = conex_job_wait(job, 20, &tool.err)) == 0) {
		struct conex_event e = { .size = sizeof e };

		while (conex_next_event(tool.cx, 0, &e, &tool.err) == 1)
			if (e.type == CONEX_EVENT_JOB && (e.job != job || e.data != &tool))
				fprintf(stderr, "an event of another job\n");
		if (conex_job_progress(job, &p, &tool.err) < 0)
			break;
		show(&p);
		if (tool.seen && access(tool.seen, F_OK) == 0)
			return leave(job);
	}
	if (r == 1 && (r = conex_job_progress(job, &p, &tool.err)) == 0) {
		show(&p);
		printf("moved %llu of %llu\nlayers %u of %u\nresult %s\n", (unsigned long long)p.done_bytes,
			(unsigned long long)p.total_bytes, p.done_layers, p.total_layers, conex_job_result(job));
	}
	conex_job_free(job);
	return r < 0 ? fail() : 0;
}

static int import(const char *file, const char *name)
{
	conex_job *job = NULL;
	int fd = open(file, O_RDONLY | O_CLOEXEC), r = conex_image_import(tool.cx, fd, name, &tool.options, &job, &tool.err);

	close(fd);
	return r < 0 ? fail() : finish(job);
}

/* ---- the rest ---- */

static int list(void)
{
	char **names;
	int n = conex_image_list(tool.cx, &names, &tool.err);

	if (n < 0)
		return fail();
	for (int i = 0; i < n; i++)
		puts(names[i]);
	free(names);
	return 0;
}

static int run(const char *name, const char *const *args)
{
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_HOST, .err = CONEX_STDIO_HOST };
	conex_container *c = NULL;
	int status = 1, r = conex_run(tool.cx, name, *args ? args : NULL, &o, &c, &tool.err);

	if (r == 0)
		r = conex_container_wait(c, -1, &status, &tool.err);
	if (r < 0)
		status = fail();
	conex_container_free(c);
	return status;
}

static int one_word(const char *verb, const char *name)
{
	conex_job *job = NULL;
	int r;

	if (!strcmp(verb, "delete"))
		return conex_image_delete(tool.cx, name, &tool.err) < 0 ? fail() : 0;
	r = !strcmp(verb, "push") ? conex_image_push(tool.cx, name, &tool.options, &job, &tool.err)
		: conex_image_pull(tool.cx, name, &tool.options, &job, &tool.err);
	return r < 0 ? fail() : finish(job);
}

static int work(int count, char **words)
{
	if (count == 1 && !strcmp(words[0], "list"))
		return list();
	if (count == 3 && !strcmp(words[0], "import"))
		return import(words[1], words[2]);
	if (count >= 2 && !strcmp(words[0], "run"))
		return run(words[1], (const char *const *)words + 2);
	if (count == 2 && (!strcmp(words[0], "push") || !strcmp(words[0], "pull") || !strcmp(words[0], "delete")))
		return one_word(words[0], words[1]);
	fprintf(stderr, "remote-tool: no such verb\n");
	return 2;
}

static const struct option options[] = {
	{ "plain", no_argument, NULL, 'h' }, { "user", required_argument, NULL, 'u' },
	{ "password", required_argument, NULL, 'w' }, { "auth-file", required_argument, NULL, 'a' },
	{ "mirror", required_argument, NULL, 'm' }, { "platform", required_argument, NULL, 'p' },
	{ "store", required_argument, NULL, 's' }, { "seen", required_argument, NULL, 'e' },
	{ "how", required_argument, NULL, 'o' }, { NULL, 0, NULL, 0 },
};

static void option(int letter)
{
	struct conex_image_options *o = &tool.options;

	switch (letter) {
	case 'h': o->flags |= CONEX_IMAGE_PLAIN_HTTP; break;
	case 'u': o->user = optarg; break;
	case 'w': o->password = optarg; break;
	case 'a': o->auth_file = optarg; break;
	case 'm':
		if (tool.mirror_count < 7)
			tool.mirrors[tool.mirror_count++] = optarg;
		o->mirrors = tool.mirrors;
		break;
	case 'p': o->platform = optarg; break;
	case 's': tool.store = optarg; break;
	case 'e': tool.seen = optarg; break;
	case 'o': tool.how = optarg; break;
	default: exit(2);
	}
}

int main(int argc, char **argv)
{
	struct conex_options o = { .size = sizeof o };
	int letter, status;

	tool.options = (struct conex_image_options){ .size = sizeof tool.options, .data = &tool };
	while ((letter = getopt_long(argc, argv, "+", options, NULL)) >= 0)
		option(letter);
	o.store = tool.store;
	if (conex_open(&o, &tool.cx, &tool.err) < 0)
		return fail();
	status = work(argc - optind, argv + optind);
	conex_close(tool.cx);
	conex_error_free(tool.err);
	return status;
}
