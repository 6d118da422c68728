/* What the files of conex, the program, share: the command line taken apart, contexts, and words to people. */
#ifndef CONEX_CLI_H
#define CONEX_CLI_H

#include <conex/conex.h>
#include <conex/image.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILED = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };   /* as Docker's and Podman's `run` say it */

/* ---- commands.c: what there is. Usage, completion and the manual page are made of these tables. ---- */

enum kind {
	FLAG,                   /* --name, --name=true, --name=false */
	TEXT,                   /* --name VALUE, the last one counts */
	LIST                    /* may be given several times */
};

struct option {
	const char *name;
	char letter;            /* or 0 */
	enum kind kind;
	const char *value;      /* what a value is called; of a FLAG NULL */
	const char *help;       /* one line; NULL: another name of .same, which isn't shown */
	const char *same;
};

struct cli;
struct command {
	const char *name;       /* "pull", "system df" */
	int (*run)(struct cli *cli);
	const char *args;       /* "IMAGE [DIRECTORY]" */
	int least, most;        /* how many; most -1: any number */
	const char *words;      /* what they are, for completion, a letter each, the last one for all that follow: i an image,
	                         * c a container, f a file, d a directory, h a command, s a shell, - nothing known */
	int stops;              /* behind that many words nothing is an option of ours */
	const char *help;
	const struct option *options;   /* ends with an empty one; NULL */
};
extern const struct command commands[];         /* ends with an empty one */
extern const struct option global_options[];
const struct command *find_command(char *const *words, int count, int *ret_used);
const struct option *find_option(const struct option *table, const char *name, size_t size, char letter);

/* ---- options.c: what was given ---- */

struct given { const struct option *option; const char *value; };
struct cli {
	const struct command *command;          /* NULL: none */
	struct given *given;
	size_t given_count;
	char **args;                            /* NULL-ended */
	int count;
	conex *cx;
	conex_error *err;
	void **kept;
	size_t kept_count;
};
int options_parse(struct cli *cli, int argc, char **argv);      /* 0, or -1 after saying what is wrong */
const char *text(const struct cli *cli, const char *option);    /* NULL: not given */
int flag(const struct cli *cli, const char *option);            /* 0: not given, or false */
int flag_or(const struct cli *cli, const char *option, int otherwise);
const char *const *list(struct cli *cli, const char *option);   /* NULL-ended, perhaps empty */
int number(const struct cli *cli, const char *option, double least, double most, double *ret);  /* 1, 0: not given, -1 */
void *keep(struct cli *cli, void *allocated);                   /* freed at the end; NULL: out of memory, and the end */
char *format(struct cli *cli, const char *form, ...) __attribute__((format(printf, 2, 3)));

/* ---- main.c ---- */

int say(const char *form, ...) __attribute__((format(printf, 1, 2)));  /* "conex: ...", on stderr; FAILED */
int say_error(const struct cli *cli, const char *what);                 /* cli->err, after what ("run"); FAILED */
/* A context: CONEX_DETACHED, CONEX_READ_ONLY or 0 on the directory of containers. With CONEX_READ_ONLY and no directory
 * yet cli->cx stays NULL. 0, or FAILED after saying why */
int open_containers(struct cli *cli, uint64_t flags);
int open_images(struct cli *cli);                       /* one without containers */
const char *state_path(struct cli *cli, const char *below);     /* NULL after saying why */
const char *log_path(struct cli *cli, const char *id);
int make_above(struct cli *cli, const char *file);      /* its directories, where missing; 0, or FAILED after saying why */
int each(struct cli *cli, uint64_t flags, int (*one)(struct cli *, conex_container *));  /* of the containers in args */
int find_container(struct cli *cli, const char *name, conex_container **ret);  /* by id, or how only one begins */

/* ---- output.c ---- */

struct table { char **cells; size_t columns, count; };
void table_row(struct table *t, ...) __attribute__((sentinel)); /* texts, NULL */
void table_print(struct table *t);                              /* and frees */
const char *size_text(uint64_t bytes, char to[32]);             /* "12.3 MiB", "-" if unknown */
const char *ago_text(int64_t at_ns, char to[32]);               /* "5 minutes ago" */
int wants_json(const struct cli *cli, int *ret);                /* --format; 0, or FAILED after saying what it may be */
int print_json(json_t *json);                                   /* takes it; 0 or FAILED */
json_t *parse_json(char *text);                                 /* takes it; NULL */

/* ---- progress.c ---- */

/* Waits for a job and shows it on stderr; then the result goes to stdout, unless it is NULL-ed by `silent`. Frees it. */
int finish(struct cli *cli, conex_job *job, const char *verb, int silent);

/* ---- images.c ---- */

int image_options(struct cli *cli, struct conex_image_options *ret);
int pull_image(struct cli *cli, const char *image, uint64_t flags, int silent);
json_t *image_json(struct cli *cli, const char *image);         /* NULL: cli->err */

/* ---- records.c: what a container's end was, kept by whoever waited for it ---- */

/* Ours until it is closed: who holds it will write it. -1 after saying why; the id is taken, too */
int record_begin(struct cli *cli, const char *id);
void record_write(int fd, const conex_container *c);
void record_drop(struct cli *cli, const char *id, int fd);      /* it and its log are gone */
void record_wait(struct cli *cli, const char *id);              /* until nobody holds it */
void record_forget(struct cli *cli, const char *id);            /* waits, and drops */
json_t *record_read(struct cli *cli, conex_container *c);       /* its end as JSON; NULL: it runs, or nobody knows */
void records_sweep(struct cli *cli);                            /* of containers that are no more */

/* ---- attend.c: a program in the foreground ---- */

struct attended {
	conex_container *container;
	conex_process *process;         /* or NULL */
	int master;                     /* of its terminal; -1 */
	int input;                      /* stdin goes there, too */
	int signals;                    /* signalfd; -1 */
};
int block_signals(void);                                        /* signalfd */
int attend(struct cli *cli, struct attended *a, int *ret_status);      /* 0, -1: cli->err */
void set_size(const struct attended *a);
int run_status(const conex_error *e);                           /* 125, 126 or 127 */
int check_terminal(struct cli *cli);

/* ---- description.c: options of run as the library takes them ---- */

struct description {
	struct conex_run_options o;
	struct conex_limits limits;
	const char *image;              /* NULL: --rootfs */
	const char *const *args;
};
int describe(struct cli *cli, struct description *ret);         /* 0, or FAILED */
const char *const *environment(struct cli *cli);                /* of -e and --env-file; NULL after saying why */

/* ---- log.c ---- */

struct log { const char *path, *older; int fd; uint64_t size, most; };
int log_open(struct log *l);                                    /* .path, .older and .most are set; 0, -errno */
struct line { char text[16384]; size_t size; const char *stream; };
void log_add(struct log *l, struct line *part, const char *data, size_t size);
void log_flush(struct log *l, struct line *part);

/* ---- the rest ---- */

/* run.c. A container whose record is ours: 0, or a status after saying why, and the record is closed */
int launch(struct cli *cli, struct description *d, int record, conex_container **ret);
void has_ended(struct cli *cli, conex_container *c, const char *id, int record);
int run_detached(struct cli *cli, struct description *d);                        /* detached.c */
int complete(struct cli *cli, int argc, char **argv);                            /* completion.c */
int usage(const struct command *c, FILE *to);                                    /* help.c */
int signal_number(const char *name);                                             /* signals.c; 0 */
json_t *container_json(struct cli *cli, conex_container *c);                     /* look.c; NULL: cli->err */
const char *container_image(const conex_container *c);

int command_commit(struct cli *cli);
int command_completion(struct cli *cli);
int command_exec(struct cli *cli);
int command_export(struct cli *cli);
int command_help(struct cli *cli);
int command_images(struct cli *cli);
int command_import(struct cli *cli);
int command_inspect(struct cli *cli);
int command_kill(struct cli *cli);
int command_logs(struct cli *cli);
int command_pause(struct cli *cli);
int command_ps(struct cli *cli);
int command_pull(struct cli *cli);
int command_push(struct cli *cli);
int command_rm(struct cli *cli);
int command_rmi(struct cli *cli);
int command_run(struct cli *cli);
int command_stats(struct cli *cli);
int command_stop(struct cli *cli);
int command_system_df(struct cli *cli);
int command_system_prune(struct cli *cli);
int command_unpack(struct cli *cli);
int command_unpause(struct cli *cli);
int command_version(struct cli *cli);
int command_wait(struct cli *cli);

#endif
