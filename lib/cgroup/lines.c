/* The kernel's files, line by line, without memory of our own: statistics and details are read through here. */
#include "cgroup/internal.h"

#include <fcntl.h>
#include <string.h>

enum { LINES_BYTES = 8192 };            /* memory.stat is 2 KiB; a line has at most some 200 letters */

/* Whole lines of `text`; what is left of the last goes to the front. */
static size_t hand_out(char *text, size_t size, cx_cgroup_line fn, void *data)
{
	char *line = text, *end;

	text[size] = '\0';
	while ((end = memchr(line, '\n', size - (size_t)(line - text)))) {
		*end = '\0';
		fn(line, data);
		line = end + 1;
	}
	size -= (size_t)(line - text);
	memmove(text, line, size);
	return size;
}

/* The kernel gives such a file in one piece: what doesn't fill the buffer was the last. */
int cx_cgroup_lines_fd(int fd, cx_cgroup_line fn, void *data)
{
	char text[LINES_BYTES + 1];
	size_t kept = 0;
	off_t at = 0;
	ssize_t n;

	do {
		size_t room = LINES_BYTES - kept;

		do
			n = pread(fd, text + kept, room, at);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
		at += n;
		kept = hand_out(text, kept + (size_t)n, fn, data);
		if (kept == LINES_BYTES) /* no line is as long */
			kept = 0;
		if ((size_t)n < room)
			break;
	} while (n > 0);
	text[kept] = '\0';
	if (kept)
		fn(text, data);
	return 0;
}

int cx_cgroup_lines(const struct cx_hierarchy *h, const char *path, const char *file, cx_cgroup_line fn, void *data)
{
	cx_autoclose int fd = cx_cgroup_open(h, path, file, O_RDONLY);

	return fd < 0 ? fd : cx_cgroup_lines_fd(fd, fn, data);
}
