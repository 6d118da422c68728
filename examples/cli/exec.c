/* exec: one more program in a running container. */
#include "cli.h"

#include <fcntl.h>
#include <unistd.h>

static int host_stdio(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? CONEX_STDIO_NULL : CONEX_STDIO_HOST;
}

static int describe_program(struct cli *cli, struct conex_run_options *o)
{
	double seconds;
	int r = number(cli, "timeout", 0, 1e9, &seconds);

	*o = (struct conex_run_options){ .size = sizeof *o, .flags = flag(cli, "tty") ? CONEX_RUN_TTY : 0,
		.cwd = text(cli, "workdir"), .user = text(cli, "user"), .env = environment(cli),
		.timeout_ms = r > 0 ? (int64_t)(seconds * 1000) : 0 };
	if (r < 0 || !o->env)
		return FAILED;
	if (!flag(cli, "tty") && !flag(cli, "detach")) {
		o->in = flag(cli, "interactive") ? host_stdio(0) : CONEX_STDIO_NULL;
		o->out = host_stdio(1);
		o->err = host_stdio(2);
	}
	return 0;
}

static int attend_program(struct cli *cli, struct attended *a)
{
	int status = FAILED;

	a->master = conex_process_take_stdio(a->process, 0);
	if (attend(cli, a, &status) < 0)
		status = say_error(cli, "exec");
	if (a->master >= 0)
		close(a->master);
	return status;
}

static int execute(struct cli *cli, conex_container *c, struct conex_run_options *o)
{
	struct attended a = { .container = c, .master = -1, .signals = -1, .input = flag(cli, "interactive") };
	int status = 0;

	if (!flag(cli, "detach"))
		a.signals = block_signals();
	if (conex_exec(c, (const char *const *)cli->args + 1, o, &a.process, &cli->err) < 0) {
		say_error(cli, "exec");
		return run_status(cli->err);
	}
	if (!flag(cli, "detach"))
		status = attend_program(cli, &a);
	conex_process_free(a.process);
	return status;
}

int command_exec(struct cli *cli)
{
	struct conex_run_options o;
	conex_container *c;
	int status;

	if (check_terminal(cli) || describe_program(cli, &o) || open_containers(cli, flag(cli, "detach") ? CONEX_DETACHED : 0)
	    || find_container(cli, cli->args[0], &c))
		return FAILED;
	status = execute(cli, c, &o);
	conex_container_free(c);
	return status;
}
