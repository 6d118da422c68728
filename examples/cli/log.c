/* Logs of detached containers, in the form that Kubernetes has: "TIME stdout F line", or P for the part of a line. Of a log
 * that has grown too large one older half stays. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int log_open(struct log *l)
{
	l->fd = open(l->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	l->size = 0;
	return l->fd < 0 ? -errno : 0;
}

/* The new one has the name before the old one is closed: who follows sees that, and looks for the name again. */
static void turn(struct log *l)
{
	int old = l->fd;

	if (rename(l->path, l->older) < 0)
		return;
	if (log_open(l) < 0)
		l->fd = old;
	else
		close(old);
}

static void write_line(struct log *l, struct line *part, int whole)
{
	char head[64], time[32];
	struct timespec now;
	struct tm tm;
	struct iovec v[3];
	ssize_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	v[0] = (struct iovec){ head, (size_t)snprintf(head, sizeof head, "%s.%09ldZ %s %c ", time, now.tv_nsec, part->stream, whole ? 'F' : 'P') };
	v[1] = (struct iovec){ part->text, part->size };
	v[2] = (struct iovec){ "\n", 1 };
	part->size = 0;
	n = writev(l->fd, v, 3);
	l->size += n > 0 ? (uint64_t)n : 0;
	if (l->size >= l->most)
		turn(l);
}

void log_add(struct log *l, struct line *part, const char *data, size_t size)
{
	for (; size; data++, size--) {
		if (*data == '\n') {
			write_line(l, part, 1);
			continue;
		}
		if (part->size == sizeof part->text)
			write_line(l, part, 0);
		part->text[part->size++] = *data;
	}
}

void log_flush(struct log *l, struct line *part)
{
	if (part->size)
		write_line(l, part, 0);
}
