/* The most memory that a process, or one of those that a call starts, ever had resident. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include <sys/types.h>

/* Makes the call in a process of its own and follows it with all that it starts till they have ended: the largest of them,
 * KiB; -errno, or -1000 - its exit status (1: the call didn't return 0). The process itself counts if told so, or if
 * the call executes a program. */
long bench_peak(int (*call)(void *data), void *data, int counts_caller);
/* Of a process that lives, KiB; 0: it doesn't. Counted from when 5 was written to its clear_refs. */
long bench_peak_of(pid_t pid);

#endif
