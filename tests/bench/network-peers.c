/* Podman's netavark and the CNI plugins, as their engines call them: a process for each step, JSON on stdin. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "network.h"

static struct {
	struct network_server server;
	int interfaces;                 /* before */
	char dir[32];
	char result[8192];              /* of the bridge plugin */
} peer;

/* Runs it with `input` as stdin; its output into `output`, its last words on stderr into `why`. */
static int run(char *const *argv, char *const *env, const char *input, char *output, size_t size, char *why)
{
	int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC), status = -1;
	int said = memfd_create("said", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	ssize_t n;
	pid_t pid;
	int r;

	if (in < 0 || out < 0 || said < 0 || write(in, input, strlen(input)) < 0 || lseek(in, 0, SEEK_SET) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, said, 2);
	r = posix_spawn(&pid, argv[0], &actions, NULL, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	if (r == 0)
		waitpid(pid, &status, 0);
	n = r == 0 ? pread(out, output, size - 1, 0) : 0;
	output[n > 0 ? n : 0] = '\0';
	if (r == 0 && status) {
		n = pread(said, why, NETWORK_WHY - 1, 0);
		why[n > 0 ? n : 0] = '\0';
		if (n <= 0)
			snprintf(why, NETWORK_WHY, "%.200s", output);
	}
	close(in);
	close(out);
	close(said);
	return r ? -r : status ? -EIO : 0;
}

static int begin(void)
{
	peer.interfaces = network_interfaces();
	return network_server_start(&peer.server, NULL, NULL);
}

static int end(void)
{
	network_server_end(&peer.server);
	return network_wait_for(peer.interfaces);       /* netavark takes its bridge away with the last container */
}

static const char *namespace(void)
{
	static char path[40];

	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)peer.server.pid);
	return path;
}

static int make_directory(char *why)
{
	strcpy(peer.dir, "/tmp/bench-network-XXXXXX");
	if (!mkdtemp(peer.dir)) {
		snprintf(why, NETWORK_WHY, "no temporary directory");
		return -errno;
	}
	return 0;
}

static void remove_directory(void)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", peer.dir);
	if (system(command) != 0)
		perror(peer.dir);
}

/* ---- netavark ---- */

static char netavark[] = "/usr/lib/podman/netavark";

static int netavark_open(const char *rootfs, char *why)
{
	(void)rootfs;
	if (access(netavark, X_OK) < 0) {
		snprintf(why, NETWORK_WHY, "%s isn't installed", netavark);
		return -ENOENT;
	}
	return make_directory(why);
}

static int call_netavark(const char *verb, char *why)
{
	static const char form[] = "{\"container_id\":\"bench\",\"container_name\":\"bench\",\"networks\":{\"bench\":"
		"{\"static_ips\":[\"10.99.0.5\"],\"interface_name\":\"eth0\"}},\"network_info\":{\"bench\":{\"name\":\"bench\","
		"\"id\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"driver\":\"bridge\","
		"\"network_interface\":\"podmanb0\",\"created\":\"2024-01-01T00:00:00Z\",\"subnets\":[{\"subnet\":\"10.99.0.0/16\","
		"\"gateway\":\"10.99.0.1\"}],\"ipv6_enabled\":false,\"internal\":false,\"dns_enabled\":false,"
		"\"ipam_options\":{\"driver\":\"host-local\"}}},\"port_mappings\":[{\"host_ip\":\"" NETWORK_HOST "\","
		"\"container_port\":80,\"host_port\":%d,\"range\":1,\"protocol\":\"tcp\"}]}";
	char *argv[] = { netavark, (char *)"--config", peer.dir, (char *)verb, (char *)namespace(), NULL };
	char *env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	char input[2048], output[8192];

	snprintf(input, sizeof input, form, NETWORK_PORT);
	return run(argv, env, input, output, sizeof output, why);
}

static int netavark_up(char *why)
{
	int r = begin();

	if (r == 0)
		r = call_netavark("setup", why);
	return r < 0 ? r : network_server_go(&peer.server);
}

static int netavark_down(char *why)
{
	int r = call_netavark("teardown", why), e = end();

	return r < 0 ? r : e;
}

const struct network_way network_netavark = { "netavark", netavark_open, netavark_up, netavark_down, remove_directory };

/* ---- CNI: bridge and portmap ---- */

static int call_plugin(const char *plugin, const char *verb, const char *input, char *output, size_t size, char *why)
{
	char path[64], command[32], ns[64];
	char *argv[] = { path, NULL };
	char *env[] = { command, ns, (char *)"CNI_CONTAINERID=bench", (char *)"CNI_IFNAME=eth0", (char *)"CNI_PATH=/usr/lib/cni",
		(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

	snprintf(path, sizeof path, "/usr/lib/cni/%s", plugin);
	snprintf(command, sizeof command, "CNI_COMMAND=%s", verb);
	snprintf(ns, sizeof ns, "CNI_NETNS=%s", namespace());
	return run(argv, env, input, output, size, why);
}

static int call_bridge(const char *verb, char *why)
{
	char input[1024];

	snprintf(input, sizeof input, "{\"cniVersion\":\"0.4.0\",\"name\":\"bench\",\"type\":\"bridge\",\"bridge\":\"cnibench\","
		"\"isGateway\":true,\"ipMasq\":true,\"hairpinMode\":true,\"ipam\":{\"type\":\"host-local\",\"subnet\":\"10.98.0.0/16\","
		"\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dataDir\":\"%s\"}}", peer.dir);
	return call_plugin("bridge", verb, input, peer.result, sizeof peer.result, why);
}

static int call_portmap(const char *verb, const char *before, char *why)
{
	char input[12288], output[8192];

	snprintf(input, sizeof input, "{\"cniVersion\":\"0.4.0\",\"name\":\"bench\",\"type\":\"portmap\",\"snat\":true,\"capabilities\":"
		"{\"portMappings\":true},\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":%d,\"containerPort\":80,\"protocol\":\"tcp\"}]},"
		"\"prevResult\":%s}", NETWORK_PORT, before);
	return call_plugin("portmap", verb, input, output, sizeof output, why);
}

static int cni_open(const char *rootfs, char *why)
{
	(void)rootfs;
	if (access("/usr/lib/cni/bridge", X_OK) < 0 || access("/usr/lib/cni/portmap", X_OK) < 0) {
		snprintf(why, NETWORK_WHY, "/usr/lib/cni/bridge and portmap aren't installed");
		return -ENOENT;
	}
	/* which the plugin makes and never takes away: there before, like conex's and the floor's */
	if (system("ip link add cnibench type bridge") != 0) {
		snprintf(why, NETWORK_WHY, "no bridge");
		return -EIO;
	}
	return make_directory(why);
}

static int cni_up(char *why)
{
	int r = begin();

	if (r == 0)
		r = call_bridge("ADD", why);
	if (r == 0)
		r = call_portmap("ADD", peer.result, why);
	return r < 0 ? r : network_server_go(&peer.server);
}

static int cni_down(char *why)
{
	char before[sizeof peer.result];
	int r, e;

	memcpy(before, peer.result, sizeof before);
	r = call_portmap("DEL", before, why);
	if (r == 0)
		r = call_bridge("DEL", why);
	e = end();
	return r < 0 ? r : e;
}

const struct network_way network_cni = { "cni", cni_open, cni_up, cni_down, remove_directory };
