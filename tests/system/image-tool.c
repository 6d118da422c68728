/* The public calls for images, from a shell: image-tool STORE VERB ... It says the digest, or why not, and the errno's name.
 *	import NAME FILE|DIRECTORY|-    export NAME FILE|DIRECTORY/|-    unpack NAME DIRECTORY
 *	run NAME [ARGS...]    list    delete NAME
 * PLATFORM in the environment is the option's. */
#include <conex/conex.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct conex_image_options options = { .size = sizeof options };

static int finish(conex_job *job, conex_error **err)
{
	int r = conex_job_wait(job, -1, err);

	if (r > 0)
		puts(conex_job_result(job));
	conex_job_free(job);
	return r < 0 ? r : 0;
}

/* "x/" is a directory that may have to be made, "-" what we got as input or output. */
static int open_what(const char *path, int writes)
{
	size_t size = strlen(path);

	if (!strcmp(path, "-"))
		return writes ? dup(STDOUT_FILENO) : dup(STDIN_FILENO);
	if (writes && path[size - 1] == '/' && mkdir(path, 0755) < 0 && errno != EEXIST)
		return -1;
	if (writes && path[size - 1] != '/')
		return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int move(conex *cx, const char *name, const char *path, int writes, conex_error **err)
{
	int fd = open_what(path, writes), r;
	conex_job *job;

	if (fd < 0) {
		perror(path);
		return -errno;
	}
	if (writes && !strcmp(path, "-"))
		dup2(STDERR_FILENO, STDOUT_FILENO);     /* for the digest */
	r = writes ? conex_image_export(cx, name, fd, &options, &job, err) : conex_image_import(cx, fd, name, &options, &job, err);
	close(fd);
	return r < 0 ? r : finish(job, err);
}

static int run(conex *cx, const char *name, char **args, conex_error **err)
{
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_HOST, .err = CONEX_STDIO_HOST };
	conex_container *c = NULL;
	int status = 1, r;

	r = conex_run(cx, name, *args ? (const char *const *)args : NULL, &o, &c, err);
	if (r == 0)
		r = conex_container_wait(c, -1, &status, err);
	if (r > 0 && status)
		printf("status %d\n", status);
	conex_container_free(c);
	return r < 0 ? r : 0;
}

static int list(conex *cx, conex_error **err)
{
	char **names;
	int n = conex_image_list(cx, &names, err);

	for (int i = 0; i < n; i++)
		puts(names[i]);
	if (n >= 0)
		free(names);
	return n < 0 ? n : 0;
}

static int verb(conex *cx, int argc, char **argv, conex_error **err)
{
	conex_job *job;
	int r;

	if (argc == 3 && !strcmp(argv[0], "import"))
		return move(cx, argv[1], argv[2], 0, err);
	if (argc == 3 && !strcmp(argv[0], "export"))
		return move(cx, argv[1], argv[2], 1, err);
	if (argc == 3 && !strcmp(argv[0], "unpack")) {
		r = conex_image_unpack(cx, argv[1], argv[2], &options, &job, err);
		return r < 0 ? r : finish(job, err);
	}
	if (argc >= 2 && !strcmp(argv[0], "run"))
		return run(cx, argv[1], argv + 2, err);
	if (argc == 1 && !strcmp(argv[0], "list"))
		return list(cx, err);
	if (argc == 2 && !strcmp(argv[0], "delete"))
		return conex_image_delete(cx, argv[1], err);
	fprintf(stderr, "image-tool: what?\n");
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct conex_options where = { .size = sizeof where, .store = argv[1] };
	conex_error *err = NULL;
	conex *cx = NULL;
	int r;

	if (argc < 3)
		return 2;
	options.platform = getenv("PLATFORM");
	r = conex_open(&where, &cx, &err);
	if (r == 0)
		r = verb(cx, argc - 2, argv + 2, &err);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", strerrorname_np(-r), conex_error_text(err));
	conex_error_free(err);
	conex_close(cx);
	return r < 0;
}
