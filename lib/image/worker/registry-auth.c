/* Logging in: a challenge becomes an Authorization header, by a token server (Docker's token and OAuth2 protocols)
 * or at once (Basic). Called by registry-judge.c after a 401. */
#include "image/worker/registry-parts.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/path.h"

#define SECOND INT64_C(1000000000)
#define TOKEN_MAX ((size_t)64 << 10)
#define LEAST 60                /* seconds that a token is good for when its server doesn't say */

#define autosecret cx_cleanup(cx_wipep) char

static void grant_free(struct cx_grant *g)
{
	free(g->scope);
	cx_wipep(&g->header);
	free(g);
}

void cx_auth_free(struct cx_registry *r)
{
	struct cx_grant *g;
	struct cx_known *k;

	while ((g = r->grants)) {
		r->grants = g->next;
		grant_free(g);
	}
	while ((k = r->known)) {
		r->known = k->next;
		cx_credentials_free(&k->credentials);
		free(k->host);
		free(k);
	}
}

/* ---- grants ----------------------------------------------------------------------------------- */

static int is_for(const struct cx_grant *g, const struct cx_endpoint *e, const char *scope)
{
	return g->endpoint == e && (!g->scope || (scope && !strcmp(g->scope, scope)));
}

const struct cx_grant *cx_auth_grant(const struct cx_registry *r, const struct cx_endpoint *e, const char *scope)
{
	int64_t now = cx_now_ns(CLOCK_MONOTONIC);

	for (const struct cx_grant *g = r->grants; g; g = g->next)
		if (is_for(g, e, scope) && g->until > now)
			return g;
	return NULL;
}

static void forget(struct cx_registry *r, const struct cx_endpoint *e, const char *scope)
{
	for (struct cx_grant **at = &r->grants; *at;) {
		struct cx_grant *g = *at;

		if (!is_for(g, e, scope)) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		grant_free(g);
	}
}

/* Takes `header`. */
static int grant(struct cx_registry *r, const struct cx_endpoint *e, const char *scope, char *header, int64_t until,
	conex_error **err)
{
	struct cx_grant *g = calloc(1, sizeof *g);

	if (g)
		g->header = header;
	else
		cx_wipep(&header);
	if (g && scope && !(g->scope = strdup(scope)))
		header = NULL;
	if (!g || !header) {
		if (g)
			grant_free(g);
		return cx_fail_memory(err);
	}
	g->endpoint = e;
	g->until = until;
	g->serial = ++r->serial;
	g->next = r->grants;
	r->grants = g;
	return 1;
}

/* ---- who we are ------------------------------------------------------------------------------- */

static const struct cx_credentials *ask(struct cx_registry *r, const char *host, conex_error **err)
{
	struct cx_known *k;
	int code;

	for (k = r->known; k; k = k->next)
		if (!strcmp(k->host, host))
			return &k->credentials;
	k = calloc(1, sizeof *k);
	if (!k || !(k->host = strdup(host))) {
		free(k);
		cx_fail_memory(err);
		return NULL;
	}
	code = r->credentials ? r->credentials(r->data, host, &k->credentials, err) : 0;
	if (code < 0) {
		free(k->host);
		free(k);
		return NULL;
	}
	k->next = r->known;
	r->known = k;
	return &k->credentials;
}

int cx_auth_is_known(const struct cx_registry *r, const char *host)
{
	for (const struct cx_known *k = r->known; k; k = k->next)
		if (!strcmp(k->host, host))
			return k->credentials.user || k->credentials.identity;
	return 0;
}

/* "Basic " and base64 of USER:PASSWORD; NULL without memory. */
static char *basic(const struct cx_credentials *c)
{
	autosecret *pair = NULL;
	size_t size;
	char *header;

	if (asprintf(&pair, "%s:%s", c->user, c->password) < 0) {
		pair = NULL;
		return NULL;
	}
	size = strlen(pair);
	header = malloc(6 + 4 * ((size + 2) / 3) + 1);
	if (header) {
		memcpy(header, "Basic ", 6);
		EVP_EncodeBlock((unsigned char *)header + 6, (const unsigned char *)pair, (int)size);
	}
	return header;
}

/* ---- token servers ---------------------------------------------------------------------------- */

/* Is this action in "pull,push"? */
static int has_action(const char *actions, size_t size, const char *action, size_t length)
{
	for (const char *p = actions, *end = actions + size; p < end; p += strcspn(p, ", ") + 1)
		if (strcspn(p, ", ") == length && !memcmp(p, action, length))
			return 1;
	return 0;
}

/* Does one of these scopes allow all that `one` does? Registries write actions in any order. */
static int covers(const char *list, const char *one)
{
	const char *actions = strrchr(one, ':');
	size_t size, named = actions ? (size_t)(actions + 1 - one) : 0;

	for (const char *p = list; named && *(p += strspn(p, " ")); p += size) {
		const char *a = one + named;

		size = strcspn(p, " ");
		if (size < named || memcmp(p, one, named))
			continue;
		while (*a && has_action(p + named, size - named, a, strcspn(a, ",")))
			a += strcspn(a, ",") + (a[strcspn(a, ",")] == ',');
		if (!*a)
			return 1;
	}
	return 0;
}

/* Our scopes, and those of the challenge that they don't cover, into `to`. */
static void add_scopes(struct cx_str *to, const char *ours, const char *theirs)
{
	cx_str_add(to, ours, strlen(ours));
	for (const char *p = theirs ? theirs : ""; *(p += strspn(p, " ")); p += strcspn(p, " ")) {
		cx_autofree char *one = strndup(p, strcspn(p, " "));

		if (!one)
			to->failed = -ENOMEM;
		else if (!covers(ours, one))
			cx_str_addf(to, " %s", one);
	}
}

/* Each scope as a parameter of its own. Takes `url`. */
static char *with_scopes(char *url, const char *scopes)
{
	for (const char *p = scopes; url && *(p += strspn(p, " ")); p += strcspn(p, " ")) {
		cx_autofree char *one = strndup(p, strcspn(p, " "));
		char *next = one ? cx_url_with(url, "scope", one) : NULL;

		free(url);
		url = next;
	}
	return url;
}

/* The scope as the endpoint calls it: a mirror's prefix is a part of the name. NULL without memory. */
static char *scope_at(const struct cx_endpoint *e, const char *scope)
{
	size_t size = strlen("repository:");
	char *text = NULL;

	if (!*e->prefix || strncmp(scope, "repository:", size))
		return strdup(scope);
	if (asprintf(&text, "repository:%s%s", e->prefix, scope + size) < 0)
		return NULL;
	return text;
}

/* The realm with what is asked of it. */
static char *token_url(const struct cx_challenges *c, const char *scopes, const char *account)
{
	char *url = strdup(c->realm), *next;

	if (url && c->service) {
		next = cx_url_with(url, "service", c->service);
		free(url);
		url = next;
	}
	if (url && account) {
		next = cx_url_with(url, "account", account);
		free(url);
		url = next;
	}
	return with_scopes(url, scopes);
}

static int add_field(CURL *easy, struct cx_str *to, const char *name, const char *value)
{
	char *text = value ? curl_easy_escape(easy, value, 0) : NULL;

	if (!value)
		return 0;
	if (!text)
		return -ENOMEM;
	cx_str_addf(to, "%s%s=%s", to->size ? "&" : "", name, text);
	explicit_bzero(text, strlen(text));
	curl_free(text);
	return to->failed;
}

/* The form that exchanges an identity token. */
static int form(struct cx_str *to, const struct cx_challenges *c, const char *scopes, const struct cx_credentials *who)
{
	const char *const fields[][2] = {
		{ "grant_type", "refresh_token" }, { "refresh_token", who->identity }, { "client_id", "conex" },
		{ "service", c->service }, { "scope", scopes },
	};
	CURL *easy = curl_easy_init();
	int r = easy ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < CX_ARRAY_SIZE(fields); i++)
		r = add_field(easy, to, fields[i][0], fields[i][1]);
	curl_easy_cleanup(easy);
	return r;
}

/* A header may hold nothing but visible ASCII. */
static int good_token(const char *token)
{
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return 0;
	return *token != '\0';
}

/* {"token" or "access_token", "expires_in"} */
static int take_token(struct cx_request *q, const struct cx_endpoint *e, const char *scope, conex_error **err)
{
	json_t *root = json_loadb(q->x.text.data ? q->x.text.data : "", q->x.text.size, 0, NULL);
	const char *token = json_string_value(json_object_get(root, "token"));
	json_int_t seconds = json_integer_value(json_object_get(root, "expires_in"));
	char *header = NULL;
	int r;

	if (!token || !*token)
		token = json_string_value(json_object_get(root, "access_token"));
	if (!token || !good_token(token)) {
		r = cx_request_fail(q, -EPROTO, "there is no usable token in its answer", NULL, err);
		json_decref(root);
		return r;
	}
	if (asprintf(&header, "Bearer %s", token) < 0)
		header = NULL;
	json_decref(root);
	if (!header)
		return cx_fail_memory(err);
	/* a tenth less, as it was under way */
	seconds = seconds < LEAST ? LEAST : seconds > 86400 ? 86400 : seconds;
	return grant(q->r, e, scope, header, cx_now_ns(CLOCK_MONOTONIC) + seconds * SECOND / 10 * 9, err);
}

static void wipe_str(struct cx_str *s)
{
	if (s->data)
		explicit_bzero(s->data, s->size);
	cx_str_free(s);
}

/* What is asked of the token server. 0, -ENOMEM. */
static int ask_for_token(struct cx_request *q, struct cx_str *body, char **header, const char *scope,
	const struct cx_challenges *c, const struct cx_credentials *who)
{
	cx_autostr scopes = { .data = NULL };
	int r = 0;

	if (scope)
		add_scopes(&scopes, scope, c->scope);
	if (!scope || scopes.failed)
		return -ENOMEM;
	if (who->identity) {
		q->method = "POST";
		q->type = "application/x-www-form-urlencoded";
		q->url = strdup(c->realm);
		r = form(body, c, scopes.data, who);
		q->send = body->data;
		q->send_size = body->size;
	} else {
		q->url = token_url(c, scopes.data, who->password ? who->user : NULL);
		if (who->user && who->password && !(*header = basic(who)))
			r = -ENOMEM;
		q->authorization = *header;
	}
	return q->url ? r : -ENOMEM;
}

/* Asks the token server. 1, or an error. */
static int fetch(struct cx_registry *r, const struct cx_endpoint *e, const char *scope,
	const struct cx_challenges *c, const struct cx_credentials *who, conex_error **err)
{
	cx_cleanup(wipe_str) struct cx_str body = { .data = NULL };
	cx_autofree char *there = scope_at(e, scope), *what = NULL;
	autosecret *header = NULL;
	struct cx_request q = { .r = r, .flags = CX_REQUEST_STRANGER, .method = "GET", .accept = "application/json",
		.limit = TOKEN_MAX };
	int code = asprintf(&what, "token for %s", scope) < 0 ? -ENOMEM : 0;

	q.what = what = code ? NULL : what;
	if (code == 0)
		code = ask_for_token(&q, &body, &header, there, c, who);
	code = code ? cx_fail_memory(err) : cx_request_run(&q, err);
	if (code == 0 && (q.x.status == 400 || q.x.status == 401 || q.x.status == 403))
		code = cx_request_fail(&q, -EACCES, NULL, who->user || who->identity
			? "it doesn't take the credentials: log in again" : "log in", err);
	else if (code == 0 && q.x.status != 200)
		code = cx_request_unexpected(&q, err);
	else if (code == 0)
		code = take_token(&q, e, scope, err);
	if (q.x.text.data)
		explicit_bzero(q.x.text.data, q.x.text.size);
	cx_request_end(&q);
	return code;
}

/* A password is shown to a realm of https only, but where the registry itself was allowed plain HTTP. */
static int check_realm(const struct cx_registry *r, const struct cx_endpoint *e, const char *realm, conex_error **err)
{
	cx_autofree char *origin = NULL;
	int code = cx_url_origin(realm, &origin);

	if (code == -ENOMEM)
		return cx_fail_memory(err);
	if (code == 0 && !strncmp(origin, "http:", 5) && !strncmp(e->origin, "https:", 6))
		code = -EACCES;
	if (code == 0)
		return 0;
	return cx_fail(err, CONEX_STAGE_IMAGE, code, code == -EACCES ? "its token server (realm) speaks plain HTTP"
		: "its token server (realm) isn't a URL of https", NULL, "%s (%s)", r->host, e->origin);
}

int cx_auth_login(struct cx_registry *r, const struct cx_endpoint *e, const char *scope, const char *challenges,
	uint64_t used, const char **ret_hint, conex_error **err)
{
	cx_cleanup(cx_challenges_free) struct cx_challenges c = { 0 };
	const struct cx_grant *now = cx_auth_grant(r, e, scope);
	const struct cx_credentials *who;
	char *header;
	int code;

	if (now && now->serial != used) /* another transfer was here before */
		return 1;
	if (!challenges || cx_challenges_parse(challenges, &c) < 0 || !(c.bearer || c.basic)) {
		*ret_hint = "it doesn't say how to log in: there is no Basic or Bearer in its WWW-Authenticate";
		return 0;
	}
	forget(r, e, scope);
	code = c.bearer ? check_realm(r, e, c.realm, err) : 0;
	who = code < 0 ? NULL : ask(r, e->host, err);
	if (!who)
		return code < 0 ? code : -EACCES;
	if (c.bearer)
		return fetch(r, e, scope, &c, who, err);
	if (!who->user || !who->password || used) {
		*ret_hint = used ? "it doesn't take this user and password: log in again"
			: "log in: no user and password are known for it";
		return 0;
	}
	header = basic(who);
	return header ? grant(r, e, NULL, header, INT64_MAX, err) : cx_fail_memory(err);
}
