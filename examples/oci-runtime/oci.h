/* What the files of conex-oci share: the command line taken apart, the context, and a word to people. */
#ifndef CONEX_OCI_H
#define CONEX_OCI_H

#include <conex/conex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OCI_VERSION "1.2.0"     /* of the runtime-spec, as our `spec` and `features` say */
enum { MAX_VALUES = 64, MAX_FDS = 16 };

/* An option that may be given more than once. */
struct values { const char *at[MAX_VALUES + 1]; int count; };

/* All options of all verbs: text NULL or "", truth 0 where not given. */
struct options {
	/* global */
	const char *root, *log, *log_format, *rootless;
	int debug, systemd_cgroup, version, help;
	/* create, run, spec, exec */
	const char *bundle, *pid_file, *console_socket, *pidfd_socket, *preserve_fds;
	int no_new_keyring, keep, detach;
	int no_pivot, no_subreaper;     /* taken, and nothing to do: the root is always pivoted to */
	/* exec */
	const char *process, *cwd, *user, *apparmor, *cgroup;
	int tty, no_new_privs, ignore_paused;
	struct values env, caps, gids;
	/* kill, delete, list, ps, events, update */
	int all, force, quiet, stats;
	const char *format, *interval, *resources;
	const char *memory, *memory_swap, *memory_reservation, *cpu_quota, *cpu_period, *cpu_share,
		*cpuset_cpus, *cpuset_mems, *pids_limit;
	int inherited;          /* descriptors from 3 on, without a gap, that were open from the start */
	/* what remains */
	const char *verb;
	char **args;            /* NULL-ended */
	int count;
};

struct oci {
	struct options o;
	conex *cx;
	const char *id;         /* the verb's container; NULL */
	conex_error *err;       /* of the last call of the library's that failed */
};

/* options.c. 0, or -1 after saying what is wrong */
int options_parse(struct options *o, int argc, char **argv);

/* log.c: one line on stderr, and one in --log. Each returns -1. */
void log_open(const struct options *o);
int say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
int say_error(struct oci *rt, const char *what);        /* rt->err in words that engines know */
int is_exec_error(const conex_error *e);

/* main.c. 0, or -1 after saying why; what would only read where there is nothing yet gets no context */
int open_context(struct oci *rt, uint64_t flags);
int get_container(struct oci *rt, conex_container **ret);

/* launch.c */
int write_pid_file(const char *path, pid_t pid);
void give_stdio(const conex_spec *container, long long uid);
void note_fds(struct options *o);
int extra_fds(const struct options *o, int fds[MAX_FDS], size_t *ret_count, const char **ret_env);

/* terminal.c. Where a pty goes to: a socket, or the caller's own terminal. */
int send_console(const char *socket_path, int master);
int send_pidfd(const char *socket_path, int pidfd);      /* NULL or "": 0 */
struct size { int rows, columns; };
struct size console_size(const conex_spec *spec, int handed_on);

/* What is waited for in the foreground: a container or a process. */
struct attended {
	conex_container *container;
	conex_process *process;         /* or NULL */
	int master;                     /* of its terminal; -1 */
	int signals;                    /* signalfd; -1 */
};
void block_signals(struct attended *a);
int attend(struct oci *rt, struct attended *a, int *ret_status);

/* json.c */
int json_number(const conex_spec *spec, const char *pointer, long long missing, long long *ret);
char *json_quote(const char *text);     /* with the quotes; free */

/* The verbs: an exit status. */
int verb_create(struct oci *rt);
int verb_run(struct oci *rt);
int verb_start(struct oci *rt);
int verb_exec(struct oci *rt);
int verb_kill(struct oci *rt);
int verb_delete(struct oci *rt);
int verb_state(struct oci *rt);
int verb_list(struct oci *rt);
int verb_ps(struct oci *rt);
int verb_pause(struct oci *rt);
int verb_resume(struct oci *rt);
int verb_update(struct oci *rt);
int verb_events(struct oci *rt);
int verb_features(struct oci *rt);
int verb_spec(struct oci *rt);

#endif
