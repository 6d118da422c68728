/* Digests while the bytes stream by, for all of the worker: layers, blobs, manifests. */
#include "image/worker/hash.h"

#include <openssl/evp.h>

struct cx_hash {
	EVP_MD_CTX *md;
	int algorithm;
	int failed;
};

struct cx_hash *cx_hash_begin(int algorithm)
{
	struct cx_hash *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->algorithm = algorithm;
	h->md = EVP_MD_CTX_new();
	if (h->md && EVP_DigestInit_ex(h->md, algorithm == CX_DIGEST_SHA512 ? EVP_sha512() : EVP_sha256(), NULL))
		return h;
	cx_hash_free(h);
	return NULL;
}

int cx_hash_new(const char *digest, const char *what, struct cx_hash **ret, conex_error **err)
{
	struct cx_digest d = { .algorithm = CX_DIGEST_SHA256 };

	if (digest && cx_digest_parse(digest, what, &d, NULL) < 0)
		return cx_refuse(err, -EINVAL, what, digest, "sha256: and 64, or sha512: and 128 digits 0-9 a-f");
	*ret = cx_hash_begin(d.algorithm);
	return *ret ? 0 : cx_fail_memory(err);
}

void cx_hash_add(struct cx_hash *h, const void *data, size_t size)
{
	if (size && !EVP_DigestUpdate(h->md, data, size))
		h->failed = 1;
}

int cx_hash_finish(struct cx_hash *h, struct cx_digest *ret)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];

	if (h->failed || !EVP_DigestFinal_ex(h->md, bytes, NULL))
		return -EIO;
	*ret = cx_digest_of(h->algorithm, bytes);
	return 0;
}

int cx_hash_end(struct cx_hash *h, char text[CX_DIGEST_TEXT])
{
	struct cx_digest d;
	int r = cx_hash_finish(h, &d);

	if (r == 0)
		cx_digest_print(&d, text);
	return r;
}

int cx_hash_alike(const struct cx_hash *a, const struct cx_hash *b)
{
	return a->algorithm == b->algorithm;
}

void cx_hash_free(struct cx_hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->md);
	free(h);
}

int cx_hash_of(int algorithm, const void *data, size_t size, struct cx_digest *ret)
{
	struct cx_hash *h = cx_hash_begin(algorithm);
	int r = -EIO;

	if (h) {
		cx_hash_add(h, data, size);
		r = cx_hash_finish(h, ret);
	}
	cx_hash_free(h);
	return r;
}
