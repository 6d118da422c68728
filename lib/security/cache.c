/* The cache of compiled seccomp programs: profiles are few and compiling one takes ten
 * milliseconds. */
#include "security/filter.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include "base/error.h"

/* A host that makes up profiles as it goes must not grow by that. */
enum { KEEP = 32 };

struct entry {
	uint64_t hash;
	char *key;                      /* the profile as compact JSON */
	struct cx_str program;
	uint32_t flags;
};

/* Compiling holds the lock, too: of eight threads that launch the same, one works and
 * seven wait. */
struct cx_seccomp_cache {
	pthread_mutex_t lock;
	struct entry entry[KEEP];
	unsigned next, hits;            /* next: which to replace, the oldest */
	int dir;                        /* store.c's directory; -1: none */
};

struct cx_seccomp_cache *cx_seccomp_cache_new(void)
{
	struct cx_seccomp_cache *cache = calloc(1, sizeof *cache);

	if (cache) {
		pthread_mutex_init(&cache->lock, NULL);
		cache->dir = -1;
	}
	return cache;
}

void cx_seccomp_cache_keep(struct cx_seccomp_cache *cache, int dir)
{
	if (mkdirat(dir, "seccomp", 0700) == 0 || errno == EEXIST)
		cache->dir = openat(dir, "seccomp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void entry_free(struct entry *e)
{
	cx_freep(&e->key);
	cx_str_free(&e->program);
}

void cx_seccomp_cache_free(struct cx_seccomp_cache *cache)
{
	if (!cache)
		return;
	for (unsigned i = 0; i < KEEP; i++)
		entry_free(&cache->entry[i]);
	cx_closep(&cache->dir);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

uint64_t cx_seccomp_hash(const char *data, size_t size)
{
	uint64_t hash = 14695981039346656037u;  /* FNV-1a */

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)data[i]) * 1099511628211u;
	return hash;
}

static const struct entry *find(const struct cx_seccomp_cache *cache, uint64_t hash,
	const char *key)
{
	for (unsigned i = 0; i < KEEP; i++) {
		const struct entry *e = &cache->entry[i];

		if (e->key && e->hash == hash && !strcmp(e->key, key))
			return e;
	}
	return NULL;
}

/* Takes *key; NULL and an error where the profile doesn't compile. */
static const struct entry *compile(struct cx_seccomp_cache *cache, uint64_t hash,
	char **key, const json_t *profile, int *ret, conex_error **err)
{
	struct entry made = { .hash = hash }, *e = &cache->entry[cache->next];

	if (cache->dir < 0 || !cx_seccomp_load(cache->dir, hash, *key, &made.program, &made.flags)) {
		*ret = cx_seccomp_compile(profile, &made.program, &made.flags, err);
		if (*ret == 0 && cache->dir >= 0)
			cx_seccomp_store(cache->dir, hash, *key, &made.program, made.flags);
	}
	if (*ret < 0) {
		entry_free(&made);
		return NULL;
	}
	made.key = cx_steal_ptr(key);
	entry_free(e);
	*e = made;
	cache->next = (cache->next + 1) % KEEP;
	return e;
}

int cx_seccomp_program(struct cx_seccomp_cache *cache, const json_t *profile,
	struct cx_str *ret, uint32_t *ret_flags, conex_error **err)
{
	cx_autofree char *key = NULL;
	const struct entry *e;
	uint64_t hash;
	int r = 0;

	if (!cache)
		return cx_seccomp_compile(profile, ret, ret_flags, err);
	key = json_dumps(profile, JSON_COMPACT);
	if (!key)
		return cx_fail_memory(err);
	hash = cx_seccomp_hash(key, strlen(key));
	pthread_mutex_lock(&cache->lock);
	e = find(cache, hash, key);
	if (e)
		cache->hits++;
	else
		e = compile(cache, hash, &key, profile, &r, err);
	if (e) {
		*ret_flags = e->flags;
		r = cx_str_add(ret, e->program.data, e->program.size);
	}
	pthread_mutex_unlock(&cache->lock);
	return r == -ENOMEM ? cx_fail_memory(err) : r;
}

void cx_seccomp_cache_count(struct cx_seccomp_cache *cache, unsigned *hits,
	unsigned *kept)
{
	pthread_mutex_lock(&cache->lock);
	*hits = cache->hits;
	*kept = 0;
	for (unsigned i = 0; i < KEEP; i++)
		*kept += cache->entry[i].key != NULL;
	pthread_mutex_unlock(&cache->lock);
}
