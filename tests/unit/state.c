/* state/: journals written, torn, corrupted, played backwards; directories and specs; see
 * recover.c, too. */
#include "state.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>

TEST(written_and_read)
{
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	struct cx_journal *j = NULL;
	struct cx_record *r = NULL;
	const char **values = NULL;

	CHECK_INT(cx_journal_create(s, "one", &j, NULL), 0);
	CHECK_INT(listed(s, "one"), 0);
	cx_journal_note(j, "state", "creating");
	cx_journal_undo(j, CX_OP_undo_unlink, "/run/x");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	CHECK_INT(listed(s, "one"), 1);
	cx_journal_note(j, "state", "running");
	cx_journal_note(j, "empty", "");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_free(j);
	CHECK_INT(cx_journal_open(s, "one", &j, NULL), 0);
	cx_journal_note(j, "state", "exited");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_free(j);
	CHECK_INT(cx_record_read(s, "one", &r, NULL), 0);
	CHECK_STR(cx_record_note(r, "state"), "exited");
	CHECK_STR(cx_record_note(r, "empty"), "");
	CHECK(cx_record_note(r, "none") == NULL);
	CHECK_INT(cx_record_notes(r, "state", &values), 3);
	CHECK_STR(values[0], "creating");
	CHECK_STR(values[2], "exited");
	CHECK(values[3] == NULL);
	free(values);
	cx_record_free(r);
	CHECK_INT(cx_journal_remove(s, "one"), 0);
	CHECK_INT(cx_journal_remove(s, "one"), -ENOENT);
	cx_state_close(s, 1);
	place_drop(&p);
}

TEST(names_and_refusals)
{
	static const char *const bad[] = { "", ".", "..", ".x", "a/b", "../x",
		"12345678901234567890123456789012345678901234567890123456789012345" };
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	struct cx_journal *j = NULL, *k = NULL;
	struct cx_record *r = NULL;
	conex_error *err = NULL;

	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++) {
		CHECK_INT(cx_journal_create(s, bad[i], &j, NULL), -EINVAL);
		CHECK_INT(cx_record_read(s, bad[i], &r, NULL), -ENOENT);
		CHECK_INT(cx_journal_remove(s, bad[i]), -ENOENT);
	}
	CHECK_INT(cx_journal_create(s, "web", &j, NULL), 0);
	CHECK_INT(cx_journal_create(s, "web", &k, NULL), 0);
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	CHECK_INT(cx_journal_flush(k, &err), -EEXIST);
	CHECK(strstr(conex_error_text(err), "container web")
		&& strstr(conex_error_hint(err), "delete"));
	cx_journal_undo(j, CX_OP_hostname, "x");
	CHECK_INT(cx_journal_flush(j, &err), -EINVAL);
	CHECK_INT(cx_record_read(s, "nobody", &r, &err), -ENOENT);
	CHECK_INT(cx_journal_open(s, "nobody", &k, &err), -ENOENT);
	conex_error_free(err);
	cx_journal_free(j);
	cx_journal_free(k);
	cx_journal_remove(s, "web");
	cx_state_close(s, 1);
	place_drop(&p);
}

TEST(huge_entries)
{
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	struct cx_journal *j = NULL;
	char *big = malloc(70000);
	int r = 0;

	memset(big, 'x', 70000);
	big[69999] = '\0';
	CHECK_INT(cx_journal_create(s, "big", &j, NULL), 0);
	cx_journal_note(j, "k", big);
	CHECK_INT(cx_journal_flush(j, NULL), -E2BIG);
	cx_journal_free(j);
	CHECK_INT(cx_journal_create(s, "big", &j, NULL), 0);
	big[60000] = '\0';
	for (int i = 0; i < 100 && r == 0; i++) {
		cx_journal_note(j, "k", big);
		r = cx_journal_flush(j, NULL);
	}
	CHECK_INT(r, -E2BIG);
	cx_journal_free(j);
	CHECK_INT(cx_state_undo(s, "big", play, &(struct player){ .log = p.log }), 0);
	free(big);
	cx_state_close(s, 1);
	place_drop(&p);
}

TEST(undone_backwards)
{
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	struct player all = { .log = p.log }, busy = { .log = p.log, .fails = "/2",
		.with = -EBUSY },
		broken = { .log = p.log, .fails = "/2", .with = -EPERM };
	struct cx_journal *j = NULL;
	char text[65536];

	cx_journal_create(s, "c", &j, NULL);
	cx_journal_undo(j, CX_OP_undo_unlink, "/1");
	cx_journal_undo(j, CX_OP_undo_umount, "/2");
	cx_journal_note(j, "a", "b");
	cx_journal_flush(j, NULL);
	cx_journal_undo(j, CX_OP_undo_cgroup, "/3");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_free(j);
	CHECK_INT(cx_state_undo(s, "c", play, &busy), -EBUSY);
	CHECK_STR(logged(&p, text), "cgroup:/3\numount:/2\n");
	CHECK_INT(cx_state_undo(s, "c", play, &broken), -EPERM);
	CHECK_STR(logged(&p, text), "cgroup:/3\numount:/2\nunlink:/1\n");
	CHECK_INT(listed(s, "c"), 1);
	CHECK_INT(cx_state_undo(s, "c", play, &all), 0);
	CHECK_STR(logged(&p, text), "cgroup:/3\numount:/2\nunlink:/1\n");
	CHECK_INT(listed(s, "c"), 0);
	CHECK_INT(cx_state_undo(s, "c", play, &all), 0);
	CHECK_STR(logged(&p, text), "");
	cx_state_close(s, 1);
	place_drop(&p);
}

/* Cuts and flips every byte of a good journal: never more than was written, never out of
 * bounds (ASan). */
TEST(torn_and_corrupt)
{
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	char bytes[4096], *copy;
	size_t n, last = 0;
	struct cx_record *r;

	write_journal(s, "t", "1 2", NULL);
	n = (size_t)cx_file_read(s->containers, "t", bytes, sizeof bytes);
	for (size_t cut = 0; cut <= n; cut++) {
		copy = malloc(cut + 1);
		memcpy(copy, bytes, cut);
		if (cx_record_parse(copy, cut, &r) < 0)
			continue;
		CHECK(cx_record_count(r) >= last && cx_record_good(r) <= cut);
		last = cx_record_count(r);
		cx_record_free(r);
	}
	CHECK_INT(last, 3);
	for (size_t i = 0; i < n * 8; i++) {
		copy = malloc(n);
		memcpy(copy, bytes, n);
		copy[i / 8] ^= (char)(1 << i % 8);
		if (cx_record_parse(copy, n, &r) < 0)
			continue;
		for (size_t k = 0; k < cx_record_count(r); k++) {
			enum cx_op_code code;
			const char *text = "";

			if (cx_record_undo(r, k, &code, &text))
				CHECK(strlen(text) < n);
		}
		CHECK(cx_record_count(r) <= 8);
		cx_record_free(r);
	}
	cx_journal_remove(s, "t");
	cx_state_close(s, 1);
	place_drop(&p);
}

static void tear(const struct place *p)
{
	struct cx_state *s = open_named_at(p);
	int fd;

	write_journal(s, "torn", NULL, NULL);
	fd = openat(s->containers, "torn", O_WRONLY | O_APPEND);
	if (write(fd, "\x40\0\0\0\2\0\0", 7) != 7)
		_exit(1);
}

TEST(appended_after_a_torn_record)
{
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	struct cx_journal *j = NULL;
	struct cx_record *r = NULL;
	pid_t child;

	run_in_child(&p, tear, &child);
	kill_child(child);
	CHECK_INT(cx_journal_open(s, "torn", &j, NULL), 0);
	cx_journal_note(j, "after", "all");
	CHECK_INT(cx_journal_flush(j, NULL), 0);
	cx_journal_free(j);
	CHECK_INT(cx_record_read(s, "torn", &r, NULL), 0);
	CHECK_STR(cx_record_note(r, "after"), "all");
	cx_record_free(r);
	cx_journal_remove(s, "torn");
	cx_state_close(s, 1);
	place_drop(&p);
}

TEST(directories_refused)
{
	struct place p = place_make();
	struct cx_state *s = NULL;
	conex_error *err = NULL;

	mkdir(p.named, 0700);
	CHECK_INT(cx_state_open("", 0, &s, NULL), -EINVAL);
	CHECK_INT(chmod(p.named, 0770), 0);
	CHECK_INT(cx_state_open(p.named, 0, &s, &err), -EPERM);
	CHECK(strstr(conex_error_text(err), "mode 0770")
		&& strstr(conex_error_hint(err), "chmod"));
	CHECK_INT(chmod(p.named, 0755), 0);
	CHECK_INT(cx_state_open(p.named, 1, &s, &err), 0);
	CHECK_INT(s->containers, -1); /* a reader makes nothing */
	CHECK_INT(listed(s, "x"), 0);
	CHECK_INT(cx_journal_create(s, "x", &(struct cx_journal *){ NULL }, &err),
		-EROFS);
	cx_state_close(s, 1);
	CHECK_INT(entries(p.named), 0);
	CHECK_INT(symlink("/etc", strcat(strcpy((char[256]){ "" }, p.named),
		"/containers")), 0);
	CHECK(cx_state_open(p.named, 0, &s, &err) < 0);
	if (geteuid() == 0) {
		CHECK_INT(chown(p.named, 12345, 0), 0);
		CHECK_INT(cx_state_open(p.named, 0, &s, &err), -EPERM);
		CHECK(strstr(conex_error_text(err), "12345") != NULL);
	}
	CHECK_INT(symlink("/etc", p.base), 0);
	CHECK(cx_state_open_private_at(p.base, &s, &err) < 0);
	conex_error_free(err);
	place_drop(&p);
}

TEST(mounts_are_not_entered)
{
	struct place p = place_make(), data = place_make();
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/mount", p.root);
	mkdir(path, 0700);
	CHECK_INT(mkdir(data.base, 0700), 0);
	if (mount(data.root, path, "", MS_BIND, "") == 0) {
		fd = open(p.root, O_RDONLY | O_DIRECTORY);
		CHECK_INT(cx_state_clear(fd), -EBUSY);
		close(fd);
		CHECK_INT(access(data.base, F_OK), 0);
		CHECK_INT(umount2(path, MNT_DETACH), 0);
	}
	place_drop(&p);
	place_drop(&data);
}

static void *put_specs(void *data)
{
	struct cx_state *s = data;
	char name[33], json[64], *back;

	for (int i = 0; i < 200; i++) {
		int n = snprintf(json, sizeof json, "{\"n\":%d}", i);

		CHECK_INT(cx_state_put_spec(s, json, (size_t)n, name, NULL), 0);
		CHECK_INT(cx_state_get_spec(s, name, &back, NULL), 0);
		CHECK_STR(back, json);
		free(back);
	}
	return NULL;
}

TEST(specs_by_content)
{
	struct place p = place_make();
	struct cx_state *s = open_named_at(&p);
	pthread_t t[4];
	char *json, path[256], name[33], again[33];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, put_specs, s);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	snprintf(path, sizeof path, "%s/specs", p.named);
	CHECK_INT(entries(path), 200);
	CHECK_INT(cx_state_get_spec(s, "../../../../etc/passwd", &json, NULL), -EINVAL);
	CHECK_INT(cx_state_get_spec(s, "00000000000000000000000000000000", &json, NULL),
		-ENOENT);
	CHECK_INT(cx_state_put_spec(s, "{}", 2, name, NULL), 0);
	snprintf(path, sizeof path, "%s/specs/%s.json", p.named, name);
	CHECK_INT(truncate(path, 1), 0); /* what lies there isn't it: another name */
	CHECK_INT(cx_state_put_spec(s, "{}", 2, again, NULL), 0);
	CHECK(strcmp(name, again) != 0);
	cx_state_close(s, 1);
	place_drop(&p);
}

TEST(owners)
{
	struct cx_owner self, other;
	struct cx_where w, back;
	char text[CX_WHERE_TEXT];

	CHECK_INT(cx_owner_self(&self), 0);
	CHECK_INT(cx_owner_alive(&self), 1);
	other = (struct cx_owner){ .pid = self.pid, .start = self.start + 1 };
	CHECK_INT(cx_owner_alive(&other), 0);
	CHECK_INT(cx_owner_alive(&(struct cx_owner){ .pid = 0 }), 0);
	CHECK_INT(cx_where_here(&w), 0);
	cx_where_print(&w, &self, text);
	CHECK_INT(cx_where_parse(text, &back, &other), 0);
	CHECK(!strcmp(w.boot, back.boot) && w.pid_ns == back.pid_ns
		&& other.start == self.start);
	text[strlen(text) - 1] = '\0';
	CHECK_INT(cx_where_parse(text, &back, &other), -EBADMSG);
	other = (struct cx_owner){ .pid = 1999999999, .start = 1 };
	CHECK_INT(cx_where_alive(&w, &w, &other), 0);
	back = w;
	back.pid_ns++;
	CHECK_INT(cx_where_alive(&w, &back, &other), 1); /* can't be told */
	back = w;
	back.time_ns++;
	self.start += 1000;
	CHECK_INT(cx_where_alive(&w, &back, &self), 1); /* only the pid counts */
}

static void *outlive(void *data)
{
	(void)data;
	for (;;)
		pause();
	return NULL;
}

TEST(first_thread_gone)
{
	pid_t child;
	struct cx_owner o;
	pthread_t t;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		pthread_create(&t, NULL, outlive, NULL);
		pthread_exit(NULL);
	}
	o = (struct cx_owner){ .pid = child, .start = cx_process_start(child) };
	for (int i = 0; i < 12000; i++) { /* until the first thread is a zombie */
		char path[32], text[512];

		snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
		if (cx_file_read(AT_FDCWD, path, text, sizeof text) > 0
			&& strstr(text, ") Z"))
			break;
		usleep(5000);
	}
	CHECK(o.start != 0);
	CHECK_INT(cx_process_start(child), o.start);
	CHECK_INT(cx_owner_alive(&o), 1);
	kill_child(child);
	CHECK_INT(cx_owner_alive(&o), 0);
}

TEST(fast_enough)
{
	enum { ROUNDS = 2000 };
	struct place p = place_make();
	struct cx_state *s = NULL;
	int64_t begin;

	CHECK_INT(cx_state_open_private_at(p.base, &s, NULL), 0);
	begin = cx_now_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < ROUNDS; i++) {
		write_journal(s, "quick", "1 2", "3 4");
		cx_journal_remove(s, "quick");
	}
	printf("# create, two flushes, remove: %.2f us\n",
		(double)(cx_now_ns(CLOCK_MONOTONIC) - begin) / ROUNDS / 1000);
	cx_state_close(s, 1);
	begin = cx_now_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < 200; i++) {
		cx_state_open_private_at(p.base, &s, NULL);
		cx_state_recover(s, play, NULL);
		cx_state_close(s, 1);
	}
	printf("# private directory opened, recovery, closed: %.2f us\n",
		(double)(cx_now_ns(CLOCK_MONOTONIC) - begin) / 200 / 1000);
	place_drop(&p);
}

int main(void)
{
	RUN(owners);
	RUN(first_thread_gone);
	RUN(written_and_read);
	RUN(names_and_refusals);
	RUN(huge_entries);
	RUN(undone_backwards);
	RUN(torn_and_corrupt);
	RUN(appended_after_a_torn_record);
	RUN(directories_refused);
	RUN(mounts_are_not_entered);
	RUN(specs_by_content);
	RUN(fast_enough);
	return test_end();
}
