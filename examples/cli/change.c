/* stop, kill, rm, pause, unpause, wait: what is done to containers that are there. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <strings.h>

int signal_number(const char *name)
{
	const char *bare = !strncasecmp(name, "SIG", 3) ? name + 3 : name;
	char *end;
	long n = strtol(name, &end, 10);

	if (*name && !*end)
		return n > 0 && n <= SIGRTMAX ? (int)n : 0;
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigabbrev_np(i) && !strcasecmp(bare, sigabbrev_np(i)))
			return i;
	if (!strncasecmp(bare, "RTMIN", 5) && (!bare[5] || bare[5] == '+')) {
		n = bare[5] ? strtol(bare + 6, &end, 10) : 0;
		return n >= 0 && SIGRTMIN + n <= SIGRTMAX ? SIGRTMIN + (int)n : 0;
	}
	return 0;
}

static int done(const conex_container *c)
{
	printf("%s\n", conex_container_id(c));
	return 0;
}

static int no(struct cli *cli, const conex_container *c)
{
	return say_error(cli, format(cli, "%s %s", cli->command->name, conex_container_id(c)));
}

/* ---- stop ---- */

/* The one that its image asks for. */
static int stop_signal(conex_container *c)
{
	char *text = NULL;
	json_t *json = conex_container_json(c, &text, NULL) < 0 ? NULL : parse_json(text);
	const char *name = json_string_value(json_object_get(json_object_get(json, "annotations"), "org.opencontainers.image.stopSignal"));
	int sig = name ? signal_number(name) : 0;

	json_decref(json);
	return sig ? sig : SIGTERM;
}

static int stop(struct cli *cli, conex_container *c)
{
	double seconds = 10;
	int r;

	if (number(cli, "time", 0, 1e6, &seconds) < 0)
		return FAILED;
	if (conex_container_state(c) >= CONEX_EXITED)
		return done(c);
	if (conex_container_state(c) == CONEX_PAUSED)
		conex_container_resume(c, NULL);
	r = conex_container_kill(c, stop_signal(c), &cli->err);
	if (r < 0 && r != -ESRCH)
		return no(cli, c);
	r = conex_container_wait(c, (int)(seconds * 1000), NULL, &cli->err);
	if (r == 0 && (r = conex_container_kill_all(c, SIGKILL, &cli->err)) == 0)
		r = conex_container_wait(c, -1, NULL, &cli->err);
	if (r < 0)
		return no(cli, c);
	record_wait(cli, conex_container_id(c));        /* who asks next is told how it ended */
	return done(c);
}

int command_stop(struct cli *cli)
{
	return each(cli, CONEX_DETACHED, stop);
}

/* ---- kill ---- */

static int kill_one(struct cli *cli, conex_container *c)
{
	const char *name = text(cli, "signal");
	int sig = name ? signal_number(name) : SIGKILL;
	int r = flag(cli, "all") ? conex_container_kill_all(c, sig, &cli->err) : conex_container_kill(c, sig, &cli->err);

	return r < 0 ? no(cli, c) : done(c);
}

int command_kill(struct cli *cli)
{
	const char *name = text(cli, "signal");

	if (name && !signal_number(name))
		return say("kill: --signal %s: there is no such signal; write HUP, SIGHUP or 1", name);
	return each(cli, CONEX_DETACHED, kill_one);
}

/* ---- rm ---- */

static int remove_one(struct cli *cli, conex_container *c)
{
	const char *id = conex_container_id(c);

	if (!flag(cli, "force") && conex_container_state(c) < CONEX_EXITED)
		return say("rm: %s runs; stop it first, or rm --force kills it", id);
	if (conex_container_delete(c, -1, &cli->err) < 0)
		return no(cli, c);
	record_forget(cli, id);
	return done(c);
}

/* With --force what isn't there is as it should be. */
int command_rm(struct cli *cli)
{
	int status, kept = 0;

	if (!flag(cli, "force"))
		return each(cli, CONEX_DETACHED, remove_one);
	status = open_containers(cli, CONEX_DETACHED);
	for (int i = 0; status == 0 && i < cli->count; i++) {
		conex_container *c;
		int r = conex_container_get(cli->cx, cli->args[i], &c, &cli->err);

		if (r == 0) {
			kept = remove_one(cli, c) ? FAILED : kept;
			conex_container_free(c);
		} else if (r != -ENOENT) {
			kept = say_error(cli, format(cli, "rm %s", cli->args[i]));
		}
	}
	return status ? status : kept;
}

/* ---- pause, unpause ---- */

static int pause_one(struct cli *cli, conex_container *c)
{
	int r = conex_container_pause(c, 10000, &cli->err);

	if (r == 0)
		conex_container_resume(c, NULL);
	return r < 0 ? no(cli, c) : r == 0 ? say("pause: %s couldn't be paused within 10 s", conex_container_id(c)) : done(c);
}

static int unpause_one(struct cli *cli, conex_container *c)
{
	return conex_container_resume(c, &cli->err) < 0 ? no(cli, c) : done(c);
}

int command_pause(struct cli *cli)
{
	return each(cli, CONEX_DETACHED, pause_one);
}

int command_unpause(struct cli *cli)
{
	return each(cli, CONEX_DETACHED, unpause_one);
}

/* ---- wait ---- */

static int wait_one(struct cli *cli, conex_container *c)
{
	int status = 255;
	json_t *end;

	if (conex_container_wait(c, -1, &status, &cli->err) < 0)
		return no(cli, c);
	record_wait(cli, conex_container_id(c));
	end = record_read(cli, c);
	if (end)
		status = (int)json_integer_value(json_object_get(end, "status"));
	json_decref(end);
	printf("%d\n", status);
	return 0;
}

int command_wait(struct cli *cli)
{
	return each(cli, CONEX_DETACHED, wait_one);
}
