/* Names, paths and properties of scopes: what systemd calls things, without systemd. */
#include "cgroup/scope.h"
#include "base/error.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 255 };               /* of a unit, at most */

/* ---- names ---- */

int cx_scope_is_slice_form(const char *path)
{
	const char *colon = path && *path != '/' ? strchr(path, ':') : NULL;

	colon = colon ? strchr(colon + 1, ':') : NULL;
	return colon && !strchr(colon + 1, ':');
}

static int unit_letters(const char *text, size_t n)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-") >= n;
}

/* "a-b.slice" is below "a.slice"; no part of it may be empty. "-.slice" is the root. */
int cx_scope_slice_valid(const char *slice)
{
	size_t n = strlen(slice), stem = n > 6 ? n - 6 : 0;

	if (!stem || n > NAME_SIZE || strcmp(slice + stem, ".slice") || !unit_letters(slice, n) || strchr(slice, '@'))
		return 0;
	if (stem == 1 && slice[0] == '-')
		return 1;
	return slice[0] != '-' && slice[stem - 1] != '-' && !strstr(slice, "--");
}

static int refuse(const char *path, const char *mend, conex_error **err)
{
	return cx_refuse(err, -EINVAL, "linux.cgroupsPath", path, "%s", mend);
}

/* Takes "slice:prefix:name" apart: slice and unit, each of `size`. */
static int parse(const char *default_slice, const char *path, const char *id, char *slice, char *unit, size_t size,
	conex_error **err)
{
	const char *prefix, *name;
	int middle, n;

	if (!path || !*path) {
		snprintf(slice, size, "%s", default_slice);
		snprintf(unit, size, "conex-%s.scope", id);
		return 0;
	}
	if (!cx_scope_is_slice_form(path))
		return refuse(path, "systemd's driver takes \"slice:prefix:name\", as \"system.slice:conex:web\"; for a path "
			"force the other one (conex_options.cgroup_driver = \"cgroupfs\")", err);
	prefix = strchr(path, ':') + 1;
	name = strchr(prefix, ':') + 1;
	middle = (int)(name - prefix) - 1;
	n = snprintf(slice, size, "%.*s", (int)(prefix - path) - 1, path);
	if (n == 0)
		n = snprintf(slice, size, "%s", default_slice);
	if ((size_t)n >= size || !cx_scope_slice_valid(slice))
		return refuse(path, "what stands before the first colon is the name of a slice, as \"machine.slice\" or "
			"\"a-b.slice\"; empty is the default one", err);
	n = snprintf(unit, size, "%.*s%s%s.scope", middle, prefix, middle ? "-" : "", name);
	if (!*name || n > NAME_SIZE || !unit_letters(unit, (size_t)n))
		return refuse(path, "of what stands behind the slice a unit is named: at most 248 of a-z A-Z 0-9 : _ . \\ @ -", err);
	return 0;
}

/* "a-b.slice" -> "a.slice/a-b.slice/" */
static void add_slices(struct cx_str *to, const char *slice)
{
	size_t stem = strlen(slice) - 6;

	if (!strcmp(slice, "-.slice"))
		return;
	for (size_t i = 1; i <= stem; i++)
		if (i == stem || slice[i] == '-')
			cx_str_addf(to, "%.*s.slice/", (int)i, slice);
}

int cx_scope_path(const char *root, const char *default_slice, const char *cgroups_path, const char *id, char **ret,
	conex_error **err)
{
	char slice[NAME_SIZE + 1], unit[NAME_SIZE + 1];
	cx_autostr path = { 0 };
	char *taken;
	int r = parse(default_slice, cgroups_path, id, slice, unit, sizeof unit, err);

	if (r < 0)
		return r;
	cx_str_addf(&path, "%s%s", root, *root ? "/" : "");
	add_slices(&path, slice);
	cx_str_addf(&path, "%s", unit);
	taken = cx_str_take(&path);
	if (!taken)
		return cx_fail_memory(err);
	*ret = taken;
	return 0;
}

/* ---- properties ---- */

enum kind { NUMBER, WEIGHT, IDLE, QUOTA, PERIOD, SET };

static const struct row { const char *file, *property; enum kind kind; } rows[] = {
	{ "memory.max", "MemoryMax", NUMBER },
	{ "memory.low", "MemoryLow", NUMBER },
	{ "memory.min", "MemoryMin", NUMBER },
	{ "memory.high", "MemoryHigh", NUMBER },
	{ "memory.swap.max", "MemorySwapMax", NUMBER },
	{ "pids.max", "TasksMax", NUMBER },
	{ "cpu.weight", "CPUWeight", WEIGHT },
	{ "cpu.idle", "CPUWeight", IDLE },
	{ "cpu.max", "CPUQuotaPerSecUSec", QUOTA },
	{ "cpu.max", "CPUQuotaPeriodUSec", PERIOD },
	{ "cpuset.cpus", "AllowedCPUs", SET },
	{ "cpuset.mems", "AllowedMemoryNodes", SET },
	{ "io.weight", "IOWeight", WEIGHT },
};

static int number(const char *text, uint64_t *ret)
{
	char *end;

	if (!strncmp(text, "max", 3)) {
		*ret = UINT64_MAX;
		return 1;
	}
	if (*text < '0' || *text > '9')
		return 0;
	*ret = strtoull(text, &end, 10);
	return !*end || *end == '\n' || *end == ' ';
}

/* "QUOTA [PERIOD]", of which systemd makes microseconds a second. It writes them down in whole percent: what isn't
 * one would become less at its next daemon-reload. */
static int quota(const char *text, uint64_t *ret)
{
	const char *rest = strchr(text, ' ');
	uint64_t given, period = 100000;

	if (!number(text, &given) || (rest && (!number(rest + 1, &period) || !period || period == UINT64_MAX)))
		return 0;
	*ret = given == UINT64_MAX ? given : (given * 100 + period - 1) / period * 10000;
	return 1;
}

static int period(const char *text, uint64_t *ret)
{
	const char *rest = strchr(text, ' ');

	return rest && number(rest + 1, ret);
}

/* "0-3,8" as bits. */
static int set(const char *text, struct cx_scope_property *p)
{
	for (const char *at = text; *at >= '0' && *at <= '9';) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = *end == '-' ? strtoul(end + 1, &end, 10) : first;

		if (last < first || last >= sizeof p->mask * 8)
			return 0;
		for (unsigned long n = first; n <= last; n++)
			p->mask[n / 8] |= (uint8_t)(1u << n % 8);
		if (p->mask_size < last / 8 + 1)
			p->mask_size = last / 8 + 1;
		at = *end == ',' ? end + 1 : end;
	}
	return p->mask_size > 0;
}

static int read_value(const struct row *row, const char *text, struct cx_scope_property *p)
{
	switch (row->kind) {
	case WEIGHT: /* io.weight reads "default 100"; weights of single devices are files alone */
		return number(text + (strncmp(text, "default ", 8) ? 0 : 8), &p->value) && !strchr(text, ':');
	case IDLE: /* 0 is systemd's word for it */
		return *text == '1';
	case QUOTA:
		return quota(text, &p->value);
	case PERIOD:
		return period(text, &p->value);
	case SET:
		return set(text, p);
	default:
		return number(text, &p->value);
	}
}

int cx_scope_properties(const char *file, const char *text, struct cx_scope_property ret[CX_SCOPE_PROPERTIES])
{
	int n = 0;

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows) && n < CX_SCOPE_PROPERTIES; i++)
		if (!strcmp(rows[i].file, file)) {
			ret[n] = (struct cx_scope_property){ .name = rows[i].property };
			n += read_value(&rows[i], text, &ret[n]);
		}
	return n;
}
