/* How a container ended, in a file named as its id beside the directory of containers. Whoever waits for a container holds a
 * lock on the file from before the launch until the end is written, and that goes with him when he is killed. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *record_path(struct cli *cli, const char *id)
{
	const char *path = state_path(cli, "ends");

	return path ? format(cli, "%s/%s", path, id) : NULL;
}

/* Of a file that was removed meanwhile nobody else knows. */
static int is_there(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* As the library has it: what becomes a file's name is looked at before. */
static int is_id(const char *id)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strspn(id, letters);

	return n && n <= 64 && !id[n] && !strchr("_.-", *id);
}

int record_begin(struct cli *cli, const char *id)
{
	const char *path = record_path(cli, id);
	int fd = -1;

	if (!is_id(id))
		return say("run: --name %s: write 1 to 64 of a-z A-Z 0-9 _ . -, first a letter or digit", id), -1;
	if (!path || make_above(cli, path))
		return -1;
	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return say("%s: %s", path, strerror(errno)), -1;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			close(fd);
			return say("run: the id %s is taken; give another one with --name, or remove that container", id), -1;
		}
		if (is_there(fd))
			return fd;
		close(fd);
	}
}

/* ---- an end as JSON ---- */

static const char *cause_name(int cause)
{
	static const char *const names[] = { "", "code", "signal", "oom", "timeout", "stopped", "seccomp", "never-started", "unknown" };

	return cause > 0 && (size_t)cause < sizeof names / sizeof names[0] ? names[cause] : "unknown";
}

static json_t *end_json(const conex_container *c)
{
	struct conex_exit x = { .size = sizeof x };
	char words[256];

	if (conex_container_exit((conex_container *)c, &x, NULL) < 0)
		return NULL;
	conex_exit_text(&x, words, sizeof words);
	return json_pack("{s:s, s:i, s:i, s:i, s:s, s:I, s:I, s:I, s:I, s:I}", "cause", cause_name(x.cause), "status", x.status,
		"code", x.code, "signal", x.sig, "text", words, "oom_kills", (json_int_t)x.oom_kills, "memory_peak",
		(json_int_t)x.memory_peak, "cpu_ns", (json_int_t)x.cpu_ns, "wall_ns", (json_int_t)x.wall_ns, "exited_at_ns",
		(json_int_t)x.exited_at_ns);
}

/* Of which container: an id may be used again. */
static json_int_t created_at(conex_container *c)
{
	char *text = NULL;
	json_t *json = conex_container_json(c, &text, NULL) < 0 ? NULL : parse_json(text);
	json_int_t at = json_integer_value(json_object_get(json, "created_at_ns"));

	json_decref(json);
	return at;
}

void record_write(int fd, const conex_container *c)
{
	json_t *end = end_json(c);
	char *text = NULL;

	if (end && json_object_set_new(end, "created_at_ns", json_integer(created_at((conex_container *)c))) == 0)
		text = json_dumps(end, JSON_INDENT(2));
	json_decref(end);
	if (text && (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0))
		say("what became of %s isn't known to others: %s", conex_container_id(c), strerror(errno));
	free(text);
}

json_t *record_read(struct cli *cli, conex_container *c)
{
	const char *path = record_path(cli, conex_container_id(c));
	json_t *end = path ? json_load_file(path, 0, NULL) : NULL;

	if (end && json_integer_value(json_object_get(end, "created_at_ns")) == created_at(c))
		return end;
	json_decref(end);
	return end_json(c);
}

/* ---- their end ---- */

void record_drop(struct cli *cli, const char *id, int fd)
{
	const char *path = record_path(cli, id), *log = log_path(cli, id);

	unlink(log);
	unlink(format(cli, "%s.1", log));
	if (path)
		unlink(path);
	close(fd);
}

void record_wait(struct cli *cli, const char *id)
{
	const char *path = record_path(cli, id);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	while (flock(fd, LOCK_SH) < 0 && errno == EINTR)
		;
	close(fd);
}

void record_forget(struct cli *cli, const char *id)
{
	const char *path = record_path(cli, id);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	if (fd >= 0 && !is_there(fd))
		close(fd);
	else if (fd >= 0)
		record_drop(cli, id, fd);
}

/* A new one may not be locked yet. */
static int is_old(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_mtime + 10 < time(NULL);
}

/* Whoever was to remove them has been killed. */
void records_sweep(struct cli *cli)
{
	const char *folder = state_path(cli, "ends");
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		conex_container *c;
		int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (is_old(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_there(fd) && conex_container_get(cli->cx, e->d_name, &c, NULL) == -ENOENT) {
			record_drop(cli, e->d_name, fd);
			continue;
		}
		close(fd);
	}
	if (dir)
		closedir(dir);
}
