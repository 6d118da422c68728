/* An archive becomes an image of the store: import FILE NAME. The work is a job; it says how far it is. */
#include <conex/conex.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int wait_for(conex_job *job, conex_error **err)
{
	struct conex_progress p = { .size = sizeof p };
	int r;

	while ((r = conex_job_wait(job, 500, err)) == 0)
		if (isatty(2) && conex_job_progress(job, &p, NULL) == 0)
			fprintf(stderr, "\r%s: %llu MiB unpacked ", p.step, (unsigned long long)(p.unpacked_bytes / CONEX_MIB));
	return r;
}

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_job *job = NULL; conex_error *err = NULL;
	int fd, failed = 1;

	if (argc != 3) {
		fprintf(stderr, "usage: import FILE NAME\n");
		return 2;
	}
	if ((fd = open(argv[1], O_RDONLY | O_CLOEXEC)) < 0) {
		perror(argv[1]);
		return 1;
	}
	if (conex_open(NULL, &cx, &err) < 0
	    || conex_image_import(cx, fd, argv[2], NULL, &job, &err) < 0
	    || wait_for(job, &err) < 0)
		fprintf(stderr, "import: %s\n", conex_error_text(err));
	else
		failed = printf("%s is %s\n", argv[2], conex_job_result(job)) < 0;
	conex_error_free(err);
	conex_job_free(job);
	conex_close(cx);
	close(fd);
	return failed;
}
