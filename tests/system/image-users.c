/* Containers of images in user namespaces, as root: the layers stay root's, what is shown inside are the namespace's
 * ids, what is written has them outside, too. */
#include "container/container.h"
#include "image-box.h"

#include <sys/utsname.h>
#include <sys/wait.h>

#define FIRST 100000                    /* cx_maps_default's */

static const struct conex_run_options apart = { .flags = CONEX_RUN_USERNS };

static int owner(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? -errno : (int)st.st_uid;
}

/* The one container's upper directory. */
static const char *upper(void)
{
	static char text[256];
	FILE *f = popen(say("echo %s/snapshots/*-*/upper", store), "re");

	text[0] = '\0';
	if (f && fscanf(f, "%255s", text) != 1)
		text[0] = '\0';
	if (f)
		pclose(f);
	return text;
}

/* Nobody has chowned a layer: no file in them has an id of the user namespace. */
static int chowned(void)
{
	return command("find %s/layers -uid +%d | grep -q .", store, FIRST - 1) == 0;
}

static int is_mounted(void)
{
	return command("grep -q %s /proc/self/mountinfo", store) == 0;
}

TEST(from_inside_and_outside)
{
	conex_container *c;
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_USERNS, .user = "root", .oci = OCI({"process":
		{"capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]}}}) };
	pid_t pid;

	CHECK_INT(image_run("app", CONEX_STRINGS("id -u; id -g; stat -c '%u %g %a' /srv /etc/passwd /bin/busybox /"), &apart), 0);
	CHECK_STR(box.out, "77\n78\n0 0 775\n0 0 755\n0 0 755\n0 0 755");
	box_clear();
	if (!GOOD(conex_run(box.cx, "app", CONEX_STRINGS("sleep 1000"), &o, &c, &box.err)))
		return;
	pid = conex_container_pid(c);
	CHECK_INT(owner(say("/proc/%d/root/srv/kept", (int)pid)), FIRST);
	CHECK_INT(owner(say("/proc/%d/root/", (int)pid)), FIRST);
	CHECK_INT(box_exec(c, NULL, "echo mine >/srv/mine; chown 77:78 /srv/mine; echo more >>/srv/kept; rm /srv/new; mkdir /srv/d;"
		" stat -c '%u %g' /srv/mine /srv/kept /srv/d; ls /srv"), 0);
	CHECK_STR(box.out, "77 78\n0 0\n0 0\nd\nkept\nmine");
	CHECK_INT(owner(say("%s/srv/mine", upper())), FIRST + 77);
	CHECK_INT(owner(say("%s/srv/kept", upper())), FIRST);           /* copied up */
	CHECK_INT(owner(say("%s/srv/d", upper())), FIRST);
	CHECK_INT(owner(upper()), FIRST);
	CHECK_INT(box_exec(c, WITH(.user = "server"), "id -u; cat /srv/kept; echo x >/srv/kept"), 1);
	CHECK(!strncmp(box.out, "77\nkeptmore", 11) && strstr(box.out, "ermission"));
	CHECK(!chowned());
	CHECK(!is_mounted());
	box_end(c);
	CHECK_INT(image_snapshots() + image_leases() + box_entries(say("%s/tmp", store)), 0);
	CHECK(!is_mounted());
}

TEST(of_its_own_maps)
{
	static const char oci[] = OCI({"linux": {"namespaces": [{"type": "user"}],
		"uidMappings": [{"containerID": 0, "hostID": 300000, "size": 10}, {"containerID": 77, "hostID": 400000, "size": 1}],
		"gidMappings": [{"containerID": 0, "hostID": 300000, "size": 100}]}});
	struct conex_run_options o = { .size = sizeof o, .oci = oci };
	conex_container *c;

	CHECK_INT(image_run("app", CONEX_STRINGS("id -u; stat -c '%u %g' /srv/kept"), &o), 0);
	CHECK_STR(box.out, "77\n0 0");
	box_clear();
	if (!GOOD(conex_run(box.cx, "app", CONEX_STRINGS("sleep 1000"), &o, &c, &box.err)))
		return;
	CHECK_INT(owner(say("/proc/%d", (int)conex_container_pid(c))), 400000);
	CHECK_INT(owner(upper()), 300000);
	box_end(c);
}

TEST(read_only)
{
	struct conex_run_options o = { .flags = CONEX_RUN_USERNS | CONEX_RUN_READ_ONLY, .user = "root" };

	/* several layers, and one alone: no overlay at all */
	CHECK_INT(image_run("app", CONEX_STRINGS("stat -c '%u %a' /srv; echo x >/srv/x; grep -c ' / / .*upperdir' /proc/self/mountinfo"), &o), 1);
	CHECK(!strncmp(box.out, "0 775", 5) && strstr(box.out, "Read-only"));
	CHECK_INT(image_run("single", CONEX_STRINGS("/bin/sh", "-c", "stat -c %u /srv/kept; echo x >/srv/x;"
		" grep ' / ' /proc/self/mountinfo | grep -c overlay"), &o), 1);
	CHECK(!strncmp(box.out, "0\n", 2) && strstr(box.out, "Read-only") && strstr(box.out, "\n0"));
	o.flags = CONEX_RUN_READ_ONLY;
	CHECK_INT(image_run("single", CONEX_STRINGS("/bin/sh", "-c", "stat -c %u /srv/kept; echo x >/srv/x;"
		" grep ' / ' /proc/self/mountinfo | grep -c overlay"), &o), 1);
	CHECK(!strncmp(box.out, "0\n", 2) && strstr(box.out, "Read-only") && strstr(box.out, "\n0"));
	CHECK_INT(image_snapshots(), 0);
	CHECK_INT(image_run("single", CONEX_STRINGS("/bin/sh", "-c", "echo x >/srv/x; stat -c %u /srv/x /srv/kept"), WITH(.flags = CONEX_RUN_USERNS)), 0);
	CHECK_STR(box.out, "0\n0");
}

TEST(plans)
{
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_USERNS, .user = "root" };
	conex_container *list[3];
	conex_plan *plan = NULL;
	char *text = NULL;

	box_clear();
	GOOD(conex_plan_new(box.cx, "app", CONEX_STRINGS("sleep 1000"), &o, &plan, &box.err));
	GOOD(conex_plan_dump(plan, &text, &box.err));
	CHECK(text && strstr(text, "map_layers") != NULL);
	free(text);
	for (int i = 0; i < 3; i++)
		GOOD(conex_launch(box.cx, plan, NULL, NULL, &list[i], &box.err));
	CHECK_INT(image_snapshots(), 3);
	CHECK_INT(box_exec(list[0], NULL, "rm -r /srv"), 0);
	CHECK_INT(box_exec(list[1], NULL, "cat /srv/kept; touch /srv/x"), 0);
	CHECK_INT(box_exec(list[2], NULL, "ls /srv"), 0);
	CHECK_STR(box.out, "kept\nnew");
	for (int i = 0; i < 3; i++)
		box_end(list[i]);
	CHECK_INT(image_snapshots() + image_leases(), 0);
	conex_plan_free(plan);
}

/* Binds whose propagation comes from the host, and shared mounts, are as without an image. */
TEST(with_mounts)
{
	struct conex_run_options o = { .flags = CONEX_RUN_USERNS, .user = "root",
		.mounts = CONEX_MOUNTS({ box.dir, "/mnt", NULL, "ro" }, { "none", "/tmp", "tmpfs", "size=1m" }) };

	CHECK_INT(image_run("app", CONEX_STRINGS("ls -d /mnt/store; touch /tmp/x; stat -c %u /tmp/x"), &o), 0);
	CHECK_STR(box.out, "/mnt/store\n0");
}

TEST(refused)
{
	conex_namespace *join[2] = { NULL, NULL };

	if (GOOD(conex_namespace_open(box.cx, "/proc/self/ns/user", &join[0], &box.err))) {
		CHECK_INT(image_run("app", NULL, WITH(.join = join)), -EOPNOTSUPP);
		SAID("CONEX_RUN_USERNS");
	}
	conex_namespace_free(join[0]);
	CHECK_INT(image_run("app", NULL, WITH(.oci = OCI({"root": {"overlay": {"idmap": "yes"}}}))), -EINVAL);
	SAID("root.overlay.idmap");
	CHECK_INT(image_run("app", NULL, WITH(.flags = CONEX_RUN_USERNS, .user = "70000:70000")), -EINVAL);
	CHECK_INT(image_snapshots() + image_leases() + box_entries(say("%s/tmp", store)), 0);
}

/* Layers that are gone are unpacked again, as for anybody. */
TEST(unpacked_again)
{
	CHECK_INT(command("mv %s/layers %s/elsewhere; mkdir -m 700 %s/layers", store, store, store), 0);
	CHECK_INT(image_run("app", CONEX_STRINGS("stat -c %u /srv/kept"), &apart), 0);
	CHECK_STR(box.out, "0");
	CHECK(!chowned());
	CHECK_INT(command("rm -r %s/layers; mv %s/elsewhere %s/layers", store, store, store), 0);
	CHECK_INT(image_snapshots() + image_leases(), 0);
}

/* ---- what was written, when it is much ---- */

static int trash(void)
{
	return box_entries(say("%s/tmp", store));
}

/* A container that has written so much that nobody is made to wait for its removal. */
static void write_much(conex *cx)
{
	struct conex_run_options o = { .size = sizeof o, .user = "root" };
	conex_container *c = NULL;
	int status = -1;

	box_clear();
	GOOD(conex_run(cx, "app", CONEX_STRINGS("mkdir /srv/d; cd /srv/d; for i in $(seq 40); do mkdir -p $i/a/b/c/d/e/f/g/h/i/j/k/l/m/n;"
		" for k in $(seq 20); do echo x >$i/$k; done; done; chmod 0 5"), &o, &c, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	CHECK_INT(status, 0);
	CHECK_INT(conex_container_delete(c, -1, &box.err), 1);
	conex_container_free(c);
	CHECK_INT(image_snapshots() + image_leases(), 0);
}

TEST(swept)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };
	char *worker = strdup(getenv("CONEX_WORKER"));
	conex_container *c = NULL;
	conex *cx = NULL;

	box_clear();
	GOOD(conex_open(&where, &cx, &box.err));
	write_much(cx);
	write_much(cx);
	conex_close(cx);                /* which waits for it */
	CHECK_INT(trash(), 0);

	/* nobody there to do it: the next one does */
	setenv("CONEX_WORKER", "/nowhere", 1);
	GOOD(conex_open(&where, &cx, &box.err));
	write_much(cx);
	conex_close(cx);
	CHECK_INT(trash(), 1);
	setenv("CONEX_WORKER", worker, 1);
	GOOD(conex_open(&where, &cx, &box.err));
	box_clear();
	CHECK_INT(image_run("app", CONEX_STRINGS("true"), NULL), 0);
	CHECK_INT(trash(), 1);          /* another context: it has had its look before */
	GOOD(conex_run(cx, "app", CONEX_STRINGS("true"), NULL, &c, &box.err));
	conex_container_free(c);
	conex_close(cx);
	CHECK_INT(trash(), 0);
	free(worker);
}

/* ---- a limit of it ---- */

/* Loop devices that show a file of our store; the kernel lets go of one a moment after its file system. */
static int loops(int want)
{
	int n = -1;

	for (int i = 0; i < 500 && n != want; i++) {
		FILE *f = popen(say("cat /sys/block/loop*/loop/backing_file 2>/dev/null | grep -c %s", store), "re");

		if (!f || fscanf(f, "%d", &n) != 1)
			n = -1;
		if (f)
			pclose(f);
		usleep(n == want ? 0 : 10000);
	}
	return n;
}

TEST(disk)
{
	static const char fill[] = "dd if=/dev/zero of=/srv/5 bs=1M count=5 2>/dev/null && dd if=/dev/zero of=/srv/big bs=1M count=30";
	struct conex_run_options o = { .size = sizeof o, .user = "root", .disk = 16 << 20 };
	conex_container *list[2] = { NULL, NULL };
	conex_plan *plan = NULL;

	for (int i = 0; i < 2; i++) {
		o.flags = i ? CONEX_RUN_USERNS : 0;
		CHECK_INT(image_run("app", CONEX_STRINGS(fill), &o), 1);
		CHECK(strstr(box.out, "No space left") != NULL);
		CHECK_INT(image_run("app", CONEX_STRINGS("stat -c '%a %u' / /srv/kept; rm /srv/new; ls -A / /srv"), &o), 0);
		CHECK_STR(box.out, "755 0\n755 0\n/:\nbin\ndev\netc\nproc\nroot\nsrv\nsys\ntmp\n\n/srv:\nkept");
	}
	CHECK_INT(image_run("single", CONEX_STRINGS("/bin/sh", "-c", fill), &o), 1);
	CHECK(strstr(box.out, "No space left") != NULL);

	/* each launch has its own */
	GOOD(conex_plan_new(box.cx, "app", CONEX_STRINGS("sleep 1000"), &o, &plan, &box.err));
	for (int i = 0; i < 2; i++)
		GOOD(conex_launch(box.cx, plan, NULL, NULL, &list[i], &box.err));
	CHECK_INT(loops(2), 2);
	CHECK(!is_mounted());
	CHECK_INT(box_exec(list[0], NULL, fill), 1);
	CHECK_INT(box_exec(list[1], NULL, "dd if=/dev/zero of=/srv/5 bs=1M count=5 2>/dev/null; ls /srv"), 0);
	CHECK_STR(box.out, "5\nkept\nnew");
	for (int i = 0; i < 2; i++)
		box_end(list[i]);
	conex_plan_free(plan);
	CHECK_INT(loops(0), 0);
	CHECK_INT(image_snapshots() + image_leases() + trash(), 0);
}

TEST(disk_refused)
{
	char *path = strdup(getenv("PATH"));

	CHECK_INT(image_run("app", NULL, WITH(.disk = 1 << 20)), -EINVAL);
	SAID("8 MiB");
	CHECK_INT(image_run("app", NULL, WITH(.disk = 16 << 20, .flags = CONEX_RUN_READ_ONLY)), -EINVAL);
	CHECK_INT(image_run(NULL, CONEX_STRINGS("true"), WITH(.disk = 16 << 20, .rootfs = box.root)), -EINVAL);
	SAID("conex_run_options.disk");
	CHECK_INT(image_run("app", NULL, WITH(.oci = OCI({"root": {"overlay": {"disk": 100000000}}}))), -EINVAL);
	SAID("root.overlay.disk");
	/* a mkfs that fails is heard, and nothing is left */
	command("mkdir %s/bin; printf '#!/bin/sh\\necho no such luck >&2; exit 3\\n' >%s/bin/mkfs.ext4; chmod 755 %s/bin/mkfs.ext4", box.dir,
		box.dir, box.dir);
	setenv("PATH", say("%s/bin:%s", box.dir, path), 1);
	CHECK_INT(image_run("app", NULL, WITH(.disk = 16 << 20)), -EIO);
	SAID("no such luck");
	/* one that makes none: what isn't a file system isn't mounted */
	command("printf '#!/bin/sh\\n' >%s/bin/mkfs.ext4", box.dir);
	CHECK(image_run("app", NULL, WITH(.disk = 16 << 20)) < 0);
	SAID("root.overlay");
	setenv("PATH", path, 1);
	CHECK_INT(loops(0), 0);
	CHECK_INT(image_snapshots() + image_leases() + trash(), 0);
	free(path);
}

/* ---- what an image's config says ---- */

/* Its own, and gone with it; the image's contents are there first, and whose they are. */
TEST(volumes)
{
	static const char look[] = "stat -c '%a %u %g' /srv/data /srv/data/first; cat /srv/data/first; echo x >/srv/data/x && ls /srv/data";
	static const uint64_t flags[] = { 0, CONEX_RUN_USERNS, CONEX_RUN_READ_ONLY, CONEX_RUN_READ_ONLY | CONEX_RUN_USERNS };

	for (size_t i = 0; i < 8; i++) {        /* each twice: what the first wrote is gone */
		CHECK_INT(image_run("volumes", CONEX_STRINGS("/bin/sh", "-c", look), WITH(.flags = flags[i / 2], .user = "77:77")), 0);
		CHECK_STR(box.out, "2750 77 77\n640 77 77\nfirstfirst\nx");
	}
	CHECK_INT(image_run("volumes", CONEX_STRINGS("/bin/sh", "-c", "stat -c '%a %u' /srv/more; grep -c ' /srv' /proc/self/mountinfo"), NULL), 1);
	CHECK_STR(box.out, "755 0\n0");
	CHECK_INT(image_run("volumes", CONEX_STRINGS("/bin/sh", "-c", "echo >/srv/more/x && echo >/x"), WITH(.flags = CONEX_RUN_READ_ONLY,
		.user = "root")), 1);
	CHECK(strstr(box.out, "/x: Read-only") != NULL);
	/* the caller's own goes before it */
	CHECK_INT(image_run("volumes", CONEX_STRINGS("/bin/sh", "-c", "ls /srv/data; ls /srv/more"), WITH(.flags = CONEX_RUN_READ_ONLY,
		.mounts = CONEX_MOUNTS({ say("%s/layout", archives), "/srv/data", NULL, "ro" }))), 0);
	CHECK_STR(box.out, "blobs\nindex.json\noci-layout");
	CHECK_INT(image_snapshots() + image_leases() + trash(), 0);
}

/* An image without any directory, for what is mounted in every container. */
TEST(bare)
{
	static const uint64_t flags[] = { 0, CONEX_RUN_READ_ONLY, CONEX_RUN_READ_ONLY | CONEX_RUN_USERNS };

	for (size_t i = 0; i < 3; i++) {
		CHECK_INT(image_run("bare", CONEX_STRINGS("/sh", "-c", "echo /*; echo x >/x"), WITH(.flags = flags[i])), i ? 1 : 0);
		CHECK(!strncmp(box.out, "/dev /proc /sh /sys", 19) && (i == 0 || strstr(box.out, "Read-only")));
	}
	CHECK_INT(image_snapshots() + image_leases() + trash(), 0);
}

/* Its labels, and what its config says besides, are the specification's annotations. */
static const char *annotation(const char *image, const char *key)
{
	conex_plan *plan = NULL;
	static char text[256];
	const char *value;

	box_clear();
	text[0] = '\0';
	if (GOOD(conex_plan_new(box.cx, image, NULL, NULL, &plan, &box.err))) {
		value = json_string_value(json_object_get(json_object_get(plan->spec, "annotations"), key));
		snprintf(text, sizeof text, "%s", value ? value : "");
	}
	conex_plan_free(plan);
	return text;
}

TEST(annotations)
{
	char *json = NULL;

	CHECK_STR(annotation("volumes", "org.example.x"), "y");
	CHECK_STR(annotation("usr1", "org.opencontainers.image.stopSignal"), "SIGUSR1");
	CHECK_STR(annotation("single", "org.opencontainers.image.stopSignal"), "");
	GOOD(conex_image_json(box.cx, "volumes", &json, &box.err));     /* where its health check is found */
	CHECK(json && strstr(json, "\"Healthcheck\"") && strstr(json, "\"Interval\": 1000000000"));
	free(json);
}

static int stopped_by(const char *image, const char *args, const char *oci)
{
	struct conex_run_options o = { .size = sizeof o, .oci = oci, .out = CONEX_STDIO_PIPE };
	conex_container *c;
	int status = -1;

	box_clear();
	if (!GOOD(conex_run(box.cx, image, CONEX_STRINGS("/bin/sh", "-c", args), &o, &c, &box.err)))
		return -1;
	CHECK_INT(poll(&(struct pollfd){ .fd = conex_container_stdio(c, 1), .events = POLLIN }, 1, -1), 1);
	/* it has its traps */
	GOOD(conex_container_stop(c, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_end(c);
	return status;
}

TEST(stop_signal)
{
	static const char traps[] = "trap 'exit 3' TERM; trap 'exit 4' USR1; trap 'exit 5' USR2; echo; while :; do sleep 0.1; done";

	CHECK_INT(stopped_by("usr1", traps, NULL), 4);
	CHECK_INT(stopped_by("single", traps, NULL), 3);
	CHECK_INT(stopped_by("usr1", traps, OCI({"annotations": {"org.opencontainers.image.stopSignal": "SIGUSR2"}})), 5);
}

static void tests(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	CHECK_INT(image_box_make(), 0);
	conex_close(box.cx);
	box.cx = NULL;
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	CHECK_INT(image_bring("layout.tar", "app"), 1);
	CHECK_INT(image_bring("single.tar", "single"), 1);
	CHECK_INT(image_bring("usr1.tar", "usr1"), 1);
	CHECK_INT(image_bring("volumes.tar", "volumes"), 1);
	CHECK_INT(image_bring("bare.tar", "bare"), 1);
	RUN(from_inside_and_outside);
	RUN(of_its_own_maps);
	RUN(read_only);
	RUN(plans);
	RUN(with_mounts);
	RUN(refused);
	RUN(unpacked_again);
	RUN(swept);
	RUN(disk);
	RUN(disk_refused);
	RUN(volumes);
	RUN(bare);
	RUN(annotations);
	RUN(stop_signal);
}

int main(void)
{
	if (!image_worker()) {
		printf("1..0 # SKIP built without images\n");
		return 0;
	}
	return with_box(tests);
}
