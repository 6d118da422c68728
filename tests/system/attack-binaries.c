/* Attacks on what the host executes, class A (CVE-2019-5736): a program inside opens /proc/PID/exe of all that
 * ever shows up there, while containers are made and programs executed, and writes to it as soon as it may. */
#include "system/box.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

static const struct conex_mount usr[] = { BOX_USR, { NULL, NULL, NULL, NULL } };

/* ---- inside: the attacker ---- */

static int seen, written;       /* executables that aren't the image's; those that could be changed */

/* What the image has itself: /bin/busybox and /probe. */
static int is_images(const struct stat *st)
{
	struct stat own;

	for (int i = 0; i < 2; i++)
		if (stat(i ? "/probe" : "/bin/busybox", &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino)
			return 1;
	return 0;
}

/* Every way to change a file that one has a descriptor of, once it executes no more (ETXTBSY until then). */
static void overwrite(int fd)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_WRONLY | O_TRUNC };
	char link[64];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		int again = open(link, flags[i] | O_CLOEXEC);
		void *map;

		if (again < 0)
			continue;
		written += write(again, "evil", 4) == 4;
		written += ftruncate(again, 0) == 0;
		written += fallocate(again, 0, 0, 1 << 20) == 0;
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
		written += map != MAP_FAILED;
		close(again);
	}
}

static void look_at(const char *pid)
{
	char path[300];
	struct stat st;
	int fd;

	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || is_images(&st)) {
		close(fd);
		return;
	}
	seen++;
	for (int i = 0; i < 5; i++) {           /* while it runs, and after */
		overwrite(fd);
		sched_yield();
	}
	close(fd);
}

/* Until /tmp/stop is there. */
static int attack(void)
{
	while (access("/tmp/stop", F_OK) < 0) {
		DIR *d = opendir("/proc");
		struct dirent *e;

		while (d && (e = readdir(d)))
			if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && atoi(e->d_name) != getpid())
				look_at(e->d_name);
		if (d)
			closedir(d);
		if (!seen)
			continue;
		make_file("/tmp/seen", "");
	}
	printf("seen %d written %d\n", seen, written);
	_exit(fflush(stdout) != 0);     /* a leak checker would want to trace us */
}

/* ---- the host's side ---- */

static uint64_t hash_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t h = 14695981039346656037U;
	unsigned char buffer[65536];
	ssize_t n;

	CHECK(fd >= 0);
	while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
		for (ssize_t i = 0; i < n; i++)
			h = (h ^ buffer[i]) * 1099511628211U;
	if (fd >= 0)
		close(fd);
	return h;
}

/* This program, the library as it would be installed, and the keeper that runs. */
static void hash_all(uint64_t hashes[3])
{
	const char *library = say("%s/.libs/libconex.so.0", getenv("CX_BUILDDIR") ? getenv("CX_BUILDDIR") : ".");

	hashes[0] = hash_of("/proc/self/exe");
	hashes[1] = access(library, R_OK) == 0 ? hash_of(library) : 0;  /* a build may have the static one only */
	hashes[2] = hash_of(say("/proc/%d/exe", (int)conex_keeper_pid(box.cx)));
}

static void none_changed(const uint64_t before[3])
{
	uint64_t after[3];

	hash_all(after);
	for (int i = 0; i < 3; i++)
		CHECK(after[i] == before[i]);
}

#define EVERY "[\"CAP_SYS_PTRACE\",\"CAP_SYS_ADMIN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_KILL\"]"
/* Nothing holds it back: it may trace whom it sees. */
#define STRONG "{\"linux\":{\"seccomp\":null},\"process\":{\"capabilities\":{\"bounding\":" EVERY \
	",\"permitted\":" EVERY ",\"effective\":" EVERY "}}}"
/* As strong, in the attacker's own pid namespace. */
#define NEIGHBOUR OCI({"linux": {"seccomp": null, "namespaces": [{"type": "pid", "path": "/proc/%d/ns/pid"}]}})

/* Containers are made under the attacker's eyes, programs executed in his container, and what is executed may
 * be what executes it. Goes on until he has seen one of ours, if he must. */
static void make_prey(conex_container *attacker, int rounds, int must_see)
{
	const char *json = say(NEIGHBOUR, (int)conex_container_pid(attacker));
	struct conex_run_options pod = { .oci = json };

	for (int i = 0; i < rounds || (must_see && i < 50 * rounds && access(say("%s/tmp/seen", box.root), F_OK) < 0); i++) {
		CHECK_INT(box_run(&pod, "exit 3"), 3);
		CHECK_INT(box_exec(attacker, NULL, "exit 4"), 4);
		CHECK(box_exec_args(attacker, NULL, CONEX_STRINGS("/proc/self/exe")) != 0);
		CHECK(box_exec_args(attacker, NULL, CONEX_STRINGS("/tmp/evil")) != 0);
		CHECK(box_run_args(&pod, CONEX_STRINGS("/tmp/evil")) != 0);
	}
}

static void make_evil(void)
{
	command("rm -f %s/tmp/stop %s/tmp/seen", box.root, box.root);
	make_file(say("%s/tmp/evil", box.root), "#!/proc/self/exe\n");
	chmod(say("%s/tmp/evil", box.root), 0755);
}

/* What the attacker says at the end. */
static char boast[256];

static void attack_with(const char *json, int must_see)
{
	struct conex_run_options o = { .mounts = usr, .oci = json, .out = CONEX_STDIO_PIPE };
	conex_container *c;
	uint64_t before[3];

	boast[0] = '\0';
	make_evil();
	box_end(box_start(NULL, CONEX_STRINGS("true")));        /* there is a keeper */
	hash_all(before);
	c = box_start(&o, CONEX_STRINGS("/probe", "attack"));
	if (!box_good(c ? 0 : -1, "attacker", __FILE__, __LINE__))
		return;
	make_prey(c, getenv("CONEX_ATTACK_ROUNDS") ? atoi(getenv("CONEX_ATTACK_ROUNDS")) : 8, must_see);
	make_file(say("%s/tmp/stop", box.root), "");
	box_clear();
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	box_trim();
	snprintf(boast, sizeof boast, "%s", box.out);
	none_changed(before);
	box_end(c);
	CHECK_INT(box_run(NULL, "exit 5"), 5);
}

/* He sees the keeper's program, which is sealed, and nothing else of ours. */
TEST(strong_attacker)
{
	int saw = 0, wrote = -1;

	attack_with(STRONG, 1);
	CHECK_INT(sscanf(boast, "seen %d written %d", &saw, &wrote), 2);
	CHECK(saw > 0);
	CHECK_INT(wrote, 0);
	printf("# executables of ours that were attacked: %d\n", saw);
}

TEST(ordinary_attacker)
{
	int saw, wrote = -1;

	attack_with(NULL, 0);
	CHECK_INT(sscanf(boast, "seen %d written %d", &saw, &wrote), 2);
	CHECK_INT(wrote, 0);
}

/* The seals, as the kernel has them: nothing is left to forbid, and nothing can be allowed again. */
TEST(the_keeper_is_sealed)
{
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int fd = open(say("/proc/%d/exe", (int)conex_keeper_pid(box.cx)), O_RDONLY | O_CLOEXEC);

	CHECK_INT(fcntl(fd, F_GET_SEALS) & all, all);
	CHECK_INT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
	CHECK(open(say("/proc/%d/exe", (int)conex_keeper_pid(box.cx)), O_WRONLY | O_CLOEXEC) < 0);
}

/* Without rights over others a program sees no executable but its image's: ours isn't dumpable. */
TEST(nothing_is_seen)
{
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_PIPE };
	conex_container *c = box_sleeper(NULL);
	conex_process *watcher = NULL;

	make_evil();
	if (!c)
		return;
	GOOD(conex_exec(c, CONEX_STRINGS("sh", "-c", "echo on; while [ ! -e /tmp/stop ]; do for e in /proc/[0-9]*/exe; do"
		" l=$(readlink $e) && case $l in /bin/busybox) ;; *) echo saw $l;; esac;"
		" (echo evil >>$e) 2>/dev/null && echo wrote $l; done; done"), &o, &watcher, &box.err));
	for (int i = 0; watcher && i < 30; i++)
		CHECK_INT(box_exec(c, NULL, "true"), 0);
	CHECK_INT(box_exec(c, NULL, "touch /tmp/stop"), 0);
	if (watcher && GOOD(conex_process_output(watcher, -1, &box.io, &box.err)))
		CHECK_STR(box.io.out, "on\n");
	conex_process_free(watcher);
	box_end(c);
}

static void tests(void)
{
	RUN(strong_attacker);
	RUN(ordinary_attacker);
	RUN(the_keeper_is_sealed);
	RUN(nothing_is_seen);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "attack"))
		return attack();
	return with_box(tests);
}
