/* For tests of state/: a place in the file system, a player of undo operations, children
 * to kill. */
#ifndef CONEX_TEST_STATE_H
#define CONEX_TEST_STATE_H

#include "../test.h"
#include "state/inside.h"
#include "base/path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Everything happens below one temporary directory; an absolute path a line. */
struct place { char root[64], base[96], named[96], log[96]; };

static inline struct place place_make(void)
{
	struct place p;

	snprintf(p.root, sizeof p.root, "%s/conex-state-XXXXXX", access("/run", W_OK) == 0
		? "/run" : "/tmp");
	CHECK(mkdtemp(p.root) != NULL);
	snprintf(p.base, sizeof p.base, "%s/base", p.root);
	snprintf(p.named, sizeof p.named, "%s/named", p.root);
	snprintf(p.log, sizeof p.log, "%s/log", p.root);
	return p;
}

static inline void place_drop(const struct place *p)
{
	int fd = open(p->root, O_RDONLY | O_DIRECTORY);

	CHECK_INT(cx_state_clear(fd), 0);
	close(fd);
	CHECK_INT(rmdir(p->root), 0);
}

/* What was played, one text a line, across processes. */
struct player { const char *log; const char *fails; int with; };

static inline int play(enum cx_op_code undo, const char *text, void *data)
{
	const struct player *p = data;
	int fd = open(p->log, O_WRONLY | O_APPEND | O_CREAT, 0600);
	char line[256];
	int n = snprintf(line, sizeof line, "%s:%s\n", undo == CX_OP_undo_kill ? "kill"
		: undo == CX_OP_undo_cgroup ? "cgroup" : undo == CX_OP_undo_unlink
		? "unlink" : "umount", text);

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		return -EIO;
	close(fd);
	return p->fails && !strcmp(p->fails, text) ? p->with : 0;
}

static inline const char *logged(const struct place *p, char text[65536])
{
	if (cx_file_read(AT_FDCWD, p->log, text, 65536) < 0)
		text[0] = '\0';
	unlink(p->log);
	return text;
}

static inline struct cx_state *open_named_at(const struct place *p)
{
	struct cx_state *s = NULL;
	conex_error *err = NULL;

	CHECK_INT(cx_state_open(p->named, 0, &s, &err), 0);
	if (err)
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	if (s) { /* leave the machine's real leftovers alone */
		free(s->base);
		s->base = strdup(p->base);
	}
	return s;
}

static inline void write_journal(struct cx_state *s, const char *id, const char *owner,
	const char *keeper)
{
	struct cx_journal *j = NULL;
	char path[80];

	CHECK_INT(cx_journal_create(s, id, &j, NULL), 0);
	if (owner)
		cx_journal_note(j, "owner", owner);
	if (keeper)
		cx_journal_note(j, "keeper", keeper);
	snprintf(path, sizeof path, "/conex/%s", id);
	cx_journal_undo(j, CX_OP_undo_cgroup, path);
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_undo(j, CX_OP_undo_kill, "12 34");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_free(j);
}

static inline int listed(const struct cx_state *s, const char *id)
{
	char **ids = NULL;
	int n = cx_state_list(s, &ids, NULL), found = 0;

	for (int i = 0; i < n; i++)
		found |= !strcmp(ids[i], id);
	free(ids);
	return found;
}

static inline void run_in_child(const struct place *p, void (*work)(const struct place *),
	pid_t *ret)
{
	int ready[2];
	char c;

	CHECK_INT(pipe(ready), 0);
	fflush(stdout);
	*ret = fork();
	if (*ret == 0) {
		work(p);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &c, 1), 1);
	close(ready[0]);
}

static inline void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
}

static inline int entries(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY), n;
	char **names = NULL;

	if (fd < 0)
		return -errno;
	n = cx_state_names(fd, 1, &names);
	close(fd);
	free(names);
	return n;
}

static inline int lines(const char *text)
{
	int n = 0;

	while ((text = strchr(text, '\n')) != NULL)
		n++, text++;
	return n;
}

#endif
