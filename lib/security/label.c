/* Labels of the security modules, AppArmor's and SELinux's: spec -> plan operations. */
#include "security/compile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "spec/spec.h"

#define SELINUX_MAGIC 0xf97cff8c

static int has_apparmor(void)
{
	cx_autoclose int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
	char answer = 'N';

	return fd >= 0 && read(fd, &answer, 1) == 1 && answer == 'Y';
}

/* Compiled in or not: it is at work where its file system is mounted, as libselinux sees it. */
int cx_security_has_selinux(void)
{
	struct statfs fs;

	return statfs("/sys/fs/selinux", &fs) == 0 && (uint32_t)fs.f_type == SELINUX_MAGIC;
}

static int refuse(const char *where, const char *label, const char *module, conex_error **err)
{
	return cx_refuse(err, -EOPNOTSUPP, where, label,
		"nothing: %s isn't at work on this machine, so nothing can be labelled", module);
}

/* Where nothing confines, "unconfined" is what the program is anyway. */
static int compile_apparmor(struct cx_compile *c, conex_error **err)
{
	const char *profile = cx_json_text(c->spec, "process.apparmorProfile");
	cx_autofree char *command = NULL;

	if (!profile || !*profile)
		return 0;
	if (!has_apparmor())
		return !strcmp(profile, "unconfined") ? 0
			: refuse("process.apparmorProfile", profile, "AppArmor", err);
	if (asprintf(&command, "exec %s", profile) < 0)
		return cx_fail_memory(err);
	cx_op(c->build, label, "process.apparmorProfile", cx_cell_text(c->build, "AppArmor"),
		cx_cell_text(c->build, command),
		cx_cell_text(c->build, "self/attr/apparmor/exec"));
	return 0;
}

int cx_security_compile_labels(struct cx_compile *c, conex_error **err)
{
	const char *label = cx_json_text(c->spec, "process.selinuxLabel");
	int r = compile_apparmor(c, err);

	if (r < 0)
		return r;
	if (!label || !*label)
		return 0;
	if (!cx_security_has_selinux())
		return refuse("process.selinuxLabel", label, "SELinux", err);
	cx_op(c->build, label, "process.selinuxLabel", cx_cell_text(c->build, "SELinux"),
		cx_cell_text(c->build, label), 0);
	return 0;
}
