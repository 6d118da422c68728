/* The image store among many: writers that are killed at any moment, two that want the same, a collector beside
 * pulls. */
#include "store.h"

#include <sys/time.h>

static uint32_t noise(void)
{
	static uint64_t state = 7;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33);
}

/* A child's words for what went wrong. */
static int said(int r, int code, conex_error *err)
{
	if (r >= 0)
		return 0;
	printf("# %s\n", conex_error_text(err));
	fflush(stdout);
	return code;
}

/* Every blob is what its name says, every layer whole, every image complete. How many blobs. */
static int check_all(struct cx_store *s)
{
	char path[CX_STORE_PATH + 256];
	struct cx_image *images = NULL;
	char **names = NULL;
	int dir = cx_store_folder(s, "blobs/sha256"), blobs = cx_state_names(dir, 1, &names), n;

	for (int i = 0; i < blobs; i++) {
		int fd = openat(dir, names[i], O_RDONLY | O_CLOEXEC);
		struct cx_digest is, want;

		CHECK(fd >= 0 && store_hash_file(fd, 0, &is, NULL) == 0);
		CHECK(cx_digest_from_path("sha256", names[i], &want) == 0 && cx_digest_equal(&is, &want));
		close(fd);
	}
	free(names);
	close(dir);
	dir = cx_store_folder(s, "layers");
	n = cx_state_names(dir, 1, &names);
	for (int i = 0; i < n; i++) {
		char text[CX_LAYER_NAME] = "";

		snprintf(path, sizeof path, "layers/%s/root/file", names[i]);
		CHECK(cx_file_read(s->root, path, text, sizeof text) > 0);
		CHECK_STR(text, names[i]);
	}
	free(names);
	close(dir);
	n = cx_store_list_images(s, &images, NULL);
	CHECK(n >= 0);
	for (int i = 0; i < n; i++)
		CHECK_INT(cx_store_is_whole(s, &images[i].target, NULL), 1);
	free(images);
	return blobs;
}

/* ---- killed at any moment ---- */

/* A blob of 400 pieces, each by a call: so some are found half-written. */
static char bytes[400 * 50];

static struct cx_digest slow_digest(int seed)
{
	memset(bytes, seed % 251, sizeof bytes);
	memcpy(bytes, &seed, sizeof seed);
	return store_hash(bytes, sizeof bytes);
}

static int write_slowly(struct cx_store_lease *l, int seed, int *ret_resumed)
{
	struct cx_digest want = slow_digest(seed);
	struct cx_ingest *i = NULL;
	int r;

	r = cx_ingest_begin(l, &want, sizeof bytes, 0, &i, NULL);
	if (r != 0)
		return r;
	*ret_resumed += i->have > 0;
	for (size_t at = i->have; r == 0 && at < sizeof bytes; at = i->have)
		r = cx_ingest_append(i, bytes + at, sizeof bytes - at < 50 ? sizeof bytes - at : 50, NULL);
	if (r == 0) {
		struct cx_digest is;

		store_hash_file(i->fd, 0, &is, NULL);   /* of all: what was there counts, too */
		r = cx_ingest_commit(i, &is, NULL);
	}
	cx_ingest_close(i);
	return r;
}

/* All that a store is used for, one after another. */
static int work(struct cx_store *s, int round, int *ret_resumed)
{
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_reference name = store_name(round % 2 ? "a/b:1" : "c:2");
	char names[8][CX_LAYER_NAME];
	struct store_image image;
	int r = l ? write_slowly(l, round, ret_resumed) : -1;

	if (r >= 0)
		r = store_put_image(l, round % 20, 3, &image, NULL);
	if (r == 0)
		r = store_unpack(l, &image, 3, names, NULL);
	if (r == 0)
		r = cx_store_put_image(s, &name, &image.manifest, NULL);
	if (r == 0 && round % 3 == 0)
		r = cx_store_delete_image(s, &name, NULL);
	if (r == 0)
		r = cx_store_lease_return(s, l->id, NULL);
	cx_store_lease_free(l);
	if (r == 0 && round % 4 == 0)
		r = cx_store_collect(s, 1000, NULL, NULL);
	return r;
}

static int work_on(void *data)
{
	struct cx_store *s = store_open();
	int resumed = 0;

	for (int i = *(int *)data; s; i++)
		if (work(s, i, &resumed) < 0)
			return 1;
	return 2;
}

/* What the killed left half-written is gone on with: how many. */
static int resume_all(struct cx_store *s, int from, int to)
{
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	int resumed = 0;

	for (int seed = from; seed < to; seed++) {
		struct cx_digest want = slow_digest(seed);

		if (cx_store_partial(s, &want))
			CHECK_INT(write_slowly(l, seed, &resumed), 0);
	}
	store_give(l);
	return resumed;
}

TEST(killed)
{
	int rounds = test_count("CONEX_TEST_KILLS", 300), resumed = 0, blobs = 0, partial = 0;
	struct cx_store *s = store_new();

	for (int i = 0; i < rounds; i++) {
		pid_t pid = start(work_on, &i);
		int status;

		usleep(noise() % 6000);
		kill(pid, SIGKILL);
		status = reap(pid);
		if (!WIFSIGNALED(status))
			CHECK_INT(WEXITSTATUS(status), 0);      /* it failed before it was killed */
		partial += store_count("ingest/sha256") > 0;
		blobs += check_all(s);
		if (i % 10 < 9)
			continue;
		CHECK_INT(cx_store_collect(s, 1000, NULL, NULL), 0);    /* and what is left goes on working */
		resumed += resume_all(s, i - 10, i + 50);
		CHECK_INT(work(s, i, &(int){ 0 }), 0);
	}
	printf("# %d kills, %d blobs looked at, %d times a partial one was left, %d resumed\n", rounds, blobs, partial,
		resumed);
	CHECK(blobs > rounds && partial > 0 && resumed > 0);
	/* everything that the dead held or left is gone after one collection */
	CHECK_INT(cx_store_collect(s, 0, NULL, NULL), 0);
	CHECK_INT(store_count("leases") + store_count("tmp") + store_count("ingest/sha256"), 0);
	check_all(s);
	store_end(s);
}

/* Killed with half of it: the next one goes on from there. */
static int write_half(void *data)
{
	struct cx_store *s = store_open();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_ingest *i = NULL;

	if (cx_ingest_begin(l, data, 100, 0, &i, NULL) != 0 || cx_ingest_append(i, "0123456789", 10, NULL) < 0)
		return 1;
	kill(getpid(), SIGKILL);
	return 2;
}

TEST(resumed)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l;
	struct cx_ingest *i = NULL;
	struct cx_digest want;
	char text[100];

	for (int k = 0; k < 100; k++)
		text[k] = (char)('0' + k % 10);
	want = store_hash(text, 100);
	CHECK_INT(WTERMSIG(reap(start(write_half, &want))), SIGKILL);
	l = store_lease(s, CX_LEASE_PROCESS);
	CHECK_INT(cx_ingest_begin(l, &want, 100, 0, &i, NULL), 0);
	CHECK_INT(i->have, 10);
	CHECK_INT(cx_ingest_append(i, text + 10, 90, NULL), 0);
	CHECK_INT(cx_ingest_commit(i, &want, NULL), 0);
	cx_ingest_close(i);
	check_all(s);
	store_give(l);
	store_end(s);
}

/* ---- two at once ---- */

struct race { struct cx_digest want; int tell[2]; };

/* The second: sees that it is taken, says so, waits, and has nothing left to do. */
static int second(void *data)
{
	struct race *race = data;
	struct cx_store *s = store_open();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_ingest *i = NULL;
	int r;

	if (cx_ingest_begin(l, &race->want, 20, 0, &i, NULL) != -EBUSY || cx_store_partial(s, &race->want) != 10)
		return 100;
	if (write(race->tell[1], "w", 1) != 1)
		return 101;
	r = cx_ingest_begin(l, &race->want, 20, CX_INGEST_WAIT, &i, NULL);
	return r == 0 ? (int)i->have : r == 1 ? 77 : 102;
}

static int two_writers(int finish)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct race race = { .want = store_hash("01234567890123456789", 20) };
	struct cx_ingest *i = NULL;
	pid_t pid;
	char c;
	int r;

	CHECK(pipe(race.tell) == 0);
	CHECK_INT(cx_ingest_begin(l, &race.want, 20, 0, &i, NULL), 0);
	CHECK_INT(cx_ingest_append(i, "0123456789", 10, NULL), 0);
	fcntl(i->fd, F_SETFD, FD_CLOEXEC);
	/* the child must not have our lock's description: it is started by a child that closes it */
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(i->fd);
		_exit(second(&race));
	}
	CHECK(read(race.tell[0], &c, 1) == 1);
	if (finish) {
		CHECK_INT(cx_ingest_append(i, "0123456789", 10, NULL), 0);
		CHECK_INT(cx_ingest_commit(i, &race.want, NULL), 0);
	}
	cx_ingest_close(i);
	r = WEXITSTATUS(reap(pid));
	close(race.tell[0]);
	close(race.tell[1]);
	store_give(l);
	store_end(s);
	return r;
}

TEST(second_waits)
{
	CHECK_INT(two_writers(1), 77);  /* it came meanwhile */
	CHECK_INT(two_writers(0), 10);  /* the first gave up: on from where it was */
}

/* All that can be locked, by one that is killed over it. */
static int lock_all(void *data)
{
	struct race *race = data;
	struct cx_store *s = store_open();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_store_layer *layer = NULL;
	struct cx_ingest *i = NULL;
	char name[CX_LAYER_NAME];

	cx_store_layer_name(&race->want, &race->want, name);
	if (cx_ingest_begin(l, &race->want, 20, 0, &i, NULL) != 0 || cx_store_layer_begin(l, name, NULL, 0, &layer, NULL) != 0
	    || cx_store_lock(s, LOCK_EX) < 0 || write(race->tell[1], "l", 1) != 1)
		return 1;
	for (;;)
		pause();
}

TEST(locks_of_the_dead)
{
	struct cx_store *s = store_new();
	struct race race = { .want = store_hash("01234567890123456789", 20) };
	struct cx_store_layer *layer = NULL;
	struct cx_ingest *i = NULL;
	struct cx_store_lease *l;
	char name[CX_LAYER_NAME], c;
	pid_t pid;
	int fd;

	CHECK(pipe(race.tell) == 0);
	pid = start(lock_all, &race);
	CHECK(read(race.tell[0], &c, 1) == 1);
	fd = openat(s->root, "lock", O_RDWR | O_CLOEXEC);
	CHECK(flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	close(fd);
	kill(pid, SIGKILL);
	CHECK_INT(WTERMSIG(reap(pid)), SIGKILL);
	l = store_lease(s, CX_LEASE_PROCESS);
	cx_store_layer_name(&race.want, &race.want, name);
	CHECK_INT(cx_ingest_begin(l, &race.want, 20, 0, &i, NULL), 0);
	CHECK_INT(cx_store_layer_begin(l, name, NULL, 0, &layer, NULL), 0);
	cx_ingest_abort(i);
	cx_store_layer_close(layer);
	store_give(l);
	CHECK_INT(cx_store_collect(s, 0, NULL, NULL), 0);
	CHECK_INT(store_count("leases") + store_count("tmp"), 0);
	close(race.tell[0]);
	close(race.tell[1]);
	store_end(s);
}

/* A signal ends the waiting, of bytes as of layers. */
static void nothing(int sig)
{
	(void)sig;
}

static int wait_for_both(void *data)
{
	struct race *race = data;
	struct sigaction act = { .sa_handler = nothing };
	struct cx_store *s = store_open();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_store_layer *layer = NULL;
	char name[CX_LAYER_NAME];
	struct cx_ingest *i = NULL;

	cx_store_layer_name(&race->want, &race->want, name);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 10000 }, { 0, 10000 } }, NULL);        /* until one hits it waiting */
	if (cx_ingest_begin(l, &race->want, 20, CX_INGEST_WAIT, &i, NULL) != -EINTR)
		return 1;
	return cx_store_layer_begin(l, name, NULL, CX_INGEST_WAIT, &layer, NULL) != -EINTR;
}

TEST(waiting_interrupted)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct race race = { .want = store_hash("01234567890123456789", 20) };
	struct cx_store_layer *layer = NULL;
	struct cx_ingest *i = NULL;
	char name[CX_LAYER_NAME];
	pid_t pid;

	cx_store_layer_name(&race.want, &race.want, name);
	CHECK_INT(cx_ingest_begin(l, &race.want, 20, 0, &i, NULL), 0);
	CHECK_INT(cx_store_layer_begin(l, name, NULL, 0, &layer, NULL), 0);
	pid = start(wait_for_both, &race);
	CHECK_INT(reap(pid), 0);
	cx_ingest_abort(i);
	cx_store_layer_close(layer);
	CHECK_INT(store_count("ingest/sha256") + store_count("tmp"), 0);
	store_give(l);
	store_end(s);
}

/* All want the same blobs and layers at once: none fails, each is there once. */
static int same_work(void *data)
{
	struct cx_store *s = store_open();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_reference name = store_name("same");
	char names[8][CX_LAYER_NAME];
	struct store_image image;
	conex_error *err = NULL;
	int r = 0;

	for (int i = 0; r == 0 && i < *(int *)data; i++) {
		r = store_put_image(l, i, 4, &image, &err);
		if (r == 0)
			r = store_unpack(l, &image, 4, names, &err);
		if (r == 0)
			r = cx_store_put_image(s, &name, &image.manifest, &err);
	}
	return said(r, 1, err);
}

TEST(same_at_once)
{
	struct cx_store *s = store_new();
	int rounds = 30;
	pid_t pids[6];

	for (int i = 0; i < 6; i++)
		pids[i] = start(same_work, &rounds);
	for (int i = 0; i < 6; i++)
		CHECK_INT(reap(pids[i]), 0);
	CHECK_INT(check_all(s), 30 * 5 + 1);
	CHECK_INT(store_count("layers"), 30 * 3 + 1);
	CHECK_INT(store_count("ingest/sha256") + store_count("tmp"), 0);
	store_end(s);
}

/* ---- a collector beside pulls ---- */

static int pull(void *data)
{
	struct cx_store *s = store_open();
	int me = *(int *)data;
	char text[32], names[8][CX_LAYER_NAME];
	struct cx_reference name;

	snprintf(text, sizeof text, "puller/%d", me);
	if (cx_reference_parse(text, &name, NULL) < 0)
		return 2;
	for (int i = 0; i < 60; i++) {
		struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
		struct store_image image;
		conex_error *err = NULL;
		struct cx_digest got;

		if (store_put_image(l, i % 7, 4, &image, &err) < 0 || store_unpack(l, &image, 4, names, &err) < 0)
			return said(-1, 3, err);
		if (cx_store_put_image(s, &name, &image.manifest, &err) < 0 || cx_store_lease_return(s, l->id, &err) < 0)
			return said(-1, 4, err);
		cx_store_lease_free(l);
		/* named, and so whole, whatever is collected meanwhile */
		if (cx_store_get_image(s, &name, &got, NULL) < 0 || cx_store_is_whole(s, &got, NULL) != 1
		    || cx_store_find_layers(s, image.diff_ids, 4, names, NULL) != 4)
			return 5;
		if (cx_store_delete_image(s, &name, NULL) < 0)
			return 6;
	}
	return 0;
}

TEST(collected_beside_pulls)
{
	struct cx_store *s = store_new();
	struct cx_store_gone gone, all = { .blobs = 0 };
	int numbers[3] = { 0, 1, 2 }, running = 3, rounds = 0, status;
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = start(pull, &numbers[i]);
	while (running) {
		if (!CHECK_INT(cx_store_collect(s, 0, &gone, NULL), 0))
			break;
		all.blobs += gone.blobs;
		all.layers += gone.layers;
		rounds++;
		for (int i = 0; i < 3; i++)
			if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				CHECK_INT(status, 0);
				pids[i] = 0;
				running--;
			}
	}
	printf("# %d collections beside 180 pulls: %zu blobs, %zu layers gone\n", rounds, all.blobs, all.layers);
	CHECK(all.blobs > 0 && all.layers > 0);
	CHECK_INT(cx_store_collect(s, 0, NULL, NULL), 0);
	CHECK_INT(store_count("blobs/sha256") + store_count("layers") + store_count("tmp") + store_count("leases"), 0);
	store_end(s);
}

int main(void)
{
	RUN(killed);
	RUN(resumed);
	RUN(second_waits);
	RUN(locks_of_the_dead);
	RUN(waiting_interrupted);
	RUN(same_at_once);
	RUN(collected_beside_pulls);
	return test_end();
}
