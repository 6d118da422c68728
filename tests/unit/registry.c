/* What registries and files of credentials say, taken apart: good ones, and those written to lead astray. */
#include "image/credentials.h"
#include "image/worker/registry-parse.h"
#include "base/path.h"
#include "test.h"

/* ---- WWW-Authenticate ------------------------------------------------------------------------- */

struct challenge { const char *header; int basic, bearer; const char *realm, *service, *scope; };

static const struct challenge challenges[] = {
	{ "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/alpine:pull\"",
	  0, 1, "https://auth.docker.io/token", "registry.docker.io", "repository:library/alpine:pull" },
	{ "Basic realm=\"Registry Realm\"", 1, 0, NULL, NULL, NULL },
	{ "basic", 1, 0, NULL, NULL, NULL },
	{ "BEARER REALM=\"https://a/t\" , Service = x", 0, 1, "https://a/t", "x", NULL },
	{ "Basic realm=\"a\", Bearer realm=\"https://a/t\", scope=\"s\"", 1, 1, "https://a/t", NULL, "s" },
	{ "Bearer realm=\"https://a/t\", scope=\"s\", Basic realm=\"b\"", 1, 1, "https://a/t", NULL, "s" },
	/* a comma, an equals sign, a quote inside a quoted string */
	{ "Bearer realm=\"https://a/t?x=1,y=2\",scope=\"repository:a:pull,push repository:b:pull\",service=\"a\\\"b\\\\\"",
	  0, 1, "https://a/t?x=1,y=2", "a\"b\\", "repository:a:pull,push repository:b:pull" },
	/* schemes of others, with a token68, with parameters, with nothing */
	{ "Negotiate, Bearer realm=\"https://a/t\"", 0, 1, "https://a/t", NULL, NULL },
	{ "Negotiate YWJjZA==, Basic realm=\"b\"", 1, 0, NULL, NULL, NULL },
	{ "Digest realm=\"d\", nonce=\"n\", Bearer realm=\"https://a/t\"", 0, 1, "https://a/t", NULL, NULL },
	{ "Bearer realm=\"https://a/t\", Digest realm=\"https://evil/t\", scope=\"no\"", 0, 1, "https://a/t", NULL, NULL },
	/* the first Bearer counts, and the first of each name */
	{ "Bearer realm=\"https://a/t\", Bearer realm=\"https://b/t\", service=\"b\"", 0, 1, "https://a/t", NULL, NULL },
	{ "Bearer realm=\"https://a/t\", realm=\"https://b/t\"", 0, 1, "https://a/t", NULL, NULL },
	{ "Bearer scope=\"s\", realm=\"https://a/t\"", 0, 1, "https://a/t", NULL, "s" },
	{ ",, ,Bearer realm=\"https://a/t\",,", 0, 1, "https://a/t", NULL, NULL },
	/* nobody to ask */
	{ "Bearer", 0, 0, NULL, NULL, NULL },
	{ "Bearer realm=\"\"", 0, 0, "", NULL, NULL },
	{ "Bearer service=\"x\"", 0, 0, NULL, "x", NULL },
	{ "", 0, 0, NULL, NULL, NULL },
	{ "realm=\"https://a/t\"", 0, 0, NULL, NULL, NULL },
	{ "Bearerrealm=\"https://a/t\"", 0, 0, NULL, NULL, NULL },
	/* without an end; what came before stays */
	{ "Bearer realm=\"https://a/t", 0, 0, NULL, NULL, NULL },
	{ "Bearer realm=\"https://a/t\\", 0, 0, NULL, NULL, NULL },
	{ "Bearer realm=\"https://a/t\", scope=\"s", 0, 1, "https://a/t", NULL, NULL },
	{ "Bearer realm=", 0, 0, NULL, NULL, NULL },
	{ "Bearer =x", 0, 0, NULL, NULL, NULL },
	{ "Basic realm=\"x\"; charset=\"UTF-8\", Bearer realm=\"https://a/t\"", 1, 0, NULL, NULL, NULL },
	{ "\x01\x02\xff", 0, 0, NULL, NULL, NULL },
};

TEST(challenges)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(challenges); i++) {
		const struct challenge *want = &challenges[i];
		struct cx_challenges c = { 0 };
		int good = CHECK_INT(cx_challenges_parse(want->header, &c), 0) & CHECK_INT(c.basic, want->basic)
			& CHECK_INT(c.bearer, want->bearer) & CHECK_STR(c.realm, want->realm)
			& CHECK_STR(c.service, want->service) & CHECK_STR(c.scope, want->scope);

		if (!good)
			printf("# it was: %s\n", want->header);
		cx_challenges_free(&c);
	}
}

/* ---- ranges ----------------------------------------------------------------------------------- */

TEST(content_ranges)
{
	static const struct { const char *header; int r; uint64_t first, last, total; } rows[] = {
		{ "bytes 5-9/10", 0, 5, 9, 10 }, { "bytes 0-0/1", 0, 0, 0, 1 }, { "Bytes 0-9/*", 0, 0, 9, UINT64_MAX },
		{ "bytes */10", 0, 1, 0, 10 }, { "  bytes\t5-9/10 ", 0, 5, 9, 10 },
		{ "bytes 0-18446744073709551613/18446744073709551614", 0, 0, UINT64_MAX - 2, UINT64_MAX - 1 },
		{ "bytes 9-5/10", -EINVAL, 0, 0, 0 }, { "bytes 5-10/10", -EINVAL, 0, 0, 0 },
		{ "bytes 5-9", -EINVAL, 0, 0, 0 }, { "bytes -5-9/10", -EINVAL, 0, 0, 0 }, { "bytes +5-9/10", -EINVAL, 0, 0, 0 },
		{ "bytes 5 - 9/10", -EINVAL, 0, 0, 0 }, { "bytes 5-9/10x", -EINVAL, 0, 0, 0 },
		{ "bytes 5-9/", -EINVAL, 0, 0, 0 }, { "bytes */*", -EINVAL, 0, 0, 0 }, { "bytes=5-9/10", -EINVAL, 0, 0, 0 },
		{ "lines 5-9/10", -EINVAL, 0, 0, 0 }, { "", -EINVAL, 0, 0, 0 }, { "bytes", -EINVAL, 0, 0, 0 },
		{ "bytes 0-18446744073709551615/*", -EINVAL, 0, 0, 0 }, { "bytes 0-18446744073709551616/*", -EINVAL, 0, 0, 0 },
		{ "bytes 99999999999999999999-9/10", -EINVAL, 0, 0, 0 }, { "bytes 0x5-0x9/10", -EINVAL, 0, 0, 0 },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++) {
		uint64_t first = 0, last = 0, total = 0;
		int good = CHECK_INT(cx_content_range_parse(rows[i].header, &first, &last, &total), rows[i].r)
			& CHECK(first == rows[i].first) & CHECK(last == rows[i].last) & CHECK(total == rows[i].total);

		if (!good)
			printf("# it was: %s\n", rows[i].header);
	}
}

TEST(upload_ranges)
{
	static const struct { const char *header; int r; uint64_t has; } rows[] = {
		{ "0-9", 0, 10 }, { "bytes=0-9", 0, 10 }, { "0-0", 0, 1 }, { " 0-9 ", 0, 10 },
		{ "1-9", -EINVAL, 7 }, { "0-", -EINVAL, 7 }, { "-9", -EINVAL, 7 }, { "0--1", -EINVAL, 7 }, { "", -EINVAL, 7 },
		{ "0-9/10", -EINVAL, 7 }, { "0-18446744073709551615", -EINVAL, 7 }, { "bytes 0-9", -EINVAL, 7 },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++) {
		uint64_t has = 7;

		if (!(CHECK_INT(cx_upload_range_parse(rows[i].header, &has), rows[i].r) & CHECK_INT(has, rows[i].has)))
			printf("# it was: %s\n", rows[i].header);
	}
}

/* ---- URLs ------------------------------------------------------------------------------------- */

TEST(locations)
{
	static const struct { const char *base, *location; int r; const char *url; } rows[] = {
		{ "https://r/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/1?_state=x%2By%3D", 0,
		  "https://r/v2/a/blobs/uploads/1?_state=x%2By%3D" },
		{ "https://r/v2/a/blobs/uploads/", "1", 0, "https://r/v2/a/blobs/uploads/1" },
		{ "https://r/v2/x", "?a=b", 0, "https://r/v2/x?a=b" },
		{ "https://r:5000/v2/x", "//cdn/y", 0, "https://cdn/y" },
		{ "https://r/x", "https://cdn:8443/y?sig=a%2Fb&z#part", 0, "https://cdn:8443/y?sig=a%2Fb&z" },
		{ "http://r/x", "https://cdn/y", 0, "https://cdn/y" },
		{ "http://r/x", "http://cdn/y", 0, "http://cdn/y" },
		{ "https://r/x", "http://r/y", -EACCES, NULL },
		{ "https://r/x", "HTTP://r/y", -EACCES, NULL },
		{ "https://r/x", "file:///etc/shadow", -EINVAL, NULL },
		{ "https://r/x", "gopher://r/x", -EINVAL, NULL },
		{ "https://r/x", "ftp://r/x", -EINVAL, NULL },
		{ "https://r/x", "javascript:alert(1)", -EINVAL, NULL },
		{ "https://r/x", "https://user:password@evil/x", -EINVAL, NULL },
		{ "https://r/x", "https://user@evil/x", -EINVAL, NULL },
		{ "https://r/x", "https://", -EINVAL, NULL },
		{ "https://r/x", "https://a b/", -EINVAL, NULL },
		{ "https://r/x", "https://r:99999/", -EINVAL, NULL },
		{ "nonsense", "/x", -EINVAL, NULL },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++) {
		char *url = NULL;

		if (!(CHECK_INT(cx_url_resolve(rows[i].base, rows[i].location, &url), rows[i].r) & CHECK_STR(url, rows[i].url)))
			printf("# it was: %s from %s\n", rows[i].location, rows[i].base);
		free(url);
	}
}

TEST(origins)
{
	static const struct { const char *url; int r; const char *origin; } rows[] = {
		{ "https://Registry.Example/v2/", 0, "https://registry.example:443" },
		{ "http://localhost:5000", 0, "http://localhost:5000" },
		{ "http://localhost", 0, "http://localhost:80" },
		{ "https://[2001:db8::1]:5000/x", 0, "https://[2001:db8::1]:5000" },
		{ "https://a@b/", -EINVAL, NULL }, { "file:///x", -EINVAL, NULL }, { "x", -EINVAL, NULL }, { "", -EINVAL, NULL },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++) {
		char *origin = NULL;

		CHECK_INT(cx_url_origin(rows[i].url, &origin), rows[i].r);
		CHECK_STR(origin, rows[i].origin);
		free(origin);
	}
}

TEST(parameters)
{
	char *url = cx_url_with("https://a/t?x=1", "scope", "repository:a/b:pull,push&admin=1");

	CHECK_STR(url, "https://a/t?x=1&scope=repository%3aa%2fb%3apull%2cpush%26admin%3d1");
	free(url);
	CHECK_STR(cx_url_with("nonsense", "a", "b"), NULL);
}

/* ---- errors ----------------------------------------------------------------------------------- */

TEST(words)
{
	static const struct { const char *body, *words; } rows[] = {
		{ "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\",\"detail\":{}}]}",
		  "MANIFEST_UNKNOWN: manifest unknown" },
		{ "{\"errors\":[{\"code\":\"DENIED\"}]}", "DENIED" },
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"no\"}", "invalid_grant: no" },
		{ "{\"details\":\"incorrect username or password\"}", "incorrect username or password" },
		{ "{\"message\":\"a\\u001b[2Jb\\nc\"}", "a\\x1b[2Jb\\x0ac" },
		{ "{\"errors\":[]}", "" }, { "{\"errors\":{}}", "" }, { "[]", "" }, { "<html>", "" }, { "", "" },
		{ "{\"errors\":[{\"code\":1,\"message\":[]}]}", "" }, { "{\"errors\":[3]}", "" },
	};
	char *large = calloc(1, 100000);

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++) {
		cx_autostr s = { .data = NULL };

		cx_words_of_error(rows[i].body, strlen(rows[i].body), &s);
		CHECK_STR(s.data ? s.data : "", rows[i].words);
	}
	strcpy(large, "{\"message\":\"");
	memset(large + 12, 'x', 90000);
	strcpy(large + 90012, "\"}");
	{
		cx_autostr s = { .data = NULL };

		cx_words_of_error(large, strlen(large), &s);
		CHECK_INT(s.size, 203);
	}
	free(large);
}

/* ---- credentials ------------------------------------------------------------------------------ */

#define A "\"auth\":\"YTpi\""           /* a:b */
#define C "\"auth\":\"Yzpk\""           /* c:d */

struct auth { const char *text, *host, *repository; int r; const char *user, *password, *identity, *helper, *server; };

static const struct auth auths[] = {
	{ "{\"auths\":{\"r.example\":{" A "}}}", "r.example", "x/y", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":{\"r.example\":{" A "}}}", "s.example", "x/y", 0, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"r.example\":{" A "}}}", "r.example:443", "x/y", 0, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"localhost:5000\":{" A "}}}", "localhost:5000", "x", 1, "a", "b", NULL, NULL, NULL },
	/* the longest prefix wins; a part of a name is no prefix */
	{ "{\"auths\":{\"r.example\":{" A "},\"r.example/x\":{" C "}}}", "r.example", "x/y", 1, "c", "d", NULL, NULL, NULL },
	{ "{\"auths\":{\"r.example\":{" A "},\"r.example/x/y\":{" C "}}}", "r.example", "x/y", 1, "c", "d", NULL, NULL, NULL },
	{ "{\"auths\":{\"r.example\":{" A "},\"r.example/x\":{" C "}}}", "r.example", "xy", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":{\"r.example/x\":{" C "}}}", "r.example", "z/x", 0, NULL, NULL, NULL, NULL, NULL },
	/* Docker's old keys */
	{ "{\"auths\":{\"https://index.docker.io/v1/\":{" A "}}}", "docker.io", "library/x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":{\"index.docker.io\":{" A "}}}", "docker.io", "library/x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":{\"docker.io\":{" C "},\"https://index.docker.io/v1/\":{" A "}}}", "docker.io", "x/y", 1, "c", "d", NULL, NULL, NULL },
	{ "{\"auths\":{\"https://r.example/v2/\":{" A "}}}", "r.example", "x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":{\"https://r.example/evil/\":{" A "}}}", "r.example", "x", 0, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"ftp://r.example\":{" A "}}}", "r.example", "x", 0, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"https://r.example.evil/v1/\":{" A "}}}", "r.example", "x", 0, NULL, NULL, NULL, NULL, NULL },
	/* other forms of one entry */
	{ "{\"auths\":{\"r\":{\"username\":\"u\",\"password\":\"p:q\"}}}", "r", "x", 1, "u", "p:q", NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{\"auth\":\"YTpiOmM=\"}}}", "r", "x", 1, "a", "b:c", NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{\"auth\":\"YTpiAAA=\"}}}", "r", "x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{\"auth\":\"YTo=\",\"identitytoken\":\"t\"}}}", "r", "x", 1, "a", "", "t", NULL, NULL },
	{ "{\"auths\":{\"r\":{\"identitytoken\":\"t\"}}}", "r", "x", 1, NULL, NULL, "t", NULL, NULL },
	{ "{\"auths\":{\"r\":{}}}", "r", "x", 0, NULL, NULL, NULL, NULL, NULL },
	/* helpers are named, not run */
	{ "{\"credHelpers\":{\"r\":\"ecr-login\"},\"auths\":{\"r\":{" A "}}}", "r", "x", 1, NULL, NULL, NULL, "ecr-login", "r" },
	{ "{\"credHelpers\":{\"r\":\"ecr-login\"}}", "s", "x", 0, NULL, NULL, NULL, NULL, NULL },
	{ "{\"credHelpers\":{\"r\":\"\"},\"auths\":{\"r\":{" A "}}}", "r", "x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"credsStore\":\"desktop\",\"auths\":{\"https://index.docker.io/v1/\":{}}}", "docker.io", "x/y", 1, NULL, NULL, NULL,
	  "desktop", "https://index.docker.io/v1/" },
	{ "{\"credsStore\":\"pass\",\"auths\":{\"r\":{" A "}}}", "r", "x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"credsStore\":\"pass\"}", "r", "x", 1, NULL, NULL, NULL, "pass", "r" },
	{ "{\"credsStore\":\"../../evil\"}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"credsStore\":\"a b\"}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"credHelpers\":{\"r\":\".hidden\"}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	/* broken ones: said when they are for this host */
	{ "{\"auths\":{\"r\":{\"auth\":\"YTpi=\"}}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{\"auth\":\"YWI=\"}}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{\"auth\":\"Y*pi\"}}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{\"password\":\"p\"}}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":\"YTpi\"}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"s\":{\"auth\":\"***\"},\"r\":{" A "}}}", "r", "x", 1, "a", "b", NULL, NULL, NULL },
	{ "{\"auths\":[]}", "r", "x", 0, NULL, NULL, NULL, NULL, NULL },
	{ "{}", "r", "x", 0, NULL, NULL, NULL, NULL, NULL },
	{ "[]", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
	{ "{\"auths\":{\"r\":{" A "}}", "r", "x", -EINVAL, NULL, NULL, NULL, NULL, NULL },
};

TEST(auth_files)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(auths); i++) {
		const struct auth *want = &auths[i];
		cx_autocredentials c = { 0 };
		conex_error *err = NULL;
		int good = CHECK_INT(cx_credentials_parse(want->text, strlen(want->text), "f", want->host, want->repository, &c,
			&err), want->r) & CHECK_STR(c.user, want->user) & CHECK_STR(c.password, want->password)
			& CHECK_STR(c.identity, want->identity) & CHECK_STR(c.helper, want->helper)
			& CHECK_STR(c.server, want->server) & CHECK((want->r < 0) == (err != NULL));

		if (!good)
			printf("# it was: %s\n", want->text);
		conex_error_free(err);
	}
}

/* Whatever is wrong, a secret is never part of the words. */
TEST(secrets_are_not_shown)
{
	static const char *const texts[] = {
		"{\"auths\":{\"r\":{\"auth\":\"SECRET\"}}}", "{\"auths\":{\"r\":{\"auth\":\"SECRET}}}",
		"{\"auths\":{\"r\":{\"password\":\"SECRET\"}}}", "{\"auths\":{\"r\":{\"auth\":\"a\" SECRET}}}",
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(texts); i++) {
		cx_autocredentials c = { 0 };
		conex_error *err = NULL;

		CHECK_INT(cx_credentials_parse(texts[i], strlen(texts[i]), "f", "r", "x", &c, &err), -EINVAL);
		CHECK(err && !strstr(conex_error_text(err), "SECRET"));
		conex_error_free(err);
	}
}

TEST(helpers_answers)
{
	static const struct { const char *text; int r; const char *user, *password, *identity; } rows[] = {
		{ "{\"ServerURL\":\"r\",\"Username\":\"u\",\"Secret\":\"s\"}", 1, "u", "s", NULL },
		{ "{\"Username\":\"<token>\",\"Secret\":\"s\"}", 1, "<token>", NULL, "s" },
		{ "{\"Username\":\"u\"}", -EINVAL, NULL, NULL, NULL }, { "{\"Username\":1,\"Secret\":\"s\"}", -EINVAL, NULL, NULL, NULL },
		{ "credentials not found in native keychain", -EINVAL, NULL, NULL, NULL },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++) {
		cx_autocredentials c = { 0 };

		CHECK_INT(cx_credentials_answer(rows[i].text, strlen(rows[i].text), "pass", &c, NULL), rows[i].r);
		CHECK_STR(c.user, rows[i].user);
		CHECK_STR(c.password, rows[i].password);
		CHECK_STR(c.identity, rows[i].identity);
	}
}

static void put(const char *directory, const char *name, const char *text)
{
	char path[256], *slash;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	CHECK_INT(cx_mkdirs(AT_FDCWD, path, 0700), 0);
	*slash = '/';
	f = fopen(path, "w");
	if (CHECK(f != NULL)) {
		fputs(text, f);
		fclose(f);
	}
}

static void is_found(const struct cx_credentials_places *p, int r, const char *user)
{
	cx_autocredentials c = { 0 };

	CHECK_INT(cx_credentials_find(p, "r", "x", &c, NULL), r);
	CHECK_STR(c.user, user);
}

/* Containers' file before Docker's; the first that knows the host decides. */
TEST(places)
{
	char top[] = "/tmp/conex-auth-XXXXXX", run[64], file[96];
	struct cx_credentials_places p = { .home = top };
	char command[96];

	CHECK(mkdtemp(top) != NULL);
	snprintf(run, sizeof run, "%s/run", top);
	snprintf(file, sizeof file, "%s/none.json", top);
	is_found(&p, 0, NULL);
	put(top, ".docker/config.json", "{\"auths\":{\"r\":{\"username\":\"docker\",\"password\":\"p\"}}}");
	is_found(&p, 1, "docker");
	put(top, ".config/containers/auth.json", "{\"auths\":{\"other\":{" A "}}}");
	is_found(&p, 1, "docker");
	put(top, ".config/containers/auth.json", "{\"auths\":{\"r\":{\"username\":\"config\",\"password\":\"p\"}}}");
	is_found(&p, 1, "config");
	p.runtime_dir = run;
	is_found(&p, 1, "config");
	put(run, "containers/auth.json", "{\"auths\":{\"r\":{\"username\":\"run\",\"password\":\"p\"}}}");
	is_found(&p, 1, "run");
	put(run, "containers/auth.json", "{");
	is_found(&p, -EINVAL, NULL);
	p.file = file;
	is_found(&p, -ENOENT, NULL);
	put(top, "none.json", "{\"auths\":{}}");
	is_found(&p, 0, NULL);
	snprintf(command, sizeof command, "rm -rf %s", top);
	CHECK_INT(system(command), 0);
}

int main(void)
{
	RUN(challenges);
	RUN(content_ranges);
	RUN(upload_ranges);
	RUN(locations);
	RUN(origins);
	RUN(parameters);
	RUN(words);
	RUN(auth_files);
	RUN(secrets_are_not_shown);
	RUN(helpers_answers);
	RUN(places);
	return test_end();
}
