/* Command-line peers: where they are, and how a careful host starts them. */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include <sys/types.h>

enum { SPAWN_FILTER_FD = 9, SPAWN_PATH = 256 };

/* In the usual directories; `ret` has room for SPAWN_PATH bytes. 0 or -ENOENT */
int spawn_find(const char *name, char *ret);
/* With /dev/null as standard input and output, `log` (appended to) as standard error, and the file
 * `filter` (NULL: none) as SPAWN_FILTER_FD. The pid, or -errno. */
pid_t spawn_program(const char *program, const char *const *args, const char *log, const char *filter);
/* Waits for that process. Exit status, 128 + signal, or -errno. */
int spawn_wait(pid_t pid);

#endif
