/* Indexes: which manifest is for which platform. */
#include "image/manifest-inside.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/str.h"
#include "image/refuse.h"

/* BuildKit's attestations are for unknown/unknown; others have an artifactType, which an image's manifest may
 * have, too: its config's type then. */
static int is_image(const json_t *from, const struct cx_offer *o)
{
	const char *artifact = cx_json_text(from, "artifactType");
	const json_t *annotations = json_object_get(from, "annotations");

	if (o->target.media != CX_MEDIA_MANIFEST && o->target.media != CX_MEDIA_INDEX)
		return 0;
	if (artifact && *artifact && cx_media_of(artifact, NULL) != CX_MEDIA_CONFIG)
		return 0;
	if (json_object_get(annotations, "vnd.docker.reference.type"))
		return 0;
	return strcmp(o->platform.os, "unknown") && strcmp(o->platform.architecture, "unknown");
}

static int read_offer(const json_t *from, size_t i, struct cx_offer *o, conex_error **err)
{
	const json_t *platform = cx_json_at(from, "platform");
	const char *os = cx_json_text(platform, "os"), *architecture = cx_json_text(platform, "architecture");
	char where[32];
	int r;

	snprintf(where, sizeof where, "manifests[%zu]", i);
	r = cx_descriptor_read(from, where, &o->target, err);
	if (r < 0)
		return r;
	if (platform && cx_platform_of(os, architecture, cx_json_text(platform, "variant"), &o->platform) < 0)
		return cx_document_refuse(err, -EINVAL, "manifest", architecture,
			"os, architecture and variant are short names of a-z 0-9 . _ -, as linux, arm64, v8", "%s.platform", where);
	o->is_image = is_image(from, o);
	return 0;
}

int cx_index_read(const json_t *root, struct cx_image_manifest *m, conex_error **err)
{
	const json_t *list = json_object_get(root, "manifests");
	int r = 0;

	m->offer_count = json_array_size(list);
	if (m->offer_count > CX_INDEX_MAX)
		return cx_document_refuse(err, -EINVAL, "manifest", NULL, "an index has at most 1024 entries", "manifests");
	m->offers = calloc(m->offer_count + 1, sizeof *m->offers);
	if (!m->offers)
		return cx_fail_memory(err);
	for (size_t i = 0; r == 0 && i < m->offer_count; i++)
		r = read_offer(json_array_get(list, i), i, &m->offers[i], err);
	return r;
}

/* All platforms that there are, as a mend. */
static int refuse_all(const struct cx_image_manifest *index, const struct cx_platform *wanted, conex_error **err)
{
	char want[CX_PLATFORM_TEXT], text[CX_PLATFORM_TEXT];
	cx_autostr there = { .data = NULL };
	size_t shown = 0;

	cx_platform_print(wanted, want);
	for (size_t i = 0; i < index->offer_count; i++) {
		if (!index->offers[i].is_image || !*index->offers[i].platform.os)
			continue;
		cx_platform_print(&index->offers[i].platform, text);
		if (shown++ < 16)
			cx_str_addf(&there, "%s%s", shown > 1 ? ", " : "", text);
	}
	return cx_image_refuse(err, -ENOENT, "platform", want, shown
		? "the image isn't made for it; it is there for %s%s" : "the index has no image at all%s%s",
		there.data ? there.data : "", shown > 16 ? " and more" : "");
}

int cx_image_manifest_choose(const struct cx_image_manifest *index, const struct cx_platform *wanted,
	const struct cx_descriptor **ret, conex_error **err)
{
	const struct cx_descriptor *best = NULL, *plain = NULL;
	int best_match = 0, plains = 0;

	for (size_t i = 0; i < index->offer_count; i++) {
		const struct cx_offer *o = &index->offers[i];
		int match = o->is_image ? cx_platform_match(wanted, &o->platform) : 0;

		if (match > best_match) {
			best = &o->target;
			best_match = match;
		} else if (o->is_image && !*o->platform.os) {
			plain = &o->target;
			plains++;
		}
	}
	if (!best && plains == 1)
		best = plain;
	if (!best)
		return refuse_all(index, wanted, err);
	if (best->size > CX_DOCUMENT_MAX)
		return cx_document_refuse(err, -EINVAL, "manifest", NULL, "a manifest has at most 4 MiB", "manifests[].size");
	*ret = best;
	return 0;
}
