/* conex/base.h: the rules that hold everywhere; errors, version, sizes.
 *
 * Form. What can fail returns int: 0 or a count, a negative errno on failure; it takes a
 * conex_error ** last. What waits returns 1 (it happened) or 0 (not within timeout_ms: 0 looks
 * only, -1 waits for ever); a time-out is no error. What can't fail takes no conex_error **.
 *
 * Errors. `err` may be NULL. Else *err is NULL or an earlier error, which a failure frees and
 * replaces; success leaves it alone. On failure no other out-parameter is touched. "The usual"
 * in a Returns line: -ENOMEM; -ECHILD in a copy of the process that fork(2) made; -ESHUTDOWN
 * after conex_close; -EINVAL and -E2BIG for a struct whose .size is smaller than its first
 * published version, or that has a field set which this version doesn't know.
 *
 * Ownership. Handles that a call returns by ret are the caller's; each kind has its
 * conex_..._free, which takes NULL and never changes the world: a container that is freed runs
 * on. Strings that are returned by value are borrowed from the handle; a char ** or a list takes
 * one free(3). Handles may be freed after conex_close. Whatever is passed in is copied: it needs
 * to live for the call alone. Descriptors passed in stay the caller's. Handles are not NULL
 * unless a comment says so.
 *
 * Structs. Set .size to sizeof the struct, all else to zero: zero means default (as clone3(2)
 * has it).
 *
 * Threads. "any": from any thread, also while other threads use the same handle; a conex_error
 * and a struct that is filled belong to one thread at a time. "one": not while another thread
 * uses the same handle. No thread is started, no signal handler installed, no signal mask,
 * working directory, umask, environment or limit changed, nothing printed.
 *
 * Fork. In a copy of the process that fork(2) made, what takes a conex_error ** answers -ECHILD,
 * free and close functions release memory and descriptors only; call nothing else there.
 * Descriptors are close-on-exec. */
#ifndef CONEX_BASE_H
#define CONEX_BASE_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Around every header's declarations: C names in C++, visible in a library that hides all else. */
#ifdef __cplusplus
#define CONEX_BEGIN_DECLARATIONS extern "C" { _Pragma("GCC visibility push(default)")
#define CONEX_END_DECLARATIONS _Pragma("GCC visibility pop") }
#else
#define CONEX_BEGIN_DECLARATIONS _Pragma("GCC visibility push(default)")
#define CONEX_END_DECLARATIONS _Pragma("GCC visibility pop")
#endif

CONEX_BEGIN_DECLARATIONS

typedef struct conex conex;                     /* a context: state, keeper, events */
typedef struct conex_error conex_error;         /* why a call failed */
typedef struct conex_spec conex_spec;           /* what to run: an OCI config.json */
typedef struct conex_plan conex_plan;           /* how to run it: compiled, immutable */
typedef struct conex_container conex_container; /* one container, running or not */
typedef struct conex_process conex_process;     /* one more program in a container */
typedef struct conex_syscall conex_syscall;     /* one system call that waits for an answer */
typedef struct conex_cgroup conex_cgroup;
typedef struct conex_namespace conex_namespace;
typedef struct conex_job conex_job;             /* bytes on their way: pull, push, build … */

#define CONEX_KIB ((uint64_t)1 << 10)
#define CONEX_MIB ((uint64_t)1 << 20)
#define CONEX_GIB ((uint64_t)1 << 30)
#define CONEX_UNLIMITED UINT64_MAX
#ifndef __cplusplus /* compound literals; in C++ write an array that ends in NULL */
#define CONEX_STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#endif

/* The version of the library that is loaded, which may be newer than these headers.
 * Returns: "0.1.0"; static.
 * Threads: any. Since: 0.1 */
const char *conex_version(void);

/* Whether the loaded library has a feature: "cgroup-v1", "cgroup-v2", "exec", "overlay",
 * "seccomp", "spec", "user-namespace", "broker" (conex/broker.h). Says nothing about this
 * machine: a call that can't be done here fails.
 * Returns: 1 or 0; 0 also for NULL and for names it doesn't know.
 * Threads: any. Since: 0.1 */
int conex_has(const char *feature);

/* Reads a size as people write it: "512M", "1.5G", "64KiB", "4096". K, M, G, T, P count by
 * 1,024, with or without B or iB behind them.
 * Returns: 0; -EINVAL no such size; -ERANGE more than 64 bits.
 * Threads: any. Since: 0.1 */
int conex_parse_size(const char *text, uint64_t *ret_bytes, conex_error **err);

/* The negative errno, as the call returned it. e may be NULL.
 * Returns: a negative errno; 0 for NULL.
 * Threads: one. Since: 0.1 */
int conex_error_code(const conex_error *e);

/* Where it failed, from reading options to teardown. e may be NULL.
 * Returns: CONEX_STAGE_...; CONEX_STAGE_NONE for NULL.
 * Threads: one. Since: 0.1 */
int conex_error_stage(const conex_error *e);

/* What it was about: "mounts[2] /proc", "linux.resources.memory.limit = -5". e may be NULL.
 * Returns: borrowed from e; "" where there is nothing to say, never NULL.
 * Threads: one. Since: 0.1 */
const char *conex_error_object(const conex_error *e);

/* The system call that failed, by its name: "move_mount". e may be NULL.
 * Returns: borrowed from e; "" where no system call failed, never NULL.
 * Threads: one. Since: 0.1 */
const char *conex_error_call(const conex_error *e);

/* What would mend it. e may be NULL.
 * Returns: borrowed from e; "" where the library doesn't know, never NULL.
 * Threads: one. Since: 0.1 */
const char *conex_error_hint(const conex_error *e);

/* All of it in one line for people: "child: mounts[2] /proc: fsmount: Operation not permitted;
 * hint". The wording is no interface: programs look at code, stage, object and call. e may be
 * NULL.
 * Returns: borrowed from e; "" for NULL, never NULL.
 * Threads: one. Since: 0.1 */
const char *conex_error_text(const conex_error *e);

/* Frees an error and the strings borrowed from it. e may be NULL. Not for what
 * conex_container_error returned.
 * Threads: one. Since: 0.1 */
void conex_error_free(conex_error *e);

enum {                          /* conex_error_stage */
	CONEX_STAGE_NONE,       /* out of memory, anywhere */
	CONEX_STAGE_OPEN,       /* opening the context */
	CONEX_STAGE_IMAGE,
	CONEX_STAGE_SPEC,       /* options, arguments, JSON: refused before anything was made */
	CONEX_STAGE_PLAN,       /* compiling the plan */
	CONEX_STAGE_LAUNCH,     /* journal, cgroup, keeper */
	CONEX_STAGE_CHILD,      /* inside the container, before its program */
	CONEX_STAGE_EXEC,       /* executing the program */
	CONEX_STAGE_RUN,        /* a call on something that runs, or has run */
	CONEX_STAGE_TEARDOWN
};

CONEX_END_DECLARATIONS
#endif
