/* Manifests: what a tag or a digest stands for. Blobs are fetched after them, by registry-blobs.c. */
#include "image/worker/hash.h"
#include "image/worker/registry-parts.h"

#include <stdio.h>
#include <string.h>

#define ACCEPT \
	"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

void cx_registry_scope(const char *repository, int push, char to[CX_SCOPE_TEXT])
{
	snprintf(to, CX_SCOPE_TEXT, "repository:%s:pull%s", repository, push ? ",push" : "");
}

/* ---- manifests -------------------------------------------------------------------------------- */

void cx_manifest_free(struct cx_manifest *m)
{
	free(m->type);
	free(m->data);
	*m = (struct cx_manifest){ 0 };
}

/* A question about one manifest, and the texts it points into. */
struct question {
	struct cx_request q;
	char wanted[CX_DIGEST_TEXT], what[CX_DIGEST_TEXT + 16], scope[CX_SCOPE_TEXT];
};

static void ask(struct question *a, struct cx_registry *r, const struct cx_reference *reference, const char *method)
{
	cx_reference_wanted(reference, a->wanted);
	snprintf(a->what, sizeof a->what, "manifest %s", a->wanted);
	cx_registry_scope(reference->repository, 0, a->scope);
	a->q = (struct cx_request){ .r = r, .flags = CX_REQUEST_MIRRORS, .method = method,
		.repository = reference->repository, .what = a->what, .scope = a->scope, .accept = ACCEPT,
		.limit = CX_MANIFEST_MAX };
	if (asprintf(&a->q.path, "manifests/%s", a->wanted) < 0)
		a->q.path = NULL;       /* start says so */
}

/* The digest that the registry names, or none. */
static int named(struct cx_request *q, struct cx_digest *ret, conex_error **err)
{
	const char *text = q->x.answer.digest;
	int r;

	*ret = (struct cx_digest){ 0 };
	if (!text || !*text)
		return 0;
	r = cx_digest_parse(text, "Docker-Content-Digest", ret, NULL);
	if (r < 0)
		return cx_request_fail(q, r == -EOPNOTSUPP ? r : -EPROTO, "its Docker-Content-Digest is no digest", NULL, err);
	return 0;
}

/* The media type without parameters. */
static char *type_of(const struct cx_exchange *x)
{
	const char *type = x->answer.type ? x->answer.type : "";

	return strndup(type, strcspn(type, "; \t"));
}

static int mismatch(struct cx_request *q, const struct cx_digest *is, const char *whose, conex_error **err)
{
	char text[CX_DIGEST_TEXT];
	cx_autofree char *why = NULL;

	cx_digest_print(is, text);
	if (asprintf(&why, "what came is %s, not %s", text, whose) < 0)
		why = NULL;
	return cx_request_fail(q, -EBADMSG, why,
		"something between here and the registry changes it, or the registry is broken", err);
}

/* The body against both digests; *ret is what it is to be called. */
static int check(struct cx_request *q, const struct cx_digest *wanted, struct cx_digest *ret, conex_error **err)
{
	struct cx_digest theirs, is;
	const struct cx_digest *against[2] = { wanted, &theirs };
	const char *whose[2] = { "what was asked for", "what its Docker-Content-Digest says" };
	int r = named(q, &theirs, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < 2; i++) {
		if (!against[i]->algorithm)
			continue;
		if (cx_hash_of(against[i]->algorithm, q->x.text.data, q->x.text.size, &is) < 0)
			return cx_fail_memory(err);
		if (!cx_digest_equal(&is, against[i]))
			return mismatch(q, &is, whose[i], err);
	}
	if (wanted->algorithm)
		*ret = *wanted;
	else if (theirs.algorithm)
		*ret = theirs;
	else if (cx_hash_of(CX_DIGEST_SHA256, q->x.text.data, q->x.text.size, ret) < 0)
		return cx_fail_memory(err);
	return 0;
}

/* Is that a manifest's JSON at all? Hotels' networks answer everything with a page of their own. */
static int look(struct cx_request *q, conex_error **err)
{
	const char *text = q->x.text.data, *encoding = q->x.answer.encoding;

	if (encoding && *encoding && strcasecmp(encoding, "identity"))
		return cx_request_fail(q, -EPROTO, "its body is encoded, which wasn't asked for", NULL, err);
	if (!text || text[strspn(text, " \t\r\n")] != '{')
		return cx_request_fail(q, -EPROTO, text && text[strspn(text, " \t\r\n")] == '<'
			? "it is a page of HTML, no manifest" : "it is no manifest: there is no JSON object in it",
			"is there a proxy or a log-in page between here and the registry?", err);
	return 0;
}

static int take(struct question *a, const struct cx_reference *reference, struct cx_manifest *ret, conex_error **err)
{
	struct cx_manifest m = { 0 };
	int r;

	if (a->q.x.status != 200)
		return cx_request_unexpected(&a->q, err);
	r = look(&a->q, err);
	if (r == 0)
		r = check(&a->q, &reference->digest, &m.digest, err);
	if (r < 0)
		return r;
	m.size = a->q.x.text.size;
	m.type = type_of(&a->q.x);
	m.data = cx_str_take(&a->q.x.text);
	if (!m.type || !m.data) {
		cx_manifest_free(&m);
		return cx_fail_memory(err);
	}
	*ret = m;
	return 0;
}

int cx_registry_manifest(struct cx_registry *r, const struct cx_reference *reference, struct cx_manifest *ret,
	conex_error **err)
{
	struct question a;
	int code;

	ask(&a, r, reference, "GET");
	code = cx_request_run(&a.q, err);
	if (code == 0)
		code = take(&a, reference, ret, err);
	cx_request_end(&a.q);
	return code;
}

/* 1: the registry doesn't say enough. */
static int take_head(struct question *a, const struct cx_reference *reference, struct cx_manifest *ret,
	conex_error **err)
{
	struct cx_manifest m = { 0 };
	int r;

	/* some don't know HEAD */
	if (a->q.x.status == 405 || a->q.x.status == 501)
		return 1;
	if (a->q.x.status != 200)
		return cx_request_unexpected(&a->q, err);
	r = named(&a->q, &m.digest, err);
	if (r < 0)
		return r;
	if (!m.digest.algorithm || a->q.x.length > CX_MANIFEST_MAX)
		return 1;
	if (reference->digest.algorithm && m.digest.algorithm == reference->digest.algorithm
		&& !cx_digest_equal(&m.digest, &reference->digest))
		return mismatch(&a->q, &m.digest, "what was asked for", err);
	m.size = a->q.x.length;
	m.type = type_of(&a->q.x);
	if (!m.type)
		return cx_fail_memory(err);
	*ret = m;
	return 0;
}

int cx_registry_head(struct cx_registry *r, const struct cx_reference *reference, struct cx_manifest *ret,
	conex_error **err)
{
	struct question a;
	int code;

	ask(&a, r, reference, "HEAD");
	code = cx_request_run(&a.q, err);
	if (code == 0)
		code = take_head(&a, reference, ret, err);
	cx_request_end(&a.q);
	if (code <= 0)
		return code;
	code = cx_registry_manifest(r, reference, ret, err);
	if (code == 0)
		cx_freep(&ret->data);
	return code;
}
