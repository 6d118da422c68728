/* Kubernetes' classes: the numbers that a kubelet on a machine of 8 GiB gives its containers. */
#include "cgroup/internal.h"
#include "../test.h"

#define G CONEX_GIB
#define M CONEX_MIB
enum { GUARANTEED = CONEX_CLASS_GUARANTEED, BURSTABLE = CONEX_CLASS_BURSTABLE, BEST_EFFORT = CONEX_CLASS_BEST_EFFORT };

static const struct {
	struct conex_demand d;
	int class, score;
	uint32_t shares;
	double cpus;
	uint64_t memory, min, low, high;
} cases[] = {
	{ { .capacity = 8 * G }, BEST_EFFORT, 1000, 2, 0, 0, 0, 0, 0 },
	{ { .cpu_request = 0.5, .cpu_limit = 0.5, .memory_request = G, .memory_limit = G }, GUARANTEED, -997, 512, 0.5, G, G, 0, 0 },
	{ { .cpu_limit = 2, .memory_limit = G }, GUARANTEED, -997, 2048, 2, G, G, 0, 0 },
	{ { .memory_limit = G }, BURSTABLE, 875, 2, 0, G, 0, G, 0 },
	{ { .cpu_request = 0.25 }, BURSTABLE, 999, 256, 0, 0, 0, 0, 0 },
	{ { .cpu_request = 0.25, .cpu_limit = 1, .memory_request = 64 * M, .memory_limit = 128 * M }, BURSTABLE, 993, 256, 1, 128 * M,
	  0, 64 * M, 127506841 / 4096 * 4096 },
	{ { .memory_request = 4 * G }, BURSTABLE, 500, 2, 0, 0, 0, 4 * G, (4 * G + 3865470566) / 4096 * 4096 },
	{ { .memory_request = 8 * G }, BURSTABLE, 3, 2, 0, 0, 0, 8 * G, 0 },
	{ { .memory_request = 16 * G }, BURSTABLE, 3, 2, 0, 0, 0, 16 * G, 0 },
	{ { .memory_request = 8 * G - 1 }, BURSTABLE, 3, 2, 0, 0, 0, 8 * G - 1, 0 },
	{ { .memory_request = 1 }, BURSTABLE, 999, 2, 0, 0, 0, 1, 7730941132 / 4096 * 4096 },
	{ { .cpu_request = 0.001 }, BURSTABLE, 999, 2, 0, 0, 0, 0, 0 },
	{ { .cpu_request = 1000 }, BURSTABLE, 999, 262144, 0, 0, 0, 0, 0 },
	{ { .memory_request = G, .memory_limit = 2 * G, .throttling = 0.5 }, BURSTABLE, 875, 2, 0, 2 * G, 0, G, G + G / 2 },
};

TEST(table)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(cases); i++)
		for (int memory = 0; memory < 2; memory++) {
			struct conex_demand d = cases[i].d;
			struct conex_limits l = { .size = sizeof l };
			int score = 0, before = test_state.faults;

			d.size = sizeof d;
			d.capacity = 8 * G;
			d.flags = memory ? CONEX_DEMAND_MEMORY : 0;
			CHECK_INT(conex_limits_classify(&d, &l, &score, NULL), cases[i].class);
			CHECK_INT(score, cases[i].score);
			CHECK_INT(l.cpu_shares, cases[i].shares);
			CHECK(l.cpus == cases[i].cpus);
			CHECK_INT(l.memory, cases[i].memory);
			CHECK_INT(l.memory_min, memory ? cases[i].min : 0);
			CHECK_INT(l.memory_low, memory ? cases[i].low : 0);
			CHECK_INT(l.memory_high, memory && sysconf(_SC_PAGESIZE) == 4096 ? cases[i].high : l.memory_high);
			if (test_state.faults != before)
				printf("# case %zu\n", i);
		}
}

/* What comes out goes in: as limits, and so as the kernel's numbers. */
TEST(as_limits)
{
	struct conex_demand d = { .size = sizeof d, .flags = CONEX_DEMAND_MEMORY, .cpu_request = 0.25, .cpu_limit = 1,
		.memory_request = 64 * M, .memory_limit = 128 * M, .capacity = 8 * G };
	struct conex_limits l = { .size = sizeof l };
	cx_autofree char *text = NULL;
	json_t *json = NULL;

	CHECK_INT(conex_limits_classify(&d, &l, NULL, NULL), BURSTABLE);
	l.memory_high = 4096;
	CHECK_INT(cx_cgroup_limits_json(&l, &json, NULL), 0);
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	CHECK_STR(text, "{\"cpu\":{\"period\":100000,\"quota\":100000,\"shares\":256},"
		"\"memory\":{\"limit\":134217728,\"reservation\":67108864,\"swap\":134217728},"
		"\"unified\":{\"memory.high\":\"4096\"}}");
	json_decref(json);
}

TEST(this_machine)
{
	struct conex_demand d = { .size = sizeof d, .memory_request = 1 };
	struct conex_limits l = { .size = sizeof l };
	int score = 0;

	CHECK_INT(conex_limits_classify(&d, &l, &score, NULL), BURSTABLE);
	CHECK_INT(score, 999);
}

TEST(refused)
{
	static const struct { struct conex_demand d; int code; const char *where; } bad[] = {
		{ { .cpu_request = -1 }, -EINVAL, "demand.cpu_request = -1" },
		{ { .cpu_limit = 1.0 / 0.0 }, -EINVAL, "demand.cpu_limit = inf" },
		{ { .cpu_request = 2, .cpu_limit = 1 }, -EINVAL, "demand.cpu_request = 2" },
		{ { .memory_request = 2, .memory_limit = 1 }, -EINVAL, "demand.memory_request = 2" },
		{ { .memory_limit = UINT64_MAX }, -ERANGE, "demand.memory_limit = 1.84467e+19" },
		{ { .throttling = 1.5 }, -EINVAL, "demand.throttling = 1.5" },
		{ { .flags = 2 }, -EINVAL, "demand.flags" },
	};
	struct conex_limits l = { .size = sizeof l };

	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++) {
		struct conex_demand d = bad[i].d;
		conex_error *err = NULL;
		int score = 77;

		d.size = sizeof d;
		CHECK_INT(conex_limits_classify(&d, &l, &score, &err), bad[i].code);
		CHECK_STR(conex_error_object(err), bad[i].where);
		CHECK(*conex_error_hint(err));
		CHECK_INT(score, 77);
		conex_error_free(err);
	}
}

int main(void)
{
	RUN(table);
	RUN(as_limits);
	RUN(this_machine);
	RUN(refused);
	return test_end();
}
