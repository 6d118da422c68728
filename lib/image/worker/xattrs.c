/* Extended attributes, file capabilities and ACLs. Which ones are kept:
 *   user.*, trusted.*, security.*, system.posix_acl_access, system.posix_acl_default, and PAX's ACLs (SCHILY.acl.*);
 *   not security.selinux, which is the host's policy; not trusted.overlay.* and user.overlay.*, by which a layer
 *   could redirect itself into others; not ACLs that name users instead of numbering them;
 *   not what the file system (EOPNOTSUPP) or that kind of file (user.* of a device) can't have, nor, rootless, what
 *   takes more rights (EPERM). What is left out is counted in the result. */
#include "image/worker/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include "base/kernel.h"

#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#endif
#ifndef VFS_CAP_REVISION_3      /* a namespace's root in front of version 2's sets */
#define VFS_CAP_REVISION_3 0x03000000
#endif

struct acl_entry { uint16_t tag, perm; uint32_t id; };  /* <linux/posix_acl_xattr.h>, little endian */
enum { ACL_USER_OBJ = 1, ACL_USER = 2, ACL_GROUP_OBJ = 4, ACL_GROUP = 8, ACL_MASK = 16, ACL_OTHER = 32 };

void cx_xattrs_free(struct cx_xattrs *x)
{
	while (x->first) {
		struct cx_xattr *next = x->first->next;

		free(x->first->name);
		free(x->first->value);
		free(x->first);
		x->first = next;
	}
}

size_t cx_xattrs_size(const struct cx_xattrs *x)
{
	size_t size = 0;

	for (const struct cx_xattr *one = x->first; one; one = one->next)
		size += sizeof *one + strlen(one->name) + one->size;
	return size;
}

/* Copies; the limit is the caller's. */
static int add(struct cx_xattrs *x, const char *name, const void *value, size_t size)
{
	struct cx_xattr *new = calloc(1, sizeof *new);

	if (!new)
		return -ENOMEM;
	new->next = x->first;
	x->first = new;
	new->name = strdup(name);
	new->value = malloc(size + 1);
	new->size = size;
	if (!new->name || !new->value)
		return -ENOMEM;
	if (size)
		memcpy(new->value, value, size);
	return 0;
}

static int starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

int cx_xattrs_is_kept(const char *name)
{
	if (starts(name, "trusted.overlay.") || starts(name, "user.overlay.") || !strcmp(name, "security.selinux"))
		return 0;
	return starts(name, "user.") || starts(name, "trusted.") || starts(name, "security.")
		|| !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* ---- ids inside values -------------------------------------------------------------------------- */

static int map_acl(struct cx_tree *t, struct cx_xattr *x)
{
	unsigned char *p = (unsigned char *)x->value + 4;

	if (x->size < 4 || (x->size - 4) % sizeof(struct acl_entry))
		return -EINVAL;
	for (size_t n = (x->size - 4) / sizeof(struct acl_entry); n > 0; n--, p += sizeof(struct acl_entry)) {
		struct acl_entry e;
		uint32_t id;

		memcpy(&e, p, sizeof e);
		if (le16toh(e.tag) != ACL_USER && le16toh(e.tag) != ACL_GROUP)
			continue;
		if (cx_map_id(t, le16toh(e.tag) == ACL_GROUP, le32toh(e.id), &id) < 0)
			return -EINVAL;
		e.id = htole32(id);
		memcpy(p, &e, sizeof e);
	}
	return 0;
}

/* Capabilities for the container's root, not the machine's: version 3, with the id that this root has outside. */
static int map_capability(struct cx_tree *t, struct cx_xattr *x)
{
	uint32_t magic, root = 0;
	unsigned char *value;

	if (x->size < 20)
		return 0;               /* the kernel will say so */
	memcpy(&magic, x->value, sizeof magic);
	magic = le32toh(magic);
	if (x->size >= 24 && (magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_3)
		memcpy(&root, (unsigned char *)x->value + 20, sizeof root);
	if (cx_map_id(t, 0, le32toh(root), &root) < 0)
		return -EINVAL;
	value = realloc(x->value, 24);
	if (!value)
		return -ENOMEM;
	x->value = value;
	x->size = 24;
	magic = htole32(VFS_CAP_REVISION_3 | (magic & VFS_CAP_FLAGS_EFFECTIVE));
	root = htole32(root);
	memcpy(value, &magic, sizeof magic);
	memcpy(value + 20, &root, sizeof root);
	return 0;
}

static int map_ids(struct cx_tree *t, struct cx_xattr *x)
{
	if (!t->options.uid_count && !t->options.gid_count)
		return 0;
	if (starts(x->name, "system.posix_acl_"))
		return map_acl(t, x);
	return strcmp(x->name, "security.capability") ? 0 : map_capability(t, x);
}

/* ---- ACLs as PAX has them ----------------------------------------------------------------------- */

static uint16_t acl_tag(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ: return ACL_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER: return ACL_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ: return ACL_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP: return ACL_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK: return ACL_MASK;
	default: return ACL_OTHER;
	}
}

static int acl_order(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	return x->tag != y->tag ? (x->tag < y->tag ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

/* libarchive's entries as the kernel's bytes. A user with a name alone could be anybody: -ENOENT then. */
static int read_acl(struct archive_entry *e, int count, int want, struct acl_entry *list)
{
	int n = 0, type, perm, tag, id;
	const char *name;

	while (n < count && archive_entry_acl_next(e, want, &type, &perm, &tag, &id, &name) == 0) {
		struct acl_entry *to = &list[n++];

		to->tag = acl_tag(tag);
		to->perm = (uint16_t)(perm & 7);
		to->id = to->tag == ACL_USER || to->tag == ACL_GROUP ? (uint32_t)id : UINT32_MAX;
		if ((to->tag == ACL_USER || to->tag == ACL_GROUP) && id < 0)
			return -ENOENT;
	}
	qsort(list, (size_t)n, sizeof *list, acl_order);
	for (int i = 0; i < n; i++) {
		list[i].tag = htole16(list[i].tag);
		list[i].perm = htole16(list[i].perm);
		list[i].id = htole32(list[i].id);
	}
	return n;
}

static int add_acl(struct cx_tree *t, struct archive_entry *e, int want, const char *name, struct cx_attributes *a)
{
	int count = archive_entry_acl_types(e) & want ? archive_entry_acl_reset(e, want) : 0, n;
	cx_autofree unsigned char *bytes = NULL;
	uint32_t version = htole32(2);

	if (count <= 0)
		return 0;
	bytes = malloc(4 + (size_t)count * sizeof(struct acl_entry));
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, &version, 4);
	n = read_acl(e, count, want, (struct acl_entry *)(void *)(bytes + 4));
	if (n < 0) {
		t->result->left_out_xattrs++;
		return 0;
	}
	return add(&a->xattrs, name, bytes, 4 + (size_t)n * sizeof(struct acl_entry));
}

/* ---- reading and setting ------------------------------------------------------------------------ */

static int read_xattrs(struct cx_tree *t, struct archive_entry *e, struct cx_attributes *a)
{
	const char *name;
	const void *value;
	size_t size, total = 0;
	int r = 0;

	archive_entry_xattr_reset(e);
	while (r == 0 && archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		total += strlen(name) + size;
		if (total > t->options.limits.xattrs)
			return -E2BIG;
		if (cx_xattrs_is_kept(name))
			r = add(&a->xattrs, name, value, size);
		else
			t->result->left_out_xattrs++;
	}
	if (r == 0)
		r = add_acl(t, e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", a);
	if (r == 0)
		r = add_acl(t, e, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", a);
	return r;
}

int cx_xattrs_read(struct cx_tree *t, struct archive_entry *e, struct cx_attributes *a)
{
	int r = read_xattrs(t, e, a);

	for (struct cx_xattr *x = a->xattrs.first; r == 0 && x; x = x->next)
		r = map_ids(t, x);
	if (r == -E2BIG)
		return cx_tree_fail(t, r, NULL, "limits.xattrs allows more extended attributes", archive_entry_pathname(e));
	return r < 0 ? cx_tree_fail(t, r, NULL, "an extended attribute is malformed, or an id in it has no id here",
		archive_entry_pathname(e)) : 0;
}

/* Of a name, without following it: a call for this is new (Linux 6.13), before there was /proc. */
static int set_at(int parent, const char *name, const struct cx_xattr *x)
{
	struct { uint64_t value; uint32_t size, flags; } args = { (uintptr_t)x->value, (uint32_t)x->size, 0 };
	char path[64 + NAME_MAX];

	if (syscall(SYS_setxattrat, parent, name, AT_SYMLINK_NOFOLLOW, x->name, &args, sizeof args) == 0)
		return 0;
	if (errno != ENOSYS)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d/%s", parent, name);
	return lsetxattr(path, x->name, x->value, x->size, 0);
}

static int is_left_out(const struct cx_tree *t, const struct cx_xattr *x, int is_file)
{
	if (errno == EOPNOTSUPP)
		return 1;
	if (errno == EPERM && starts(x->name, "user.") && !is_file)
		return 1;
	return errno == EPERM && t->options.flags & CX_UNPACK_ROOTLESS;
}

int cx_xattrs_set(struct cx_tree *t, int fd, int parent, const char *name, const struct cx_xattrs *x)
{
	char hint[160];

	for (const struct cx_xattr *one = x->first; one; one = one->next) {
		if ((fd >= 0 ? fsetxattr(fd, one->name, one->value, one->size, 0) : set_at(parent, name, one)) == 0)
			continue;
		if (!is_left_out(t, one, fd >= 0)) {
			snprintf(hint, sizeof hint, "its extended attribute %.64s, %zu bytes", starts(one->name, "user.")
				? "user.*" : starts(one->name, "trusted.") ? "trusted.*" : starts(one->name, "system.")
				? "system.posix_acl" : !strcmp(one->name, "security.capability") ? one->name : "security.*",
				one->size);
			return cx_tree_fail(t, -errno, "setxattr", hint, t->path.text);
		}
		t->result->left_out_xattrs++;
	}
	return 0;
}
