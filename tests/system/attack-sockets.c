/* Attacks on what host, keeper and containers talk through, class K (CVE-2020-15257): nothing of ours is in the
 * abstract namespace, what has a name is its owner's alone, and the keeper knows whose words it hears. */
#include "system/box.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

static char state[64];

/* A detached context with a held container, which listens on a socket that has a name. */
static conex_container *start_listening(conex **cx)
{
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = state };
	struct conex_run_options o = { .size = sizeof o, .id = "listens", .rootfs = box.root, .flags = CONEX_RUN_HOLD };
	conex_container *c = NULL;

	box_clear();
	if (GOOD(conex_open(&where, cx, &box.err)))
		GOOD(conex_run(*cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err));
	return c;
}

/* The abstract names that processes of ours hold: theirs are the inodes in /proc/PID/fd. */
static int abstract_of(pid_t pid)
{
	char *table = strdup(content("/proc/net/unix"));
	DIR *d = opendir(say("/proc/%d/fd", (int)pid));
	struct dirent *e;
	int found = 0;

	while (d && (e = readdir(d))) {
		char link[64];
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);
		const char *at;

		link[n < 0 ? 0 : n] = '\0';
		if (strncmp(link, "socket:[", 8))
			continue;
		link[strcspn(link, "]")] = '\0';
		at = strstr(table, say(" %s @", link + 8));
		found += at != NULL;
		if (at)
			printf("# %.*s\n", (int)strcspn(at, "\n"), at);
	}
	if (d)
		closedir(d);
	free(table);
	return found;
}

TEST(nothing_abstract)
{
	conex *cx = NULL;
	conex_container *held = start_listening(&cx), *runs = box_sleeper(NULL);

	CHECK_INT(abstract_of(getpid()), 0);
	CHECK_INT(abstract_of(conex_keeper_pid(box.cx)), 0);
	CHECK_INT(abstract_of(conex_keeper_pid(cx)), 0);
	CHECK_INT(abstract_of(conex_container_pid(held)), 0);
	CHECK_INT(abstract_of(conex_container_pid(runs)), 0);
	box_end(runs);
	box_end(held);
	conex_close(cx);
}

/* As seen in the host's network by a container that may do much there. */
TEST(seen_from_the_hosts_network)
{
	struct conex_run_options o = { .share = CONEX_NS_NET };
	conex *cx = NULL;
	conex_container *held = start_listening(&cx);

	CHECK_INT(box_run(&o, say("grep -c listens /proc/net/unix; grep '@.*\\(conex\\|listens\\)' /proc/net/unix;"
		" ls %s/sockets 2>&1 | grep -c 'No such file'", state)), 0);
	CHECK_STR(box.out, "1\n1");     /* the name is seen, the file is not in reach */
	box_end(held);
	conex_close(cx);
}

/* ---- names and modes ---- */

static int mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 || st.st_uid != 0 ? -1 : (int)(st.st_mode & 07777);
}

/* Tries as another user: connecting, listing, reading. Each attempt that worked is a bit. */
static int by_another_user(const char *path, pid_t keeper)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), got;

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 64;
	got = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
	got |= (access(path, F_OK) == 0) << 1;
	got |= (open(state, O_RDONLY | O_CLOEXEC) >= 0) << 2;
	got |= (open(say("%s/containers/listens", state), O_RDONLY | O_CLOEXEC) >= 0) << 3;
	got |= (kill(keeper, 0) == 0) << 4;
	return got;
}

TEST(its_owners_alone)
{
	const char *path = say("%s/sockets/listens", state);
	conex *cx = NULL;
	conex_container *held = start_listening(&cx);
	pid_t pid, keeper = conex_keeper_pid(box.cx);
	int status = -1;

	CHECK(keeper > 0);
	CHECK_INT(mode_of(state), 0700);
	CHECK_INT(mode_of(say("%s/sockets", state)), 0700);
	CHECK_INT(mode_of(say("%s/containers", state)), 0700);
	CHECK_INT(mode_of(say("%s/containers/listens", state)), 0600);
	CHECK_INT(mode_of(box.cx->state->path), 0700);
	CHECK_INT(mode_of("/run/conex"), 0711);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(by_another_user(path, keeper));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK_INT(conex_container_state(held), CONEX_HELD);     /* nobody has started it */
	box_end(held);
	CHECK(access(path, F_OK) < 0);
	conex_close(cx);
}

/* A state directory that others may write to is not believed. */
TEST(a_directory_of_others)
{
	const char *open_to_all = say("%s/open", box.dir), *others = say("%s/others", box.dir);
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED };
	conex *cx = NULL;

	CHECK_INT(mkdir(open_to_all, 0777), 0);
	CHECK_INT(chmod(open_to_all, 0777), 0);
	where.state = open_to_all;
	CHECK(conex_open(&where, &cx, &box.err) < 0);
	SAID(open_to_all);
	CHECK_INT(mkdir(others, 0700), 0);
	CHECK_INT(chown(others, NOBODY, NOBODY), 0);
	where.state = others;
	CHECK(conex_open(&where, &cx, &box.err) < 0);
	SAID(others);
}

/* ---- the keeper's socket ---- */

/* A pair without a name, whose other end is ours by the kernel's word; containers have neither end. */
TEST(the_keepers_socket)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	conex_container *c = box_sleeper(NULL);
	socklen_t size = sizeof a;
	struct ucred peer = { 0 };
	char link[64] = "";
	ssize_t n;
	int fd = -1, found = 0;

	for (int i = 3; i < 64 && fd < 0; i++) {
		socklen_t length = sizeof peer;
		int type = 0;

		if (getsockopt(i, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof type }) == 0 && type == SOCK_SEQPACKET
		    && getsockopt(i, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
			fd = i;
	}
	if (!CHECK(fd >= 0))
		return;
	CHECK_INT(getpeername(fd, (struct sockaddr *)&a, &size), 0);
	CHECK_INT(size, sizeof(sa_family_t));
	CHECK_INT(peer.pid, getpid());          /* the pair was made here, before the keeper was there */
	n = readlink(say("/proc/self/fd/%d", fd), link, sizeof link - 1);
	CHECK(n > 0);
	for (int i = 0; i < 64; i++) {
		char to[64] = "";

		if (c && readlink(say("/proc/%d/fd/%d", (int)conex_container_pid(c), i), to, sizeof to - 1) > 0)
			found += !strncmp(to, "socket:", 7);
	}
	CHECK_INT(found, 0);
	box_end(c);
}

static void tests(void)
{
	snprintf(state, sizeof state, "%s/state", box.dir);
	RUN(nothing_abstract);
	RUN(seen_from_the_hosts_network);
	RUN(its_owners_alone);
	RUN(a_directory_of_others);
	RUN(the_keepers_socket);
}

int main(void)
{
	return with_box(tests);
}
