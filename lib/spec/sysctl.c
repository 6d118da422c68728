/* The meaning of a spec's sysctls: only what belongs to a namespace of the container's
 * own. */
#include "spec/check.h"

/* Keys come as "net.ipv4.ip_forward" or "net/ipv4/ip_forward"; sysctl(8): whichever
 * separator comes first separates, the other stands for itself (an interface "eth0.1":
 * "net/ipv4/conf/eth0.1/..."). */
static char separator(const char *key)
{
	return key[strcspn(key, "./")] == '/' ? '/' : '.';
}

/* The same key written with dots? `name` may end in '.', then as a prefix. */
static int key_is(const char *key, const char *name)
{
	char s = separator(key);
	size_t size = strlen(name);

	for (size_t i = 0; i < size; i++)
		if (key[i] != (name[i] == '.' ? s : name[i]))
			return 0;
	return name[size - 1] == '.' || !key[size];
}

/* No part may be empty or lead elsewhere: the key becomes a path below /proc/sys. */
static int key_shaped(const char *key)
{
	const char separators[] = { separator(key), '\0' };

	for (const char *p = key; ; p++) {
		size_t size = strcspn(p, separators);

		if (strspn(p, "./") >= size)
			return 0;
		for (size_t i = 0; i < size; i++)
			if ((unsigned char)p[i] <= ' ' || p[i] == 127)
				return 0;
		p += size;
		if (!*p)
			return 1;
	}
}

static const char *key_namespace(const char *key)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",
		"kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
		"kernel.shmmni", "kernel.shm_rmid_forced", "fs.mqueue." };

	if (key_is(key, "net."))
		return "network";
	for (size_t i = 0; i < CX_ARRAY_SIZE(ipc); i++)
		if (key_is(key, ipc[i]))
			return "ipc";
	return NULL;
}

static int check_key(const json_t *root, const char *key, const json_t *value,
	conex_error **err)
{
	const char *type;

	if (!key_shaped(key))
		return cx_spec_bad(err, value, "a key is written \"net.ipv4.ip_forward\"",
			"linux.sysctl[\"%s\"]", key);
	if (key_is(key, "kernel.hostname") || key_is(key, "kernel.domainname"))
		return cx_spec_bad(err, value,
			"use the field \"hostname\" or \"domainname\"",
			"linux.sysctl[\"%s\"]", key);
	type = key_namespace(key);
	if (!type)
		return cx_spec_bad(err, value,
			"this sysctl is the whole machine's, "
			"not a namespace's: set it on the host",
			"linux.sysctl[\"%s\"]", key);
	if (cx_spec_namespace(root, type))      /* a joined one, too: a pod's containers bring the same */
		return 0;
	return cx_spec_bad(err, value, type[0] == 'n'
		? "it needs a new network namespace: "
		"add {\"type\": \"network\"} to linux.namespaces"
		: "it needs a new ipc namespace: add {\"type\": \"ipc\"} to linux.namespaces",
		"linux.sysctl[\"%s\"]", key);
}

int cx_spec_check_sysctl(const json_t *root, conex_error **err)
{
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach(cx_json_at(root, "linux.sysctl"), key, value) {
		r = check_key(root, key, value, err);
		if (r < 0)
			break;
	}
	return r;
}
