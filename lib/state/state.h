/* The directory of a context: who owns what, written down before it exists. Knows nothing of containers:
 * journals hold undo operations and facts, and whoever opens them says how an undo operation is played. */
#ifndef CX_STATE_STATE_H
#define CX_STATE_STATE_H

#include <stdint.h>
#include <sys/types.h>
#include <conex/base.h>
#include "plan/format.h"

/* Names a process for ever, on this boot and in this pid namespace: pid, start time (cx_process_start). */
struct cx_owner { pid_t pid; uint64_t start; };
int cx_owner_self(struct cx_owner *ret);        /* 0; -ENXIO: /proc isn't ours; -EMFILE */
int cx_owner_alive(const struct cx_owner *o);   /* 1, 0; a zombie is dead, one that hidepid hides is alive */

/* Where a pid and a start time mean something: one boot, one pid namespace, and (start times are
 * shifted by it) one time namespace. */
struct cx_where {
	char boot[37];
	unsigned long long pid_ns, time_ns;     /* inode numbers; time_ns 0: the kernel has none */
};

struct cx_state {
	char *path;             /* "/run/conex/123-456-abcdef", or the named one; absolute */
	int fd;                 /* that directory, O_PATH-free (used for flock too) */
	int is_private;         /* made for this context, removed with it */
	int read_only;
	struct cx_owner self;
	struct cx_where here;
	int containers;         /* containers/; -1: read_only and never written */
	char *base;             /* where private directories lie (recovered, too), or NULL */
};

/* named NULL: a private directory below /run/conex (XDG_RUNTIME_DIR/conex when not root, or root of a user
 * namespace; 0700), made at once; its name holds pid, start time, pid namespace and a random part, its file
 * "owner" the boot id, too. Named: made 0700 where missing; -EPERM when it isn't ours or is writable by
 * others. A state is immutable afterwards: any thread may use it. */
int cx_state_open(const char *named, int read_only, struct cx_state **ret, conex_error **err);
/* Forgets it; `remove`: and deletes a private directory, unless a journal is left in it, or this process is
 * a fork of the one that opened it. */
void cx_state_close(struct cx_state *s, int remove);

/* One append-only file a container (or cgroup ...): containers/ID. Appends are buffered until
 * cx_journal_flush, which is one write(2); so entries that belong together cost one system call. No
 * descriptor is kept. A journal isn't locked: its container is. The entries:
 *	undo    an absolute path; undo_cgroup: the cgroup's path; undo_kill: "PID START". Stored by name:
 *	        a later library understands it.
 *	note    any; recovery looks at "owner" ("PID START", or "released PID START": of its first process;
 *	        without it the creator is the owner) and "keeper" ("PID START"). */
struct cx_journal;
/* Touches no file: the first flush makes it, and answers -EEXIST if the id is taken. Flush before acquiring. */
int cx_journal_create(struct cx_state *s, const char *id, struct cx_journal **ret, conex_error **err);
int cx_journal_open(struct cx_state *s, const char *id, struct cx_journal **ret, conex_error **err);   /* to append; -ENOENT */
void cx_journal_undo(struct cx_journal *j, enum cx_op_code undo, const char *text);
void cx_journal_note(struct cx_journal *j, const char *key, const char *value); /* a fact; the last of a key counts */
/* All or nothing: after a failure the entries are still pending. -EEXIST -ENOENT (deleted by others) -ENOSPC
 * -E2BIG (an entry over 64 KiB) -EINVAL (not an undo operation). In a named directory the file shows up whole:
 * whoever finds one finds its header and all that was added before the first flush. */
int cx_journal_flush(struct cx_journal *j, conex_error **err);
void cx_journal_free(struct cx_journal *j);             /* the handle; the file stays */
/* The file: all has been undone, by its owner. Others' containers: cx_state_undo, which locks. 0, -errno */
int cx_journal_remove(struct cx_state *s, const char *id);

/* Reading. What a killed writer left half-written at the end is not seen. */
struct cx_record;       /* a journal read whole */
/* -ENOENT -EBADMSG (no header) -EPROTONOSUPPORT (a newer library's) */
int cx_record_read(const struct cx_state *s, const char *id, struct cx_record **ret, conex_error **err);
const char *cx_record_note(const struct cx_record *r, const char *key);         /* NULL: none */
int cx_record_notes(const struct cx_record *r, const char *key, const char ***ret); /* all values of a key, in order; count; free */
void cx_record_free(struct cx_record *r);
int cx_state_list(const struct cx_state *s, char ***ret_ids, conex_error **err); /* count; one free(3) */

/* Undoing: plays a journal's undo entries backwards; `play` returns 0, or -errno, and takes what is gone
 * already for undone. At -EBUSY (try later) the playing stops, after other errors it goes on; either way
 * the first error is returned and the journal stays whole. After a full success the file is removed; 0 also
 * if there is none. A journal of another boot: only files are undone, no pid is believed. The file is locked
 * (flock) meanwhile: -EBUSY if somebody else is at it. */
typedef int (*cx_play_fn)(enum cx_op_code undo, const char *text, void *data);
int cx_state_undo(struct cx_state *s, const char *id, cx_play_fn play, void *data);
/* What dead owners left: every private directory whose owner is dead, and in a named `s` every journal whose
 * owner is dead and whose keeper, if noted, is dead too (a live one is cleaning up itself). Left alone: what
 * is of another pid namespace (nobody can tell), what is released (it lives until it is deleted, or the machine
 * is booted), what another process is cleaning now. 0, or the first error: something is left, the next
 * open tries again. */
int cx_state_recover(struct cx_state *s, cx_play_fn play, void *data);
/* conex-undo: one directory by path, whose owner has just died. A private one: all of it, nobody is asked;
 * waits for another cleaner. A named one: the journals of dead owners, though their keeper lives (it is
 * who runs us). 0, -errno: something is left. */
int cx_state_recover_path(const char *path, cx_play_fn play, void *data);

/* Specs by content: specs/HASH.json, written once, shared by the containers of a plan. Returns the name. */
int cx_state_put_spec(struct cx_state *s, const char *json, size_t size, char name[33], conex_error **err);
/* One that belongs to container `id` alone, by whose undoing it goes. */
int cx_state_put_spec_of(struct cx_state *s, const char *id, const char *json, size_t size, char name[33],
	conex_error **err);
int cx_state_get_spec(const struct cx_state *s, const char *name, char **ret_json, conex_error **err);

/* For those who keep directories of their own that outlive a process (image/). */
enum { CX_WHERE_TEXT = 192 };

int cx_where_here(struct cx_where *ret);        /* 0, -errno */
/* As text, for the file "owner" and the header of a journal: "boot=... pidns=... pid=...
 * start=..." */
void cx_where_print(const struct cx_where *w, const struct cx_owner *o,
	char text[CX_WHERE_TEXT]);
/* 0, -EBADMSG */
int cx_where_parse(const char *text, struct cx_where *ret, struct cx_owner *ret_owner);
/* Is the process that was noted at `there` alive? 1 yes, or it can't be told from `here`;
 * 0 surely not. */
int cx_where_alive(const struct cx_where *here, const struct cx_where *there,
	const struct cx_owner *o);
/* Names in `dir`, those that begin with a dot only if `hidden`. Count, or -errno; one
 * free(3). */
int cx_state_names(int dir, int hidden, char ***ret);

#endif
