/* The first program: a command in a container made of a directory. hello ROOTFS [program args ...] */
#include <conex/conex.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_container *c = NULL; conex_error *err = NULL; int status = 1;
	struct conex_run_options o = { .size = sizeof o, .rootfs = argv[1], .out = CONEX_STDIO_HOST, .err = CONEX_STDIO_HOST };
	const char *const *args = argc > 2 ? (const char *const *)argv + 2
		: CONEX_STRINGS("echo", "hello from a container");

	if (argc < 2) {
		fprintf(stderr, "usage: hello ROOTFS [program args ...]\n");
		return 2;
	}
	if (conex_open(NULL, &cx, &err) < 0
	    || conex_run(cx, NULL, args, &o, &c, &err) < 0
	    || conex_container_wait(c, -1, &status, &err) < 0)
		fprintf(stderr, "hello: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_container_free(c);
	conex_close(cx);
	return status;
}
