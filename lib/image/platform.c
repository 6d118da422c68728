/* Platforms: their names, and which runs what. */
#include "image/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include "image/refuse.h"

/* Names of machines (uname, Debian, people) that aren't Go's. */
static const struct { const char *name, *architecture, *variant; } aliases[] = {
	{ "x86_64", "amd64", "" }, { "x86-64", "amd64", "" }, { "i386", "386", "" }, { "i486", "386", "" },
	{ "i586", "386", "" }, { "i686", "386", "" }, { "aarch64", "arm64", "" }, { "armhf", "arm", "v7" },
	{ "armel", "arm", "v6" }, { "armv7l", "arm", "v7" }, { "armv6l", "arm", "v6" }, { "armv5l", "arm", "v5" },
	{ "armv8l", "arm", "v8" }, { "loongarch64", "loong64", "" },
};

static int copy_part(const char *from, char to[CX_PLATFORM_PART])
{
	size_t n = strlen(from);

	if (n >= CX_PLATFORM_PART)
		return -EINVAL;
	for (size_t i = 0; i <= n; i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	return strspn(to, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n && !(*to && strchr("._-", *to)) ? 0 : -EINVAL;
}

static void normalize(struct cx_platform *p)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(aliases); i++)
		if (!strcmp(p->architecture, aliases[i].name)) {
			strcpy(p->architecture, aliases[i].architecture);
			if (*aliases[i].variant)
				strcpy(p->variant, aliases[i].variant);
			break;
		}
	if (isdigit((unsigned char)p->variant[0]) && !p->variant[1]) {
		p->variant[1] = p->variant[0];
		p->variant[0] = 'v';
		p->variant[2] = '\0';
	}
	if ((!strcmp(p->architecture, "amd64") && !strcmp(p->variant, "v1"))
	    || (!strcmp(p->architecture, "arm64") && !strcmp(p->variant, "v8")) || !strcmp(p->architecture, "386"))
		p->variant[0] = '\0';
	else if (!strcmp(p->architecture, "arm") && !*p->variant)
		strcpy(p->variant, "v7");
}

int cx_platform_of(const char *os, const char *architecture, const char *variant, struct cx_platform *ret)
{
	struct cx_platform p;

	if (copy_part(os, p.os) < 0 || copy_part(architecture, p.architecture) < 0
	    || copy_part(variant ? variant : "", p.variant) < 0)
		return -EINVAL;
	normalize(&p);
	*ret = p;
	return 0;
}

/* The machine's, though a 32-bit program may be asking (PER_LINUX32 isn't). */
static int of_here(struct cx_platform *ret, conex_error **err)
{
	struct utsname u;

	if (uname(&u) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "uname", NULL, "the platform");
	if (cx_platform_of("linux", u.machine, NULL, ret) < 0)
		return cx_image_refuse(err, -EINVAL, "platform", u.machine, "give os/architecture");
	return 0;
}

int cx_platform_parse(const char *text, struct cx_platform *ret, conex_error **err)
{
	char parts[3][CX_PLATFORM_PART + 1] = { "", "", "" };
	struct cx_platform p;
	const char *at = text;
	int n = 0, good = 1;

	if (!text)
		return of_here(ret, err);
	for (;; n++) {
		size_t size = strcspn(at, "/");

		good = good && n < 3 && size > 0 && size < CX_PLATFORM_PART;
		if (!good)
			break;
		memcpy(parts[n], at, size);
		if (!at[size])
			break;
		at += size + 1;
	}
	if (good)
		good = cx_platform_of(n ? parts[0] : "linux", n ? parts[1] : parts[0], parts[2], &p) == 0;
	if (!good)
		return cx_image_refuse(err, -EINVAL, "platform", text, "write os/architecture or os/architecture/variant, as "
			"linux/amd64, linux/arm64, linux/arm/v7");
	*ret = p;
	return 0;
}

void cx_platform_print(const struct cx_platform *p, char text[CX_PLATFORM_TEXT])
{
	snprintf(text, CX_PLATFORM_TEXT, "%s/%s%s%s", p->os, p->architecture, *p->variant ? "/" : "", p->variant);
}

/* "v7" is 7; the usual variant what it stands for; others -1 */
static int level(const struct cx_platform *p)
{
	const char *v = p->variant;

	if (!*v)
		return !strcmp(p->architecture, "arm64") ? 8 : 1;
	return v[0] == 'v' && isdigit((unsigned char)v[1]) && !v[2] ? v[1] - '0' : -1;
}

int cx_platform_match(const struct cx_platform *wanted, const struct cx_platform *offered)
{
	int want = level(wanted), offer = level(offered);

	if (!*offered->os || strcmp(wanted->os, offered->os) || strcmp(wanted->architecture, offered->architecture))
		return 0;
	if (!strcmp(wanted->variant, offered->variant))
		return 100;
	if (strcmp(wanted->architecture, "arm") && strcmp(wanted->architecture, "arm64")
	    && strcmp(wanted->architecture, "amd64"))
		return *offered->variant ? 0 : 1;
	return want < 0 || offer < 0 || offer > want ? 0 : 50 - (want - offer);
}
