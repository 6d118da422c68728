/* Compiled seccomp programs on disk, for programs that run once for each container (OCI runtimes): below a
 * named state directory, which is its owner's alone. A file holds the whole profile, so that a name, which is
 * a hash, is never taken for a proof. Runs behind cache.c. */
#include "security/filter.h"

#include <dirent.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/path.h"

enum { KEEP = 64, SIZE_MAX_ = 4 << 20 };

struct head {
	char magic[8];
	uint32_t version[3];            /* libseccomp's: another one may know more system calls */
	uint32_t flags, key_size, program_size;
	uint64_t sum;                   /* of the program */
};

static void fill_head(struct head *h, uint32_t flags, size_t key_size, size_t program_size, uint64_t sum)
{
	const struct scmp_version *v = seccomp_version();

	memset(h, 0, sizeof *h);
	memcpy(h->magic, "cnxbpf1", 8);
	h->version[0] = v->major;
	h->version[1] = v->minor;
	h->version[2] = v->micro;
	h->flags = flags;
	h->key_size = (uint32_t)key_size;
	h->program_size = (uint32_t)program_size;
	h->sum = sum;
}

static void file_name(char name[24], uint64_t hash)
{
	snprintf(name, 24, "%016llx.bpf", (unsigned long long)hash);
}

int cx_seccomp_load(int dir, uint64_t hash, const char *key, struct cx_str *program, uint32_t *flags)
{
	cx_autofree char *data = NULL;
	size_t key_size = strlen(key);
	struct head h, want;
	char name[24];
	ssize_t n;

	file_name(name, hash);
	n = cx_file_load(dir, name, SIZE_MAX_, &data);
	if (n < (ssize_t)sizeof h)
		return 0;
	memcpy(&h, data, sizeof h);
	if (h.key_size != key_size || (uint64_t)n != sizeof h + (uint64_t)h.key_size + h.program_size)
		return 0;
	fill_head(&want, h.flags, key_size, h.program_size,
		cx_seccomp_hash(data + sizeof h + key_size, h.program_size));
	if (memcmp(&h, &want, sizeof h) || memcmp(data + sizeof h, key, key_size))
		return 0;
	*flags = h.flags;
	return cx_str_add(program, data + sizeof h + key_size, h.program_size) == 0;
}

/* Profiles that are made up as one goes must not fill the disk. */
static int is_full(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d) {
		cx_closep(&copy);
		return 1;
	}
	while (n < KEEP + 2 && readdir(d))
		n++;
	closedir(d);
	return n >= KEEP + 2;
}

void cx_seccomp_store(int dir, uint64_t hash, const char *key, const struct cx_str *program, uint32_t flags)
{
	char name[24], temporary[40];
	cx_autostr all = { 0 };
	cx_autoclose int fd = -1;
	struct head h;

	if (is_full(dir))
		return;
	fill_head(&h, flags, strlen(key), program->size, cx_seccomp_hash(program->data, program->size));
	cx_str_add(&all, &h, sizeof h);
	cx_str_add(&all, key, strlen(key));
	if (cx_str_add(&all, program->data, program->size) < 0)
		return;
	file_name(name, hash);
	snprintf(temporary, sizeof temporary, "%s.%d", name, (int)getpid());
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, all.data, all.size) != (ssize_t)all.size || renameat(dir, temporary, dir, name) < 0)
		unlinkat(dir, temporary, 0);
}
