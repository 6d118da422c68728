/* Directories that a layer has no entry for: containers, and trees, show them as the layers below have made them. */
#include "archives.h"

#include <sys/xattr.h>

struct is { const char *path; mode_t mode; uid_t owner; int64_t mtime, ns; };   /* mtime 0: of now */

static const struct is below[] = {
	{ "", 0751, 77, 1200000000, 500000000 },
	{ "tmp", 01777, 0, 1111111111, 250000000 },
	{ "srv/data", 0750, 77, 1222222222, 500000000 },
	{ "srv/data/sub", 0700, 77, 1200000000, 500000000 },            /* way/sub, by the layer's own link */
	{ "one", 0770, 77, 1200000000, 500000000 },                     /* by a layer in between that doesn't describe it, too */
	{ "opt", 0711, 77, 1200000000, 500000000 },                     /* opaque in that layer */
	{ "before", 0711, 77, 1200000000, 500000000 },
	{ "before/opaque", 0710, 77, 1200000000, 500000000 },
	{ "behind/opaque", 0710, 77, 1200000000, 500000000 },
	{ NULL, 0, 0, 0, 0 },
};

/* What a whiteout, or an opaque directory, has hidden says nothing. */
static const struct is hidden[] = {
	{ "srv/gone", 0755, 0, 0, 0 },
	{ "opt/deep", 0755, 0, 0, 0 },
	{ "before/opaque/in", 0755, 0, 0, 0 },
	{ "before/old", 0755, 0, 0, 0 },
	{ "before/old/in", 0755, 0, 0, 0 },
	{ NULL, 0, 0, 0, 0 },
};

static void shows(const char *root, const struct is *list)
{
	for (; list->path; list++) {
		struct stat st = { .st_mode = 0 };
		int good = CHECK_INT(lstat(say("%s/%s", root, list->path), &st), 0)
			& CHECK_INT(st.st_mode, S_IFDIR | list->mode) & CHECK_INT(st.st_uid, list->owner)
			& CHECK_INT(st.st_gid, list->owner);

		if (list->mtime)
			good &= CHECK_INT(st.st_mtim.tv_sec, list->mtime) & CHECK_INT(st.st_mtim.tv_nsec, list->ns);
		else
			good &= CHECK(st.st_mtim.tv_sec > 1700000000);
		if (!good)
			printf("# %s of %s\n", list->path, root);
	}
}

static void shows_xattrs(const char *root)
{
	static const char *const names[] = { "user.note", "trusted.note" };
	char value[16] = "";

	for (size_t i = 0; i < 2; i++) {
		CHECK_INT(lgetxattr(say("%s/srv/data", root), names[i], value, sizeof value), 5);
		CHECK(!memcmp(value, "below", 5));
		CHECK_INT(lgetxattr(say("%s/one", root), names[i], value, sizeof value), -1);
	}
}

/* Modes, owners, names of all that there is, but for what is mounted. */
static void list(const char *root, const char *file)
{
	CHECK_INT(command("cd %s && find . \\( -path ./proc -o -path ./sys -o -path ./dev \\) -prune -o -type d -printf '%%m %%U %%G %%p/\\n' "
		"-o -printf '%%m %%U %%G %%s %%l %%p\\n' | sort >%s/%s && [ $(wc -l <%s/%s) -gt 50 ]", root, box.dir, file, box.dir, file), 0);
}

static conex_container *sleeper(const char *image)
{
	struct conex_run_options o = { .size = sizeof o, .user = "root" };
	conex_container *c = NULL;

	box_clear();
	GOOD(conex_run(box.cx, image, CONEX_STRINGS("/bin/sleep", "1000"), &o, &c, &box.err));
	return c;
}

TEST(both_forms)
{
	char tree[64], inside[64];
	conex_container *c;

	snprintf(tree, sizeof tree, "%s/tree", box.dir);
	CHECK_INT(bring("implied.tar", "implied:1", NULL), 1);
	CHECK_INT(unpack("implied:1", tree, NULL), 1);
	shows(tree, below);
	shows(tree, hidden);
	shows_xattrs(tree);
	c = sleeper("implied:1");
	if (!c)
		return;
	snprintf(inside, sizeof inside, "/proc/%d/root", (int)conex_container_pid(c));
	shows(inside, below + 1);               /* the root's time is the container's own */
	shows(inside, hidden);
	shows_xattrs(inside);
	CHECK_INT(box_exec(c, NULL, "stat -c '%a %u' /"), 0);
	CHECK_STR(box.out, "751 77");
	list(tree, "of-tree");
	list(inside, "of-container");
	CHECK_INT(command("diff %s/of-tree %s/of-container", box.dir, box.dir), 0);
	box_end(c);
	CHECK_INT(command("rm -rf %s/tree", box.dir), 0);
	GOOD(conex_image_delete(box.cx, "implied:1", &box.err));
	nothing_left();
}

/* A link or a file of a layer below is no directory: what hides it is new. */
TEST(no_directory_below)
{
	static const struct is new[] = { { "link", 0755, 0, 0, 0 }, { "link/data", 0755, 0, 0, 0 }, { "file", 0755, 0, 0, 0 },
		{ NULL, 0, 0, 0, 0 } };
	conex_container *c;

	CHECK_INT(bring("in-the-way.tar", "way:1", NULL), 1);
	c = sleeper("way:1");
	if (!c)
		return;
	shows(say("/proc/%d/root", (int)conex_container_pid(c)), new);
	CHECK_INT(command("stat -c %%a:%%u /proc/%d/root/srv/data | grep -qx 750:77", (int)conex_container_pid(c)), 0);
	box_end(c);
	GOOD(conex_image_delete(box.cx, "way:1", &box.err));
	nothing_left();
}

/* The directory in the layer that has this file. */
static const char *layer_of(const char *file)
{
	CHECK_INT(command("ls -d %s/layers/*/root/%s | sed 's,/root/.*,/root,' >%s/found && [ $(wc -l <%s/found) = 1 ]", store, file, box.dir,
		box.dir), 0);
	return say("%s", content("%s/found", box.dir));
}

/* A root that hides all below has its looks from there nevertheless, but nothing in it. */
TEST(hidden_root)
{
	static const struct is new[] = { { "", 0751, 77, 1200000000, 500000000 }, { "one", 0755, 0, 0, 0 }, { NULL, 0, 0, 0, 0 } };
	static const struct is newer[] = { { "tmp", 0755, 0, 0, 0 }, { NULL, 0, 0, 0, 0 } };

	CHECK_INT(bring("hidden-root.tar", "hidden:1", NULL), 1);
	shows(layer_of("one/x"), new);
	shows(layer_of("one/y"), new);
	shows(layer_of("tmp/y"), newer);
	CHECK_INT(unpack("hidden:1", say("%s/tree", box.dir), NULL), 1);
	shows(say("%s/tree", box.dir), new);
	shows(say("%s/tree", box.dir), newer);
	CHECK_INT(command("rm -rf %s/tree", box.dir), 0);
	GOOD(conex_image_delete(box.cx, "hidden:1", &box.err));
	nothing_left();
}

static void tests(void)
{
	if (!archives_begin())
		return;
	RUN(both_forms);
	RUN(no_directory_below);
	RUN(hidden_root);
}

int main(void)
{
	return archives_main(tests);
}
