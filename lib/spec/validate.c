/* Validation of a whole document: types by the schema (engine.c), then meaning, a file
 * a subject. */
#include "spec/check.h"

static size_t digits(const char *text)
{
	return strspn(text, "0123456789");
}

/* 1.MINOR.PATCH, then what semver allows: minor versions only ever add. */
static int check_version(const json_t *root, conex_error **err)
{
	const char *text = cx_json_text(root, "ociVersion"), *p = text;
	int right;

	if (!text)
		return 0;
	right = !strncmp(p, "1.", 2) && digits(p + 2) && p[2 + digits(p + 2)] == '.';
	if (right) {
		p += 2 + digits(p + 2) + 1;
		right = digits(p) && (!p[digits(p)] || strchr("-+", p[digits(p)]));
	}
	return right ? 0 : cx_spec_bad(err, json_object_get(root, "ociVersion"),
		"conex follows runtime-spec 1.x: write \"1.2.0\"", "ociVersion");
}

int cx_spec_check_types(const json_t *root, conex_error **err)
{
	if (!json_is_object(root))
		return cx_spec_bad(
			err, root, "a spec is an object: {...}", "the document");
	return cx_spec_check_fields(cx_spec_schema, root, err);
}

int cx_spec_validate(const json_t *root, conex_error **err)
{
	static int (*const checks[])(const json_t *, conex_error **) = {
		check_version, cx_spec_check_process, cx_spec_check_capabilities,
		cx_spec_check_namespaces, cx_spec_check_mappings, cx_spec_check_mounts,
		cx_spec_check_paths, cx_spec_check_sysctl, cx_spec_check_seccomp,
		cx_spec_check_resources, cx_spec_check_schedule,
		cx_spec_check_unsupported,
	};
	int r = cx_spec_check_types(root, err);

	for (size_t i = 0; r == 0 && i < CX_ARRAY_SIZE(checks); i++)
		r = checks[i](root, err);
	return r;
}
