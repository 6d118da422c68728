/* Calls of conex whose error, if there is one, is shown and freed: CHECK_INT(TELL(conex_open(NULL, &cx, &err)), 0) */
#ifndef CONEX_TEST_TELL_H
#define CONEX_TEST_TELL_H

#include <stdio.h>
#include <conex/base.h>

static inline int told(int r, conex_error *err)
{
	if (r < 0)
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	return r;
}
#define TELL(call) ({ conex_error *err = NULL; int r_ = (call); told(r_, err); })

#endif
