/* state/: what the dead leave is cleaned up, once, and nothing of the living. */
#include "state.h"

#include <signal.h>

static void own_private(const struct place *p)
{
	struct cx_state *s = NULL;
	char name[33];

	if (cx_state_open_private_at(p->base, &s, NULL) < 0)
		_exit(1);
	for (int i = 0; i < 50; i++) {
		char id[16];

		snprintf(id, sizeof id, "c%d", i);
		write_journal(s, id, NULL, NULL);
	}
	cx_state_put_spec(s, "{}", 2, name, NULL);
	mknodat(s->fd, "pipe", S_IFIFO | 0600, 0);
	close(openat(s->fd, ".hidden", O_CREAT | O_WRONLY, 0600));
	close(openat(s->containers, ".1-1.1.x", O_CREAT | O_WRONLY, 0600));
}

TEST(private_of_the_dead)
{
	struct place p = place_make();
	struct player all = { .log = p.log };
	struct cx_state *s = NULL;
	struct stat st;
	char text[65536];
	pid_t child;

	run_in_child(&p, own_private, &child);
	CHECK_INT(cx_state_open_private_at(p.base, &s, NULL), 0);
	CHECK(fstat(s->fd, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK_INT(cx_state_recover(s, play, &all), 0);
	CHECK_STR(logged(&p, text), "");
	CHECK_INT(entries(p.base), 2);
	kill(child, SIGKILL); /* a zombie owns nothing */
	waitid(P_PID, (id_t)child, &(siginfo_t){ .si_pid = 0 }, WEXITED | WNOWAIT);
	CHECK_INT(cx_state_recover(s, play, &all), 0);
	CHECK_INT(lines(logged(&p, text)), 100);
	CHECK_INT(entries(p.base), 1);
	waitpid(child, NULL, 0);
	cx_state_close(s, 1);
	CHECK_INT(entries(p.base), 0);
	place_drop(&p);
}

TEST(four_recover_at_once)
{
	struct place p = place_make();
	char text[65536];
	pid_t dead[3], child[4];

	for (int i = 0; i < 3; i++)
		run_in_child(&p, own_private, &dead[i]);
	for (int i = 0; i < 3; i++)
		kill_child(dead[i]);
	fflush(stdout);
	for (int i = 0; i < 4; i++)
		if ((child[i] = fork()) == 0) {
			struct cx_state *s = NULL;
			int r = cx_state_open_private_at(p.base, &s, NULL);

			r = r < 0 ? r : cx_state_recover(s, play,
				&(struct player){ .log = p.log });
			cx_state_close(s, 1);
			_exit(r < 0 ? -r : 0);
		}
	for (int i = 0; i < 4; i++) {
		int status = -1;

		waitpid(child[i], &status, 0);
		CHECK_INT(status, 0);
	}
	CHECK_INT(lines(logged(&p, text)), 300); /* each once */
	CHECK_INT(entries(p.base), 0);
	place_drop(&p);
}

TEST(half_made_private)
{
	struct place p = place_make();
	struct player all = { .log = p.log };
	struct cx_state *s = NULL;
	char path[256];
	pid_t dead = fork();

	if (dead == 0)
		_exit(0);
	waitpid(dead, NULL, 0);
	CHECK_INT(cx_state_open_private_at(p.base, &s, NULL), 0);
	snprintf(path, sizeof path, "%s/%d-1-%llu-abc", p.base, (int)dead,
		s->here.pid_ns);
	CHECK_INT(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/%d-1-%llu-abc", p.base, (int)dead,
		s->here.pid_ns + 1);
	CHECK_INT(mkdir(path, 0700), 0); /* another namespace's: who knows */
	snprintf(path, sizeof path, "%s/%d-1-%llu-abc", p.base, (int)getppid(),
		s->here.pid_ns);
	CHECK_INT(mkdir(path, 0700), 0); /* alive, at least by its pid */
	snprintf(path, sizeof path, "%s/somebody", p.base);
	CHECK_INT(mkdir(path, 0700), 0);
	CHECK_INT(cx_state_recover(s, play, &all), 0);
	CHECK_INT(entries(p.base), 4);
	cx_state_close(s, 1);
	place_drop(&p);
}

static void own_named(const struct place *p)
{
	struct cx_state *s = open_named_at(p);
	char self[64], live[64], dead[80];
	struct cx_owner parent = { .pid = getppid(),
		.start = cx_process_start(getppid()) };

	snprintf(self, sizeof self, "%d %llu", (int)s->self.pid,
		(unsigned long long)s->self.start);
	snprintf(live, sizeof live, "%d %llu", (int)parent.pid,
		(unsigned long long)parent.start);
	snprintf(dead, sizeof dead, "%d %llu", (int)parent.pid,
		(unsigned long long)parent.start + 1);
	write_journal(s, "bound", self, NULL);
	write_journal(s, "by-creator", NULL, dead);
	write_journal(s, "kept", self, live);
	write_journal(s, "adopted", live, dead);
	snprintf(dead, sizeof dead, "released %s", self);
	write_journal(s, "released", dead, NULL);
	close(openat(s->containers, ".1999999999-1.1.x", O_CREAT | O_WRONLY, 0600));
}

TEST(named_of_several)
{
	struct place p = place_make();
	struct player all = { .log = p.log };
	struct cx_state *s = open_named_at(&p);
	char text[65536];
	pid_t child;

	run_in_child(&p, own_named, &child);
	CHECK_INT(cx_state_recover(s, play, &all), 0);
	CHECK_STR(logged(&p, text), "");
	kill_child(child);
	CHECK_INT(cx_state_recover(s, play, &all), 0);
	CHECK_INT(lines(logged(&p, text)), 4);
	CHECK(!listed(s, "bound") && !listed(s, "by-creator"));
	CHECK(listed(s, "kept") && listed(s, "adopted") && listed(s, "released"));
	CHECK(faccessat(s->containers, ".1999999999-1.1.x", F_OK, 0) < 0);
	/* conex-undo: the keeper runs it */
	CHECK_INT(cx_state_recover_path(p.named, play, &all), 0);
	CHECK_STR(logged(&p, text), "kill:12 34\ncgroup:/conex/kept\n");
	CHECK(!listed(s, "kept") && listed(s, "adopted") && listed(s, "released"));
	CHECK_INT(cx_state_undo(s, "released", play, &all), 0);
	CHECK_INT(cx_state_undo(s, "adopted", play, &all), 0);
	cx_state_close(s, 1);
	place_drop(&p);
}

TEST(conex_undo_of_a_private_one)
{
	struct place p = place_make();
	struct player busy = { .log = p.log, .fails = "/conex/c7", .with = -EBUSY },
		all = { .log = p.log };
	struct cx_state *s = NULL;
	char text[65536], path[512];
	pid_t child;
	char **names = NULL;
	int fd;

	run_in_child(&p, own_private, &child);
	fd = open(p.base, O_RDONLY | O_DIRECTORY);
	CHECK_INT(cx_state_names(fd, 0, &names), 1);
	close(fd);
	snprintf(path, sizeof path, "%s/%s", p.base, names[0]);
	free(names);
	CHECK_INT(cx_state_recover_path(path, play, &busy), -EBUSY);
	CHECK_INT(lines(logged(&p, text)), 100);
	/* not asked: the child is alive */
	CHECK_INT(cx_state_recover_path(path, play, &all), 0);
	CHECK_STR(logged(&p, text), "kill:12 34\ncgroup:/conex/c7\n");
	CHECK_INT(cx_state_recover_path(path, play, &all), 0);
	CHECK_INT(entries(p.base), 0);
	kill_child(child);
	cx_state_close(s, 1);
	place_drop(&p);
}

/* The header says where; another boot there, and no pid is believed. */
TEST(another_boot)
{
	struct place p = place_make();
	struct player all = { .log = p.log };
	struct cx_state *s = open_named_at(&p);
	struct cx_journal *j = NULL;
	char text[65536], self[64];

	snprintf(self, sizeof self, "released %d %llu", (int)s->self.pid,
		(unsigned long long)s->self.start);
	s->here.boot[0] ^= 1;
	CHECK_INT(cx_journal_create(s, "old", &j, NULL), 0);
	s->here.boot[0] ^= 1;
	cx_journal_note(j, "owner", self);
	cx_journal_undo(j, CX_OP_undo_unlink, "/file");
	cx_journal_undo(j, CX_OP_undo_cgroup, "/cgroup");
	cx_journal_undo(j, CX_OP_undo_kill, "1 2");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_free(j);
	CHECK_INT(cx_state_recover(s, play, &all), 0);
	CHECK_STR(logged(&p, text), "unlink:/file\n");
	CHECK_INT(listed(s, "old"), 0);
	cx_state_close(s, 1);
	place_drop(&p);
}

/* A child is killed at any moment of making private directories and journals; nothing
 * stays. */
TEST(killed_at_any_moment)
{
	struct place p = place_make();
	struct cx_state *s = NULL;
	char text[65536];

	CHECK_INT(cx_state_open_private_at(p.base, &s, NULL), 0);
	fflush(stdout);
	for (int i = 0; i < 300; i++) {
		pid_t child = fork();

		if (child == 0)
			for (;;) {
				struct cx_state *mine = NULL;

				cx_state_open_private_at(p.base, &mine, NULL);
				write_journal(mine, "k", NULL, NULL);
				cx_journal_remove(mine, "k");
				cx_state_close(mine, 1);
			}
		usleep(500 + (unsigned)i * 7);
		kill_child(child);
		CHECK_INT(cx_state_recover(s, play, &(struct player){ .log = p.log }), 0);
		CHECK_INT(entries(p.base), 1);
		logged(&p, text);
	}
	cx_state_close(s, 1);
	place_drop(&p);
}

int main(void)
{
	RUN(private_of_the_dead);
	RUN(four_recover_at_once);
	RUN(half_made_private);
	RUN(named_of_several);
	RUN(conex_undo_of_a_private_one);
	RUN(another_boot);
	RUN(killed_at_any_moment);
	return test_end();
}
