/* containerd for bench image: root, state and socket are in the bench's place, so it meets nobody else's. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "image.h"

#define AT IMAGE_SCRATCH "/containerd"
#define AT_13 IMAGE_SCRATCH "/containerd-13"

struct daemon {
	const char *at, *config, *args[6], *ready;
	pid_t pid;
	int users;
};
static struct daemon ours = { .at = AT, .config = AT "/config.toml", .ready = IMAGE_CTR "version",
	.args = { "containerd", "--config", AT "/config.toml" } };
static struct daemon newer = { .at = AT_13, .config = AT_13 "/config.toml", .ready = IMAGE_CTR_13 "version",
	.args = { "chroot", IMAGE_SCRATCH "/newer", "containerd", "--config", AT_13 "/config.toml" } };

static int write_config(const struct daemon *d)
{
	FILE *f;

	mkdir(d->at, 0700);
	f = fopen(d->config, "we");
	if (!f)
		return -errno;
	fprintf(f, "version = 2\n"
		"root = \"%s/root\"\n"
		"state = \"%s/state\"\n"
		"disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.zfs\", "
		"\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.aufs\", "
		"\"io.containerd.snapshotter.v1.devmapper\"]\n"
		"[grpc]\n"
		"address = \"%s/socket\"\n"
		"[plugins.\"io.containerd.internal.v1.opt\"]\n"
		"path = \"%s/opt\"\n", d->at, d->at, d->at, d->at);
	return fclose(f) == 0 ? 0 : -EIO;
}

static int start(struct daemon *d, char why[IMAGE_WHY])
{
	if (d->users == 0) {
		if (write_config(d) < 0) {
			snprintf(why, IMAGE_WHY, "%s can't be written", d->config);
			return -EIO;
		}
		d->pid = image_server_start(d->args, d->ready, why);
		if (d->pid < 0)
			return d->pid;
	}
	d->users++;
	return 0;
}

static void end(struct daemon *d)
{
	if (d->users && --d->users == 0)
		image_server_end(&d->pid);
}

int image_containerd_start(char why[IMAGE_WHY])
{
	int r = image_needs(why, (const char *[]){ "containerd", "ctr", NULL });

	return r < 0 ? r : start(&ours, why);
}

void image_containerd_end(void)
{
	end(&ours);
}

pid_t image_containerd_pid(void)
{
	return ours.pid;
}

int image_containerd_13_start(char why[IMAGE_WHY])
{
	int r = image_newer(why, "containerd");

	return r < 0 ? r : start(&newer, why);
}

void image_containerd_13_end(void)
{
	end(&newer);
}

pid_t image_containerd_13_pid(void)
{
	return newer.pid;
}
