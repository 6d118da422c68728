/* The table of mount option names; read by mounts.c while it compiles the spec's mounts. */
#include "rootfs/options.h"

#include <string.h>
#include <sys/mount.h>
#include "base/cleanup.h"
#include "base/kernel.h"

/* Attributes of one mount. Each has a recursive twin with an "r" before it
 * (runtime-spec 1.1), which needs no line of its own. Times are one field of three values
 * in the kernel: all of it is cleared before any is set, and relatime is zero. There is
 * no way back to what nostrictatime and norelatime once meant: both leave the kernel's
 * default, relatime. */
static const struct attribute {
	const char *name;
	uint64_t set, clear;
} attributes[] = {
	{ "ro", CX_MOUNT_ATTR_RDONLY, 0 },
	{ "rw", 0, CX_MOUNT_ATTR_RDONLY },
	{ "nosuid", CX_MOUNT_ATTR_NOSUID, 0 },
	{ "suid", 0, CX_MOUNT_ATTR_NOSUID },
	{ "nodev", CX_MOUNT_ATTR_NODEV, 0 },
	{ "dev", 0, CX_MOUNT_ATTR_NODEV },
	{ "noexec", CX_MOUNT_ATTR_NOEXEC, 0 },
	{ "exec", 0, CX_MOUNT_ATTR_NOEXEC },
	{ "nodiratime", CX_MOUNT_ATTR_NODIRATIME, 0 },
	{ "diratime", 0, CX_MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", CX_MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, CX_MOUNT_ATTR_NOSYMFOLLOW },
	{ "noatime", CX_MOUNT_ATTR_NOATIME, CX_MOUNT_ATTR_ATIME },
	{ "atime", 0, CX_MOUNT_ATTR_ATIME },
	{ "relatime", 0, CX_MOUNT_ATTR_ATIME },
	{ "norelatime", 0, CX_MOUNT_ATTR_ATIME },
	{ "strictatime", CX_MOUNT_ATTR_STRICTATIME, CX_MOUNT_ATTR_ATIME },
	{ "nostrictatime", 0, CX_MOUNT_ATTR_ATIME },
};

static const struct propagation {
	const char *name;
	uint32_t flags;
} propagations[] = {
	{ "private", MS_PRIVATE },
	{ "rprivate", MS_PRIVATE | MS_REC },
	{ "slave", MS_SLAVE },
	{ "rslave", MS_SLAVE | MS_REC },
	{ "shared", MS_SHARED },
	{ "rshared", MS_SHARED | MS_REC },
	{ "unbindable", MS_UNBINDABLE },
	{ "runbindable", MS_UNBINDABLE | MS_REC },
};

static const struct verb {
	const char *name;
	enum cx_option_kind kind;
	uint32_t flags;
} verbs[] = {
	{ "bind", CX_OPTION_KNOWN, CX_OPTION_BIND },
	{ "rbind", CX_OPTION_KNOWN, CX_OPTION_BIND | CX_OPTION_RECURSIVE },
	{ "remount", CX_OPTION_KNOWN, CX_OPTION_REMOUNT },
	{ "tmpcopyup", CX_OPTION_KNOWN, CX_OPTION_COPY_UP },
	{ "idmap", CX_OPTION_KNOWN, CX_OPTION_IDMAP },
	{ "ridmap", CX_OPTION_KNOWN, CX_OPTION_IDMAP | CX_OPTION_IDMAP_DEEP },
	{ "defaults", CX_OPTION_KNOWN, 0 },
	{ "silent", CX_OPTION_KNOWN, 0 },
	{ "loud", CX_OPTION_KNOWN, 0 },
	{ "acl", CX_OPTION_KNOWN, 0 }, /* on where the file system can, since long */
	{ "noacl", CX_OPTION_KNOWN, 0 },
	{ "noiversion", CX_OPTION_KNOWN, 0 },
	{ "iversion", CX_OPTION_SUPER, 0 },
	{ "sync", CX_OPTION_SUPER, 0 },
	{ "async", CX_OPTION_SUPER, 0 },
	{ "dirsync", CX_OPTION_SUPER, 0 },
	{ "lazytime", CX_OPTION_SUPER, 0 },
	{ "nolazytime", CX_OPTION_SUPER, 0 },
	{ "mand", CX_OPTION_SUPER, 0 },
	{ "nomand", CX_OPTION_SUPER, 0 },
};

static const struct attribute *find_attribute(const char *name)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(attributes); i++)
		if (!strcmp(name, attributes[i].name))
			return &attributes[i];
	return NULL;
}

uint32_t cx_rootfs_propagation(const char *name)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(propagations); i++)
		if (!strcmp(name, propagations[i].name))
			return propagations[i].flags;
	return 0;
}

/* A later "rw" takes an earlier "ro" back, and the other way round. */
static void apply(uint64_t *set, uint64_t *clear, const struct attribute *a)
{
	*set = (*set & ~a->clear) | a->set;
	*clear = (*clear & ~a->set) | a->clear;
}

enum cx_option_kind cx_rootfs_add_option(struct cx_mount_options *o, const char *name)
{
	const struct attribute *a = find_attribute(name);
	uint32_t propagation;

	if (a) {
		apply(&o->set, &o->clear, a);
		return CX_OPTION_KNOWN;
	}
	if (name[0] == 'r' && (a = find_attribute(name + 1))) {
		apply(&o->deep_set, &o->deep_clear, a);
		return CX_OPTION_KNOWN;
	}
	propagation = cx_rootfs_propagation(name);
	if (propagation) {
		o->propagation = propagation;
		return CX_OPTION_KNOWN;
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(verbs); i++) {
		if (!strcmp(name, verbs[i].name)) {
			o->flags |= verbs[i].flags;
			return verbs[i].kind;
		}
	}
	return CX_OPTION_DATA;
}
