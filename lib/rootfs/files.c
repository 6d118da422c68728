/* /etc/hosts and /etc/resolv.conf of a container on networks: files of the host's that each launch names. */
#include "rootfs/parts.h"

#include <string.h>
#include "base/kernel.h"
#include "spec/spec.h"

static const struct { const char *target; enum cx_slot slot; } files[] = {
	{ "/etc/hosts", CX_SLOT_HOSTS }, { "/etc/resolv.conf", CX_SLOT_RESOLV },
};

/* What the user mounts there himself stays. */
static int is_ours(const struct cx_compile *c, const char *target)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(c->spec, "mounts"), i, entry) {
		const char *other = cx_json_text(entry, "destination");

		if (other && !strcmp(other, target))
			return 0;
	}
	return c->named;
}

int cx_rootfs_compile_file_sources(struct cx_compile *c, conex_error **err)
{
	unsigned flags = c->apart ? CX_SOURCE_PRIVATE : c->userns || c->nested ? 0 : CX_SOURCE_LATE;
	int r = 0;

	for (size_t i = 0; i < CX_ARRAY_SIZE(files) && r == 0; i++)
		if (is_ours(c, files[i].target))
			r = cx_rootfs_add_source(c, files[i].target, cx_cell_slot(c->build, files[i].slot, NULL), flags, err);
	return r;
}

/* One file serves many containers: none of them writes it. */
void cx_rootfs_compile_files(struct cx_compile *c, uint32_t *source)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(files); i++)
		if (is_ours(c, files[i].target))
			cx_op(c->build, mount_source, files[i].target, (*source)++, cx_cell_text(c->build, files[i].target),
				CX_MOUNT_OPTIONAL, CX_MOUNT_ATTR_RDONLY | CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_NODEV
				| CX_MOUNT_ATTR_NOEXEC);
}
