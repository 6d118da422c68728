/* Id maps: /etc/subuid's text, right and wrong, and the texts of /proc/PID/uid_map. */
#include "test.h"

#include <string.h>
#include "base/ids.h"
#include "namespace/maps.h"

/* "inside+count=outside" of each range behind the user himself */
static const char *ranges(const char *text, const char *name, uint32_t id)
{
	json_t *map = json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)id, "size", 1), *range;
	static char to[256];
	size_t i;
	int n;

	n = cx_maps_add_subordinate(map, text, name, id);
	CHECK_INT(n, json_array_size(map) - 1);
	to[0] = '\0';
	json_array_foreach(map, i, range)
		if (i)
			sprintf(to + strlen(to), "%s%lld+%lld=%lld", *to ? " " : "",
				(long long)json_integer_value(json_object_get(range, "containerID")),
				(long long)json_integer_value(json_object_get(range, "size")),
				(long long)json_integer_value(json_object_get(range, "hostID")));
	json_decref(map);
	return to;
}

TEST(subordinate)
{
	CHECK_STR(ranges("", "me", 1000), "");
	CHECK_STR(ranges("me:100000:65536", "me", 1000), "1+65536=100000");
	CHECK_STR(ranges("you:1:2\nme:100000:10\n1000:200000:5\nme2:3:4\nm:5:6\n", "me", 1000),
		"1+10=100000 11+5=200000");
	CHECK_STR(ranges("1000:7:1\n", NULL, 1000), "1+1=7");
	CHECK_STR(ranges("me:7:1\n", NULL, 1000), "");
}

TEST(wrong_lines)
{
	static const char *const lines[] = { "me", "me:", "me:1", "me:1:", "me::5", "me:x:5", "me:1:x", "me:-1:5", "me:1:-5",
		"me:1:0", "me: 1:5", "me:1:5:6", "me:1:5 ", "me:4294967295:1", "me:1:4294967296", "me:99999999999999999999:5",
		"me:1:99999999999999999999", "me:4294967290:10", "me:900:200", "me:1000:1", ":1:5", "me:1\n:5" };

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		char text[128];

		snprintf(text, sizeof text, "%s\nme:5000:1\n", lines[i]);
		if (strcmp(ranges(text, "me", 1000), "1+1=5000"))
			CHECK_STR(ranges(text, "me", 1000), lines[i]);
	}
}

/* No more ranges than the kernel takes. */
TEST(many)
{
	static char text[400 * 16 + 1];
	json_t *map = json_array();
	size_t n = 0;

	for (int i = 0; i < 400; i++)
		n += (size_t)sprintf(text + n, "me:%d:1\n", 2000 + i);
	CHECK_INT(cx_maps_add_subordinate(map, text, "me", 1000), 340);
	json_decref(map);
}

TEST(own)
{
	json_t *map = json_pack("[{s:i, s:i, s:i}]", "containerID", 0, "hostID", 1000, "size", 1);

	CHECK(cx_maps_is_own(map, 1000));
	CHECK(!cx_maps_is_own(map, 1001));
	json_object_set_new(json_array_get(map, 0), "size", json_integer(2));
	CHECK(!cx_maps_is_own(map, 1000));
	json_decref(map);
	CHECK(!cx_maps_is_own(NULL, 1000));
}

TEST(proc)
{
	struct cx_id_range r;
	const char *at = "         0       1000          1\n         1     100000      65536\n";

	at = cx_ids_next(at, &r);
	CHECK(at && r.inside == 0 && r.outside == 1000 && r.count == 1);
	at = cx_ids_next(at, &r);
	CHECK(at && r.inside == 1 && r.outside == 100000 && r.count == 65536);
	CHECK(cx_ids_next(at, &r) == NULL);
	CHECK(cx_ids_next("x", &r) == NULL);
	CHECK(cx_ids_mapped("uid_map", geteuid()));
	CHECK(!cx_ids_mapped("uid_map", 4294967295));
	CHECK(!cx_ids_mapped("no_map", 0));
}

int main(void)
{
	RUN(subordinate);
	RUN(wrong_lines);
	RUN(many);
	RUN(own);
	RUN(proc);
	return test_end();
}
