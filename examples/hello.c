/* The first program, as README has it: a command in a container of an image, which ./bootstrap has put into the store. */
#include <conex/conex.h>
#include <stdio.h>

int main(void)
{
	conex *cx = NULL; conex_container *c = NULL; conex_error *err = NULL; int status = 1;
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_HOST };

	if (conex_open(NULL, &cx, &err) < 0
	    || conex_run(cx, "busybox", CONEX_STRINGS("echo", "hello from a container"), &o, &c, &err) < 0
	    || conex_container_wait(c, -1, &status, &err) < 0)
		fprintf(stderr, "hello: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_container_free(c);
	conex_close(cx);
	return status;
}
