/* What can be seen of a host from outside and inside, as text: taken before and after, it must be the same. */
#ifndef CONEX_TEST_MANNERS_H
#define CONEX_TEST_MANNERS_H

#include "base/path.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <locale.h>
#include <stdarg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <conex/conex.h>

extern char **environ;

enum { SEEN_SIZE = 256 * 1024 };
struct seen { char text[SEEN_SIZE]; size_t size; };

enum { SEE_FDS = 1, SEE_CHILDREN = 2, SEE_ALL = 3 };

__attribute__((format(printf, 2, 3))) static inline void note(struct seen *s, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(s->text + s->size, sizeof s->text - s->size, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof s->text - s->size)
		s->size += (size_t)n;
}

/* The whole of a small file of /proc; "" where it can't be read. The caller's buffer: threads call this. */
static inline const char *slurp(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, more;

	while (fd >= 0 && (more = read(fd, buffer + n, size - 1 - (size_t)n)) > 0)
		n += more;
	buffer[n] = '\0';
	if (fd >= 0)
		close(fd);
	return buffer;
}

/* The lines of a status file that no library has any business to change. */
static inline void see_status(struct seen *s, const char *path)
{
	static const char *const keys[] = { "Umask:", "Uid:", "Gid:", "Groups:", "Threads:", "SigBlk:", "SigIgn:",
		"SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:",
		"Cpus_allowed:", "Mems_allowed:", "CoreDumping:", "THP_enabled:" };
	char text[8192], *save = NULL;

	slurp(path, text, sizeof text);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
			if (!strncmp(line, keys[i], strlen(keys[i])))
				note(s, "%s %s\n", path, line);
}

static inline void see_threads(struct seen *s, int what)
{
	DIR *d = opendir("/proc/self/task");
	char path[320], text[4096];
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
			see_status(s, path);
			snprintf(path, sizeof path, "/proc/self/task/%s/children", e->d_name);
			if (what & SEE_CHILDREN)
				note(s, "%s %s\n", path, slurp(path, text, sizeof text));
			note(s, "nice of %s %d\n", e->d_name, getpriority(PRIO_PROCESS, (id_t)atoi(e->d_name)));
		}
	if (d)
		closedir(d);
}

static inline void see_links(struct seen *s, const char *dir, int sort_out)
{
	DIR *d = opendir(dir);
	char path[320], to[PATH_MAX];
	struct dirent *e;

	while (d && (e = readdir(d))) {
		ssize_t n;

		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] == '.' || (sort_out && atoi(e->d_name) == dirfd(d)))
			continue;
		n = readlink(path, to, sizeof to - 1);
		note(s, "%s -> %.*s\n", path, n < 0 ? 0 : (int)n, to);
	}
	if (d)
		closedir(d);
}

static inline void see_calls(struct seen *s)
{
	char text[256];
	struct itimerval timer;

	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
		memset(&timer, 0, sizeof timer);
		getitimer((__itimer_which_t)which, &timer);
		note(s, "timer %d: %ld\n", which, (long)timer.it_interval.tv_sec);
	}
	note(s, "dumpable: %d\n", prctl(PR_GET_DUMPABLE));
	int subreaper = -1, signal_of_death = -1;
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	prctl(PR_GET_PDEATHSIG, &signal_of_death);
	note(s, "subreaper: %d, death signal: %d\n", subreaper, signal_of_death);
	note(s, "keyring: %ld\n", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
	note(s, "personality: %x, timer slack: %d, ioprio: %ld\n", (unsigned)personality(0xffffffff),
		prctl(PR_GET_TIMERSLACK), syscall(SYS_ioprio_get, 1, 0));
	note(s, "locale: %s, oom: %s", setlocale(LC_ALL, NULL), slurp("/proc/self/oom_score_adj", text, sizeof text));
	note(s, "session: %d, group: %d\n", (int)getsid(0), (int)getpgrp());
}

static inline struct seen *see(int what)
{
	struct seen *s = calloc(1, sizeof *s);
	char *text = malloc(65536), path[PATH_MAX];

	see_status(s, "/proc/self/status");
	see_threads(s, what);
	see_links(s, "/proc/self/ns", 0);
	if (what & SEE_FDS)
		see_links(s, "/proc/self/fd", 1);
	see_calls(s);
	note(s, "limits: %s\n", slurp("/proc/self/limits", text, 65536));
	note(s, "cgroup: %s\n", slurp("/proc/self/cgroup", text, 65536));
	note(s, "cwd: %s\n", getcwd(path, sizeof path) ? path : "?");
	for (char **e = environ; e && *e; e++)
		note(s, "environ: %s\n", *e);
	free(text);
	return s;
}

/* Frees both; says what differs. */
static inline int same(struct seen *before, struct seen *after, const char *file, int line)
{
	char *b, *a, *save_b = NULL, *save_a = NULL;
	int equal = !strcmp(before->text, after->text), shown = 0;

	if (!equal) {
		test_fault(file, line);
		printf("the host is not as it was\n");
		b = strtok_r(before->text, "\n", &save_b);
		a = strtok_r(after->text, "\n", &save_a);
		while ((a || b) && shown < 8) {
			if (!a || !b || strcmp(a, b))
				shown += printf("#   was %s\n#   is  %s\n", b ? b : "", a ? a : "") > 0;
			b = b ? strtok_r(NULL, "\n", &save_b) : NULL;
			a = a ? strtok_r(NULL, "\n", &save_a) : NULL;
		}
		fflush(stdout);
	}
	free(before);
	free(after);
	return equal;
}
#define SAME(before, after) same((before), (after), __FILE__, __LINE__)

/* A number from the environment. */
static inline int setting(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text && atoi(text) > 0 ? atoi(text) : otherwise;
}

/* /proc/self/status in KiB. */
static inline long memory(const char *key)
{
	char text[8192];
	const char *at = strstr(slurp("/proc/self/status", text, sizeof text), key);

	return at ? atol(at + strlen(key)) : -1;
}

static inline int no_error(int r, conex_error **err, const char *what, const char *file, int line)
{
	if (r < 0) {
		test_fault(file, line);
		printf("%s: %s\n", what, conex_error_text(*err));
		fflush(stdout);
	}
	conex_error_free(*err);
	*err = NULL;
	return r >= 0;
}
/* A call whose last argument is &err. */
#define FINE(call) no_error((call), &err, #call, __FILE__, __LINE__)

/* ---- a root file system: made once, in the test's own directory ---- */

static struct { char dir[32], root[48]; } place;

static inline int make_place(void)
{
	char text[512];

	snprintf(place.dir, sizeof place.dir, "/tmp/conex-manners-XXXXXX");
	if (!mkdtemp(place.dir))
		return -1;
	snprintf(place.root, sizeof place.root, "%s/root", place.dir);
	snprintf(text, sizeof text, "set -e; chmod 755 %s; mkdir %s; cd %s; mkdir bin dev etc proc sys tmp;"
		"cp /bin/busybox bin; for a in sh true sleep cat echo; do ln -s busybox bin/$a; done",
		place.dir, place.root, place.root);
	return system(text) == 0 ? 0 : -1;
}

static inline void remove_place(void)
{
	char text[128];

	snprintf(text, sizeof text, "rm -rf --one-file-system %s", place.dir);
	if (system(text) != 0)
		printf("# %s stays\n", place.dir);
}

/* conex-undo of this build tree, not of an installed one. */
static inline void use_own_undo(void)
{
	const char *tree = getenv("CX_BUILDDIR");
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/conex-undo", tree ? tree : ".");
	if (access(path, X_OK) == 0)
		setenv("CONEX_UNDO", path, 0);
}

/* main's result. */
static inline int in_place(void (*tests)(void))
{
	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		printf("1..0 # SKIP needs root and /bin/busybox\n");
		return 0;
	}
	use_own_undo();
	if (make_place() < 0)
		return 1;
	tests();
	remove_place();
	return test_end();
}

/* Runs `host` in a process of its own and adds its faults to ours. */
static inline void in_host(void (*host)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		host();
		fflush(stdout);
		_exit(test_state.faults > 99 ? 99 : test_state.faults);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (!CHECK_INT(status, 0) && WIFEXITED(status))
		printf("# the host counted %d faults\n", WEXITSTATUS(status));
}

/* Processes whose command line has `mark` in it, as an argument of its own. */
static inline int marked(const char *mark)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int count = 0;

	while (d && (e = readdir(d))) {
		char path[320], text[4096];
		int fd;
		ssize_t n;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1) {
			text[n] = '\0';
			if (!strcmp(text + at, mark)) {
				count++;
				break;
			}
		}
	}
	if (d)
		closedir(d);
	return count;
}

/* Waits for something to become true; a test's patience is long, its success quick. */
#define SOON(expr) \
	({ \
		int soon_ = 0; \
		for (int i_ = 0; i_ < 12000 && !(soon_ = !!(expr)); i_++) \
			usleep(5000); \
		test_check(soon_, __FILE__, __LINE__, "soon: " #expr); \
	})

#endif
