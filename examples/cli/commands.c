/* All commands and their options. */
#include "cli.h"

#define END { .name = NULL }
#define HELP { "help", 0, FLAG, NULL, "say what the command does and takes", NULL }
#define FORMAT { "format", 0, TEXT, "table|json", "print a table, or JSON for programs [table]", NULL }
#define QUIET(help) { "quiet", 'q', FLAG, NULL, help, NULL }
#define SHOW_NOTHING QUIET("show no progress")
#define PLATFORM { "platform", 0, TEXT, "OS/ARCH", "of an image for several platforms this one: linux/arm64 [this machine's]", NULL }
#define REGISTRY \
	{ "auth-file", 0, TEXT, "FILE", "who you are to registries: Docker's config.json, or containers' auth.json", NULL }, \
	{ "authfile", 0, TEXT, "FILE", NULL, "auth-file" }, \
	{ "creds", 0, TEXT, "USER:PASSWORD", "who you are to this registry", NULL }, \
	{ "plain-http", 0, FLAG, NULL, "speak http to the registry, without TLS", NULL }, \
	{ "tls-verify", 0, FLAG, NULL, "=false does what --plain-http does", NULL }
#define ENVIRONMENT \
	{ "env", 'e', LIST, "NAME[=VALUE]", "a variable of the environment; without a value, ours", NULL }, \
	{ "env-file", 0, LIST, "FILE", "such variables, one a line", NULL }
#define PROCESS \
	{ "interactive", 'i', FLAG, NULL, "pass on standard input", NULL }, \
	{ "tty", 't', FLAG, NULL, "give it a terminal", NULL }, \
	{ "user", 'u', TEXT, "USER[:GROUP]", "run as this user, by name or number", NULL }, \
	{ "workdir", 'w', TEXT, "DIRECTORY", "run in this directory", NULL }

const struct option global_options[] = {
	{ "state", 0, TEXT, "DIRECTORY", "of containers [/run/conex-cli; of users $XDG_RUNTIME_DIR/conex-cli]", NULL },
	{ "store", 0, TEXT, "DIRECTORY", "of images [/var/lib/conex; of users ~/.local/share/conex]", NULL },
	{ "debug", 'D', FLAG, NULL, "say more on standard error", NULL },
	{ "version", 'v', FLAG, NULL, "print the version", NULL },
	{ "help", 'h', FLAG, NULL, "list the commands", NULL },
	END
};

static const struct option image_commit[] = {
	{ "change", 'c', LIST, "INSTRUCTION", "a Dockerfile's CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR", NULL },
	{ "config", 0, TEXT, "JSON", "an OCI image config's \"config\", laid over the image's; null takes away", NULL },
	{ "pause", 'p', FLAG, NULL, "pause a running container meanwhile [true]", NULL },
	SHOW_NOTHING, HELP, END
};
static const struct option execute[] = {
	{ "detach", 'd', FLAG, NULL, "don't wait for it", NULL }, ENVIRONMENT, PROCESS,
	{ "timeout", 0, TEXT, "SECONDS", "kill it after that time", NULL }, HELP, END
};
static const struct option export[] = {
	{ "output", 'o', TEXT, "ARCHIVE", "instead of the second word", NULL }, PLATFORM, SHOW_NOTHING, HELP, END
};
static const struct option format_only[] = { FORMAT, HELP, END };
static const struct option images[] = { FORMAT, QUIET("print only names"), HELP, END };
static const struct option import[] = { PLATFORM, SHOW_NOTHING, HELP, END };
static const struct option inspect[] = {
	{ "type", 0, TEXT, "container|image", "what is meant, where there is one of each", NULL }, FORMAT, HELP, END
};
static const struct option kill_options[] = {
	{ "signal", 's', TEXT, "SIGNAL", "by name or number [KILL]", NULL },
	{ "all", 'a', FLAG, NULL, "to all its processes, not only to the first", NULL }, HELP, END
};
static const struct option logs[] = {
	{ "follow", 'f', FLAG, NULL, "go on until the container has ended", NULL },
	{ "since", 0, TEXT, "TIME", "only what is younger: 2026-01-31T12:00:00Z, or 90s, 10m, 2h, 3d", NULL },
	{ "tail", 'n', TEXT, "LINES", "only the last ones [all]", NULL },
	{ "timestamps", 't', FLAG, NULL, "with the time of each line", NULL }, FORMAT, HELP, END
};
static const struct option only_help[] = { HELP, END };
static const struct option ps[] = {
	{ "all", 'a', FLAG, NULL, "those that have ended, too", NULL },
	{ "filter", 'f', LIST, "KEY=VALUE", "only those of label=NAME, label=NAME=VALUE, status=running, image=NAME", NULL },
	FORMAT, QUIET("print only ids"), HELP, END
};
static const struct option pull[] = { PLATFORM, REGISTRY, SHOW_NOTHING, HELP, END };
static const struct option push[] = { REGISTRY, SHOW_NOTHING, HELP, END };
static const struct option rm[] = { { "force", 'f', FLAG, NULL, "kill it first if it runs; none of that name is no error", NULL }, HELP, END };
static const struct option rmi[] = { { "force", 'f', FLAG, NULL, "none of that name is no error", NULL }, HELP, END };
static const struct option run[] = {
	{ "add-host", 0, LIST, "NAME:ADDRESS", "a line of /etc/hosts", NULL },
	{ "cpus", 0, TEXT, "NUMBER", "processors at most: 1.5", NULL },
	{ "detach", 'd', FLAG, NULL, "run in the background and print the id", NULL },
	{ "dns", 0, LIST, "ADDRESS", "instead of the machine's name servers", NULL },
	{ "entrypoint", 0, TEXT, "PROGRAM", "instead of the image's; \"\" takes it away", NULL },
	ENVIRONMENT,
	{ "hostname", 'h', TEXT, "NAME", "its name for itself [the id]", NULL },
	{ "init", 0, FLAG, NULL, "a first process that reaps the others", NULL },
	{ "label", 'l', LIST, "NAME[=VALUE]", "a word about it, for ps --filter and inspect", NULL },
	{ "log-size", 0, TEXT, "SIZE", "with -d: keep so much of what it writes, and as much again [16M]", NULL },
	{ "memory", 'm', TEXT, "SIZE", "at most: 512M, 1.5G", NULL },
	{ "mount", 0, LIST, "type=TYPE,...", "bind or tmpfs; source=, target=, readonly and options of mount(8)", NULL },
	{ "name", 0, TEXT, "ID", "its id, which is its only name [random letters]", NULL },
	{ "network", 0, TEXT, "NETWORK", "none, bridge, host, container:ID, pasta, or networks' names with commas [none; with -p bridge]", NULL },
	{ "net", 0, TEXT, "NETWORK", NULL, "network" },
	{ "oci", 0, TEXT, "JSON", "a partial config.json of the runtime-spec, laid over all else", NULL },
	{ "pids", 0, TEXT, "NUMBER", "processes and threads at most", NULL },
	{ "pids-limit", 0, TEXT, "NUMBER", NULL, "pids" },
	PLATFORM,
	{ "publish", 'p', LIST, "[[ADDRESS:]PORT:]PORT[/PROTOCOL]", "a port of this machine's that leads to one of its own [of 127.0.0.1]", NULL },
	{ "pull", 0, TEXT, "missing|always|never", "when to ask the registry [missing]", NULL },
	{ "read-only", 0, FLAG, NULL, "its files can't be changed", NULL },
	REGISTRY,
	{ "rm", 0, FLAG, NULL, "remove it when it has ended", NULL },
	{ "rootfs", 0, FLAG, NULL, "the first word is a directory, not an image", NULL },
	{ "timeout", 0, TEXT, "SECONDS", "kill it after that time", NULL },
	{ "tmpfs", 0, LIST, "DIRECTORY[:OPTIONS]", "an empty directory in memory", NULL },
	PROCESS,
	{ "userns", 0, FLAG, NULL, "a user namespace: root inside is nobody outside", NULL },
	{ "volume", 'v', LIST, "SOURCE:TARGET[:ro]", "a file or directory of this machine's, there", NULL },
	SHOW_NOTHING, HELP, END
};
static const struct option stats[] = {
	{ "no-stream", 0, FLAG, NULL, "once, not every second", NULL }, FORMAT, HELP, END
};
static const struct option stop[] = {
	{ "time", 't', TEXT, "SECONDS", "then it is killed [10]", NULL }, { "timeout", 0, TEXT, "SECONDS", NULL, "time" }, HELP, END
};
static const struct option prune[] = {
	{ "all", 'a', FLAG, NULL, "also images of which there is no container", NULL },
	{ "force", 'f', FLAG, NULL, "don't ask", NULL }, FORMAT, HELP, END
};
static const struct option help[] = {
	{ "format", 0, TEXT, "text|json|man", "for people, programs, or the manual page [text]", NULL }, HELP, END
};

const struct command commands[] = {
	{ "commit", command_commit, "CONTAINER IMAGE", 2, 2, "ci", 0, "Make an image of a container: what it has written becomes a layer", image_commit },
	{ "completion", command_completion, "bash|zsh|fish", 1, 1, "s", 0, "Print what makes a shell complete words", only_help },
	{ "exec", command_exec, "CONTAINER PROGRAM [ARGUMENT...]", 2, -1, "c-", 1, "Run one more program in a running container", execute },
	{ "export", command_export, "IMAGE [ARCHIVE]", 1, 2, "if", 0, "Write an image as a tar archive (- is standard output), or into a directory", export },
	{ "help", command_help, "[COMMAND]", 0, 2, "h", 0, "Say what there is, or what a command takes", help },
	{ "images", command_images, "", 0, 0, "-", 0, "List images", images },
	{ "import", command_import, "ARCHIVE IMAGE", 2, 2, "fi", 0, "Read an image of an archive (- is standard input) or directory: OCI's layout, or docker save's", import },
	{ "inspect", command_inspect, "CONTAINER|IMAGE...", 1, -1, "ci", 0, "Show all about containers or images, as JSON", inspect },
	{ "kill", command_kill, "CONTAINER...", 1, -1, "c", 0, "Send a signal to containers", kill_options },
	{ "logs", command_logs, "CONTAINER", 1, 1, "c", 0, "Print what a detached container has written", logs },
	{ "pause", command_pause, "CONTAINER...", 1, -1, "c", 0, "Keep containers from running", only_help },
	{ "ps", command_ps, "", 0, 0, "-", 0, "List containers", ps },
	{ "pull", command_pull, "IMAGE", 1, 1, "i", 0, "Bring an image from its registry", pull },
	{ "push", command_push, "IMAGE", 1, 1, "i", 0, "Bring an image to its registry", push },
	{ "rm", command_rm, "CONTAINER...", 1, -1, "c", 0, "Remove containers that have ended", rm },
	{ "rmi", command_rmi, "IMAGE...", 1, -1, "i", 0, "Remove images", rmi },
	{ "run", command_run, "IMAGE [PROGRAM] [ARGUMENT...]", 1, -1, "i-", 1, "Run a program in a new container", run },
	{ "stats", command_stats, "[CONTAINER...]", 0, -1, "c", 0, "Show what containers use", stats },
	{ "stop", command_stop, "CONTAINER...", 1, -1, "c", 0, "Ask containers to end, then kill them", stop },
	{ "system df", command_system_df, "", 0, 0, "-", 0, "Show what images, containers and logs take of the disk", format_only },
	{ "system prune", command_system_prune, "", 0, 0, "-", 0, "Remove containers that have ended, and what nobody needs any more", prune },
	{ "unpack", command_unpack, "IMAGE DIRECTORY", 2, 2, "id", 0, "Unpack an image into a new directory", import },
	{ "unpause", command_unpause, "CONTAINER...", 1, -1, "c", 0, "Let paused containers run again", only_help },
	{ "version", command_version, "", 0, 0, "-", 0, "Print the version", format_only },
	{ "wait", command_wait, "CONTAINER...", 1, -1, "c", 0, "Wait until containers have ended, and print their statuses", only_help },
	{ .name = NULL }
};

/* By one word or two. */
const struct command *find_command(char *const *words, int count, int *ret_used)
{
	for (const struct command *c = commands; count > 0 && c->name; c++) {
		size_t first = strcspn(c->name, " ");
		int two = c->name[first] == ' ';

		if (strncmp(words[0], c->name, first) || words[0][first])
			continue;
		if (two && (count < 2 || strcmp(words[1], c->name + first + 1)))
			continue;
		*ret_used = 1 + two;
		return c;
	}
	return NULL;
}

/* By its name, or (size 0) by its letter. */
const struct option *find_option(const struct option *table, const char *name, size_t size, char letter)
{
	for (const struct option *o = table; o && o->name; o++)
		if (size ? !strncmp(o->name, name, size) && !o->name[size] : o->letter && o->letter == letter)
			return o->same ? find_option(table, o->same, strlen(o->same), 0) : o;
	return NULL;
}
