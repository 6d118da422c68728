/* What manifest.c and index.c share. */
#ifndef CX_IMAGE_MANIFEST_INSIDE_H
#define CX_IMAGE_MANIFEST_INSIDE_H

#include "image/document.h"
#include "image/manifest.h"

/* Of an object whose types are right. `where`: its path in the document. */
int cx_descriptor_read(const json_t *from, const char *where, struct cx_descriptor *ret, conex_error **err);
/* Types and ranges of what any manifest has, an artifact's, too: config and layers. */
int cx_manifest_check(const json_t *root, conex_error **err);
int cx_index_read(const json_t *root, struct cx_image_manifest *m, conex_error **err);

#endif
