/* Captured, limited, timed, and the autopsy: a program that eats memory until it is killed. limits ROOTFS */
#include <conex/conex.h>
#include <stdio.h>
#include <string.h>

/* Reads its input, says where it finds itself, and then keeps in memory a line that never ends. */
static const char program[] =
	"read a b; echo \"$a + $b = $((a + b))\"\n"
	"echo \"I am process $$ of $(ls -d /proc/[0-9]* | wc -l) on a machine called $(hostname)\"\n"
	"echo \"my network has: $(ls /sys/class/net)\"\n"
	"echo \"my root directory has: $(echo /*)\"\n"
	"exec tail /dev/zero";

static void report(const struct conex_output *io, const struct conex_exit *x)
{
	char text[200];

	conex_exit_text(x, text, sizeof text);
	printf("It was given 64 MiB of memory, half a processor, 32 processes and 20 seconds,\n"
		"and \"19 23\" as its input. What it wrote:\n\n%s%s\n", io->out, io->err);
	printf("How it ended:    %s\n", text);
	printf("Exit status:     %d (signal %d)\n", x->status, x->sig);
	printf("Peak of memory:  %.1f MiB\n", (double)x->memory_peak / CONEX_MIB);
	printf("Time:            %.3f s, of which it had a processor for %.3f s\n",
		(double)x->wall_ns / 1e9, (double)x->cpu_ns / 1e9);
}

int main(int argc, char **argv)
{
	static const char input[] = "19 23\n";
	conex *cx = NULL; conex_container *c = NULL; conex_error *err = NULL;
	struct conex_limits limits = { .size = sizeof limits,
		.memory = 64 * CONEX_MIB, .cpus = 0.5, .pids = 32 };
	struct conex_run_options o = { .size = sizeof o, .limits = &limits, .rootfs = argv[1],
		.input = input, .input_size = strlen(input), .hostname = "box",
		.out = CONEX_STDIO_PIPE, .err = CONEX_STDIO_PIPE, .timeout_ms = 20000 };
	struct conex_output io = { .size = sizeof io, .max = 64 * CONEX_KIB };
	struct conex_exit x = { .size = sizeof x };

	if (argc != 2) {
		fprintf(stderr, "usage: limits ROOTFS\n");
		return 2;
	}
	if (conex_open(NULL, &cx, &err) < 0
	    || conex_run(cx, NULL, CONEX_STRINGS("sh", "-c", program), &o, &c, &err) < 0
	    || conex_container_output(c, -1, &io, &err) < 0
	    || conex_container_wait(c, -1, NULL, &err) < 0
	    || conex_container_exit(c, &x, &err) < 0)
		fprintf(stderr, "limits: %s\n", conex_error_text(err));
	else
		report(&io, &x);
	conex_output_clear(&io);
	conex_error_free(err);
	conex_container_free(c);
	conex_close(cx);
	return x.cause != CONEX_EXIT_OOM;       /* it was to be killed */
}
