/* What a container may have left for who makes an image of it, and what may happen meanwhile: nothing but a whole image
 * gets a name. Uppers are written to from outside, as no container could in a moment. */
#include "commit.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- hostile uppers ---- */

static int upper_fd(const conex_container *c)
{
	return open(upper_of(c), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void refused(conex_container *c, int code, const char *word)
{
	CHECK_INT(committed(c, "bad:1", NULL), code);
	SAID(word);
}

static void bind_socket(int dir)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/socket", dir);
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
}

/* Taken as they are: names, links, holes; sockets and overlay's notes aren't. */
TEST(odd_but_good)
{
	conex_container *c = ended("app", NULL, "mkdir /odd; echo x >/odd/x");
	int dir = openat(upper_fd(c), "odd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	char name[256], value[8];
	struct stat st;

	CHECK_INT(symlinkat("/", dir, "to-root") + symlinkat("../../../../../../etc/shadow", dir, "up"), 0);
	memset(name, 'w', 255);
	name[255] = '\0';
	CHECK_INT(mknod(say("%s/%s", upper_of(c), name), S_IFCHR, makedev(0, 0)), 0);       /* a whiteout whose name is too long for a file */
	put(dir, "\n\t\033[31m", "control");
	put(dir, "-rf", "an option");
	put(dir, ".wha", "no whiteout");
	bind_socket(dir);
	CHECK_INT(fsetxattr(dir, "trusted.overlay.origin", "x", 1, 0), 0);
	fd = openat(dir, "large", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(pwrite(fd, "end", 3, INT64_C(5) << 30) == 3 && ftruncate(fd, INT64_C(6) << 30) == 0);
	close(fd);
	CHECK_INT(committed(c, "odd:1", NULL), 1);
	box_end(c);
	c = started("odd:1", NULL, "sleep 1000");
	snprintf(name, sizeof name, "/proc/%d/root/odd", (int)conex_container_pid(c));
	CHECK_INT(box_entries(name), 7);
	CHECK_STR(content("%s/-rf", name), "an option");
	CHECK_STR(content("%s/\n\t\033[31m", name), "control");
	CHECK_INT(lstat(say("%s/socket", name), &st), -1);
	CHECK(stat(say("%s/large", name), &st) == 0 && st.st_size == INT64_C(6) << 30 && st.st_blocks < 1000);
	fd = open(say("%s/large", name), O_RDONLY | O_CLOEXEC);
	CHECK(pread(fd, value, 3, INT64_C(5) << 30) == 3 && !memcmp(value, "end", 3));
	close(fd);
	box_end(c);
	close(dir);
	GOOD(conex_image_delete(box.cx, "odd:1", &box.err));
}

static void nest(int dir, const char *name, int levels)
{
	int at = dup(dir);

	for (int i = 0; i < levels; i++) {
		int next = mkdirat(at, name, 0755) == 0 ? openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

		close(at);
		at = next;
	}
	CHECK(at >= 0);
	close(at);
}

TEST(refused_names)
{
	conex_container *c = ended("app", NULL, "mkdir /odd");
	int upper = upper_fd(c), dir = openat(upper, "odd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[200];

	put(dir, ".wh.x", "");
	refused(c, -EINVAL, "/odd/.wh.x");
	unlinkat(dir, ".wh.x", 0);
	mkdirat(dir, ".wh..wh..opq", 0700);
	refused(c, -EINVAL, ".wh..wh..opq");
	unlinkat(dir, ".wh..wh..opq", AT_REMOVEDIR);
	CHECK_INT(fsetxattr(dir, "user.a=b", "x", 1, 0), 0);
	refused(c, -EINVAL, "extended attribute");
	fremovexattr(dir, "user.a=b");
	CHECK_INT(fsetxattr(dir, "trusted.overlay.redirect", "/etc", 4, 0), 0);
	refused(c, -EOPNOTSUPP, "/odd");
	fremovexattr(dir, "trusted.overlay.redirect");
	memset(name, 'd', 199);
	name[199] = '\0';
	nest(dir, name, 30);                    /* 6,000 bytes */
	refused(c, -ENAMETOOLONG, "4,095");
	CHECK_INT(command("rm -r %s/odd/d*", upper_of(c)), 0);
	nest(dir, "e", 1500);                   /* 3,000 bytes, and more levels than descriptors */
	CHECK_INT(committed(c, "deep:1", NULL), 1);
	box_end(c);
	GOOD(conex_image_delete(box.cx, "deep:1", &box.err));
	close(dir);
	close(upper);
	store_is_clean(1);
}

/* ---- many ---- */

TEST(many)
{
	conex_container *c = ended("app", NULL, "mkdir /many"), *again;
	int upper = upper_fd(c), dir = openat(upper, "many", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[32];

	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof name, "file-%06d", i * 7919 % 100000);
		if (i % 10 == 0)
			put(dir, name, "x");
		else if (mknodat(dir, name, S_IFREG | 0644, 0) < 0 && !CHECK_STR(strerror(errno), name))
			break;
	}
	for (int i = 0; i < 1000; i++)
		CHECK_INT(linkat(dir, "file-000000", dir, say("hard-%d", i), 0), 0);
	CHECK_INT(committed(c, "many:1", NULL), 1);
	box_end(c);
	again = started("many:1", NULL, "sleep 1000");
	CHECK_INT(box_entries(say("/proc/%d/root/many", (int)conex_container_pid(again))), 101000);
	box_end(again);
	close(dir);
	close(upper);
	GOOD(conex_image_delete(box.cx, "many:1", &box.err));
	store_is_clean(1);
}

/* ---- meanwhile ---- */

/* Holds the place where the new layer goes, whose name is known from an earlier time: the worker has read all, and waits. */
static int hold(const char *name, const char *blob)
{
	int fd = open(say("%s/ingest/sha256/%s", store, blob), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	GOOD(conex_image_delete(box.cx, name, &box.err));
	return fd;
}

static void blob_of(const char *name, char blob[65])
{
	json_t *json = image_json(name), *manifest, *layers;
	const char *digest = json_string_value(json_object_get(json, "digest"));

	manifest = json_load_file(say("%s/blobs/sha256/%s", store, digest ? digest + 7 : ""), 0, NULL);
	layers = json_object_get(manifest, "layers");
	snprintf(blob, 65, "%s", json_string_value(json_object_get(json_array_get(layers, json_array_size(layers) - 1), "digest")) + 7);
	json_decref(manifest);
	json_decref(json);
}

/* Begun, and waiting where `held` is. */
static conex_job *waiting(conex_container *c, const char *name)
{
	struct conex_progress p = { .size = sizeof p };
	conex_job *job = NULL;

	box_clear();
	GOOD(conex_image_commit(c, name, NULL, &job, &box.err));
	for (int i = 0; job && i < 3000 && (!p.step || strcmp(p.step, "storing the layer")); i++) {
		GOOD(conex_job_progress(job, &p, &box.err));
		usleep(10000);
	}
	CHECK(p.step && !strcmp(p.step, "storing the layer"));
	return job;
}

static conex_container *prepared(char blob[65])
{
	conex_container *c = ended("app", NULL, "echo x >/srv/x");

	CHECK_INT(committed(c, "first:1", NULL), 1);
	blob_of("first:1", blob);
	return c;
}

static int names(void)
{
	char **list = NULL;
	int n = conex_image_list(box.cx, &list, &box.err);

	free(list);
	return n;
}

TEST(deleted_meanwhile)
{
	char blob[65], *upper;
	conex_container *c = prepared(blob);
	int held = hold("first:1", blob);
	conex_job *job = waiting(c, "late:1");

	upper = strdup(upper_of(c));
	CHECK_INT(conex_container_delete(c, 300, &box.err), 0);         /* it waits */
	CHECK_INT(access(upper, F_OK), 0);
	CHECK_INT(names(), 1);
	close(held);
	CHECK_INT(conex_job_wait(job, -1, &box.err), 1);
	CHECK_INT(conex_container_delete(c, -1, &box.err), 1);
	CHECK_INT(access(upper, F_OK), -1);
	CHECK_INT(names(), 2);
	conex_job_free(job);
	conex_container_free(c);
	free(upper);
	CHECK_INT(run_prints("late:1", NULL, "cat /srv/x"), 0);
	GOOD(conex_image_delete(box.cx, "late:1", &box.err));
	store_is_clean(1);
}

static pid_t worker(void)
{
	FILE *f = popen("pidof conex-worker", "re");
	int pid = 0;

	if (f && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		pclose(f);
	return pid;
}

TEST(killed_meanwhile)
{
	char blob[65];
	conex_container *c = prepared(blob);
	int held = hold("first:1", blob);
	conex_job *job = waiting(c, "late:1");

	kill(worker(), SIGKILL);
	CHECK_INT(conex_job_wait(job, -1, &box.err), -EPIPE);
	SAID("conex-worker");
	conex_job_free(job);
	close(held);
	CHECK_INT(names(), 1);
	CHECK_INT(conex_image_delete(box.cx, "late:1", &box.err), -ENOENT);
	CHECK_INT(committed(c, "late:1", NULL), 1);             /* nothing of it is in the way */
	box_end(c);
	GOOD(conex_image_delete(box.cx, "late:1", &box.err));   /* which collects */
	store_is_clean(1);
}

/* Freed, it is cancelled; a paused container can be resumed only then. */
TEST(cancelled_meanwhile)
{
	char blob[65];
	conex_container *c = prepared(blob);
	int held, r = -EBUSY;
	conex_job *job;

	box_end(c);
	c = started("app", NULL, "echo x >/srv/x; exec 3>>/srv/open; echo y >&3; sleep 1000");
	for (int i = 0; i < 1000 && access(say("%s/srv/open", upper_of(c)), F_OK) < 0; i++)
		usleep(10000);
	CHECK_INT(conex_container_pause(c, 5000, &box.err), 1);
	CHECK_INT(committed(c, "first:1", NULL), 1);
	blob_of("first:1", blob);
	held = hold("first:1", blob);
	job = waiting(c, "late:1");
	CHECK_INT(conex_container_resume(c, &box.err), -EBUSY);
	SAID("committed");
	conex_job_free(job);
	for (int i = 0; i < 500 && r == -EBUSY; i++) {
		usleep(10000);
		r = conex_container_resume(c, NULL);
	}
	CHECK_INT(r, 0);
	CHECK_INT(names(), 1);
	close(held);
	box_end(c);
	GOOD(conex_image_delete(box.cx, "app", &box.err));
	CHECK_INT(brought("layout.tar", "app"), 1);
	store_is_clean(1);
}

/* conex_close ends the worker first, and what the container wrote goes as always. */
TEST(closed_meanwhile)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };
	char blob[65];
	conex_container *c = prepared(blob);
	int held = hold("first:1", blob);
	conex_job *job = waiting(c, "late:1");

	conex_close(box.cx);
	CHECK(conex_job_wait(job, 0, NULL) < 0);
	conex_job_free(job);
	conex_container_free(c);
	close(held);
	box.cx = NULL;
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	CHECK_INT(box_entries(say("%s/snapshots", store)), 1);  /* the boot's mark */
	CHECK_INT(names(), 1);
}

static void tests(void)
{
	if (!commit_box())
		return;
	RUN(odd_but_good);
	RUN(refused_names);
	RUN(many);
	RUN(deleted_meanwhile);
	RUN(killed_meanwhile);
	RUN(cancelled_meanwhile);
	RUN(closed_meanwhile);
}

int main(void)
{
	return commit_main(tests);
}
