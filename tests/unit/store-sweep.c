/* The image store: what is thrown away, and swept. */
#include "store.h"

/* What is thrown away goes when it is swept, but for what somebody is at, and what isn't trash. */
TEST(sweeping)
{
	struct cx_store *s = store_new();
	conex_error *err = NULL;
	int held;

	CHECK_INT(mkdirat(s->root, "snapshots", 0700), 0);
	CHECK_INT(mkdirat(s->root, "snapshots/a", 0700), 0);
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof name, "snapshots/a/%d", i);
		CHECK_INT(mkdirat(s->root, name, 0), 0);
	}
	CHECK_INT(cx_store_has_trash(s), 0);
	CHECK_INT(cx_store_remove_some(s->root, "snapshots/a", 5), -EAGAIN);    /* five are gone */
	CHECK_INT(cx_store_remove_some(s->root, "snapshots/a", 14), -EAGAIN);
	CHECK_INT(faccessat(s->root, "snapshots/a", F_OK, 0), 0);
	CHECK_INT(cx_store_throw(s->root, "snapshots/a"), 0);
	CHECK_INT(cx_store_throw(s->root, "snapshots/a"), -ENOENT);
	CHECK_INT(cx_store_has_trash(s), 1);
	CHECK_INT(mkdirat(s->root, "tmp/trash-held", 0700), 0);
	CHECK_INT(mkdirat(s->root, "tmp/layer-x", 0700), 0);
	held = cx_store_folder(s, "tmp/trash-held");
	CHECK_INT(cx_store_flock(held, LOCK_EX), 0);
	CHECK_INT(cx_store_sweep(s, &err), 0);
	CHECK_INT(faccessat(s->root, "tmp/trash-held", F_OK, 0), 0);
	CHECK_INT(faccessat(s->root, "tmp/layer-x", F_OK, 0), 0);
	close(held);
	CHECK_INT(cx_store_sweep(s, &err), 0);
	CHECK_INT(cx_store_has_trash(s), 0);
	CHECK_INT(faccessat(s->root, "tmp/layer-x", F_OK, 0), 0);
	CHECK_INT(cx_store_remove_some(s->root, "tmp/layer-x", 0), 0);          /* an empty one takes no entry */
	store_end(s);
}

int main(void)
{
	RUN(sweeping);
	return test_end();
}
