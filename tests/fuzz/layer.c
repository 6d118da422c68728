/* Any bytes as a layer: from the decompressor over the tar reader to the files. As they come, and once more with the
 * checksums of tar headers put right, or most changes would be found out there. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "image/worker/tree.h"
#include "fuzz.h"

struct bytes { const uint8_t *data; size_t left; };

static ssize_t read_bytes(void *self, void *to, size_t size)
{
	struct bytes *b = self;

	size = size < b->left ? size : b->left;
	if (size)
		memcpy(to, b->data, size);
	b->data += size;
	b->left -= size;
	return (ssize_t)size;
}

static char path[] = "/tmp/conex-fuzz-XXXXXX";

static void forget(void)
{
	rmdir(path);
}

static int scratch(void)
{
	static int dir = -1;

	if (dir < 0 && mkdtemp(path)) {
		atexit(forget);
		dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return dir;
}

static void take(const uint8_t *data, size_t size, int whiteouts)
{
	struct bytes b = { data, size };
	struct cx_packed layers[2] = { { .read = read_bytes, .self = &b }, { .read = read_bytes, .self = &b } };
	struct cx_unpack_options o = { .whiteouts = whiteouts, .flags = CX_UNPACK_ROOTLESS | CX_UNPACK_SQUASH,
		.limits = { .bytes = 1 << 20, .entries = 100, .depth = 20 } };
	conex_error *err = NULL;
	int r = cx_unpack_layer(scratch(), "t", layers, &o, NULL, &err);

	if ((r < 0) != (*conex_error_text(err) != '\0') || (r == 0) != (faccessat(scratch(), "t", F_OK, AT_SYMLINK_NOFOLLOW) == 0))
		__builtin_trap();
	if (r == 0 && cx_remove(scratch(), "t") < 0)
		__builtin_trap();
	conex_error_free(err);
}

static void mend(uint8_t *p, size_t size)
{
	for (; size >= 512; p += 512, size -= 512) {
		unsigned sum = 0;
		char text[8];

		if (memcmp(p + 257, "ustar", 5))
			continue;
		memset(p + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += p[i];
		snprintf(text, sizeof text, "%06o", sum);
		memcpy(p + 148, text, 7);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *mended = malloc(size + 1);

	if (mended && size) {
		memcpy(mended, data, size);
		mend(mended, size);
		take(mended, size, size % 2 ? CX_WHITEOUT_USER : CX_WHITEOUT_APPLY);
		if (memcmp(mended, data, size))
			take(data, size, CX_WHITEOUT_USER);
	}
	free(mended);
	return 0;
}

static void add(struct archive *a, const char *name, mode_t type, const char *to, const char *data)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, 0755);
	archive_entry_set_mtime(e, 1000000000, 123456789);
	if (type == AE_IFLNK)
		archive_entry_set_symlink(e, to);
	else if (to)
		archive_entry_set_hardlink(e, to);
	if (type == AE_IFREG && !to) {
		archive_entry_set_size(e, (la_int64_t)strlen(data) + 4096);
		archive_entry_sparse_add_entry(e, 0, (la_int64_t)strlen(data));
		archive_entry_xattr_add_entry(e, "user.x", data, strlen(data));
		archive_entry_acl_add_entry(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_READ, ARCHIVE_ENTRY_ACL_USER, 5, NULL);
	}
	if (archive_write_header(a, e) >= ARCHIVE_WARN && type == AE_IFREG && !to) {
		static const char zeros[4096];

		archive_write_data(a, data, strlen(data));
		archive_write_data(a, zeros, sizeof zeros);
	}
	archive_entry_free(e);
}

/* 0-2 PAX, 3-5 GNU: plain, gzip, zstd. */
static int fuzz_seed(int n, struct cx_str *to)
{
	static char buffer[1 << 18];
	struct archive *a;
	size_t used = 0;

	if (n >= 6)
		return 0;
	a = archive_write_new();
	if (n < 3)
		archive_write_set_format_pax(a);
	else
		archive_write_set_format_gnutar(a);
	if (n % 3 == 1)
		archive_write_add_filter_gzip(a);
	else if (n % 3 == 2)
		archive_write_add_filter_zstd(a);
	archive_write_set_bytes_per_block(a, 512);
	archive_write_open_memory(a, buffer, sizeof buffer, &used);
	add(a, "d/", AE_IFDIR, NULL, NULL);
	add(a, "d/file", AE_IFREG, NULL, "contents");
	add(a, "d/hard", AE_IFREG, "d/file", NULL);
	add(a, "link", AE_IFLNK, "../../d", NULL);
	add(a, "link/through", AE_IFIFO, NULL, NULL);
	add(a, "d/.wh.gone", AE_IFREG, NULL, "");
	add(a, "d/.wh..wh..opq", AE_IFREG, NULL, "");
	add(a, "a/long/way/to/go/for/a/name/that/does/not/fit/into/one/hundred/bytes/of/a/header/because/it/is/longer/\xc3\xa9", AE_IFREG,
		NULL, "more");
	add(a, "d", AE_IFLNK, "/", NULL);
	archive_write_close(a);
	archive_write_free(a);
	cx_str_add(to, buffer, used);
	return 1;
}
