/* Who has which address of a network. */
#include "network/network.h"
#include "base/str.h"
#include "base/error.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { FIRST = 2, MEMBER = 96 };        /* number 1 is the bridge's */
enum { TARGET = 4096 };                 /* PATH_MAX: what a link holds, with a 0 behind it */

/* The numbers that members may have. */
static void range_of(const struct cx_network *n, uint32_t *first, uint32_t *last)
{
	*first = FIRST;
	*last = cx_subnet_last(&n->subnet[0]);
	for (int i = 1; i < n->subnets; i++)
		if (cx_subnet_last(&n->subnet[i]) < *last)
			*last = cx_subnet_last(&n->subnet[i]);
	if (n->range.base.family) {
		uint32_t begin = cx_subnet_number(&n->subnet[0], &n->range.base);
		int bits = 8 * cx_address_size(n->range.base.family) - n->range.prefix;
		uint32_t end = begin + (bits > 16 ? 1U << 16 : 1U << bits) - 1;

		*first = begin > FIRST ? begin : FIRST;
		*last = end < *last ? end : *last;
	}
}

static int is_gateway(const struct cx_network *n, uint32_t number)
{
	for (int i = 0; i < n->subnets; i++)
		if (n->gateway[i].family && cx_subnet_number(&n->subnet[i], &n->gateway[i]) == number)
			return 1;
	return 0;
}

static int is_taken(const struct cx_network *n, uint32_t number)
{
	char name[32], target[1];

	snprintf(name, sizeof name, "members/%u", number);
	return readlinkat(n->dir, name, target, sizeof target) >= 0;
}

/* Begins anywhere: an address that was somebody's a moment ago is still in others' tables. */
int cx_lease_choose(const struct cx_network *n, struct cx_lease *l, conex_error **err)
{
	uint32_t first, last, count, start;
	uint64_t noise[2];

	range_of(n, &first, &last);
	count = last >= first ? last - first + 1 : 0;
	start = l->number ? l->number - first + 1 : 0;
	if (cx_random(noise, sizeof noise) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "an address of network %s", n->name);
	if (!l->number && count)
		start = (uint32_t)(noise[0] % count);
	snprintf(l->tag, sizeof l->tag, "%016llx", (unsigned long long)noise[1]);
	for (uint32_t i = 0; i < count; i++) {
		l->number = first + (start + i) % count;
		if (!is_gateway(n, l->number) && !is_taken(n, l->number))
			return 0;
	}
	return cx_fail(err, CONEX_STAGE_LAUNCH, -EADDRNOTAVAIL, NULL, "make a network with a larger subnet",
		"all %u addresses of network %s are taken", count, n->name);
}

int cx_lease_name(struct cx_lease *l, const char *id, const char *interface, conex_error **err)
{
	uint64_t noise;

	if (cx_random(&noise, sizeof noise) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "interface %s", interface);
	l->number = 0;
	snprintf(l->tag, sizeof l->tag, "%016llx", (unsigned long long)noise);
	snprintf(l->member, sizeof l->member, "%.64s.%.16s", id, interface);
	return 0;
}

static const char *member_of(const struct cx_lease *l, char to[MEMBER])
{
	if (l->number)
		snprintf(to, MEMBER, "members/%u", l->number);
	else
		snprintf(to, MEMBER, "members/%s", l->member);
	return to;
}

/* A label may hold any byte, and a line feed ends it here. */
static void add_label(struct cx_str *to, const char *label)
{
	cx_str_add(to, "\n", 1);
	for (; *label; label++)
		if (*label == '\n' || *label == '\\')
			cx_str_addf(to, "\\%c", *label == '\n' ? 'n' : '\\');
		else
			cx_str_add(to, label, 1);
}

/* An empty line says that there were too many. */
int cx_lease_claim(const struct cx_network *n, const struct cx_lease *l, const char *id, const char *const *labels)
{
	cx_autostr target = { 0 };
	size_t head;
	char name[MEMBER];

	cx_str_addf(&target, "%s %s", l->tag, id);
	head = target.size;
	for (int i = 0; labels && labels[i]; i++)
		add_label(&target, labels[i]);
	if (target.failed)
		return -ENOMEM;
	if (target.size >= TARGET)
		strcpy(target.data + head, "\n");
	return symlinkat(target.data, n->dir, member_of(l, name)) < 0 ? -errno : 0;
}

/* Of the tag, so that whoever reads the lease knows it. */
void cx_lease_link(const struct cx_lease *l, char to[16])
{
	snprintf(to, 16, "cx%.13s", l->tag);
}

char *cx_lease_text(const struct cx_network *n, const struct cx_lease *l)
{
	char name[MEMBER], *text;

	return asprintf(&text, "%s/%s %s", n->path, member_of(l, name), l->tag) < 0 ? NULL : text;
}

/* The lease's path, where it is still held by this tag. free; NULL: it isn't */
static char *held(const char *text)
{
	const char *tag = strrchr(text, ' ');
	cx_autofree char *path = tag ? strndup(text, (size_t)(tag - text)) : NULL;
	char target[TARGET];
	ssize_t n = path ? readlink(path, target, sizeof target) : -1;
	size_t size = path ? strlen(++tag) : 0;

	if (n < 0 || (size_t)n <= size || strncmp(target, tag, size) || target[size] != ' ')
		return NULL;
	return cx_steal_ptr(&path);
}

int cx_lease_is_held(const char *text)
{
	cx_autofree char *path = held(text);

	return path != NULL;
}

/* Only one's holder takes a lease away, so what was read as ours stays ours until it is unlinked. */
int cx_lease_return(const char *text)
{
	cx_autofree char *path = held(text);

	return path && unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- all of a network ---- */

enum { LABELS = TARGET / 2 };

static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++)
		*to++ = *text != '\\' || !text[1] ? *text : *++text == 'n' ? '\n' : *text;
	*to = '\0';
}

/* "TAG ID", and lines of labels; cut up where it stands. */
static void read_lease(char *target, const char **labels, struct cx_member *m)
{
	char *rest = target, *head = strsep(&rest, "\n"), *line;
	char *blank = strchr(head, ' ');
	int n = 0;

	m->id = blank ? blank + 1 : "";
	if (blank)
		*blank = '\0';
	snprintf(m->lease.tag, sizeof m->lease.tag, "%.16s", head);
	m->labels = rest && !*rest ? NULL : labels;
	while ((line = strsep(&rest, "\n")) && n < LABELS) {
		unescape(line);
		labels[n++] = line;
	}
	labels[n] = NULL;
}

int cx_lease_each(const struct cx_network *n, void (*each)(const struct cx_member *m, void *data), void *data)
{
	int fd = openat(n->dir, "members", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const char *labels[LABELS + 1];
	char target[TARGET];
	struct cx_member m;
	struct dirent *e;

	if (!dir) {
		int r = -errno;

		cx_closep(&fd);
		return r;
	}
	while ((e = readdir(dir))) {
		ssize_t size = e->d_name[0] == '.' ? -1 : readlinkat(fd, e->d_name, target, sizeof target - 1);

		if (size < 0)
			continue;
		target[size] = '\0';
		read_lease(target, labels, &m);
		m.lease.number = (uint32_t)strtoul(e->d_name, NULL, 10);
		if (each)
			each(&m, data);
		count++;
	}
	closedir(dir);
	return count;
}
