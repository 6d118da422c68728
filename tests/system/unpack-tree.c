/* Friendly layers as root: what GNU tar unpacks is what we unpack, to the last nanosecond; overlay shows of several
 * layers what one tree of them all has; ids are mapped wherever one stands. */
#include <pthread.h>
#include <stdarg.h>
#include <sched.h>
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include "system/unpack.h"

static struct box box;

/* ---- a tree with one of each ----------------------------------------------------------------------- */

static void stamp(int fd, const char *name, long seconds, long ns)
{
	const struct timespec times[2] = { { seconds, ns }, { seconds, ns } };

	CHECK_INT(utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* An ACL as the kernel has it: 12345 may read, too. */
static const unsigned char acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0x39, 0x30, 0, 0,
	4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255 };
/* CAP_NET_RAW, effective and permitted: version 2 */
static const unsigned char capability[20] = { 1, 0, 0, 2, 0, 0x20 };

static void make_files(int fd)
{
	char big[100000], name[256];
	int at;

	memset(big, 'b', sizeof big);
	tree_write(fd, "plain", "plain");
	tree_write(fd, "empty", "");
	tree_write(fd, "setuid", "#!/bin/sh\n");
	CHECK(fchownat(fd, "setuid", 1, 2, 0) == 0 && fchmodat(fd, "setuid", 06755, 0) == 0);
	at = openat(fd, "big", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	for (int i = 0; i < 20; i++)
		CHECK_INT(write(at, big, sizeof big), sizeof big);
	close(at);
	at = openat(fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 1; i < 30; i++)
		CHECK_INT(pwrite(at, "data", 4, i * 1000000), 4);
	CHECK_INT(ftruncate(at, 40000000), 0);
	close(at);
	memset(name, 'n', 255);
	name[255] = '\0';
	tree_write(fd, name, "a long name");
	tree_write(fd, "caf\xc3\xa9 \xff\n", "a strange name");
}

static void make_links(int fd)
{
	char target[3000];

	memset(target, 't', sizeof target - 1);
	target[sizeof target - 1] = '\0';
	CHECK(symlinkat("plain", fd, "link") == 0 && symlinkat(target, fd, "long-link") == 0 && symlinkat("/etc", fd, "etc") == 0);
	CHECK(fchownat(fd, "link", 7, 8, AT_SYMLINK_NOFOLLOW) == 0);
	mkdirat(fd, "deeper", 0755);
	CHECK(linkat(fd, "plain", fd, "hard", 0) == 0 && linkat(fd, "plain", fd, "deeper/hard", 0) == 0);
	CHECK(linkat(fd, "link", fd, "deeper/hard-link", 0) == 0);
	CHECK(mkfifoat(fd, "fifo", 0622) == 0 && mknodat(fd, "null", S_IFCHR | 0666, makedev(1, 3)) == 0
		&& mknodat(fd, "disk", S_IFBLK | 0660, makedev(8, 17)) == 0);
}

static void set_xattr(int fd, const char *name, const char *xattr, const void *value, size_t size)
{
	int at = openat(fd, name, O_RDONLY | O_CLOEXEC);

	CHECK_INT(fsetxattr(at, xattr, value, size, 0), 0);
	close(at);
}

static void make_attributes(int fd)
{
	set_xattr(fd, "plain", "user.comment", "one\0two", 7);
	set_xattr(fd, "plain", "user.empty", "", 0);
	set_xattr(fd, "deeper", "trusted.of", "a directory", 11);
	set_xattr(fd, "setuid", "security.capability", capability, sizeof capability);
	set_xattr(fd, "big", "system.posix_acl_access", acl, sizeof acl);
	mkdirat(fd, "shared", 0777);
	CHECK(fchmodat(fd, "shared", 03775, 0) == 0 && fchownat(fd, "shared", 10, 20, 0) == 0);
	tree_write(fd, "shared/file", "in a setgid directory");
	set_xattr(fd, "shared", "system.posix_acl_default", acl, sizeof acl);
	mkdirat(fd, "closed", 0);
	stamp(fd, "plain", 1234567890, 123456789);
	stamp(fd, "link", 1, 1);
	stamp(fd, "fifo", 2000000000, 999999999);
	stamp(fd, "deeper", 981173106, 5);
	stamp(fd, "shared", 4102444800, 7);
	stamp(fd, "big", -86400, 0);
	stamp(fd, "null", 0, 0);
}

static int make_tree(const char *name)
{
	int fd;

	mkdirat(box.dir, name, 0751);
	fd = openat(box.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_files(fd);
	make_links(fd);
	make_attributes(fd);
	fchmod(fd, 0751);
	stamp(box.dir, name, 1500000000, 42);
	return fd;
}

static int run(const char *format, ...) CX_PRINTF(1, 2);
static int run(const char *format, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof command, format, ap);
	va_end(ap);
	return system(command);
}

/* ---- two trees, side by side ----------------------------------------------------------------------- */

static const char python[] =
	"import os,sys\n"
	"def look(root):\n"
	"  out,inodes={},{}\n"
	"  for d,ds,fs in os.walk(root.encode()):\n"
	"    for n in ds+fs+([b'.'] if d==root.encode() else []):\n"
	"      p=os.path.join(d,n); s=os.lstat(p); q=os.path.relpath(p,root.encode()); kind=s.st_mode>>12\n"
	"      x=sorted((k,os.getxattr(p,k,follow_symlinks=False)) for k in os.listxattr(p,follow_symlinks=False) if k!='security.selinux')\n"
	"      data=open(p,'rb').read() if kind==8 else os.readlink(p) if kind==10 else b''\n"
	"      out[q]=(oct(s.st_mode),s.st_uid,s.st_gid,s.st_mtime_ns if times else 0,s.st_rdev,0 if kind==4 else s.st_size,x,data)\n"
	"      if kind!=4 and links: inodes.setdefault(s.st_ino,[]).append(q)\n"
	"  return out,sorted(sorted(i) for i in inodes.values()),sum(os.lstat(os.path.join(root.encode(),q)).st_blocks for q in out)\n"
	"times,links='times' in sys.argv,'links' in sys.argv\n"
	"a,b=look(sys.argv[1]),look(sys.argv[2])\n"
	"for q in sorted(set(a[0])|set(b[0])):\n"
	"  if a[0].get(q)!=b[0].get(q): print('#',q,*[t[0].get(q) and t[0][q][:7] for t in (a,b)])\n"
	"if a[1]!=b[1]: print('# link groups differ')\n"
	"print('#',len(a[0]),'names')\n"
	"sys.exit(a[:2]!=b[:2] or len(a[0])<2 or ('blocks' in sys.argv and a[2]>b[2]*1.1+100))\n";

static void check_same(const char *ours, const char *theirs, const char *what)
{
	char script[200];
	int fd;

	snprintf(script, sizeof script, "%s/compare.py", box.path);
	fd = open(script, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK_INT(write(fd, python, sizeof python - 1), sizeof python - 1);
	close(fd);
	CHECK_INT(run("python3 %s %s %s %s", script, ours, theirs, what), 0);
}

/* Packs directory `from` as corpus/NAME.0, gzipped or with zstd if its name says so. */
static void pack(const char *from, const char *name, const char *by)
{
	CHECK_INT(run("cd %s && tar --format=pax --numeric-owner --xattrs --xattrs-include='*' --acls -S -cf corpus/%s.0 %s -C %s .",
		box.path, name, by, from), 0);
}

TEST(as_gnu_tar)
{
	static const char *const by[] = { "", "-z", "--zstd" };
	char ours[200], theirs[200];

	close(make_tree("tree"));
	mkdirat(box.dir, "theirs", 0700);
	pack("tree", "tree", "");
	snprintf(ours, sizeof ours, "%s/out/t", box.path);
	snprintf(theirs, sizeof theirs, "%s/theirs", box.path);
	CHECK_INT(run("tar --numeric-owner --xattrs --xattrs-include='*' --acls -xpf %s/tree.0 -C %s", box.corpus, theirs), 0);
	for (size_t i = 0; i < CX_ARRAY_SIZE(by); i++) {
		conex_error *err = NULL;
		struct cx_unpack_options o = { .flags = 0 };

		if (i == 2 && run("command -v zstd >/dev/null") != 0)
			continue;
		pack("tree", "packed", by[i]);
		CHECK_INT(box_unpack(&box, "packed", 1, "", o, &err), 0);
		CHECK_STR(conex_error_text(err), "");
		check_same(ours, theirs, "times links blocks");
		box_empty(&box);
		conex_error_free(err);
	}
	/* GNU's own format and ustar have neither xattrs nor ns, but long names, holes, large numbers of their own */
	CHECK_INT(run("cd %s && tar --format=gnu --numeric-owner -S -cf corpus/packed.0 -C tree . && rm -rf theirs && mkdir theirs && "
		"tar --numeric-owner -xpf corpus/packed.0 -C theirs", box.path), 0);
	CHECK_INT(box_unpack(&box, "packed", 1, "", (struct cx_unpack_options){ .flags = 0 }, NULL), 0);
	check_same(ours, theirs, "times links blocks");
	box_empty(&box);
}

/* A parent that hands down its group and an ACL, and umasks of all kinds: the tree is the same. */
TEST(whatever_the_parent)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	char ours[200], theirs[200];
	mode_t before = umask(0);

	CHECK(fchown(box.out, 0, 50) == 0 && fchmod(box.out, 02775) == 0);
	CHECK_INT(fsetxattr(box.out, "system.posix_acl_default", acl, sizeof acl, 0), 0);
	CHECK_INT(run("cd %s && rm -rf theirs && mkdir -m 700 theirs && tar --numeric-owner --xattrs --xattrs-include='*' --acls "
		"-xpf corpus/tree.0 -C theirs 2>/dev/null", box.path), 0);
	snprintf(ours, sizeof ours, "%s/out/t", box.path);
	snprintf(theirs, sizeof theirs, "%s/theirs", box.path);
	for (size_t i = 0; i < CX_ARRAY_SIZE(masks); i++) {
		umask(masks[i]);
		CHECK_INT(box_unpack(&box, "tree", 1, "", (struct cx_unpack_options){ .flags = 0 }, NULL), 0);
		umask(before);
		check_same(ours, theirs, "times links");
		box_empty(&box);
	}
	CHECK_INT(fremovexattr(box.out, "system.posix_acl_default"), 0);
	CHECK(fchown(box.out, 0, 0) == 0 && fchmod(box.out, 0700) == 0);
}

/* ---- ids ------------------------------------------------------------------------------------------- */

TEST(mapped)
{
	const struct cx_id_range ids[] = { { 0, 100000, 1000 }, { 12345, 200000, 1 } };
	struct cx_unpack_options o = { .uids = ids, .uid_count = 2, .gids = ids, .gid_count = 2 };
	unsigned char value[64];
	uint32_t root, user;
	struct stat st;
	int fd;

	CHECK_INT(box_unpack(&box, "tree", 1, "", o, NULL), 0);
	CHECK(fstatat(box.out, "t", &st, 0) == 0 && st.st_uid == 100000 && st.st_gid == 100000);
	CHECK(fstatat(box.out, "t/link", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == 100007 && st.st_gid == 100008);
	CHECK(fstatat(box.out, "t/setuid", &st, 0) == 0 && st.st_uid == 100001 && st.st_gid == 100002 && (st.st_mode & 07777) == 06755);
	fd = openat(box.out, "t/setuid", O_RDONLY | O_CLOEXEC);
	CHECK_INT(fgetxattr(fd, "security.capability", value, sizeof value), 24);
	memcpy(&root, value + 20, 4);
	CHECK_INT(root, 100000);
	close(fd);
	fd = openat(box.out, "t/big", O_RDONLY | O_CLOEXEC);
	CHECK_INT(fgetxattr(fd, "system.posix_acl_access", value, sizeof value), sizeof acl);
	memcpy(&user, value + 16, 4);
	CHECK_INT(user, 200000);
	close(fd);
	box_empty(&box);
	o.uid_count = 1;        /* the one in the ACL has none now */
	CHECK_INT(box_unpack(&box, "tree", 1, "", o, NULL), -EINVAL);
	box_whole(&box, -1, "an ACL without id");
}

/* ---- several layers -------------------------------------------------------------------------------- */

static const char layers[] =
	"set -e; cd %s; for l in l0 l1 l2; do rm -rf $l; mkdir $l; done\n"
	"mkdir -p l0/a/b l0/c/d l0/e l0/f; for f in a/1 a/b/2 c/3 c/d/4 e/5 f/6 7 8 9; do echo $f >l0/$f; done; ln -s c l0/link\n"
	"mkdir -p l1/a l1/c l1/e; touch l1/a/.wh.b l1/c/.wh..wh..opq l1/.wh.7 l1/.wh.f; echo new >l1/c/new; echo new >l1/8\n"
	"touch l1/.wh.e; echo in >l1/e/in; ln -s nowhere l1/n\n"
	"mkdir -p l2/f l2/a/b l2/n; echo back >l2/f/back; echo again >l2/7; touch l2/.wh.9 l2/.wh.link l2/c; echo n >l2/n/n; echo b >l2/a/b/b\n"
	"for l in l0 l1 l2; do tar --numeric-owner -cf corpus/$l.0 -C $l .; done\n"
	"cp corpus/l0.0 corpus/all.0; cp corpus/l1.0 corpus/all.1; cp corpus/l2.0 corpus/all.2\n";

static int mount_and_compare(const char *options)
{
	char merged[200], applied[200], data[600];
	int status = 0;
	pid_t pid = fork();

	snprintf(merged, sizeof merged, "%s/merged", box.path);
	snprintf(applied, sizeof applied, "%s/applied", box.path);
	snprintf(data, sizeof data, "lowerdir=%s/u2:%s/u1:%s/u0%s", box.path, box.path, box.path, options);
	mkdir(merged, 0700);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
			|| mount("overlay", merged, "overlay", MS_RDONLY, data) < 0)
			_exit(77);
		check_same(merged, applied, "");
		_exit(test_state.faults != 0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void overlay_of(int whiteouts, const char *options)
{
	struct cx_unpack_options o = { .whiteouts = whiteouts };
	int r;

	CHECK_INT(run(layers, box.path), 0);
	CHECK_INT(box_unpack(&box, "all", 3, "apply", o, NULL), 0);
	CHECK_INT(renameat(box.out, "t", box.dir, "applied"), 0);
	for (int i = 0; i < 3; i++) {
		char name[8], to[8];

		snprintf(name, sizeof name, "l%d", i);
		snprintf(to, sizeof to, "u%d", i);
		CHECK_INT(box_unpack(&box, name, 1, "", o, NULL), 0);
		CHECK_INT(renameat(box.out, "t", box.dir, to), 0);
	}
	r = mount_and_compare(options);
	CHECK_INT(run("cd %s && rm -rf applied merged u0 u1 u2", box.path), 0);
	if (r == 77)
		SKIP("no overlay can be mounted here");
	CHECK_INT(r, 0);
}

TEST(overlay)
{
	overlay_of(CX_WHITEOUT_OVERLAY, "");
}

TEST(overlay_userxattr)
{
	overlay_of(CX_WHITEOUT_USER, ",userxattr");
}

/* mknodat(2) answers EPERM from now on, as in some sandboxes. */
static int forbid_devices(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mknodat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { CX_ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) | prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Whiteouts are files with an xattr then, which overlay knows from Linux 6.7 on. */
TEST(overlay_without_devices)
{
	struct utsname name;
	unsigned major = 0, minor = 0;
	int status = 0;
	pid_t pid;

	uname(&name);
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2 || major < 6 || (major == 6 && minor < 7))
		SKIP("overlay knows no such whiteouts before Linux 6.7");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		CHECK_INT(forbid_devices(), 0);
		CHECK(mknodat(box.out, "x", S_IFCHR, 0) < 0 && errno == EPERM);
		overlay_of(CX_WHITEOUT_USER, ",userxattr");
		fflush(stdout);
		_exit(test_state.skip ? 77 : test_state.faults != 0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no overlay can be mounted here");
	CHECK_INT(status, 0);
}

/* ---- side by side ---------------------------------------------------------------------------------- */

static void *unpack_side(void *name)
{
	struct cx_packed layer = { .fd = box_open(box.corpus, "tree", 0) };
	int r = cx_unpack_layer(box.out, name, &layer, NULL, NULL, NULL);

	close(layer.fd);
	return (void *)(intptr_t)r;
}

TEST(side_by_side)
{
	static char names[4][4] = { "s0", "s1", "s2", "s3" };
	pthread_t threads[4];
	char a[200], b[200];

	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, unpack_side, names[i]), 0);
	for (int i = 0; i < 4; i++) {
		void *r;

		CHECK(pthread_join(threads[i], &r) == 0 && r == NULL);
	}
	for (int i = 1; i < 4; i++) {
		snprintf(a, sizeof a, "%s/out/s0", box.path);
		snprintf(b, sizeof b, "%s/out/%s", box.path, names[i]);
		check_same(a, b, "times links");
	}
	CHECK_INT(run("rm -rf %s/out/s?", box.path), 0);
}

int main(void)
{
	if (getuid() != 0) {
		printf("1..0 # SKIP devices and owners take root\n");
		return 0;
	}
	if (!box_make(&box))
		return 1;
	RUN(as_gnu_tar);
	RUN(whatever_the_parent);
	RUN(mapped);
	RUN(overlay);
	RUN(overlay_userxattr);
	RUN(overlay_without_devices);
	RUN(side_by_side);
	box_remove(&box);
	return test_end();
}
