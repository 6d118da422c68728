/* What the files of state/ share with one another, and nobody else needs (but for their
 * tests). */
#ifndef CX_STATE_INSIDE_H
#define CX_STATE_INSIDE_H

#include "state/state.h"
#include "base/error.h"
#include "base/str.h"

/* The private directory below `base` instead of the usual place: for cx_state_open, and
 * for tests. */
int cx_state_open_private_at(const char *base, struct cx_state **ret, conex_error **err);
/* A directory as it stands, by an fd that becomes the state's. For recovery; -errno. */
int cx_state_adopt(int fd, const char *path, struct cx_state **ret);

/* 1 if `id` may be a file's name in containers/. */
int cx_state_good_id(const char *id);
/* A new file. -EEXIST if the name is taken. In a named directory it is there whole or not
 * at all: written under another name, then renamed; the other name is
 * ".PID-START.TID.NAME", to tell whose it was. */
int cx_state_publish(const struct cx_state *s, int dir, const char *name,
	const void *data, size_t size);
/* Removes what publish left in `dir` when it was killed. */
void cx_state_sweep(int dir);

/* Removes all that is in `dir` but the file "owner" at its top. Never enters a mount. 0,
 * -errno (the first one; the rest is tried all the same). */
int cx_state_clear(int dir);

/* A journal read from bytes, which become the record's. -EBADMSG: no header;
 * -EPROTONOSUPPORT: written by a newer library. */
int cx_record_parse(char *data, size_t size, struct cx_record **ret);
int cx_record_load(int fd, struct cx_record **ret);
size_t cx_record_count(const struct cx_record *r);
/* 1: entry n is an undo operation; *ret_code is CX_OP_none if this library doesn't know
 * its name. 0: not. */
int cx_record_undo(const struct cx_record *r, size_t n, enum cx_op_code *ret_code,
	const char **ret_text);
const struct cx_where *cx_record_where(const struct cx_record *r,
	const struct cx_owner **ret_creator);
/* bytes before what was torn or corrupt */
size_t cx_record_good(const struct cx_record *r);
size_t cx_record_size(const struct cx_record *r);       /* bytes of the whole file */

/* The form of a journal. Integers are the machine's: it never leaves it. */
#define CX_JOURNAL_MAGIC "conex journal"
enum { CX_JOURNAL_VERSION = 1, CX_RECORD_MAX = 64 << 10, CX_JOURNAL_MAX = 4 << 20 };
enum { CX_RECORD_HEADER = 1, CX_RECORD_UNDO, CX_RECORD_NOTE };
struct cx_record_head {
	uint32_t size;          /* with this head */
	uint16_t kind;          /* unknown kinds are skipped: a newer library's */
	uint16_t code;          /* of the header: the version; else 0 */
};
/* Two texts follow: magic, where | name of the operation, its text | key, value. An operation
 * goes by name: numbers change from one library to the next, and journals stay. */

#endif
