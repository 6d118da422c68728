/* Whom members ask for names that the network doesn't know: resolv.conf(5), from the host's. */
#include "network/names.h"
#include "base/error.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST = 64 * 1024 };

static const char *word_behind(const char *line, const char *keyword)
{
	size_t n = strlen(keyword);

	if (strncmp(line, keyword, n) || (line[n] != ' ' && line[n] != '\t'))
		return NULL;
	return line + n + strspn(line + n, " \t");
}

/* An address of the host's loopback means another machine inside; a link's address means nothing there. */
static int is_reachable(const char *server)
{
	struct in6_addr *v6;
	struct cx_address a;

	if (cx_address_parse(server, &a) < 0)
		return 0;
	v6 = (struct in6_addr *)a.byte;
	return a.family == AF_INET ? a.byte[0] != 127 && a.byte[0] != 0
		: !IN6_IS_ADDR_LOOPBACK(v6) && !IN6_IS_ADDR_LINKLOCAL(v6) && !IN6_IS_ADDR_UNSPECIFIED(v6);
}

static int take_line(const char *line, int with_servers, struct cx_str *to)
{
	static const char *const kept[] = { "search", "domain", "options" };
	const char *server = word_behind(line, "nameserver");
	char address[INET6_ADDRSTRLEN];

	if (server) {
		snprintf(address, sizeof address, "%.*s", (int)strcspn(server, " \t\r"), server);
		if (!with_servers || !is_reachable(address))
			return 0;
		cx_str_addf(to, "nameserver %s\n", address);
		return 1;
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(kept); i++)
		if (word_behind(line, kept[i]))
			cx_str_addf(to, "%s\n", line);
	return 0;
}

static int filter(const char *host, int with_servers, struct cx_str *to)
{
	cx_autofree char *copy = strdup(host);
	char *rest = copy, *line;
	int servers = 0;

	if (!copy)
		to->failed = -ENOMEM;
	while (copy && (line = strsep(&rest, "\n")))
		servers += take_line(line, with_servers, to);
	return servers;
}

void cx_resolv_add_host(struct cx_str *to, const char *const *servers)
{
	cx_autofree char *text = NULL;

	for (; *servers; servers++)
		cx_str_addf(to, "nameserver %s\n", *servers);
	if (cx_file_load(AT_FDCWD, "/etc/resolv.conf", LARGEST, &text) > 0)
		filter(text, 0, to);
}

/* systemd-resolved's stub listens on 127.0.0.53; whom it asks itself is in its other file. */
static void add_host(struct cx_str *to)
{
	static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(files); i++) {
		cx_autofree char *text = NULL;
		cx_autostr some = { 0 };

		if (cx_file_load(AT_FDCWD, files[i], LARGEST, &text) < 0)
			continue;
		if (filter(text, 1, &some) > 0 || i > 0) {
			cx_str_addf(to, "%s", some.data ? some.data : "");
			return;
		}
	}
}

static int replace(int dir, const char *name, const struct cx_str *text)
{
	cx_autofree char *now = NULL;
	int r;

	if (cx_file_load(dir, name, LARGEST, &now) == (ssize_t)text->size && !memcmp(now, text->data, text->size))
		return 0;
	unlinkat(dir, ".new", 0);
	r = cx_file_create(dir, ".new", text->data, text->size, 0644);
	return r == 0 && renameat(dir, ".new", dir, name) < 0 ? -errno : r;
}

int cx_resolv_write(const struct cx_network *n, const char *tag, const char *lines)
{
	cx_autoclose int dir = cx_hosts_lock(n);
	cx_autostr text = { 0 };
	char name[32];

	if (dir < 0)
		return dir;
	snprintf(name, sizeof name, "%s.resolv", tag ? tag : "shared");
	if (lines)
		cx_str_addf(&text, "%s", lines);
	else if (n->flags & CONEX_NETWORK_INTERNAL)
		cx_str_addf(&text, "# network %s has no way out\n", n->name);
	else
		add_host(&text);
	cx_str_add(&text, "", 0);
	return text.failed ? text.failed : replace(dir, name, &text);
}

char *cx_resolv_path(const struct cx_network *n, const char *tag)
{
	char *path;

	return asprintf(&path, "%s/hosts/%s.resolv", n->path, tag ? tag : "shared") < 0 ? NULL : path;
}

/* A server's address, or a line of search or options. */
int cx_resolv_check(const char *line, const char *where, conex_error **err)
{
	struct cx_address a;

	if (strpbrk(line, "\n\r"))
		return cx_refuse(err, -EINVAL, where, line, "one line");
	if (cx_address_parse(line, &a) < 0 && !word_behind(line, "search") && !word_behind(line, "options"))
		return cx_refuse(err, -EINVAL, where, line, "a server's address, \"search DOMAIN ...\" or \"options ...\"");
	return 0;
}
