/* Digests while the bytes stream by; stream.c asks for two at once. */
#include "image/worker/hash.h"

#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>

struct cx_hash {
	EVP_MD_CTX *md;
	const char *prefix;
	int failed;
};

static const struct { const char *prefix; size_t digits; const char *name; } algorithms[] = {
	{ "sha256:", 64, "SHA256" }, { "sha512:", 128, "SHA512" },
};

/* An index into algorithms, or -EINVAL: neither this one nor that, or not all of it. */
static int algorithm_of(const char *digest)
{
	for (size_t i = 0; digest && i < CX_ARRAY_SIZE(algorithms); i++) {
		const char *digits = digest + strlen(algorithms[i].prefix);

		if (!strncmp(digest, algorithms[i].prefix, strlen(algorithms[i].prefix)))
			return strlen(digits) == algorithms[i].digits
				&& strspn(digits, "0123456789abcdef") == algorithms[i].digits ? (int)i : -EINVAL;
	}
	return digest ? -EINVAL : 0;
}

int cx_hash_new(const char *digest, const char *what, struct cx_hash **ret, conex_error **err)
{
	int which = algorithm_of(digest);
	struct cx_hash *h;

	if (which < 0)
		return cx_refuse(err, -EINVAL, what, digest, "sha256: and 64, or sha512: and 128 digits 0-9 a-f");
	h = calloc(1, sizeof *h);
	if (!h)
		return cx_fail_memory(err);
	h->prefix = algorithms[which].prefix;
	h->md = EVP_MD_CTX_new();
	if (!h->md || !EVP_DigestInit_ex(h->md, EVP_get_digestbyname(algorithms[which].name), NULL)) {
		cx_hash_free(h);
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOSYS, NULL, "libcrypto doesn't offer it here", "%s of a layer",
			algorithms[which].name);
	}
	*ret = h;
	return 0;
}

void cx_hash_add(struct cx_hash *h, const void *data, size_t size)
{
	if (size && !EVP_DigestUpdate(h->md, data, size))
		h->failed = 1;
}

int cx_hash_end(struct cx_hash *h, char text[CX_LAYER_DIGEST])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (h->failed || !EVP_DigestFinal_ex(h->md, bytes, &n) || 7 + 2 * n >= CX_LAYER_DIGEST)
		return -EIO;
	text += sprintf(text, "%s", h->prefix);
	for (unsigned i = 0; i < n; i++)
		text += sprintf(text, "%02x", bytes[i]);
	return 0;
}

int cx_hash_alike(const struct cx_hash *a, const struct cx_hash *b)
{
	return a->prefix == b->prefix;
}

void cx_hash_free(struct cx_hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->md);
	free(h);
}
