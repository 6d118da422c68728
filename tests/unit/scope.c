/* systemd's driver without systemd: names of slices and scopes, paths, and what files are as properties. */
#include "../test.h"
#include "cgroup/scope.h"

static void path_is(const char *root, const char *given, const char *want)
{
	cx_autofree char *made = NULL;
	conex_error *err = NULL;
	int r = cx_scope_path(root, "system.slice", given, "web", &made, &err);

	CHECK_INT(r, want ? 0 : -EINVAL);
	if (r == 0)
		CHECK_STR(made, want);
	else if (!CHECK(strstr(conex_error_text(err), "linux.cgroupsPath") != NULL))
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
}

TEST(paths)
{
	path_is("", NULL, "system.slice/conex-web.scope");
	path_is("", "", "system.slice/conex-web.scope");
	path_is("", "machine.slice:libpod:abc", "machine.slice/libpod-abc.scope");
	path_is("", ":cri-containerd:abc", "system.slice/cri-containerd-abc.scope");
	path_is("", "a.slice::b", "a.slice/b.scope");
	path_is("", "a-b-c.slice:x:y", "a.slice/a-b.slice/a-b-c.slice/x-y.scope");
	path_is("", "-.slice:x:y", "x-y.scope");
	path_is("user.slice/user-1.slice/user@1.service", "user.slice:x:y",
		"user.slice/user-1.slice/user@1.service/user.slice/x-y.scope");
}

TEST(paths_refused)
{
	static const char *const bad[] = { "/a/b", "a/b", "web", "a.slice:b", "a.slice:b:c:d", "a:b:c", "a.slice:b:", ".slice:b:c",
		"-a.slice:b:c", "a-.slice:b:c", "a--b.slice:b:c", "a/b.slice:c:d", "a.slice:b/..:c", "a.slice:b:c/d", "a.slice:b:c d",
		"a.slice:b:c\n", "a@b.slice:c:d", "../a.slice:b:c" };
	char longest[400];

	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++)
		path_is("", bad[i], NULL);
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	memcpy(longest, "a.slice:b:", 10);
	path_is("", longest, NULL);
	memcpy(longest + 300, ".slice:b:c", 11);
	longest[1] = longest[7] = longest[9] = 'x';
	path_is("", longest, NULL);
}

TEST(slice_form)
{
	CHECK(cx_scope_is_slice_form("a:b:c"));
	CHECK(cx_scope_is_slice_form("::c"));
	CHECK(!cx_scope_is_slice_form("/a:b:c"));
	CHECK(!cx_scope_is_slice_form("a:b"));
	CHECK(!cx_scope_is_slice_form("a:b:c:d"));
	CHECK(!cx_scope_is_slice_form(NULL));
}

static void is(const char *file, const char *text, const char *name, uint64_t value)
{
	struct cx_scope_property p[CX_SCOPE_PROPERTIES];
	int n = cx_scope_properties(file, text, p);

	CHECK_INT(n > 0, name != NULL);
	if (n > 0 && name) {
		CHECK_STR(p[0].name, name);
		CHECK_INT(p[0].value, value);
		CHECK_INT(p[0].mask_size, 0);
	}
}

TEST(numbers)
{
	is("memory.max", "67108864", "MemoryMax", 67108864);
	is("memory.max", "max\n", "MemoryMax", UINT64_MAX);
	is("memory.low", "0", "MemoryLow", 0);
	is("memory.min", "4096\n", "MemoryMin", 4096);
	is("memory.high", "8192", "MemoryHigh", 8192);
	is("memory.swap.max", "0", "MemorySwapMax", 0);
	is("pids.max", "max", "TasksMax", UINT64_MAX);
	is("pids.max", "17", "TasksMax", 17);
	is("cpu.weight", "200", "CPUWeight", 200);
	is("cpu.idle", "1", "CPUWeight", 0);
	is("cpu.idle", "0", NULL, 0);
	is("io.weight", "default 100\n", "IOWeight", 100);
	is("io.weight", "250", "IOWeight", 250);
	is("io.weight", "8:0 250", NULL, 0);
	is("io.max", "8:0 rbps=1", NULL, 0);
	is("hugetlb.2MB.max", "0", NULL, 0);
	is("memory.max", "", NULL, 0);
	is("memory.max", "12x", NULL, 0);
}

/* Microseconds a second, up to whole percent. */
TEST(quotas)
{
	struct cx_scope_property p[CX_SCOPE_PROPERTIES];

	is("cpu.max", "50000", "CPUQuotaPerSecUSec", 500000);
	is("cpu.max", "max 100000", "CPUQuotaPerSecUSec", UINT64_MAX);
	is("cpu.max", "12345 100000\n", "CPUQuotaPerSecUSec", 130000);
	is("cpu.max", "1 1000000", "CPUQuotaPerSecUSec", 10000);
	is("cpu.max", "50000 0", "CPUQuotaPeriodUSec", 0);      /* the kernel refuses it; a quota it isn't */
	CHECK_INT(cx_scope_properties("cpu.max", "400000 200000", p), 2);
	CHECK_INT(p[0].value, 2000000);
	CHECK_STR(p[1].name, "CPUQuotaPeriodUSec");
	CHECK_INT(p[1].value, 200000);
	CHECK_INT(cx_scope_properties("cpu.max", "400000", p), 1);
}

TEST(sets)
{
	struct cx_scope_property p[CX_SCOPE_PROPERTIES];

	CHECK_INT(cx_scope_properties("cpuset.cpus", "0-3,8\n", p), 1);
	CHECK_STR(p[0].name, "AllowedCPUs");
	CHECK_INT(p[0].mask_size, 2);
	CHECK_INT(p[0].mask[0], 0x0f);
	CHECK_INT(p[0].mask[1], 0x01);
	CHECK_INT(cx_scope_properties("cpuset.mems", "0", p), 1);
	CHECK_STR(p[0].name, "AllowedMemoryNodes");
	CHECK_INT(p[0].mask[0], 1);
	CHECK_INT(cx_scope_properties("cpuset.cpus", "", p), 0);
	CHECK_INT(cx_scope_properties("cpuset.cpus", "3-1", p), 0);
	CHECK_INT(cx_scope_properties("cpuset.cpus", "0-999999", p), 0);
}

int main(void)
{
	RUN(paths);
	RUN(paths_refused);
	RUN(slice_form);
	RUN(numbers);
	RUN(quotas);
	RUN(sets);
	return test_end();
}
