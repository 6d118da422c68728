/* Which ports are published, written down beside the networks: DIRECTORY/.ports/"tcp 127.0.0.1 8080" -> "10.200.0.5 80".
 * The kernel's table is what counts; this is for the day on which somebody flushes it. */
#include "network/nft.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int open_ports(int place)
{
	if (mkdirat(place, ".ports", 0700) < 0 && errno != EEXIST)
		return -errno;
	return openat(place, ".ports", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* "tcp 127.0.0.1 8080 10.200.0.5 80" as name and target: behind the third blank. */
static char *split(const struct cx_port *p, char text[CX_PORT_TEXT])
{
	char *at = text;

	cx_port_print(p, text);
	for (int i = 0; i < 3; i++)
		at = strchr(at, ' ') + 1;
	at[-1] = '\0';
	return at;
}

void cx_published_note(int place, const struct cx_port *ports, int count)
{
	cx_autoclose int dir = open_ports(place);
	char text[CX_PORT_TEXT];

	for (int i = 0; i < count && dir >= 0; i++) {
		const char *target = split(&ports[i], text);

		unlinkat(dir, text, 0);         /* of somebody whose port it isn't any more */
		if (symlinkat(target, dir, text) < 0)
			return;
	}
}

void cx_published_forget(int place, const struct cx_port *ports, int count)
{
	cx_autoclose int dir = openat(place, ".ports", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char text[CX_PORT_TEXT], is[CX_PORT_TEXT];

	for (int i = 0; i < count && dir >= 0; i++) {
		const char *target = split(&ports[i], text);
		ssize_t n = readlinkat(dir, text, is, sizeof is - 1);

		if (n >= 0 && (size_t)n == strlen(target) && !memcmp(is, target, (size_t)n))
			unlinkat(dir, text, 0);
	}
	unlinkat(place, ".ports", AT_REMOVEDIR);        /* where it is empty */
}

static int read_one(int dir, const char *name, struct cx_port *ret)
{
	char text[2 * CX_PORT_TEXT], target[CX_PORT_TEXT];
	ssize_t n = name[0] == '.' ? -1 : readlinkat(dir, name, target, sizeof target - 1);

	if (n < 0 || strlen(name) >= CX_PORT_TEXT)
		return -EINVAL;
	target[n] = '\0';
	snprintf(text, sizeof text, "%s %s", name, target);
	return cx_port_parse(text, ret);
}

int cx_published_each(int place, void (*each)(const struct cx_port *p, void *data), void *data)
{
	int fd = openat(place, ".ports", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), count = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct cx_port p;

	if (!list) {
		cx_closep(&fd);
		return 0;
	}
	while ((e = readdir(list)))
		if (read_one(fd, e->d_name, &p) == 0) {
			each(&p, data);
			count++;
		}
	closedir(list);
	return count;
}
