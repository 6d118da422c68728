/* A limit of what a container may write over its image: its writable layer lies in a file system of that size, in a
 * file beside it. mkfs.ext4 makes it, by the keeper; the child mounts it where only the overlay sees it
 * (rootfs/child-disk.c), so it goes when the container's last process has gone. */
#include "container/container.h"
#include "base/ids.h"
#include "base/path.h"
#include "plan/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { MKFS_MS = 60000 };
#define LEAST (UINT64_C(8) << 20)       /* less has no room for anything beside the file system's own */

static const char program[] = "mkfs.ext4", field[] = "conex_run_options.disk";

int cx_disk_check(const struct conex_run_options *o, const char *image, conex_error **err)
{
	cx_autofree char *mkfs = NULL;
	char value[32];

	if (!o->disk)
		return 0;
	snprintf(value, sizeof value, "%llu", (unsigned long long)o->disk);
	if (!image || o->flags & CONEX_RUN_READ_ONLY)
		return cx_refuse(err, -EINVAL, field, value, image ? "a read-only container writes nothing: leave it 0"
			: "it is of what is written over an image: name one, or leave it 0");
	if (o->disk < LEAST || o->disk > INT64_MAX / 2)
		return cx_refuse(err, -EINVAL, field, value, "at least 8 MiB, of which the file system itself takes a part");
	if (cx_ids_rootless() || cx_ids_nested())
		return cx_refuse(err, -EPERM, field, value, "only root may mount a file system of a size: leave it 0");
	if (access("/dev/loop-control", F_OK) < 0)
		return cx_refuse(err, -EOPNOTSUPP, field, value, "it takes loop devices: modprobe loop");
	mkfs = cx_find_program(program);
	return mkfs ? 0 : cx_refuse(err, -ENOENT, field, value, "%s isn't installed: package e2fsprogs", program);
}

/* No journal: after a crash nobody reads it again. */
static int mkfs_plan(const char *file, struct cx_plan **ret, conex_error **err)
{
	cx_autofree char *mkfs = cx_find_program(program);
	const char *const args[] = { mkfs ? mkfs : program, "-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-E",
		"nodiscard,lazy_itable_init=1,root_owner=0:0", file, NULL };
	const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	struct cx_build b = { .failed = 0 };
	int r;

	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, death_signal, NULL);
	cx_op(&b, exec, program, cx_cell_list(&b, args), cx_cell_list(&b, env), 0);
	r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

/* Its own first line is the best hint. */
static int failed(const struct cx_helper *h, int said, conex_error **err)
{
	char text[256] = "";

	if (pread(said, text, sizeof text - 1, 0) < 0)
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return cx_fail(err, CONEX_STAGE_LAUNCH, h->cause == CX_ENDED_TIMEOUT ? -ETIMEDOUT : -EIO, NULL, *text ? text : NULL,
		"%s (status 0x%x)", program, (unsigned)h->status);
}

static int run_mkfs(conex *cx, const char *file, conex_error **err)
{
	struct cx_helper h = { .ended = NULL, .gift = -1, .timeout_ms = MKFS_MS };
	cx_autoclose int said = memfd_create("conex-said", MFD_CLOEXEC);
	cx_autofree struct cx_plan *plan = NULL;
	int r = said < 0 ? cx_fail_errno(err, CONEX_STAGE_LAUNCH, "memfd_create", NULL, "%s", program) : mkfs_plan(file, &plan, err);

	if (r == 0)
		r = cx_context_lock_to_change(cx, err);
	if (r < 0)
		return r;
	r = cx_keeper_start(cx, err);
	if (r == 0)
		r = cx_keeper_help_later(cx, &h, plan, 1U << CX_FD_ERR, &said, err);
	if (r == 0 && (r = cx_keeper_wait(cx, &h)) < 0)
		cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "%s", program);
	cx_context_unlock(cx);
	cx_closep(&h.gift);
	return r < 0 ? r : h.status || h.cause ? failed(&h, said, err) : 0;
}

/* What is left in the snapshot itself is no upper directory, and nobody shall take it for an empty one. */
static int set_aside(const char *snapshot)
{
	cx_autoclose int dir = open(snapshot, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return dir < 0 || renameat(dir, "upper", dir, "look") < 0 || unlinkat(dir, "work", AT_REMOVEDIR) < 0 ? -1 : 0;
}

int cx_disk_make(conex *cx, const char *snapshot, uint64_t bytes, conex_error **err)
{
	cx_autofree char *file = NULL;
	cx_autoclose int fd = -1;

	if (asprintf(&file, "%s/disk", snapshot) < 0) {
		file = NULL;
		return cx_fail_memory(err);
	}
	if (set_aside(snapshot) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "rename", NULL, "%s", snapshot);
	fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, fd < 0 ? "open" : "ftruncate", NULL, "%s", file);
	return run_mkfs(cx, file, err);
}
