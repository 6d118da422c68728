/* run: an image, brought from its registry where it is missing, and a container of it, in the foreground or not. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int host_stdio(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? CONEX_STDIO_NULL : CONEX_STDIO_HOST;
}

/* As the library makes them; here so that the id is known before there is a container. */
static const char *new_id(struct cli *cli)
{
	unsigned char noise[12];
	char *id = format(cli, "%12s", "");

	if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
		exit(say("no random numbers: %s", strerror(errno)));
	for (int i = 0; i < 12; i++)
		id[i] = (char)('a' + noise[i] % 26);
	return id;
}

/* ---- the image ---- */

static int is_missing(struct cli *cli, const char *image, int *ret)
{
	char *json = NULL;
	int r = conex_image_json(cli->cx, image, &json, &cli->err);

	free(json);
	*ret = r == -ENOENT;
	return r < 0 && r != -ENOENT ? run_status(cli->err) : 0;
}

static int bring_image(struct cli *cli, const char *image)
{
	const char *when = text(cli, "pull") ? text(cli, "pull") : "missing";
	int always = !strcmp(when, "always"), never = !strcmp(when, "never"), missing, r;

	if (!always && !never && strcmp(when, "missing"))
		return say("run: --pull %s: it is missing, always or never", when);
	if (!image)
		return 0;
	r = open_images(cli);
	if (r == 0 && is_missing(cli, image, &missing))
		r = say_error(cli, "run");
	if (r == 0 && never && missing)
		r = say("run: there is no image %s; conex pull or conex import brings it", image);
	if (r == 0 && (always || (missing && !never)))
		r = pull_image(cli, image, 0, 1);
	conex_close(cli->cx);
	cli->cx = NULL;
	return r;
}

/* ---- a container ---- */

static int number_at(const conex_spec *spec, const char *pointer)
{
	char *text = NULL;
	int n = conex_spec_get(spec, pointer, &text, NULL) < 0 ? 0 : atoi(text);

	free(text);
	return n;
}

/* Images let their logs be /dev/stdout, and to open that again its user must own it. Files and terminals of ours stay ours. */
static void give_stdio(const struct cli *cli, conex_container *c)
{
	conex_spec *spec = NULL;
	struct stat st;
	int uid;

	if (flag(cli, "tty") || conex_container_spec(c, &spec, NULL) < 0)
		return;
	uid = number_at(spec, "/linux/uidMappings/0/hostID") + number_at(spec, "/process/user/uid");
	conex_spec_free(spec);
	for (int n = 1; n < 3; n++) {
		int fd = flag(cli, "detach") ? conex_container_stdio(c, n) : n;

		if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid != (uid_t)uid && fchown(fd, (uid_t)uid, (gid_t)-1) < 0)
			return;
	}
}

/* Not bound to us if it stays when it has ended, or if we wait in the background. */
int launch(struct cli *cli, struct description *d, int record, conex_container **ret)
{
	int r = open_containers(cli, flag(cli, "rm") && !flag(cli, "detach") ? 0 : CONEX_DETACHED);
	conex_container *other, *c;

	if (r == 0 && conex_container_get(cli->cx, d->o.id, &other, NULL) != -ENOENT) {
		conex_container_free(other);
		r = say("run: the id %s is taken; give another one with --name, or remove that container", d->o.id);
	}
	if (r)
		return close(record), r;
	records_sweep(cli);
	d->o.flags |= CONEX_RUN_HOLD;
	r = conex_run(cli->cx, d->image, d->args, &d->o, &c, &cli->err);
	if (r == 0) {
		give_stdio(cli, c);
		if (conex_container_start(c, &cli->err) == 0)
			return *ret = c, 0;
		conex_container_delete(c, -1, NULL);
		conex_container_free(c);
	}
	record_drop(cli, d->o.id, record);
	say_error(cli, "run");
	return run_status(cli->err);
}

void has_ended(struct cli *cli, conex_container *c, const char *id, int record)
{
	if (!flag(cli, "rm")) {
		record_write(record, c);
		close(record);
		return;
	}
	if (conex_container_delete(c, -1, &cli->err) < 0)
		say_error(cli, "run: --rm");
	record_drop(cli, id, record);
}

/* ---- in the foreground ---- */

static int run_here(struct cli *cli, struct description *d)
{
	struct attended a = { .master = -1, .signals = -1, .input = flag(cli, "interactive") };
	int record = record_begin(cli, d->o.id), status = FAILED, r;

	if (record < 0)
		return FAILED;
	a.signals = block_signals();
	if (!flag(cli, "tty")) {
		d->o.in = a.input ? host_stdio(0) : CONEX_STDIO_NULL;
		d->o.out = host_stdio(1);
		d->o.err = host_stdio(2);
	}
	r = launch(cli, d, record, &a.container);
	if (r)
		return r;
	a.master = conex_container_take_stdio(a.container, 0);
	if (attend(cli, &a, &status) < 0)
		status = say_error(cli, "run");
	has_ended(cli, a.container, d->o.id, record);
	if (a.master >= 0)
		close(a.master);
	conex_container_free(a.container);
	close(a.signals);
	return status;
}

int command_run(struct cli *cli)
{
	struct description d;
	int r = check_terminal(cli);

	if (r || describe(cli, &d))
		return FAILED;
	r = bring_image(cli, d.image);
	if (r)
		return r;
	if (!d.o.id)
		d.o.id = new_id(cli);
	return flag(cli, "detach") ? run_detached(cli, &d) : run_here(cli, &d);
}
