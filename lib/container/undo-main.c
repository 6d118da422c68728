/* conex-undo: the library's own recovery as a program. The keeper executes it when its host has died, with
 * the state directory as argument; by hand: conex-undo DIRECTORY. */
#include "container/container.h"
#include "base/kernel.h"
#include "network/cni.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void execute(const struct cx_cni_call *call)
{
	char *const args[] = { call->file, NULL };

	fcntl(call->held, F_SETFD, 0);
	if (dup2(call->in, 0) == 0 && dup2(call->out, 1) == 1 && dup2(call->err, 2) == 2)
		execve(call->file, args, call->env);
	_exit(127);
}

/* A program of its own may fork, and nobody else could start it: keeper and host are gone. */
static int run_plugin(const struct cx_cni_call *call, int *ret_status, void *data)
{
	pid_t pid = fork();
	cx_autoclose int pidfd = -1;
	struct pollfd p = { .events = POLLIN };
	int late;

	(void)data;
	if (pid == 0)
		execute(call);
	if (pid < 0)
		return -errno;
	p.fd = pidfd = cx_sys_pidfd_open(pid, 0);
	late = poll(&p, 1, CX_CNI_PLUGIN_MS) == 0;
	if (late)
		kill(pid, SIGKILL);
	if (waitpid(pid, ret_status, 0) < 0)
		return -errno;
	return late ? -ETIMEDOUT : 0;
}

int main(int argc, char **argv)
{
	struct cx_undo who = { .run = run_plugin };
	struct cx_cgroups *cgroups = NULL;
	conex_error *err = NULL;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: conex-undo STATE-DIRECTORY\n");
		return 2;
	}
	r = cx_cgroups_detect(NULL, CX_DRIVER_CHOSEN, &cgroups, &err);
	if (r < 0) {
		fprintf(stderr, "conex-undo: %s\n", conex_error_text(err));
		conex_error_free(err);
		return 1;
	}
	who.cgroups = cgroups;
	r = cx_state_recover_path(argv[1], cx_undo_play, &who);
	if (r < 0)
		fprintf(stderr, "conex-undo: %s: %s\n", argv[1], strerrordesc_np(-r));
	cx_cgroups_prune(cgroups);
	cx_cgroups_free(cgroups);
	return r < 0;
}
