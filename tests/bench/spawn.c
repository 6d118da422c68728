/* Programs are started with posix_spawn (which in glibc shares the memory until exec, so that a big host pays
 * no page tables) and waited for by pid. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>
#include "spawn.h"

int spawn_find(const char *name, char *ret)
{
	static const char *const dir[] = {
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
	};

	for (size_t i = 0; i < sizeof dir / sizeof *dir; i++) {
		snprintf(ret, SPAWN_PATH, "%s/%s", dir[i], name);
		if (access(ret, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

pid_t spawn_program(const char *program, const char *const *args, const char *log, const char *filter)
{
	static char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", NULL };
	posix_spawn_file_actions_t files;
	pid_t pid;
	int result;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&files, 0, 1);
	posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (filter)
		posix_spawn_file_actions_addopen(&files, SPAWN_FILTER_FD, filter, O_RDONLY, 0);
	result = posix_spawn(&pid, program, &files, NULL, (char **)args, env);
	posix_spawn_file_actions_destroy(&files);
	return result ? -result : pid;
}

int spawn_wait(pid_t pid)
{
	siginfo_t info;

	if (pid < 0)
		return pid;
	if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
		return -errno;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}
