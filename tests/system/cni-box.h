/* What the tests of CNI share: lists, and plugins of our own that write down how they were called, fail, hang and take
 * their time. /var/lib is the test's alone; /etc/cni isn't looked at (NETCONFPATH, CNI_PATH). */
#ifndef CONEX_TEST_CNI_BOX_H
#define CONEX_TEST_CNI_BOX_H

#include "network-box.h"

#include <jansson.h>
#include <sys/mount.h>
#include "network/cni.h"

#define REAL "/usr/lib/cni"

/* ---- lists and plugins of our own ---- */

/* One program under several names: it logs its call, and does what a file beside it says: fail-TYPE-COMMAND,
 * hang-TYPE-COMMAND, slow-TYPE-COMMAND. What it adds is a device, 10.66.0.N, that nobody needs to delete. */
static const char plugin[] =
	"#!/bin/sh\n"
	"type=${0##*/} dir=${0%/*} input=$(cat)\n"
	"echo \"$CNI_COMMAND $type $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS $CNI_PATH\" >>$dir/log\n"
	"echo \"$input\" >$dir/input-$type-$CNI_COMMAND\n"
	"[ -e $dir/hang-$type-$CNI_COMMAND ] && exec sleep 1000\n"
	"if [ -e $dir/fail-$type-$CNI_COMMAND ]; then\n"
	"	cat $dir/fail-$type-$CNI_COMMAND; exit 1\n"
	"fi\n"
	"if [ -e $dir/slow-$type-$CNI_COMMAND ]; then\n"
	"	sleep 1; echo DONE $type >>$dir/log\n"
	"fi\n"
	"[ $CNI_COMMAND = ADD ] || exit 0\n"
	"before=$(echo \"$input\" | sed -n 's/.*\"prevResult\":\\(.*\\)}$/\\1/p')\n"
	"if [ -n \"$before\" ]; then echo \"$before\"; exit 0; fi\n"
	"echo '{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"'$CNI_IFNAME'\",\"sandbox\":\"'$CNI_NETNS'\"}],'\n"
	"echo '\"ips\":[{\"address\":\"10.66.0.9/24\",\"interface\":0},{\"address\":\"fd66::9/64\"}]}'\n";

#define LIST(name, plugins) "{\"cniVersion\":\"1.0.0\",\"name\":\"" name "\",\"plugins\":[" plugins "]}"
#define SCRIPTED LIST("scripted", "{\"type\":\"one\"},{\"type\":\"two\",\"capabilities\":{\"portMappings\":true}," \
	"\"runtimeConfig\":{\"mine\":1}},{\"type\":\"three\"}")

static inline const char *plugins(const char *file)
{
	return say("%s/plugins/%s", box.dir, file);
}

static inline void list(const char *file, const char *text)
{
	make_file(say("%s/lists/%s", box.dir, file), text);
}

static inline void forget(void)
{
	CHECK_INT(command("cd %s/plugins && rm -f log input-* fail-* hang-* slow-*", box.dir), 0);
}

static inline void prepare(void)
{
	CHECK_INT(command("mkdir -p %s/plugins %s/lists", box.dir, box.dir), 0);
	make_file(plugins("one"), plugin);
	CHECK_INT(chmod(plugins("one"), 0755), 0);
	CHECK_INT(link(plugins("one"), plugins("two")) + link(plugins("one"), plugins("three")), 0);
	setenv("NETCONFPATH", say("%s/lists", box.dir), 1);
	setenv("CNI_PATH", say("%s/plugins:" REAL, box.dir), 1);
	list("10-scripted.conflist", SCRIPTED);
}

static inline int cni(const char *name, const char *parent)
{
	struct conex_network_options o = { .size = sizeof o, .driver = "cni", .parent = parent };

	box_clear();
	return conex_network_create(box.cx, name, &o, &box.err);
}

/* Everything that an interface leaves behind while it is there. */
static inline int entries(const char *path)
{
	int n = box_entries(path);

	return n < 0 ? 0 : n;           /* none has been made yet */
}

static inline int left_of(const char *name)
{
	return members(name) + entries(say("%s/%s/attached", directory, name)) + entries(say("%s/.pins", directory))
		+ entries(CX_CNI_RESULTS);
}

static inline int launched(const char *networks)
{
	struct conex_run_options o = box_options(BOX(.network = networks));
	conex_container *c = NULL;
	int r;

	box_clear();
	r = conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err);
	if (r == 0)
		box_end(c);
	return r;
}

/* A mount namespace of our own besides the network's. 1; 0: it can't be had (and said so) */
static inline int cni_box(void)
{
	if (geteuid() == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0
	    || mount("cni", "/var/lib", "tmpfs", 0, NULL) < 0)) {
		printf("1..0 # SKIP needs a mount namespace\n");
		return 0;
	}
	return network_box();
}

#endif
