/* conex-undo: the library's own recovery as a program. The keeper executes it when its host has died, with
 * the state directory as argument; by hand: conex-undo DIRECTORY. */
#include "container/container.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct cx_cgroups *cgroups = NULL;
	conex_error *err = NULL;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: conex-undo STATE-DIRECTORY\n");
		return 2;
	}
	r = cx_cgroups_detect(NULL, CX_DRIVER_CHOSEN, &cgroups, &err);
	if (r < 0) {
		fprintf(stderr, "conex-undo: %s\n", conex_error_text(err));
		conex_error_free(err);
		return 1;
	}
	r = cx_state_recover_path(argv[1], cx_undo_play, cgroups);
	if (r < 0)
		fprintf(stderr, "conex-undo: %s: %s\n", argv[1], strerrordesc_np(-r));
	cx_cgroups_prune(cgroups);
	cx_cgroups_free(cgroups);
	return r < 0;
}
