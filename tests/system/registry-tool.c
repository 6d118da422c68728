/* The registry client on the command line, for tests: images between registries and OCI layout directories.
 *	registry-tool [--OPTION VALUE] ... pull REFERENCE DIRECTORY | push DIRECTORY REFERENCE | head REFERENCE
 * A line for each thing that was done; 1 and the error's line when it failed. */
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/path.h"
#include "image/worker/registry.h"

#define FILE_MAX ((size_t)16 << 20)

static struct {
	struct cx_registry_options options;
	struct cx_credentials_places places;
	const char *user, *identity, *from, *repository;
	const char *mirrors[8], *cert_dirs[4];
	size_t mirror_count;
	uint64_t network, cancel_after; /* bytes */
	int slow;                       /* every second time the sink has no room */
	int cancel_ms;                  /* another thread cancels then */
	pthread_t thread;
	int waking;
	struct cx_registry *registry;
	const char *directory;
} tool;

/* ---- files ------------------------------------------------------------------------------------ */

static int file_fail(conex_error **err, const char *path)
{
	return cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s", path);
}

static void blob_path(const struct cx_digest *d, char *path, size_t size)
{
	char name[CX_DIGEST_TEXT];

	cx_digest_path(d, name);
	snprintf(path, size, "%s/blobs/%s", tool.directory, name);
}

static int write_file(const char *path, const void *data, size_t size, conex_error **err)
{
	cx_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd >= 0 && write(fd, data, size) == (ssize_t)size ? 0 : file_fail(err, path);
}

static int write_json(const char *name, json_t *root, conex_error **err)
{
	char path[4096], *text = json_dumps(root, JSON_COMPACT);
	int r;

	snprintf(path, sizeof path, "%s/%s", tool.directory, name);
	r = text ? write_file(path, text, strlen(text), err) : cx_fail_memory(err);
	free(text);
	json_decref(root);
	return r;
}

static json_t *load(const char *path, char **ret_text, size_t *ret_size, conex_error **err)
{
	ssize_t n = cx_file_load(AT_FDCWD, path, FILE_MAX, ret_text);
	json_t *root = n < 0 ? NULL : json_loadb(*ret_text, (size_t)n, 0, NULL);

	if (n < 0)
		cx_fail(err, CONEX_STAGE_IMAGE, (int)n, "open", NULL, "%s", path);
	else if (!root)
		cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, "no JSON", NULL, "%s", path);
	*ret_size = n < 0 ? 0 : (size_t)n;
	return root;
}

/* ---- sinks ------------------------------------------------------------------------------------ */

struct file {
	int fd, full;
	char path[4096], part[4112];
	struct cx_digest digest;
};

static void *wake(void *data)
{
	struct timespec t = { 0, 2000000 };

	nanosleep(&t, NULL);
	cx_registry_wake(data);
	return NULL;
}

static void *cancel(void *data)
{
	struct timespec t = { tool.cancel_ms / 1000, tool.cancel_ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
	cx_registry_cancel(data);
	return NULL;
}

static void join(void)
{
	if (tool.waking)
		pthread_join(tool.thread, NULL);
	tool.waking = 0;
}

/* With --slow as a pipeline whose next stage is busy: another thread says when there is room. */
static int no_room(struct file *f)
{
	f->full = tool.slow && !f->full;
	if (!f->full)
		return 0;
	join();
	tool.waking = pthread_create(&tool.thread, NULL, wake, tool.registry) == 0;
	return tool.waking;
}

static int to_file(void *data, const void *bytes, size_t size)
{
	struct file *f = data;

	if (no_room(f))
		return -EAGAIN;
	return write(f->fd, bytes, size) == (ssize_t)size ? 0 : -ENOSPC;
}

static void progress(void *data, uint64_t bytes)
{
	(void)data;
	tool.network += bytes;
	if (tool.cancel_after && tool.network >= tool.cancel_after)
		cx_registry_cancel(tool.registry);
}

static int from_file(void *data, uint64_t offset, void *to, size_t size)
{
	const struct file *f = data;

	return pread(f->fd, to, size, (off_t)offset) == (ssize_t)size ? 0 : -EIO;
}

/* ---- pull ------------------------------------------------------------------------------------- */

static int descriptor(const json_t *from, struct cx_digest *digest, uint64_t *size, conex_error **err)
{
	const char *text = json_string_value(json_object_get(from, "digest"));

	*size = (uint64_t)json_integer_value(json_object_get(from, "size"));
	return cx_digest_parse(text ? text : "", "digest", digest, err);
}

/* Goes on where an earlier try has left a part, unless it has left all. */
static int want(struct cx_registry_blob *b, struct file *f, const json_t *from, conex_error **err)
{
	struct stat st;
	int r = descriptor(from, &b->digest, &b->size, err);

	if (r < 0)
		return r;
	blob_path(&b->digest, f->path, sizeof f->path);
	if (stat(f->path, &st) == 0) {  /* whole: it was renamed */
		b->offset = b->size;
		return 0;
	}
	snprintf(f->part, sizeof f->part, "%s.part", f->path);
	f->fd = open(f->part, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return file_fail(err, f->part);
	b->offset = (uint64_t)st.st_size;
	b->sink = to_file;
	b->data = f;
	b->check = 1;
	return 0;
}

static int blobs(const char *repository, const json_t *manifest, conex_error **err)
{
	json_t *layers = json_object_get(manifest, "layers"), *config = json_object_get(manifest, "config");
	size_t count = json_array_size(layers) + 1;
	struct cx_registry_blob *b = calloc(count, sizeof *b);
	struct file *f = calloc(count, sizeof *f);
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = want(&b[i], &f[i], i ? json_array_get(layers, i - 1) : config, err);
	if (r == 0)
		r = cx_registry_blobs(tool.registry, repository, b, count, err);
	for (size_t i = 0; i < count; i++) {
		if (f[i].fd > 0)
			close(f[i].fd);
		if (b[i].done && *f[i].part && rename(f[i].part, f[i].path) == 0)
			printf("blob %llu\n", (unsigned long long)b[i].size);
	}
	free(b);
	free(f);
	return r;
}

/* Of an index all that it names. */
static int manifest(const struct cx_reference *ref, struct cx_manifest *m, int depth, conex_error **err)
{
	struct cx_reference one = *ref;
	char digest[CX_DIGEST_TEXT], path[4096];
	json_t *root, *item;
	uint64_t size;
	size_t i;
	int r = cx_registry_manifest(tool.registry, ref, m, err);

	if (r < 0)
		return r;
	cx_digest_print(&m->digest, digest);
	printf("manifest %s %s %llu\n", digest, m->type, (unsigned long long)m->size);
	blob_path(&m->digest, path, sizeof path);
	r = write_file(path, m->data, (size_t)m->size, err);
	root = json_loadb(m->data, (size_t)m->size, 0, NULL);
	json_array_foreach(json_object_get(root, "manifests"), i, item) {
		struct cx_manifest next = { 0 };

		if (r == 0)
			r = depth ? -ELOOP : descriptor(item, &one.digest, &size, err);
		if (r == 0)
			r = manifest(&one, &next, 1, err);
		cx_manifest_free(&next);
	}
	if (r == 0 && json_object_get(root, "config"))
		r = blobs(ref->repository, root, err);
	json_decref(root);
	return r;
}

static int pull(const struct cx_reference *ref, conex_error **err)
{
	struct cx_manifest m = { 0 };
	char path[4096], digest[CX_DIGEST_TEXT];
	int r;

	snprintf(path, sizeof path, "%s/blobs/sha512", tool.directory);
	r = cx_mkdirs(AT_FDCWD, path, 0755);
	snprintf(path, sizeof path, "%s/blobs/sha256", tool.directory);
	if (r == 0)
		r = cx_mkdirs(AT_FDCWD, path, 0755);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, r, "mkdir", NULL, "%s", path);
	r = manifest(ref, &m, 0, err);
	cx_digest_print(&m.digest, digest);
	if (r == 0)
		r = write_json("oci-layout", json_pack("{s:s}", "imageLayoutVersion", "1.0.0"), err);
	if (r == 0)
		r = write_json("index.json", json_pack("{s:i, s:[{s:s, s:s, s:I, s:{s:s}}]}", "schemaVersion", 2, "manifests",
			"mediaType", m.type, "digest", digest, "size", (json_int_t)m.size, "annotations",
			"org.opencontainers.image.ref.name", *ref->tag ? ref->tag : "latest"), err);
	cx_manifest_free(&m);
	return r;
}

/* ---- push ------------------------------------------------------------------------------------- */

static int push_blob(const char *repository, const json_t *from, conex_error **err)
{
	static const char *const names[] = { "", "present", "mounted", "sent" };
	struct cx_registry_upload u = { .source = from_file, .from = tool.from };
	struct file f = { .fd = -1 };
	int r = descriptor(from, &u.digest, &u.size, err);

	if (r < 0)
		return r;
	blob_path(&u.digest, f.path, sizeof f.path);
	f.fd = open(f.path, O_RDONLY | O_CLOEXEC);
	if (f.fd < 0)
		return file_fail(err, f.path);
	u.data = &f;
	r = cx_registry_upload(tool.registry, repository, &u, err);
	close(f.fd);
	if (r > 0)
		printf("blob %llu %s\n", (unsigned long long)u.size, names[r]);
	return r < 0 ? r : 0;
}

static int push_manifest(const struct cx_reference *ref, const json_t *from, conex_error **err)
{
	const char *type = json_string_value(json_object_get(from, "mediaType"));
	struct cx_reference one = *ref;
	struct cx_digest digest;
	cx_autofree char *text = NULL;
	char path[4096];
	json_t *root, *item;
	uint64_t claimed;
	size_t i, size;
	int r = descriptor(from, &digest, &claimed, err);

	if (r < 0)
		return r;
	blob_path(&digest, path, sizeof path);
	root = load(path, &text, &size, err);
	if (!root)
		return -EINVAL;
	*one.tag = '\0';
	json_array_foreach(json_object_get(root, "manifests"), i, item)
		r = r ? r : push_manifest(&one, item, err);
	if (r == 0 && json_object_get(root, "config"))
		r = push_blob(ref->repository, json_object_get(root, "config"), err);
	json_array_foreach(json_object_get(root, "layers"), i, item)
		r = r ? r : push_blob(ref->repository, item, err);
	if (r == 0)
		r = cx_registry_put(tool.registry, ref, type ? type : "", text, size, err);
	json_decref(root);
	return r;
}

static int push(const struct cx_reference *ref, conex_error **err)
{
	cx_autofree char *text = NULL;
	char path[4096];
	size_t size;
	json_t *index;
	int r;

	snprintf(path, sizeof path, "%s/index.json", tool.directory);
	index = load(path, &text, &size, err);
	if (!index)
		return -EINVAL;
	r = push_manifest(ref, json_array_get(json_object_get(index, "manifests"), 0), err);
	json_decref(index);
	return r;
}

static int head(const struct cx_reference *ref, conex_error **err)
{
	struct cx_manifest m = { 0 };
	char digest[CX_DIGEST_TEXT];
	int r = cx_registry_head(tool.registry, ref, &m, err);

	cx_digest_print(&m.digest, digest);
	if (r == 0)
		printf("manifest %s %s %llu\n", digest, m.type, (unsigned long long)m.size);
	cx_manifest_free(&m);
	return r;
}

/* ---- the command ------------------------------------------------------------------------------ */

static int credentials(void *data, const char *host, struct cx_credentials *ret, conex_error **err)
{
	const char *colon = tool.user ? strchr(tool.user, ':') : NULL;
	int r;

	(void)data;
	if (tool.identity) {
		ret->identity = strdup(tool.identity);
		return 1;
	}
	if (colon) {
		ret->user = strndup(tool.user, (size_t)(colon - tool.user));
		ret->password = strdup(colon + 1);
		return 1;
	}
	r = tool.places.file ? cx_credentials_find(&tool.places, host, tool.repository, ret, err) : 0;
	if (r > 0 && ret->helper) {
		printf("helper %s for %s\n", ret->helper, ret->server);
		cx_credentials_free(ret);
		r = 0;
	}
	return r;
}

/* What one option sets. */
static int set_text(const char *name, const char *value)
{
	const struct { const char *name, **to; } texts[] = {
		{ "ca", &tool.options.ca }, { "cert", &tool.options.client_cert }, { "key", &tool.options.client_key },
		{ "http-proxy", &tool.options.http_proxy }, { "https-proxy", &tool.options.https_proxy },
		{ "no-proxy", &tool.options.no_proxy }, { "auth-file", &tool.places.file }, { "user", &tool.user },
		{ "identity", &tool.identity }, { "from", &tool.from }, { "cert-dir", &tool.cert_dirs[0] },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(texts); i++)
		if (!strcmp(texts[i].name, name)) {
			*texts[i].to = value;
			return 1;
		}
	return 0;
}

static int set(const char *name, const char *value)
{
	const struct { const char *name; int *to; } numbers[] = {
		{ "retries", &tool.options.retries }, { "parallel", &tool.options.parallel },
		{ "backoff", &tool.options.backoff_ms }, { "connect", &tool.options.connect_ms },
		{ "stall", &tool.options.stall_ms }, { "deadline", &tool.options.deadline_ms }, { "slow", &tool.slow },
		{ "cancel-ms", &tool.cancel_ms },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(numbers); i++)
		if (!strcmp(numbers[i].name, name)) {
			*numbers[i].to = atoi(value);
			return 1;
		}
	if (!strcmp(name, "plain"))
		tool.options.flags = atoi(value) ? CX_REGISTRY_PLAIN_HTTP : 0;
	else if (!strcmp(name, "chunk"))
		tool.options.chunk = strtoull(value, NULL, 10);
	else if (!strcmp(name, "cancel-after"))
		tool.cancel_after = strtoull(value, NULL, 10);
	else if (!strcmp(name, "mirror") && tool.mirror_count + 1 < CX_ARRAY_SIZE(tool.mirrors))
		tool.mirrors[tool.mirror_count++] = value;
	else
		return set_text(name, value);
	return 1;
}

static int run(const char *verb, const char *reference, conex_error **err)
{
	struct cx_reference ref;
	int r = cx_reference_parse(reference, &ref, err);

	if (r < 0)
		return r;
	tool.repository = ref.repository;
	tool.options.host = ref.host;
	tool.options.mirrors = tool.mirrors;
	tool.options.cert_dirs = tool.cert_dirs;
	tool.options.credentials = credentials;
	tool.options.progress = progress;
	r = cx_registry_open(&tool.options, &tool.registry, err);
	if (r == 0 && tool.cancel_ms)
		tool.waking = pthread_create(&tool.thread, NULL, cancel, tool.registry) == 0;
	if (r == 0)
		r = !strcmp(verb, "pull") ? pull(&ref, err) : !strcmp(verb, "push") ? push(&ref, err) : head(&ref, err);
	if (r == 0)
		printf("network %llu\n", (unsigned long long)tool.network);
	join();
	cx_registry_close(tool.registry);
	return r;
}

int main(int argc, char **argv)
{
	conex_error *err = NULL;
	int i, r;

	for (i = 1; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2)
		if (!set(argv[i] + 2, argv[i + 1]))
			return 2;
	if (argc - i == 2 && !strcmp(argv[i], "head"))
		r = run(argv[i], argv[i + 1], &err);
	else if (argc - i == 3 && (tool.directory = argv[i + (strcmp(argv[i], "pull") ? 1 : 2)]))
		r = run(argv[i], argv[i + (strcmp(argv[i], "pull") ? 2 : 1)], &err);
	else
		return 2;
	if (r < 0)
		fprintf(stderr, "%s\n", err ? conex_error_text(err) : "an error without words");
	conex_error_free(err);
	return r < 0;
}
