/* What the runtime-spec has and conex doesn't do: refused, never dropped in silence. */
#include "spec/check.h"

/* Few kernels have resctrl. An empty object asks for nothing. */
int cx_spec_check_unsupported(const json_t *root, conex_error **err)
{
	const json_t *rdt = cx_json_at(root, "linux.intelRdt");

	if (!rdt || json_is_null(rdt) || (json_is_object(rdt) && !json_object_size(rdt)))
		return 0;
	return cx_spec_refuse(err, -EOPNOTSUPP, rdt, "conex doesn't drive Intel RDT (resctrl): remove it",
		"linux.intelRdt");
}
