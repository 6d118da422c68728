/* The image store in one process: opening, bytes, names, leases, collecting, verifying. */
#include "store.h"

static void must(int r, conex_error **err)
{
	if (!CHECK_INT(r, 0))
		printf("# %s\n", conex_error_text(*err));
	conex_error_free(*err);
	*err = NULL;
}

static mode_t mode_of(const char *path)
{
	char whole[256];
	struct stat st = { .st_mode = 0 };

	snprintf(whole, sizeof whole, "%s/%s", store_path, path);
	stat(whole, &st);
	return st.st_mode & 07777;
}

static int open_code(const char *path)
{
	struct cx_store *s = NULL;
	conex_error *err = NULL;
	int r = cx_store_open(path, 0, &s, &err);

	CHECK(r == 0 ? !!s : !s && *conex_error_hint(err) && conex_error_stage(err) == CONEX_STAGE_OPEN);
	conex_error_free(err);
	cx_store_close(s);
	return r;
}

TEST(opening)
{
	struct cx_store *s = store_new();
	char path[256];

	CHECK(s && s->path[0] == '/');
	cx_store_close(s);
	CHECK_INT(mode_of("layers"), 0700);
	CHECK_INT(mode_of("blobs/sha256"), 0700);
	CHECK_INT(open_code(store_path), 0);
	snprintf(path, sizeof path, "%s/a/b/c", store_path);
	CHECK_INT(open_code(path), 0);
	chmod(store_path, 0770);
	CHECK_INT(open_code(store_path), -EPERM);
	chmod(store_path, 0755);        /* as a package may have made it: what is inside is 0700 */
	CHECK_INT(open_code(store_path), 0);
	snprintf(path, sizeof path, "%s/layers", store_path);
	chmod(path, 0755);
	CHECK_INT(open_code(store_path), -EPERM);
	chmod(path, 0700);
	snprintf(path, sizeof path, "%s/version", store_path);
	truncate(path, 0);              /* what a power failure may leave */
	CHECK_INT(open_code(store_path), 0);
	unlink(path);
	CHECK_INT(cx_store_write(AT_FDCWD, path, "conex store 2\n", 0), 0);
	CHECK_INT(open_code(store_path), -EPROTONOSUPPORT);
	CHECK_INT(open_code("/proc/conex"), -ENOENT);
	cx_store_remove(AT_FDCWD, store_path);
	CHECK(access(store_path, F_OK) < 0);
	*store_path = '\0';
}

/* Another's directory, and the usual place of who isn't root: in a child that becomes nobody. */
TEST(places)
{
	struct cx_store *s = store_new();
	char data[256];
	int status;
	pid_t pid;

	cx_store_close(s);
	if (geteuid() != 0)
		SKIP("only root can be two users");
	snprintf(data, sizeof data, "%s-data", store_path);
	CHECK(mkdir(data, 0700) == 0 && chown(data, 65534, 65534) == 0);
	chmod(store_path, 0711);
	pid = fork();
	if (pid == 0) {
		char want[300];

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		snprintf(want, sizeof want, "%s/x", store_path);
		if (open_code(want) != -EACCES)
			_exit(3);
		setenv("XDG_DATA_HOME", data, 1);
		snprintf(want, sizeof want, "%s/conex", data);
		if (cx_store_open(NULL, 0, &s, NULL) < 0 || strcmp(s->path, want))
			_exit(4);
		unsetenv("XDG_DATA_HOME");
		setenv("HOME", data, 1);
		snprintf(want, sizeof want, "%s/.local/share/conex", data);
		if (cx_store_open(NULL, 0, &s, NULL) < 0 || strcmp(s->path, want))
			_exit(5);
		setenv("HOME", "relative", 1);
		_exit(open_code(NULL) != -ENOENT);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	CHECK_INT(chown(store_path, 65534, 65534), 0);
	CHECK_INT(open_code(store_path), -EPERM);
	cx_store_remove(AT_FDCWD, data);
	store_end(NULL);
}

TEST(bytes)
{
	static const char text[] = "the first half, the second half";
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_digest want = store_hash(text, 31), other = store_hash("x", 1);
	struct cx_ingest *i = NULL, *again = NULL;
	conex_error *err = NULL;
	char *read = NULL;
	size_t size = 0;

	CHECK_INT(cx_ingest_begin(l, &want, 31, 0, &i, &err), 0);
	CHECK_INT(cx_ingest_append(i, text, 15, &err), 0);
	CHECK_INT(cx_store_partial(s, &want), 15);
	CHECK_INT(cx_ingest_begin(l, &want, 31, 0, &again, &err), -EBUSY);
	CHECK_INT(cx_ingest_append(i, text, 17, &err), -EFBIG);
	CHECK_INT(cx_ingest_commit(i, &want, &err), -EBADMSG);          /* too short */
	CHECK_INT(i->have, 0);
	CHECK_INT(cx_ingest_append(i, text, 15, &err), 0);
	cx_ingest_close(i);
	CHECK(!cx_store_has_blob(s, &want));
	CHECK_INT(cx_store_open_blob(s, &want, NULL, &err), -ENOENT);
	CHECK_INT(cx_ingest_begin(l, &want, 31, 0, &i, &err), 0);       /* resumed */
	CHECK_INT(i->have, 15);
	CHECK_INT(cx_ingest_append(i, text + 15, 16, &err), 0);
	CHECK_INT(cx_ingest_commit(i, &other, &err), -EBADMSG);         /* it hashes to something else */
	CHECK(strstr(conex_error_object(err), "31 bytes: got sha256:"));
	CHECK(!cx_store_has_blob(s, &want) && cx_store_partial(s, &want) == 0);
	CHECK_INT(cx_ingest_append(i, text, 31, &err), 0);
	CHECK_INT(cx_ingest_commit(i, &want, &err), 0);
	cx_ingest_close(i);
	CHECK(cx_store_has_blob(s, &want));
	CHECK_INT(cx_ingest_begin(l, &want, 31, 0, &i, &err), 1);
	CHECK_INT(store_count("ingest/sha256"), 0);
	conex_error_free(err);
	err = NULL;
	must(cx_store_read_blob(s, &want, &read, &size, &err), &err);
	CHECK(size == 31 && read && !strcmp(read, text));
	free(read);
	store_give(l);
	store_end(s);
}

/* What is in ingest/ from another time: too long, or no file at all. And giving up. */
TEST(odd_partials)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_digest want = store_hash("abc", 3);
	struct cx_ingest *i = NULL;
	conex_error *err = NULL;
	char path[CX_STORE_PATH];

	cx_store_path("ingest", &want, path);
	CHECK_INT(cx_store_write(s->root, path, "abcdef", 0), 0);
	must(cx_ingest_begin(l, &want, 3, 0, &i, &err), &err);
	CHECK_INT(i->have, 0);
	cx_ingest_abort(i);
	CHECK_INT(store_count("ingest/sha256"), 0);
	CHECK_INT(symlinkat("/etc/passwd", s->root, path), 0);
	CHECK_INT(cx_ingest_begin(l, &want, 3, 0, &i, &err), -ELOOP);
	unlinkat(s->root, path, 0);
	CHECK_INT(mkdirat(s->root, path, 0700), 0);
	CHECK_INT(cx_ingest_begin(l, &want, 3, 0, &i, &err), -EISDIR);
	unlinkat(s->root, path, AT_REMOVEDIR);
	/* an empty blob is one, too */
	want = store_hash("", 0);
	CHECK_INT(cx_store_put_blob(l, &want, &want, "", 0, &err), 0);
	CHECK_INT(cx_store_put_blob(l, &(struct cx_digest){ .algorithm = 0 }, &want, "", 0, &err), -EINVAL);
	conex_error_free(err);
	store_give(l);
	store_end(s);
}

TEST(names)
{
	static const char *const texts[] = { "alpine", "alpine:3.20", "a/b/c:1", "localhost:5000/x", "[::1]:5000/x/y:T_1.2" };
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_digest got;
	struct store_image one, two;
	struct cx_reference name, by_digest;
	struct cx_image *list = NULL;
	conex_error *err = NULL;
	char text[CX_REFERENCE_TEXT];

	must(store_put_image(l, 1, 2, &one, &err), &err);
	must(store_put_image(l, 2, 3, &two, &err), &err);
	for (size_t i = 0; i < 5; i++) {
		name = store_name(texts[i]);
		CHECK_INT(cx_store_get_image(s, &name, &got, &err), -ENOENT);
		conex_error_free(err);
		err = NULL;
		must(cx_store_put_image(s, &name, &one.manifest, &err), &err);
		must(cx_store_get_image(s, &name, &got, &err), &err);
		CHECK(cx_digest_equal(&got, &one.manifest));
	}
	name = store_name("alpine");
	must(cx_store_put_image(s, &name, &two.manifest, &err), &err);  /* another one gets the name */
	must(cx_store_get_image(s, &name, &got, &err), &err);
	CHECK(cx_digest_equal(&got, &two.manifest));
	/* by digest: some name of the repository has it */
	by_digest = store_name("alpine:whatever");
	by_digest.digest = one.manifest;
	must(cx_store_get_image(s, &by_digest, &got, &err), &err);
	by_digest.digest = one.config;
	CHECK_INT(cx_store_get_image(s, &by_digest, &got, &err), -ENOENT);
	CHECK_INT(cx_store_put_image(s, &by_digest, &one.manifest, &err), -EINVAL);
	by_digest.digest = one.manifest;
	CHECK_INT(cx_store_put_image(s, &by_digest, &one.manifest, NULL), 0);
	CHECK_INT(cx_store_list_images(s, &list, NULL), 6);
	for (int i = 0; i < 6; i++) {
		cx_reference_print(&list[i].name, text);
		CHECK(cx_digest_equal(&list[i].target, strcmp(text, "docker.io/library/alpine:latest") ? &one.manifest
			: &two.manifest));
		CHECK_INT(cx_store_delete_image(s, &list[i].name, NULL), 0);
		CHECK_INT(cx_store_delete_image(s, &list[i].name, NULL), -ENOENT);
	}
	free(list);
	CHECK_INT(store_count("images"), 0);
	CHECK_INT(cx_store_list_images(s, &list, NULL), 0);
	free(list);
	conex_error_free(err);
	store_give(l);
	store_end(s);
}

/* Nothing gets a name that isn't whole. */
TEST(whole)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_reference name = store_name("x");
	struct store_image image;
	struct cx_digest index;
	conex_error *err = NULL;
	char text[2048], one[CX_DIGEST_TEXT], other[CX_DIGEST_TEXT], path[CX_STORE_PATH];

	must(store_put_image(l, 1, 3, &image, &err), &err);
	CHECK_INT(cx_store_put_image(s, &name, &image.config, &err), -EINVAL);  /* no manifest */
	index = store_hash("?", 1);
	CHECK_INT(cx_store_put_image(s, &name, &index, &err), -ENOENT);
	cx_digest_print(&image.manifest, one);
	cx_digest_print(&index, other);
	snprintf(text, sizeof text, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" CX_MEDIA_OCI_MANIFEST
		"\",\"size\":7,"
		"\"digest\":\"%s\"},{\"mediaType\":\"" CX_MEDIA_OCI_MANIFEST "\",\"size\":7,\"digest\":\"%s\"}]}", other, one);
	must(store_put(l, text, strlen(text), &index, &err), &err);
	must(cx_store_put_image(s, &name, &index, &err), &err);         /* one platform is enough */
	cx_store_path("blobs", &image.layers[1], path);
	unlinkat(s->root, path, 0);
	CHECK_INT(cx_store_put_image(s, &name, &index, &err), -ENOENT);
	CHECK_INT(cx_store_put_image(s, &name, &image.manifest, &err), -ENOENT);
	CHECK(strstr(conex_error_object(err), "blob sha256:"));
	CHECK_INT(cx_store_write(s->root, path, "short", 0), 0);
	CHECK_INT(cx_store_put_image(s, &name, &image.manifest, &err), -EBADMSG);
	conex_error_free(err);
	store_give(l);
	store_end(s);
}

/* ---- collecting ---- */

static struct cx_store_gone collect(struct cx_store *s)
{
	struct cx_store_gone gone = { .blobs = 0 };
	conex_error *err = NULL;

	must(cx_store_collect(s, 0, &gone, &err), &err);
	return gone;
}

TEST(collecting)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_reference one = store_name("one"), two = store_name("two");
	struct store_image image, other;
	struct cx_store_gone gone;
	struct cx_ingest *i;
	struct cx_digest partial = store_hash("abc", 3);
	char names[8][CX_LAYER_NAME];

	CHECK_INT(store_put_image(l, 1, 3, &image, NULL), 0);
	CHECK_INT(store_put_image(l, 2, 3, &other, NULL), 0);
	CHECK_INT(store_unpack(l, &image, 3, names, NULL), 0);
	CHECK_INT(store_unpack(l, &other, 3, names, NULL), 0);
	CHECK_INT(cx_ingest_begin(l, &partial, 3, 0, &i, NULL), 0);
	cx_ingest_close(i);
	gone = collect(s);
	CHECK_INT(gone.blobs + gone.layers + gone.partial, 0);          /* all is held */
	CHECK_INT(cx_store_put_image(s, &one, &image.manifest, NULL), 0);
	CHECK_INT(cx_store_put_image(s, &two, &other.manifest, NULL), 0);
	store_give(l);
	CHECK_INT(store_count("leases"), 0);
	gone = collect(s);
	CHECK_INT(gone.partial, 1);
	CHECK_INT(gone.blobs + gone.layers + gone.incomplete, 0);       /* all is named */
	CHECK_INT(store_count("blobs/sha256"), 2 + 2 + 5);              /* the lowest layer is shared */
	CHECK_INT(store_count("layers"), 5);
	CHECK_INT(cx_store_delete_image(s, &two, NULL), 0);
	gone = collect(s);
	CHECK_INT(gone.blobs, 4);
	CHECK_INT(gone.layers, 2);
	CHECK(gone.bytes >= 2 * 10000 + 2000);
	CHECK(cx_store_has_blob(s, &image.layers[0]) && cx_store_has_blob(s, &image.layers[2]));
	CHECK(!cx_store_has_blob(s, &other.layers[2]));
	CHECK_INT(cx_store_delete_image(s, &one, NULL), 0);
	gone = collect(s);
	CHECK_INT(gone.blobs, 5);
	CHECK_INT(store_count("blobs/sha256") + store_count("layers") + store_count("tmp"), 0);
	store_end(s);
}

/* Of an index what is there of it stays; and what can't be understood costs nobody his layers. */
TEST(collecting_odd_ones)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_reference name = store_name("x");
	char text[1024], digest[2][CX_DIGEST_TEXT], names[8][CX_LAYER_NAME], path[CX_STORE_PATH];
	struct cx_digest index, absent = store_hash("?", 1), big;
	struct store_image image;
	static char bytes[CX_DOCUMENT_MAX + 1];
	struct cx_store_gone gone;
	char *read = NULL;
	size_t size;

	CHECK_INT(store_put_image(l, 1, 3, &image, NULL), 0);
	CHECK_INT(store_unpack(l, &image, 3, names, NULL), 0);
	cx_digest_print(&image.manifest, digest[0]);
	cx_digest_print(&absent, digest[1]);
	snprintf(text, sizeof text, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" CX_MEDIA_OCI_MANIFEST
		"\",\"size\":7,\"digest\":\"%s\"},{\"mediaType\":\"" CX_MEDIA_OCI_MANIFEST "\",\"size\":7,\"digest\":\"%s\"}]}",
		digest[1], digest[0]);
	CHECK_INT(store_put(l, text, strlen(text), &index, NULL), 0);
	CHECK_INT(cx_store_put_image(s, &name, &index, NULL), 0);
	CHECK_INT(store_put(l, bytes, sizeof bytes, &big, NULL), 0);    /* held, and too large to be a document */
	CHECK_INT(cx_store_read_blob(s, &big, &read, &size, NULL), -EFBIG);
	gone = collect(s);
	CHECK_INT(gone.blobs + gone.layers + gone.incomplete, 0);
	store_give(l);
	CHECK_INT(collect(s).blobs, 1);
	/* names and files that aren't ours, links that lead elsewhere */
	mkdirat(s->root, "images/x.y", 0700);
	CHECK_INT(cx_store_write(s->root, "images/stray", "x", 0), 0);
	CHECK_INT(symlinkat("/etc", s->root, "images/x.y/link"), 0);
	mkdirat(s->root, "images/x.y/z", 0700);
	CHECK_INT(symlinkat("/etc/passwd", s->root, "images/x.y/z/tag"), 0);
	CHECK_INT(symlinkat("none", s->root, "images/x.y/z/-bad"), 0);
	mkdirat(s->root, "leases/stray", 0700);
	CHECK_INT(cx_store_write(s->root, "blobs/sha256/stray", "x", 0), 0);
	gone = collect(s);
	CHECK_INT(gone.blobs + gone.layers + gone.incomplete + gone.leases, 0);
	CHECK_INT(cx_store_get_image(s, &(struct cx_reference){ .host = "x.y", .repository = "z", .tag = "tag" }, &big, NULL),
		-EBADMSG);
	/* the config goes bad: whose layers they are nobody knows, so they stay */
	cx_store_path("blobs", &image.config, path);
	unlinkat(s->root, path, 0);
	CHECK_INT(cx_store_write(s->root, path, "{\"rootfs\":", 0), 0);
	gone = collect(s);
	CHECK_INT(gone.layers + gone.blobs, 0);
	CHECK_INT(gone.incomplete, 1);
	/* it is gone: a container that holds the uppermost has all three */
	unlinkat(s->root, path, 0);
	l = store_lease(s, CX_LEASE_BOOT);
	CHECK_INT(cx_store_lease_hold_layer(l, names[2], NULL), 1);
	CHECK_INT(collect(s).layers, 0);
	store_give(l);
	CHECK_INT(collect(s).layers, 3);
	store_end(s);
}

/* A dead process's lease ends, a container's and a snapshot's don't; one of the manifest holds everything. */
TEST(leases)
{
	static const enum cx_store_lease_kind kinds[] = { CX_LEASE_PROCESS, CX_LEASE_BOOT, CX_LEASE_LASTING };
	struct cx_store *s = store_new();
	struct cx_store_lease *mine = store_lease(s, CX_LEASE_PROCESS), *l;
	struct store_image image[3];
	struct cx_store_gone gone;
	char names[3][CX_LAYER_NAME];
	int status;

	for (int k = 0; k < 3; k++) {
		CHECK_INT(store_put_image(mine, k + 1, 2, &image[k], NULL), 0);
		CHECK_INT(store_unpack(mine, &image[k], 2, names, NULL), 0);
	}
	fflush(stdout);
	for (int k = 0; k < 3; k++)
		if (fork() == 0) {
			l = store_lease(s, kinds[k]);
			_exit(cx_store_lease_hold(l, &image[k].manifest, NULL) != 1);
		} else {
			CHECK(wait(&status) > 0 && status == 0);
		}
	CHECK_INT(store_count("leases"), 4);
	store_give(mine);
	gone = collect(s);
	CHECK_INT(gone.leases, 1);
	CHECK_INT(gone.blobs, 3);       /* manifest, config and the one layer that isn't shared */
	CHECK_INT(gone.layers, 1);
	CHECK(cx_store_has_blob(s, &image[1].layers[1]) && cx_store_has_blob(s, &image[2].layers[1]));
	CHECK_INT(store_count("leases"), 2);
	CHECK_INT(cx_store_lease_return(s, "p-00000000000000000000000000000000", NULL), 0);
	CHECK_INT(cx_store_lease_return(s, "../blobs", NULL), -EINVAL);
	store_end(s);
}

/* A lease of another boot: what a container's was for is gone with it. One without owner: of a power failure. */
TEST(old_leases)
{
	static const char *const owners[] = {
		"boot=00000000-0000-0000-0000-000000000000 pidns=1 timens=1 pid=1 start=1\n", "" };
	struct cx_store *s = store_new();
	char path[CX_STORE_PATH];

	for (int i = 0; i < 2; i++)
		for (const char *k = "pbl"; *k; k++) {
			struct cx_store_lease *l = store_lease(s, *k == 'p' ? CX_LEASE_PROCESS
				: *k == 'b' ? CX_LEASE_BOOT : CX_LEASE_LASTING);

			CHECK_INT(l->id[0], *k);
			snprintf(path, sizeof path, "leases/%s", l->id);
			unlinkat(s->root, path, 0);
			CHECK_INT(cx_store_write(s->root, path, owners[i], 0), 0);
			cx_store_lease_free(l);
		}
	CHECK_INT(collect(s).leases, 5);        /* the lasting one of another boot is left */
	CHECK_INT(store_count("leases"), 1);
	store_end(s);
}

/* By a name that was written down before. */
TEST(named_leases)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = NULL, *again = NULL;
	char id[CX_LEASE_ID];

	CHECK_INT(cx_store_lease_name(CX_LEASE_BOOT, id), 0);
	CHECK_INT(cx_store_lease_return(s, id, NULL), 0);       /* played though it was never taken */
	CHECK_INT(cx_store_lease_take_named(s, id, &l, NULL), 0);
	CHECK_STR(l->id, id);
	CHECK_INT(cx_store_lease_take_named(s, id, &again, NULL), -EEXIST);
	CHECK_INT(cx_store_lease_take_named(s, "b-../../version", &again, NULL), -EINVAL);
	CHECK_INT(cx_store_lease_take_named(s, "b-000000000000000000000000000000000000000000000", &again, NULL), -EINVAL);
	CHECK_INT(collect(s).leases, 0);
	store_give(l);
	CHECK_INT(store_count("leases"), 0);
	store_end(s);
}

/* What a full disk left of a line spoils neither it nor the next ones. */
TEST(torn_leases)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_digest one, other;
	char path[CX_STORE_PATH];
	int fd;

	CHECK_INT(store_put(l, "one", 3, &one, NULL), 0);
	snprintf(path, sizeof path, "leases/%s", l->id);
	fd = openat(s->root, path, O_WRONLY | O_APPEND);
	CHECK(write(fd, "\nsha256:0123", 12) == 12);
	close(fd);
	CHECK_INT(store_put(l, "other", 5, &other, NULL), 0);
	CHECK_INT(collect(s).blobs, 0);
	unlinkat(s->root, path, 0);
	CHECK_INT(cx_store_lease_hold(l, &one, NULL), -ENOENT);         /* somebody gave it back */
	CHECK_INT(collect(s).blobs, 2);
	cx_store_lease_free(l);
	store_end(s);
}

int main(void)
{
	RUN(opening);
	RUN(places);
	RUN(bytes);
	RUN(odd_partials);
	RUN(names);
	RUN(whole);
	RUN(collecting);
	RUN(collecting_odd_ones);
	RUN(leases);
	RUN(old_leases);
	RUN(named_leases);
	RUN(torn_leases);
	return test_end();
}
