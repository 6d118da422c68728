/* Images alone, no container: one is fetched from its registry and becomes a directory. pull IMAGE DIRECTORY */
#include <conex/context.h>
#include <conex/image.h>
#include <stdio.h>

static int finish(conex_job *job, conex_error **err)
{
	struct conex_progress p = { .size = sizeof p };
	int r;

	while ((r = conex_job_wait(job, 100, err)) == 0)
		if (conex_job_progress(job, &p, NULL) == 0)
			fprintf(stderr, "\r%-30s %5.1f %%  %llu MiB/s ", p.step,
				p.total_bytes ? 100.0 * (double)p.done_bytes / (double)p.total_bytes : 0,
				(unsigned long long)(p.rate / CONEX_MIB));
	fputc('\n', stderr);
	return r;
}

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_job *pull = NULL, *unpack = NULL; conex_error *err = NULL;
	int ok;

	if (argc != 3) {
		fprintf(stderr, "usage: pull IMAGE DIRECTORY\n");
		return 2;
	}
	ok = conex_open(NULL, &cx, &err) == 0
	    && conex_image_pull(cx, argv[1], NULL, &pull, &err) == 0 && finish(pull, &err) > 0
	    && conex_image_unpack(cx, argv[1], argv[2], NULL, &unpack, &err) == 0 && finish(unpack, &err) > 0;
	if (ok)
		printf("%s is in %s\n", conex_job_result(pull), argv[2]);
	else
		fprintf(stderr, "pull: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_job_free(unpack);
	conex_job_free(pull);
	conex_close(cx);
	return !ok;
}
