/* Opening and reading files on the host's side without being led astray. */
#ifndef CX_BASE_PATH_H
#define CX_BASE_PATH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens `path` as it is seen from `root` as root directory: no link leads out, no magic link is
 * followed (openat2 with RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS; where openat2 answers ENOSYS, a walk
 * with O_NOFOLLOW that does the same). O_CLOEXEC is added. An fd, or -1 and errno. */
int cx_open_in_root(int root, const char *path, int flags, mode_t mode);
/* That walk; here for the tests. */
int cx_open_by_walk(int root, const char *path, int flags, mode_t mode);

/* The whole of a small file, NUL-terminated, cut at size - 1. Bytes read, or -errno. */
ssize_t cx_file_read(int dirfd, const char *path, char *buffer, size_t size);
/* The whole of a file up to `max` bytes into *ret (free). Bytes, or -errno (-EFBIG: larger). */
ssize_t cx_file_load(int dirfd, const char *path, size_t max, char **ret);
/* One write(2) of `text` into an existing file (O_WRONLY, no O_CREAT): for /proc, /sys. 0, -errno. */
int cx_file_write(int dirfd, const char *path, const char *text);

/* A new file with all of `data` in it and just this mode, whatever the umask. 0, -errno; what is there then may be
 * part of it. */
int cx_file_create(int dirfd, const char *path, const void *data, size_t size, mode_t mode);

/* mkdir -p below `dirfd` (AT_FDCWD for absolute paths). 0, -errno. */
int cx_mkdirs(int dirfd, const char *path, mode_t mode);

/* Descriptors that are kept only to save opening anew have numbers below this one: at least half of the host's table
 * stays free, and half of the numbers that are small enough for select(2). */
int cx_kept_below(void);

/* The program `name` in a directory of PATH (free); of a relative one nobody knows where it leads. NULL: there is
 * none. */
char *cx_find_program(const char *name);

/* Time of a clock in ns. */
int64_t cx_now_ns(int clock);

/* `size` bytes of the kernel's randomness; 0, -errno. */
int cx_random(void *to, size_t size);

/* The start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), which with
 * the pid names it for ever; 0: no such process, or it is a zombie. */
uint64_t cx_process_start(pid_t pid);

#endif
