/* Errors, shown once in full: the exit status is a shell's. errors ROOTFS [PROGRAM ARGUMENTS] */
#include <conex/conex.h>
#include <errno.h>
#include <stdio.h>

/* What a caller can do about a failure; everything else is for people: conex_error_text(). */
static int complain(const conex_error *e)
{
	fprintf(stderr, "%s\n", conex_error_text(e));
	if (*conex_error_hint(e))
		fprintf(stderr, "  to mend it: %s\n", conex_error_hint(e));
	if (conex_error_stage(e) == CONEX_STAGE_EXEC)           /* as a shell and Docker say it */
		return conex_error_code(e) == -ENOENT ? 127 : 126;
	return conex_error_stage(e) <= CONEX_STAGE_PLAN ? 2 : 125;  /* bad input: nothing was made; else a failed launch */
}

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_container *c = NULL; conex_error *err = NULL;
	struct conex_run_options o = { .size = sizeof o, .id = "one", .rootfs = argv[1] };
	const char *const *args = argc > 2 ? (const char *const *)argv + 2 : CONEX_STRINGS("no-such-program");
	int r, status = 0;

	if (conex_open(NULL, &cx, &err) < 0) {
		status = complain(err);
		goto out;                               /* cx is untouched: still NULL, and close(NULL) is fine */
	}
	r = conex_run(cx, NULL, args, &o, &c, &err);
	if (r == -EEXIST) {                             /* branch on the code … */
		o.id = NULL;
		r = conex_run(cx, NULL, args, &o, &c, &err);    /* … the old error is freed */
	}
	if (r < 0) {
		status = complain(err);
		goto out;
	}
	r = conex_container_wait(c, 10000, &status, &err);
	if (r == 0)                                     /* a time-out is a result, not an error */
		conex_container_kill(c, 9, NULL);           /* NULL: the reason isn't wanted */
	else if (r < 0)
		status = complain(err);
out:
	conex_error_free(err);
	conex_container_free(c);
	conex_close(cx);
	return status;
}
