/* spec and features: what a container may be here, as a template and as a list. */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define JSON(...) #__VA_ARGS__

/* The template is the library's default, made as `runc spec` makes it. */
static const char template[] = JSON({
	"ociVersion": "1.2.0",
	"process": { "terminal": true, "env": [ "TERM=xterm" ] },
	"root": { "path": "rootfs", "readonly": true },
	"hostname": "conex"
});

static const char rootless[] = JSON({
	"mounts": [ { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
		"options": [ "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" ] } ],
	"linux": {
		"namespaces": [ { "type": "user" } ]
	}
});

static int merge(struct oci *rt, conex_spec *spec)
{
	char maps[256];
	int r = conex_spec_merge(spec, template, &rt->err);

	if (r < 0 || !rt->o.all)        /* --rootless */
		return r;
	snprintf(maps, sizeof maps, "{\"linux\":{\"namespaces\":[{\"type\":\"user\"}],"
		"\"uidMappings\":[{\"containerID\":0,\"hostID\":%d,\"size\":1}],"
		"\"gidMappings\":[{\"containerID\":0,\"hostID\":%d,\"size\":1}]}}", (int)geteuid(), (int)getegid());
	r = conex_spec_merge(spec, maps, &rt->err);
	return r < 0 ? r : conex_spec_merge(spec, rootless, &rt->err);
}

static int write_new(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), r;
	size_t size = strlen(text);

	if (fd < 0 && errno == EEXIST)
		return say("file %s exists; remove it first", path);
	if (fd < 0)
		return say("%s: %s", path, strerror(errno));
	r = write(fd, text, size) == (ssize_t)size && write(fd, "\n", 1) == 1 ? 0 : say("%s: %s", path, strerror(errno));
	close(fd);
	return r;
}

int verb_spec(struct oci *rt)
{
	const char *bundle = rt->o.bundle ? rt->o.bundle : ".";
	conex_spec *spec = NULL;
	char *text = NULL, path[4096];
	int r = conex_spec_new(&spec, &rt->err);

	if (r == 0)
		r = merge(rt, spec);
	if (r == 0)
		r = conex_spec_print(spec, &text, &rt->err);
	snprintf(path, sizeof path, "%s/config.json", bundle);
	r = r < 0 ? say_error(rt, "spec") : write_new(path, text);
	free(text);
	conex_spec_free(spec);
	return r < 0;
}

/* ---- features: runtime-spec, features.md ---- */

#ifdef CX_SYSTEMD
#define SYSTEMD "\"systemd\": true, \"systemdUser\": true, "
#else
#define SYSTEMD "\"systemd\": false, \"systemdUser\": false, "
#endif

static const char features[] = JSON({
	"ociVersionMin": "1.0.0",
	"ociVersionMax": "1.3.0",
	"hooks": [ "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop" ],
	"mountOptions": [ "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "idmap", "iversion",
		"lazytime", "loud", "mand", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime",
		"nomand", "norelatime", "nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev",
		"rdiratime", "relatime", "remount", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec",
		"rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime", "rro", "rrw",
		"rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw", "shared", "silent",
		"slave", "strictatime", "suid", "symfollow", "sync", "tmpcopyup", "unbindable" ],
	"linux": {
		"namespaces": [ "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts" ],
		"capabilities": [ "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
			"CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
			"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
			"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
			"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
			"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
			"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
			"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
			"CAP_CHECKPOINT_RESTORE" ],
		"cgroup": { "v1": true, "v2": true, ) SYSTEMD JSON( "rdma": false },
		"seccomp": {
			"enabled": true,
			"actions": [ "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
				"SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP" ],
			"operators": [ "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
				"SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE" ],
			"archs": [ "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
				"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
				"SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390",
				"SCMP_ARCH_S390X", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64" ],
			"knownFlags": [ "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
				"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" ],
			"supportedFlags": [ "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
				"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" ]
		},
		"apparmor": { "enabled": true },
		"selinux": { "enabled": true },
		"intelRdt": { "enabled": false },
		"mountExtensions": { "idmap": { "enabled": true } },
		"netDevices": { "enabled": true }
	},
	"annotations": {
		"io.github.seccomp.libseccomp.version": "2.5",
		"org.opencontainers.runc.checkpoint.enabled": "false"
	},
	"potentiallyUnsafeConfigAnnotations": []
});

int verb_features(struct oci *rt)
{
	(void)rt;
	puts(features);
	return 0;
}
