/* Images out of containers: what the new one shows is what the container saw, here and unpacked by others. */
#include "commit.h"

/* ---- changes of every kind ---- */

static void stamp(const char *path, time_t seconds, long ns)
{
	const struct timespec times[2] = { { 1, 0 }, { seconds, ns } };

	CHECK_INT(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static const unsigned char capability[20] = { 1, 0, 0, 2, 0, 0x20 };
static const unsigned char acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0x39, 0x30, 0, 0, 4, 0, 4, 0, 255, 255,
	255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255 };

static void sparse(const char *path, off_t at, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(at < 0 || pwrite(fd, "in the middle", 13, at) == 13);
	CHECK_INT(ftruncate(fd, size), 0);
	close(fd);
}

/* What takes calls that busybox has no names for; in the container's own tree, by the mount that it sees. */
static void change(const conex_container *c)
{
	char root[64], name[256];

	snprintf(root, sizeof root, "/proc/%d/root/data", (int)conex_container_pid(c));
	CHECK_INT(chown(say("%s/new", root), 1234, 54321), 0);
	CHECK_INT(chmod(say("%s/new", root), 06755), 0);
	CHECK_INT(setxattr(say("%s/new", root), "security.capability", capability, sizeof capability, 0), 0);
	CHECK_INT(setxattr(say("%s/new", root), "user.one", "a\0b", 3, 0), 0);
	CHECK_INT(setxattr(say("%s/acl", root), "system.posix_acl_access", acl, sizeof acl, 0), 0);
	CHECK_INT(setxattr(say("%s/dir", root), "system.posix_acl_default", acl, sizeof acl, 0), 0);
	CHECK_INT(setxattr(say("%s/dir", root), "trusted.one", "1", 1, 0), 0);
	CHECK_INT(lsetxattr(say("%s/link", root), "trusted.two", "2", 1, 0), 0);
	sparse(say("%s/sparse", root), 5000000, 20000000);
	sparse(say("%s/hole", root), -1, 3000000);
	memset(name, 'n', 255);
	name[255] = '\0';
	close(open(say("%s/%s", root, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0640));
	CHECK_INT(mknod(say("%s/device", root), S_IFBLK | 0660, makedev(7, 300)), 0);
	CHECK_INT(mknod(say("%s/character", root), S_IFCHR | 0600, makedev(1, 3)), 0);
	stamp(say("%s/new", root), 1234567890, 123456789);
	stamp(say("%s/old", root), -5, 0);
	stamp(say("%s/link", root), INT64_C(1) << 33, 999999999);
	stamp(say("%s/fifo", root), 7, 8);
	stamp(say("%s/dir", root), 77, 88);
}

static const char first_script[] =
	"set -e; mkdir -p /data/dir/sub /data/opaque/sub /data/again /data/quiet/deep; cd /data;"
	"echo a >dir/a; echo b >dir/sub/b; echo f >file;"
	"echo o >opaque/old; echo s >opaque/sub/s; echo old >again/old;"
	"echo moved >moved; ln moved same; ln -s dir link-dir; chmod 700 quiet;"
	"for i in 1 2 3; do echo $i >gone$i; done; mkdir -p gone-dir/deep; echo x >gone-dir/deep/x; echo old >old; echo q >quiet/deep/q";

static const char second_script[] =
	"set -e; cd /data; rm gone1 gone2; rm -r gone-dir; rm -r dir; echo 'now a file' >dir-file; mkdir dir;"
	"rm file; mkdir file;"
	"echo in >file/in; rm -r opaque; mkdir opaque; echo new >opaque/new; rm -r again; echo 'was a directory' >again; mv moved other;"
	"rm same;"
	"echo new >new; echo changed >>old; echo x >acl; ln -s /etc/passwd link; mkfifo fifo;"
	"ln new hard1; ln new dir/hard2; ln -s /data/nowhere broken; ln link hardlink; rm link-dir; mkdir link-dir;"
	"chmod 1770 quiet; chmod 711 /srv; rm /srv/kept; mkdir 'with space' \"$(printf 'new\\nline')\"; echo x >\"$(printf '\\377\\376bytes')\";"
	"echo ü >'ünïcode'; chmod 0 acl; mkdir zzz; sleep 1000";

static conex_container *changed(void)
{
	conex_container *c = started("base:1", &(struct conex_run_options){ .err = CONEX_STDIO_HOST }, second_script);

	for (int i = 0; c && i < 1000 && access(say("/proc/%d/root/data/zzz", (int)conex_container_pid(c)), F_OK) < 0; i++)
		usleep(10000);
	if (c)
		change(c);
	return c;
}

/* The layout that skopeo and umoci read: blobs are files. */
static int layout(const char *name, const char *to)
{
	json_t *json = image_json(name);
	const char *digest = json_string_value(json_object_get(json, "digest"));
	int size = (int)strlen(content("%s/blobs/sha256/%s", store, digest + 7) ? content("%s/blobs/sha256/%s", store, digest + 7) : "");

	CHECK_INT(command("mkdir -p %s && cp -r %s/blobs %s/", to, store, to), 0);
	make_file(say("%s/oci-layout", to), "{\"imageLayoutVersion\":\"1.0.0\"}");
	make_file(say("%s/index.json", to), say("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest."
		"v1+json\",\"digest\":\"%s\",\"size\":%d,\"annotations\":{\"org.opencontainers.image.ref.name\":\"it\"}}]}", digest, size));
	json_decref(json);
	return size > 100;
}

static void by_others(const char *name, char *want)
{
	char dir[64];

	snprintf(dir, sizeof dir, "%s/layout", box.dir);
	CHECK(layout(name, dir));
	if (access("/usr/bin/skopeo", X_OK) == 0)
		CHECK_INT(command("skopeo --insecure-policy copy -q oci:%s:it docker-archive:%s/docker.tar:x:y", dir, box.dir), 0);
	else
		printf("# no skopeo\n");
	if (access("/usr/bin/umoci", X_OK) == 0) {
		CHECK_INT(command("umoci --log=error unpack --image %s:it %s/bundle", dir, box.dir), 0);
		same_tree(tree_of(say("%s/bundle/rootfs", box.dir)), strdup(want), "umoci's tree");
	} else {
		printf("# no umoci\n");
	}
	command("rm -rf %s/layout %s/bundle %s/docker.tar", box.dir, box.dir, box.dir);
}

TEST(every_kind)
{
	conex_container *c = ended("app", NULL, first_script), *again;
	char *seen, *before;
	struct stat st;

	CHECK_INT(committed(c, "base:1", NULL), 1);
	CHECK(!strncmp(result, "sha256:", 7));
	CHECK_INT(layers_of("base:1"), 3);
	box_end(c);
	c = changed();
	seen = tree_in(c);
	CHECK(strstr(seen, "/data/new: 106755 1234:54321 1234567890.123456789 links 3") != NULL);
	CHECK_INT(conex_container_pause(c, 5000, &box.err), 1);
	CHECK_INT(committed(c, "next:1", NULL), 1);
	before = strdup(last_layer("next:1"));
	CHECK_INT(committed(c, "next:1", NULL), 1);             /* the same bytes */
	CHECK_STR(last_layer("next:1"), before);
	GOOD(conex_container_resume(c, &box.err));
	box_end(c);
	again = started("next:1", NULL, "sleep 1000");
	same_tree(tree_in(again), strdup(seen), "a container of the new image");
	by_others("next:1", seen);
	CHECK_INT(stat(say("/proc/%d/root/data/sparse", (int)conex_container_pid(again)), &st), 0);
	CHECK(st.st_size == 20000000 && st.st_blocks < 1000);
	CHECK_INT(stat(say("/proc/%d/root/data/hole", (int)conex_container_pid(again)), &st), 0);
	CHECK(st.st_size == 3000000 && st.st_blocks < 100);
	box_end(again);
	free(before);
	free(seen);
	GOOD(conex_image_delete(box.cx, "next:1", &box.err));
	store_is_clean(2);
}

/* ---- what the runtime puts there ---- */

TEST(nothing_written)
{
	conex_container *c = started("app", NULL, "sleep 1000");
	json_t *json, *history;

	CHECK_INT(box_entries(upper_of(c)), 0);
	CHECK_INT(conex_container_pause(c, 5000, &box.err), 1);
	CHECK_INT(committed(c, "same:1", "{\"Labels\": {\"a\": \"b\"}}"), 1);
	CHECK_INT(layers_of("same:1"), 2);                      /* no layer for nothing */
	json = image_json("same:1");
	history = json_object_get(json_object_get(json, "config"), "history");
	CHECK_INT((int)json_array_size(history), 3);
	CHECK(json_is_true(json_object_get(json_array_get(history, 2), "empty_layer")));
	CHECK_STR(json_string_value(json_object_get(json_array_get(history, 2), "created_by")), "/bin/sh -c sleep 1000");
	json_decref(json);
	CHECK_INT(run_prints("same:1", "root", "ls /srv"), 0);
	CHECK_STR(box.out, "kept\nnew");
	box_end(c);
	c = ended("app", &(struct conex_run_options){ .flags = CONEX_RUN_READ_ONLY }, "! touch /srv/x 2>/dev/null");
	CHECK_INT(committed(c, "same:1", NULL), 1);             /* nor where nothing can be written */
	CHECK_INT(layers_of("same:1"), 2);
	box_end(c);
	GOOD(conex_image_delete(box.cx, "same:1", &box.err));
	store_is_clean(2);
}

/* Places to mount on, and what leads there, are in the upper directory, but not in the image; a directory that has been
 * changed besides is. */
TEST(mount_points)
{
	char file[64];
	struct conex_run_options o = { .mounts = CONEX_MOUNTS({ "/usr", "/mnt/a/usr", NULL, "ro" }, { file, "/etc/one", NULL, "ro" },
		{ file, "/srv/link/two", NULL, "ro" }, { "/usr", "/opt/usr", NULL, "ro" }, { file, "/etc/hosts", NULL, "ro" }) };
	conex_container *c;

	snprintf(file, sizeof file, "%s/file", box.dir);
	make_file(file, "x");
	c = ended("app", NULL, "ln -s /etc/sub /srv/link; mkdir /etc/sub; rm -r /proc 2>/dev/null; rm -r /sys 2>/dev/null; true");
	CHECK_INT(committed(c, "mounts:1", NULL), 1);
	box_end(c);
	c = ended("mounts:1", &o, "cat /etc/one /srv/link/two >/dev/null && grep -q x /etc/hosts");
	CHECK_INT(access(say("%s/etc/one", upper_of(c)), F_OK) + access(say("%s/etc/hosts", upper_of(c)), F_OK)
		+ access(say("%s/etc/sub/two", upper_of(c)), F_OK) + access(say("%s/mnt/a/usr", upper_of(c)), F_OK), 0);
	CHECK_INT(committed(c, "mounts:2", NULL), 1);
	CHECK_INT(layers_of("mounts:2"), 3);
	box_end(c);
	c = ended("mounts:1", &o, "chmod 700 /opt; chmod 711 /etc; echo mine >/mnt/a/mine");
	CHECK_INT(committed(c, "mounts:2", NULL), 1);
	CHECK_INT(layers_of("mounts:2"), 4);
	box_end(c);
	CHECK_INT(run_prints("mounts:2", "root", "find /mnt /etc /opt; stat -c %a /opt /etc /mnt/a; cat /mnt/a/mine"), 0);
	CHECK_STR(box.out, "/mnt\n/mnt/a\n/mnt/a/mine\n/etc\n/etc/group\n/etc/passwd\n/etc/sub\n/opt\n700\n711\n755\nmine");
	GOOD(conex_image_delete(box.cx, "mounts:1", &box.err));
	GOOD(conex_image_delete(box.cx, "mounts:2", &box.err));
	store_is_clean(2);
}

/* ---- the config ---- */

TEST(configs)
{
	conex_container *c = ended("app", NULL, "echo x >/srv/x");
	json_t *json, *config;

	CHECK_INT(committed(c, "conf:1", "{\"Env\": [\"HELLO=mine\", \"MORE=1\"], \"User\": null, \"Cmd\": [\"echo $HELLO $MORE; id -u\"],"
		"\"WorkingDir\": \"/etc\", \"Labels\": {\"org.example.x\": null, \"z\": \"1\"}, \"ExposedPorts\": {\"80/tcp\": {}}}"), 1);
	CHECK_INT(run_prints("conf:1", NULL, NULL), 0);
	CHECK_STR(box.out, "mine 1\n0");
	json = image_json("conf:1");
	config = json_object_get(json_object_get(json, "config"), "config");
	CHECK_INT((int)json_array_size(json_object_get(config, "Env")), 3);
	CHECK_INT((int)json_object_size(json_object_get(config, "Labels")), 1);
	CHECK(!json_object_get(config, "User") && json_object_get(json_object_get(config, "ExposedPorts"), "80/tcp"));
	CHECK(!strncmp(json_string_value(json_object_get(json, "platform")), "linux/", 6));
	json_decref(json);
	box_end(c);
	GOOD(conex_image_delete(box.cx, "conf:1", &box.err));
}

static void refuses(conex_container *c, const char *config, const char *word)
{
	CHECK_INT(committed(c, "bad:1", config), -EINVAL);
	SAID(word);
}

TEST(refused)
{
	conex_container *c = ended("app", NULL, "echo x >/srv/x"), *other;
	char **list = NULL;

	refuses(c, "{\"Env\": \"A=b\"}", "config.Env");
	refuses(c, "{\"Env\": [\"A\"]}", "config.Env");
	refuses(c, "{\"Env\": [1]}", "config.Env");
	refuses(c, "{\"Cmd\": {}}", "config.Cmd");
	refuses(c, "{\"entrypoint\": [\"x\"]}", "write it as Entrypoint");
	refuses(c, "{\"Variables\": []}", "Variables");
	refuses(c, "{\"WorkingDir\": \"srv\"}", "config.WorkingDir");
	refuses(c, "{\"Labels\": {\"a\": 1}}", "config.Labels");
	refuses(c, "{\"User\": 7}", "config.User");
	refuses(c, "{\"ExposedPorts\": {\"99999/tcp\": {}}}", "config.ExposedPorts");
	refuses(c, "[]", "config_json");
	refuses(c, "{", "config_json");
	CHECK_INT(committed(c, "Not a name", NULL), -EINVAL);
	CHECK_INT(committed(c, say("app@%s", content("%s/digest", archives)), NULL), -EINVAL);
	SAID("image");
	box_end(c);
	other = started("app", NULL, "sleep 1000");
	CHECK_INT(committed(other, "bad:1", NULL), -EBUSY);
	SAID("stop or pause");
	conex_container_ref(other);
	box_end(other);
	CHECK_INT(committed(other, "bad:1", NULL), -ENOENT);
	conex_container_free(other);
	other = box_sleeper(NULL);
	CHECK_INT(committed(other, "bad:1", NULL), -EINVAL);
	SAID("image");
	box_end(other);
	other = started("app", &(struct conex_run_options){ .size = sizeof(struct conex_run_options), .flags = CONEX_RUN_USERNS }, "true");
	CHECK_INT(conex_container_wait(other, -1, NULL, &box.err), 1);
	CHECK_INT(committed(other, "bad:1", NULL), -EOPNOTSUPP);
	SAID("CONEX_RUN_USERNS");
	box_end(other);
	CHECK_INT(conex_image_list(box.cx, &list, &box.err), 2);
	free(list);
	store_is_clean(2);
}

/* A released container belongs to its state directory: whoever opens that makes an image of it. */
TEST(of_another)
{
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = say("%s/state", box.dir),
		.store = store, .close_ms = 120000 };
	struct conex_run_options o = { .size = sizeof o, .user = "root", .id = "of-another" };
	conex_container *mine = NULL, *theirs = NULL;
	conex *a = NULL, *b = NULL;

	box_clear();
	if (!GOOD(conex_open(&where, &a, &box.err)) || !GOOD(conex_open(&where, &b, &box.err))
		|| !GOOD(conex_run(a, "app", CONEX_STRINGS("echo theirs >/srv/x; sleep 1000"), &o, &mine, &box.err))
		|| !GOOD(conex_container_get(b, "of-another", &theirs, &box.err)))
		return;
	for (int i = 0; i < 1000 && access(say("%s/srv/x", upper_of(mine)), F_OK) < 0; i++)
		usleep(10000);
	CHECK_INT(committed(theirs, "other:1", NULL), -EBUSY);
	CHECK_INT(conex_container_pause(mine, 5000, &box.err), 1);
	CHECK_INT(committed(theirs, "other:1", NULL), 1);
	GOOD(conex_container_delete(theirs, -1, &box.err));
	conex_container_free(theirs);
	conex_container_free(mine);
	conex_close(b);
	conex_close(a);
	CHECK_INT(run_prints("other:1", NULL, "cat /srv/x"), 0);
	CHECK_STR(box.out, "theirs");
	GOOD(conex_image_delete(box.cx, "other:1", &box.err));
	store_is_clean(2);
}

static void tests(void)
{
	if (!commit_box())
		return;
	RUN(every_kind);
	RUN(nothing_written);
	RUN(mount_points);
	RUN(configs);
	RUN(refused);
	RUN(of_another);
}

int main(void)
{
	return commit_main(tests);
}
