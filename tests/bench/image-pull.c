/* From a registry on loopback to the first byte that a program in a container of the image writes, in bench image. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <conex/conex.h>
#include "image.h"

#define AT IMAGE_SCRATCH "/pull"
#define STORAGE "containers-storage:[overlay@" AT "/graph+" AT "/run]"
/* Limits that may be set without CAP_SYS_RESOURCE; crun won't have hybrid cgroups. */
#define RUN "run --rm --network none --ulimit nofile=1000:1000 --ulimit nproc=1000:1000 --cgroup-parent conex-bench "
#define ENGINE "exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>&-; CONTAINERS_CONF=" AT "/containers.conf " \
	"CONTAINERS_STORAGE_CONF=" AT "/storage.conf exec podman " RUN

/* ---- the registry --------------------------------------------------------------------------------- */

static pid_t registry;
static char blob[136];          /* of the layer */

static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	int good = f && fputs(text, f) >= 0;

	return f && fclose(f) == 0 && good ? 0 : -EIO;
}

int image_pull_registry(const struct image_layer *layer, char why[IMAGE_WHY])
{
	int r = image_needs(why, (const char *[]){ "docker-registry", "skopeo", NULL });

	if (r < 0)
		return r;
	mkdir(AT, 0700);
	snprintf(blob, sizeof blob, "%s", layer->digest);
	if (write_file(AT "/registry.yml", "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: " AT
		"/registry\nhttp:\n  addr: 127.0.0.1:5000\n") < 0)
		return -EIO;
	registry = image_server_start((const char *[]){ "docker-registry", "serve", AT "/registry.yml", NULL },
		"exec bash -c ': </dev/tcp/127.0.0.1/5000'", why);
	if (registry < 0)
		return registry;
	return image_command(why, "TMPDIR=%s skopeo --insecure-policy copy -q --dest-tls-verify=false oci:%s:latest docker://%s",
		AT, layer->layout, IMAGE_PULLED);
}

void image_pull_end(void)
{
	image_server_end(&registry);
}

/* ---- conex ---------------------------------------------------------------------------------------- */

static int pulled(conex *cx, conex_error **err)
{
	struct conex_image_options plain = { .size = sizeof plain, .flags = CONEX_IMAGE_PLAIN_HTTP };
	conex_job *job = NULL;
	int r = conex_image_pull(cx, IMAGE_PULLED, &plain, &job, err);

	if (r == 0)
		r = conex_job_wait(job, -1, err);
	conex_job_free(job);
	return r < 0 ? r : 0;
}

static int ran(conex *cx, int64_t *ret_first_ns, conex_error **err)
{
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_PIPE };
	struct pollfd out = { .events = POLLIN };
	conex_container *c = NULL;
	char byte;
	int r = conex_run(cx, IMAGE_PULLED, CONEX_STRINGS("echo", "here"), &o, &c, err), wrote;

	if (r < 0)
		return r;
	out.fd = conex_container_stdio(c, 1);
	wrote = poll(&out, 1, 60000) == 1 && read(out.fd, &byte, 1) == 1;
	*ret_first_ns = bench_now_ns();
	r = conex_container_wait(c, -1, NULL, err);
	if (r == 1)
		r = conex_container_delete(c, -1, err);
	conex_container_free(c);
	return r < 0 ? r : wrote ? 0 : -ENODATA;
}

static int conex_pull(int64_t *ret_first_ns, char why[IMAGE_WHY])
{
	struct conex_options where = { .size = sizeof where, .store = AT "/store" };
	conex_error *err = NULL;
	conex *cx = NULL;
	int r = conex_open(&where, &cx, &err);

	if (r == 0)
		r = pulled(cx, &err);
	if (r == 0)
		r = ran(cx, ret_first_ns, &err);
	if (r < 0)
		snprintf(why, IMAGE_WHY, "%s", err ? conex_error_text(err) : "its program has written nothing");
	conex_error_free(err);
	conex_close(cx);
	return r;
}

static void conex_empty(void)
{
	char why[IMAGE_WHY];

	image_command(why, "rm -rf " AT "/store");
}

/* ---- commands ------------------------------------------------------------------------------------- */

/* The last of its commands writes, those before mustn't. */
static int command(const char *text, int64_t *ret_first_ns, char why[IMAGE_WHY])
{
	char line[2048], byte;
	FILE *f;
	int n;

	snprintf(line, sizeof line, "exec 2>" AT "/log </dev/null; export TMPDIR=" AT " HOME=/root; %s", text);
	f = popen(line, "re");
	n = f ? fgetc(f) : EOF;
	*ret_first_ns = bench_now_ns();
	while (f && fread(&byte, 1, 1, f) == 1)
		;
	if (f && pclose(f) == 0 && n != EOF)
		return 0;
	return image_command(why, "cat " AT "/log >&2; exit 1");
}

static int podman_open(char why[IMAGE_WHY])
{
	int r = image_needs(why, (const char *[]){ "podman", "conmon", "crun", "skopeo", NULL });

	if (r == 0 && (write_file(AT "/containers.conf", "[containers]\nlog_driver = \"none\"\n[engine]\ncgroup_manager = \"cgroupfs\"\n"
			"events_logger = \"none\"\nruntime = \"crun\"\ntmp_dir = \"" AT "/run/podman\"\n[network]\n"
			"network_backend = \"netavark\"\nnetwork_config_dir = \"" AT "/networks\"\n") < 0
		|| write_file(AT "/storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"" AT "/graph\"\nrunroot = \"" AT "/run\"\n") < 0))
		r = -EIO;
	return r;
}

static int podman_pull(int64_t *ret_first_ns, char why[IMAGE_WHY])
{
	return command(ENGINE "-q --pull always --tls-verify=false " IMAGE_PULLED " echo here'", ret_first_ns, why);
}

static int skopeo_pull(int64_t *ret_first_ns, char why[IMAGE_WHY])
{
	return command("skopeo --insecure-policy copy -q --src-tls-verify=false docker://" IMAGE_PULLED " '" STORAGE IMAGE_PULLED
		"' >/dev/null && " ENGINE "--pull never " IMAGE_PULLED " echo here'", ret_first_ns, why);
}

static void storage_empty(void)
{
	char why[IMAGE_WHY];

	umount2(AT "/graph/overlay", MNT_DETACH);
	image_command(why, "rm -rf " AT "/graph " AT "/run");
}

static int containerd_pull(int64_t *ret_first_ns, char why[IMAGE_WHY])
{
	return command(IMAGE_CTR "images pull --plain-http " IMAGE_PULLED " >/dev/null && exec " IMAGE_CTR
		"run --rm --cgroup conex-bench/ctr " IMAGE_PULLED " one echo here", ret_first_ns, why);
}

static void containerd_empty(void)
{
	char why[IMAGE_WHY];

	image_command(why, IMAGE_CTR "images rm --sync " IMAGE_PULLED);
}

static int floor_open(char why[IMAGE_WHY])
{
	return image_needs(why, (const char *[]){ "curl", NULL });
}

static int floor_pull(int64_t *ret_first_ns, char why[IMAGE_WHY])
{
	int r = image_command(why, "exec curl -fsS -o /dev/null http://127.0.0.1:5000/v2/tree/blobs/%s", blob);

	*ret_first_ns = bench_now_ns();
	return r;
}

const struct image_pull_way image_pull_conex = { .name = "conex", .is_inside = 1, .empty = conex_empty, .pull = conex_pull };
const struct image_pull_way image_pull_podman = { .name = "podman", .open = podman_open, .empty = storage_empty,
	.pull = podman_pull, .close = storage_empty };
const struct image_pull_way image_pull_skopeo = { .name = "skopeo", .open = podman_open, .empty = storage_empty,
	.pull = skopeo_pull, .close = storage_empty };
const struct image_pull_way image_pull_containerd = { .name = "containerd", .open = image_containerd_start,
	.empty = containerd_empty, .pull = containerd_pull, .server = image_containerd_pid, .close = image_containerd_end };
const struct image_pull_way image_pull_floor = { .name = "floor-download", .is_floor = 1, .open = floor_open, .pull = floor_pull };
