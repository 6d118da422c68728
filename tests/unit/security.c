/* lib/security on the host's side: specs become plans, profiles become programs that are kept. */
#include <fcntl.h>
#include <dirent.h>
#include "security.h"

#include <linux/capability.h>
#include <pthread.h>
#include <seccomp.h>
#include <sys/resource.h>
#include "security/capabilities.h"

/* The operations' names, one behind another. */
static void check_operations(const char *spec, const char *want)
{
	struct cx_plan *plan = plan_of(spec);
	const struct cx_op *op = (const struct cx_op *)(plan + 1);
	char *text;
	cx_autostr to = { 0 };

	for (uint32_t n = 0; n < plan->operations; n++)
		cx_str_addf(&to, "%s%s", n ? " " : "", cx_op_name(op[n].code));
	text = cx_str_take(&to);
	CHECK_STR(text, want);
	free(text);
	free(plan);
}

static void check_line(const char *spec, uint32_t n, const char *want)
{
	struct cx_plan *plan = plan_of(spec);
	cx_autostr to = { 0 };

	cx_plan_print_op(plan, (const struct cx_op *)(plan + 1) + n, &to);
	CHECK_STR(to.data, want);
	free(plan);
}

#define FILTER "'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [" \
	"{'names': ['chroot'], 'action': 'SCMP_ACT_ERRNO'}]}}"

TEST(order)
{
	check_operations("{'process': {}}",
		"bounding identity capabilities death_signal");
	check_operations("{'process': {'noNewPrivileges': true, 'oomScoreAdj': 0, 'rlimits': "
		"[{'type': 'RLIMIT_NOFILE', 'soft': 64, 'hard': -1}]}, " FILTER "}",
		"oom_score rlimit no_new_privileges bounding identity capabilities death_signal seccomp");
	check_operations("{'process': {'capabilities': {'permitted': ['CAP_KILL'], 'inheritable': "
		"['CAP_KILL'], 'ambient': ['CAP_KILL', 'CAP_CHOWN']}}, " FILTER "}",
		"seccomp bounding identity capabilities ambient death_signal");
	check_operations("{'process': {'capabilities': {'permitted': ['CAP_KILL'], "
		"'ambient': ['CAP_KILL']}}}",
		"bounding identity capabilities death_signal");
}

TEST(lines)
{
	check_line("{'process': {'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 64, 'hard': -1}]}}",
		0,
		"0 rlimit: limit resource 7 to 64, hard -1  # process.rlimits[0] RLIMIT_NOFILE");
	check_line("{'process': {'user': {'uid': 7, 'gid': 8, 'umask': 63, 'additionalGids': "
		"[1, 2, 3]}}}", 1,
		"1 identity: become uid 7, gid 8, groups 12 bytes, umask 0077  # process.user");
	check_line("{'process': {}}", 1,
		"1 identity: become uid 0, gid 0, groups 0 bytes, umask 0022  # process.user");
	check_line("{'process': {'capabilities': {'bounding': ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE']}}}",
		0,
		"0 bounding: keep of the bounding set 0x10000000001  # process.capabilities.bounding");
	check_line("{'process': {'oomScoreAdj': -500}}", 0,
		"0 oom_score: set oom_score_adj to -500  # process.oomScoreAdj");
}

TEST(sysctl_names)
{
	check_line("{'linux': {'sysctl': {'net.ipv4.ip_forward': '1'}}}", 0,
		"0 sysctl: set sys/net/ipv4/ip_forward to 1  # linux.sysctl net.ipv4.ip_forward");
	check_line("{'linux': {'sysctl': {'net/ipv4/conf/eth0.7/forwarding': '1'}}}", 0,
		"0 sysctl: set sys/net/ipv4/conf/eth0.7/forwarding to 1"
		"  # linux.sysctl net/ipv4/conf/eth0.7/forwarding");
	check_line("{'linux': {'sysctl': {'net.ipv4.conf.eth0/7.forwarding': ''}}}", 0,
		"0 sysctl: set sys/net/ipv4/conf/eth0.7/forwarding to \"\""
		"  # linux.sysctl net.ipv4.conf.eth0/7.forwarding");
}

static void check_refused(const char *spec, int code, const char *object)
{
	struct cx_plan *plan = NULL;
	conex_error *err = NULL;

	CHECK_INT(compile(0, spec, &plan, &err), code);
	CHECK_STR(conex_error_object(err), object);
	CHECK(*conex_error_hint(err));
	conex_error_free(err);
	free(plan);
}

/* A program in a running container finds the sysctls set; where setgroups is denied
 * nothing is tried. */
TEST(variants)
{
	struct cx_build b = { .head.deny_setgroups = 1 };
	struct cx_compile c = { .spec = parse("{'process': {'user': {'additionalGids': [1]}}}"),
		.build = &b };
	struct cx_plan *plan = NULL;
	conex_error *err = NULL;

	CHECK_INT(cx_security_compile_rights(&c, NULL, &err), -EINVAL);
	CHECK_STR(conex_error_object(err), "process.user.additionalGids");
	conex_error_free(err);
	cx_build_free(&b);
	json_decref((json_t *)c.spec);
	CHECK_INT(compile(1, "{'linux': {'sysctl': {'net.a': '1'}}}", &plan,
		NULL), 0);
	CHECK_INT(((struct cx_op *)(plan + 1))->code, CX_OP_bounding);
	free(plan);
}

#define SECCOMP(text) "{'linux': {'seccomp': {" text "}}}"

TEST(refused)
{
	check_refused("{'linux': {'sysctl': {'net.//.kernel.panic': '1'}}}",
		-EINVAL,
		"linux.sysctl = net.//.kernel.panic");
	check_refused("{'linux': {'sysctl': {'net/../kernel/panic': '1'}}}",
		-EINVAL,
		"linux.sysctl = net/../kernel/panic");
	check_refused(SECCOMP("'defaultAction': 'ALLOW'"), -EINVAL,
		"linux.seccomp.defaultAction = ALLOW");
	check_refused(SECCOMP("'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_PDP11']"),
		-EINVAL, "linux.seccomp.architectures[0] = SCMP_ARCH_PDP11");
	check_refused(SECCOMP("'defaultAction': 'SCMP_ACT_ALLOW', 'flags': "
		"['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_NEW_LISTENER']"), -EINVAL,
		"linux.seccomp.flags[1] = SECCOMP_FILTER_FLAG_NEW_LISTENER");
	check_refused(SECCOMP("'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['chroot'], "
		"'action': 'SCMP_ACT_ERRNO', 'args': [{'index': 0, 'value': 1, 'op': 'EQ'}]}]"),
		-EINVAL, "linux.seccomp.syscalls[0] = EQ");
}

#define ASKS(names, more) "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'flags': " \
	"['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'], 'syscalls': [{'names': [" names "], " \
	"'action': 'SCMP_ACT_NOTIFY'}]}}, " more "}"
#define NO_NEW "'process': {'noNewPrivileges': true}"

/* With the program's start alone behind it, or with the change of ids and rights, too; an init and hooks. */
/* libseccomp asks the kernel, for which valgrind answers: no such system call. */
#define NEEDS_NOTIFICATIONS() \
	do { \
		if (seccomp_api_get() < 5) \
			SKIP("no seccomp notifications here"); \
	} while (0)

TEST(what_cant_be_asked)
{
	check_refused(ASKS("'getppid', 'execve'", NO_NEW), -EINVAL, "linux.seccomp.syscalls[0].names[1] = execve");
	check_refused(ASKS("'exit_group'", NO_NEW), -EINVAL, "linux.seccomp.syscalls[0].names[0] = exit_group");
	check_refused(ASKS("'prctl'", "'process': {}"), -EINVAL, "linux.seccomp.syscalls[0].names[0] = prctl");
	check_refused(ASKS("'write'", "'process': {}"), -EINVAL, "linux.seccomp.syscalls[0].names[0] = write");
	check_refused(ASKS("'kill'", "'process': {'init': true}"), -EINVAL,
		"linux.seccomp.syscalls[0].names[0] = kill");
	check_refused(ASKS("'lseek'", "'hooks': {'startContainer': [{'path': '/x'}]}, 'process': {}"), -EINVAL,
		"linux.seccomp.syscalls[0].names[0] = lseek");
	NEEDS_NOTIFICATIONS();
	free(plan_of(ASKS("'prctl', 'write', 'read', 'close', 'kill'", NO_NEW)));
	free(plan_of(ASKS("'kill', 'lseek', 'pread64', 'openat_'", "'process': {}")));
}

/* Flags: 0x28 is a listener that waits killable, 0x8 a listener; without one neither. Released containers wait
 * for their start under their filter. */
TEST(listeners)
{
	NEEDS_NOTIFICATIONS();
	struct cx_build b = { 0 };
	struct cx_compile c = { .spec = parse(ASKS("'getppid'", NO_NEW)), .build = &b, .released = 1 };
	struct cx_plan *plan = NULL;

	check_operations(ASKS("'getppid'", NO_NEW), "no_new_privileges bounding identity capabilities death_signal seccomp");
	check_line(ASKS("'getppid'", NO_NEW), 5,
		"5 seccomp: install seccomp filter 80 bytes (flags 0x28, listener 0x0)  # linux.seccomp");
	check_line(ASKS("'getppid'", "'process': {}"), 0,
		"0 seccomp: install seccomp filter 80 bytes (flags 0x28, listener 0x2)  # linux.seccomp");
	check_line("{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'flags': "
		"['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV', 'SECCOMP_FILTER_FLAG_LOG'], 'syscalls': "
		"[{'names': ['getppid'], 'action': 'SCMP_ACT_ERRNO'}]}}, 'process': {}}", 0,
		"0 seccomp: install seccomp filter 80 bytes (flags 0x2, listener 0x0)  # linux.seccomp");
	CHECK_INT(cx_security_compile_start(&c, NULL, NULL), 0);
	CHECK_INT(cx_security_compile_last(&c, NULL, NULL), 0);
	CHECK_INT(cx_build_end(&b, &plan, NULL), 0);
	CHECK_INT(plan->operations, 1);
	CHECK_INT(((struct cx_op *)(plan + 1))->arg[2], CX_LISTENER_CLOSE);
	free(plan);
	c.spec = (json_decref((json_t *)c.spec), parse(ASKS("'accept4'", NO_NEW)));
	CHECK_INT(cx_security_compile_start(&c, NULL, NULL), -EINVAL);
	c.exec = 1;             /* not held: its keeper is there */
	CHECK_INT(cx_security_compile_start(&c, NULL, NULL), 0);
	CHECK_INT(cx_security_compile_last(&c, NULL, NULL), 0);
	cx_build_free(&b);
	json_decref((json_t *)c.spec);
}

TEST(names)
{
	json_t *list = parse("['CAP_CHOWN', 'CAP_SYS_ADMIN', 'CAP_BPF', 'CAP_UNHEARD_OF']");

	CHECK_INT(cx_capability_number("CAP_CHECKPOINT_RESTORE"), 40);
	CHECK_INT(cx_capability_number("CAP_SETFCAP"), CAP_SETFCAP);
	CHECK_INT(cx_capability_number("CAP_AUDIT_READ"), CAP_AUDIT_READ);
	CHECK_INT(cx_capability_number("chown"), -1);
	CHECK_INT(cx_capability_number(NULL), -1);
	CHECK_INT(cx_capability_mask(list), 1 | 1 << 21 | 1LL << 39);
	CHECK_INT(cx_capability_mask(NULL), 0);
	CHECK_INT(cx_rlimit_number("RLIMIT_NOFILE"), RLIMIT_NOFILE);
	CHECK_INT(cx_rlimit_number("RLIMIT_RTTIME"), RLIMIT_RTTIME);
	CHECK_INT(cx_rlimit_number("RLIMIT_NONE"), -1);
	json_decref(list);
}

static json_t *numbered_profile(int number)
{
	json_t *profile = parse("{'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': "
		"[{'names': ['chroot'], 'action': 'SCMP_ACT_ERRNO'}]}");

	json_object_set_new(json_array_get(json_object_get(profile, "syscalls"), 0),
		"errnoRet",
		json_integer(number));
	return profile;
}

/* Compiles profile `number` (errnoRet, so that each differs) and compares with the
 * uncached program. */
static void check_cached(struct cx_seccomp_cache *cache, int number)
{
	json_t *profile = numbered_profile(number);
	cx_autostr cached = { 0 };
	cx_autostr fresh = { 0 };
	uint32_t flags = 7;

	CHECK_INT(cx_seccomp_program(cache, profile, &cached, &flags, NULL), 0);
	CHECK_INT(flags, 0);
	CHECK_INT(cx_seccomp_program(NULL, profile, &fresh, &flags, NULL), 0);
	CHECK_INT(cached.size, fresh.size);
	CHECK(cached.size && cached.size == fresh.size && !memcmp(cached.data, fresh.data,
		fresh.size));
	json_decref(profile);
}

TEST(cache)
{
	struct cx_seccomp_cache *cache = cx_seccomp_cache_new();
	unsigned hits, kept;

	for (int round = 0; round < 3; round++)
		for (int number = 1; number < 4; number++)
			check_cached(cache, number);
	cx_seccomp_cache_count(cache, &hits, &kept);
	CHECK_INT(hits, 6);
	CHECK_INT(kept, 3);
	for (int number = 1; number < 100; number++)
		check_cached(cache, number);
	cx_seccomp_cache_count(cache, &hits, &kept);
	CHECK_INT(hits, 9);
	CHECK_INT(kept, 32);            /* doesn't grow for ever */
	cx_seccomp_cache_free(cache);
	cx_seccomp_cache_free(NULL);
}

static void *one_thread(void *cache)
{
	for (int number = 1; number < 4; number++)
		check_cached(cache, number);
	return NULL;
}

/* Eight threads that want the same: each profile is compiled once. */
TEST(cache_threads)
{
	struct cx_seccomp_cache *cache = cx_seccomp_cache_new();
	unsigned hits, kept;
	pthread_t thread[8];

	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, one_thread, cache);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	cx_seccomp_cache_count(cache, &hits, &kept);
	CHECK_INT(hits, 3 * 8 - 3);
	CHECK_INT(kept, 3);
	cx_seccomp_cache_free(cache);
}

/* A profile that is refused leaves nothing in the cache. */
/* What one process has compiled, the next one reads; what was damaged meanwhile is compiled again. */
TEST(cache_on_disk)
{
	char dir[] = "/tmp/conex-seccomp-XXXXXX", path[128], file[64];
	int fd = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct dirent *e;
	int files = 0;
	DIR *d;

	for (int round = 0; round < 3; round++) {
		struct cx_seccomp_cache *cache = cx_seccomp_cache_new();

		cx_seccomp_cache_keep(cache, fd);
		check_cached(cache, 1);
		cx_seccomp_cache_free(cache);
		snprintf(path, sizeof path, "%s/seccomp", dir);
		files = 0;
		for (d = opendir(path); d && (e = readdir(d));)
			if (e->d_name[0] != '.') {
				files++;
				snprintf(file, sizeof file, "%.63s", e->d_name);
			}
		if (d)
			closedir(d);
		CHECK_INT(files, 1);
		snprintf(path, sizeof path, "%s/seccomp/%s", dir, file);
		CHECK_INT(truncate(path, round ? 40 : 4000), 0);        /* the next one must not take it */
	}
	unlink(path);
	snprintf(path, sizeof path, "%s/seccomp", dir);
	rmdir(path);
	rmdir(dir);
	close(fd);
}

TEST(cache_refused)
{
	struct cx_seccomp_cache *cache = cx_seccomp_cache_new();
	json_t *profile = parse("{'defaultAction': 'SCMP_ACT_NONE'}");
	conex_error *err = NULL;
	cx_autostr program = { 0 };
	unsigned hits, kept;
	uint32_t flags;

	CHECK_INT(cx_seccomp_program(cache, profile, &program, &flags, &err), -EINVAL);
	CHECK_STR(conex_error_object(err), "linux.seccomp.defaultAction = SCMP_ACT_NONE");
	cx_seccomp_cache_count(cache, &hits, &kept);
	CHECK_INT(kept, 0);
	conex_error_free(err);
	json_decref(profile);
	cx_seccomp_cache_free(cache);
}

int main(void)
{
	RUN(order);
	RUN(lines);
	RUN(sysctl_names);
	RUN(variants);
	RUN(refused);
	RUN(what_cant_be_asked);
	RUN(listeners);
	RUN(names);
	RUN(cache);
	RUN(cache_threads);
	RUN(cache_on_disk);
	RUN(cache_refused);
	return test_end();
}
