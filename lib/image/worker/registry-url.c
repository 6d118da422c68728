/* URLs: libcurl's own reader takes them apart, so that what is checked here is what it connects to. */
#include "image/worker/registry-parse.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static void url_free(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void part_free(char **part)
{
	curl_free(*part);
}

#define autopart cx_cleanup(part_free) char

static char *part(CURLU *u, CURLUPart what, unsigned flags)
{
	char *text = NULL;

	return curl_url_get(u, what, &text, flags) == CURLUE_OK ? text : NULL;
}

/* http and https alone, with a host, without a user. 0, -EINVAL, -ENOMEM. */
static int check(CURLU *u)
{
	autopart *scheme = part(u, CURLUPART_SCHEME, 0);
	autopart *host = part(u, CURLUPART_HOST, 0);
	autopart *user = part(u, CURLUPART_USER, 0);
	autopart *password = part(u, CURLUPART_PASSWORD, 0);

	if (!scheme || !host || !*host || user || password)
		return -EINVAL;
	return strcmp(scheme, "https") && strcmp(scheme, "http") ? -EINVAL : 0;
}

/* A parsed URL (curl_url_cleanup), or NULL. */
static CURLU *parse(const char *url)
{
	CURLU *u = curl_url();

	if (u && (curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK || check(u) < 0)) {
		curl_url_cleanup(u);
		return NULL;
	}
	return u;
}

int cx_url_resolve(const char *base, const char *location, char **ret)
{
	cx_cleanup(url_free) CURLU *u = parse(base);
	autopart *before = NULL;
	autopart *after = NULL;
	autopart *url = NULL;

	if (!u)
		return -EINVAL;
	before = part(u, CURLUPART_SCHEME, 0);
	/* relative ones keep what base says; a fragment is no server's business */
	if (curl_url_set(u, CURLUPART_URL, location, CURLU_DISALLOW_USER | CURLU_URLENCODE) != CURLUE_OK || check(u) < 0)
		return -EINVAL;
	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	after = part(u, CURLUPART_SCHEME, 0);
	url = part(u, CURLUPART_URL, 0);
	if (!before || !after || !url)
		return -ENOMEM;
	if (!strcmp(before, "https") && strcmp(after, "https"))
		return -EACCES;
	*ret = strdup(url);
	return *ret ? 0 : -ENOMEM;
}

int cx_url_origin(const char *url, char **ret)
{
	cx_cleanup(url_free) CURLU *u = parse(url);
	autopart *scheme = NULL;
	autopart *host = NULL;
	autopart *port = NULL;

	if (!u)
		return -EINVAL;
	scheme = part(u, CURLUPART_SCHEME, 0);
	host = part(u, CURLUPART_HOST, 0);
	port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (!scheme || !host || !port)
		return -ENOMEM;
	for (char *p = host; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (asprintf(ret, "%s://%s:%s", scheme, host, port) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

char *cx_url_with(const char *url, const char *name, const char *value)
{
	cx_cleanup(url_free) CURLU *u = parse(url);
	cx_autofree char *query = NULL;
	autopart *text = NULL;

	if (!u)
		return NULL;
	if (asprintf(&query, "%s=%s", name, value) < 0) {
		query = NULL;
		return NULL;
	}
	/* encodes all but the first '=' */
	if (curl_url_set(u, CURLUPART_QUERY, query, CURLU_APPENDQUERY | CURLU_URLENCODE) != CURLUE_OK)
		return NULL;
	text = part(u, CURLUPART_URL, 0);
	return text ? strdup(text) : NULL;
}
