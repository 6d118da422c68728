/* Who we are to a registry: what containers' auth.json and Docker's config.json say about a host. They are read
 * on the host's side (a locked-down worker sees no home directory); helpers are named here, never executed. */
#ifndef CX_IMAGE_CREDENTIALS_H
#define CX_IMAGE_CREDENTIALS_H

#include <conex/base.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>
#include "base/cleanup.h"

/* A secret text, on its way out (also as a cleanup): overwritten, freed, NULL. */
static inline void cx_wipep(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

/* Either user and password; or identity, a token that is exchanged for others (user may be there, too); or
 * helper: the program docker-credential-HELPER is to be asked "get" for `server`. All NULL: nobody. */
struct cx_credentials {
	char *user, *password, *identity;
	char *helper, *server;
};

/* Wipes what was secret. */
void cx_credentials_free(struct cx_credentials *c);
/* All texts in it, down to the leaves: before its last json_decref. NULL is fine. */
void cx_credentials_wipe(json_t *json);

#define cx_autocredentials cx_cleanup(cx_credentials_free) struct cx_credentials

/* The environment that names the files; NULL: not set. Nothing is taken from the process itself. */
struct cx_credentials_places {
	const char *file;               /* this and no other; it must exist */
	const char *registry_auth_file; /* REGISTRY_AUTH_FILE */
	const char *runtime_dir;        /* XDG_RUNTIME_DIR */
	const char *run_file;           /* without that: /run/containers/UID/auth.json */
	const char *config_home;        /* XDG_CONFIG_HOME */
	const char *docker_config;      /* DOCKER_CONFIG */
	const char *home;               /* HOME */
};

/* What is known about `host` ("docker.io", "localhost:5000") for pulling or pushing `repository`
 * (containers-auth.json(5): the longest matching prefix wins). The first file that knows anything decides.
 * 1: *ret is set; 0: nothing is known; or -EINVAL, -ENOMEM ... with an error that never shows a secret. */
int cx_credentials_find(const struct cx_credentials_places *places, const char *host, const char *repository,
	struct cx_credentials *ret, conex_error **err);
/* The same for one file's text; `file` is what errors call it. */
int cx_credentials_parse(const char *text, size_t size, const char *file, const char *host,
	const char *repository, struct cx_credentials *ret, conex_error **err);
/* What a helper printed: {"Username", "Secret"}; the user "<token>" makes the secret an identity token. */
int cx_credentials_answer(const char *text, size_t size, const char *helper, struct cx_credentials *ret,
	conex_error **err);

/* Base64 (RFC 4648, with padding) into *ret (free; NUL-terminated). Bytes, -EINVAL, -ENOMEM. */
long cx_credentials_decode(const char *text, char **ret);

#endif
