/* The readers of statistics: memory.stat, io.stat, cpu.stat, pressure and the rest of v1's and v2's tables, through
 * the reader of lines. The first byte says which file it is to be. */
#include "cgroup/internal.h"

#include <sys/mman.h>
#include "fuzz.h"

struct look { const struct cx_stat_file *file; struct conex_stats s; size_t lines; };

static void take(const char *line, void *data)
{
	struct look *l = data;
	struct cx_stat_io io;
	struct cx_stat_v1_io v1;

	l->lines++;
	l->file->line(l->file, line, &l->s);
	if (cx_stat_v2_io(line, &io) && strncmp(line, "max", 3) && (line[0] < '0' || line[0] > '9'))
		__builtin_trap();       /* a device without a number */
	if (cx_stat_v1_io(line, &v1) && v1.write != 0 && v1.write != 1)
		__builtin_trap();
	if (strchr(line, '\n'))
		__builtin_trap();
}

static const struct cx_stat_file *file_of(unsigned n)
{
	const struct cx_stat_file *table = n & 1 ? cx_stat_v2 : cx_stat_v1;
	unsigned count = 0;

	while (table[count].name)
		count++;
	return &table[n / 2 % count];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct look l = { .lines = 0 };
	cx_autoclose int fd = -1;

	if (!size || (fd = memfd_create("fuzz", MFD_CLOEXEC)) < 0)
		return 0;
	l.file = file_of(data[0]);
	memset(&l.s, 0xff, sizeof l.s);
	if (write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		return 0;
	if (cx_cgroup_lines_fd(fd, take, &l) < 0 || l.lines > size || l.s.size != SIZE_MAX)
		__builtin_trap();
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static const char *const texts[] = {
		"anon 4096\nfile 8192\nkernel 100\nshmem 0\nfile_mapped 1\nslab 7\nsock 0\npgmajfault 18446744073709551615\n",
		"cache 1\ntotal_cache 20\ntotal_rss 10\ntotal_shmem 7\ntotal_mapped_file 8\ntotal_pgmajfault 3\n",
		"8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n",
		"8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Total 300\nTotal 300\n",
		"usage_usec 15\nuser_usec 10\nsystem_usec 5\nnr_periods 8\nnr_throttled 2\nthrottled_usec 70\n",
		"some avg10=0.10 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
		"max\n", "9223372036854771712\n", "low 0\nhigh 4\nmax 5\noom 2\noom_kill 1\n",
	};
	unsigned text = (unsigned)n % CX_ARRAY_SIZE(texts), file = (unsigned)n / CX_ARRAY_SIZE(texts);
	char first = (char)file;

	if (file >= 44)
		return 0;
	cx_str_add(to, &first, 1);
	cx_str_add(to, texts[text], strlen(texts[text]));
	return 1;
}
