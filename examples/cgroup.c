/* A limit and a bill for a child that you start yourself: cgroup PROGRAM [ARGUMENTS]. Needs root. */
#include <conex/cgroup.h>
#include <conex/context.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_cgroup *g = NULL; conex_error *err = NULL;
	struct conex_limits limits = { .size = sizeof limits, .memory = CONEX_GIB, .cpus = 2 };
	struct conex_stats st = { .size = sizeof st };
	int gate[2], status = 1;
	char go = 1;
	pid_t pid;

	if (argc < 2 || pipe(gate) < 0)
		return 2;
	if ((pid = fork()) == 0) {                      /* your child, your way of making it */
		close(gate[1]);
		if (read(gate[0], &go, 1) == 1)
			execvp(argv[1], argv + 1);
		_exit(127);
	}
	close(gate[0]);
	if (conex_open(NULL, &cx, &err) < 0
	    || conex_cgroup_create(cx, "compile-1", &limits, &g, &err) < 0
	    || conex_cgroup_add(g, pid, &err) < 0)
		fprintf(stderr, "cgroup: %s\n", conex_error_text(err));
	else if (write(gate[1], &go, 1) != 1)
		perror("write");
	close(gate[1]);
	waitpid(pid, &status, 0);
	if (g && conex_cgroup_stats(g, &st, NULL) == 0)
		printf("peak %llu bytes, %.2f s of processor, %llu killed for memory\n",
			(unsigned long long)st.memory_peak, st.cpu_ns / 1e9, (unsigned long long)st.oom_kills);
	if (g)
		conex_cgroup_delete(g, 1000, NULL);
	conex_cgroup_free(g);
	conex_error_free(err);
	conex_close(cx);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
