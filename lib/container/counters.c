/* What has gone through a container's interfaces, as its first process sees them. */
#include "container/container.h"
#include "base/path.h"
#include "network/counters.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* Once open it is this process's for ever: when that has ended nothing can be opened in it, whoever has the pid by
 * then. And it holds no namespace. That it is ours from the beginning its start time tells, or the keeper, who is
 * its parent and says so when it has ended. */
static int open_process(conex_container *c)
{
	cx_autoclose int fd = -1;
	char path[32];

	snprintf(path, sizeof path, "/proc/%d", (int)c->task.pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!c->task.id)
		return cx_process_start(c->task.pid) == c->start ? cx_steal_fd(&fd) : -ESRCH;
	cx_context_pump(c->task.cx);
	return c->task.state < CONEX_EXITED ? cx_steal_fd(&fd) : -ESRCH;
}

/* What can't be compared is for the spec to tell. */
static int is_hosts(const conex_container *c, int process)
{
	struct stat its, ours;

	if (fstatat(process, "ns/net", &its, 0) < 0 || stat("/proc/self/ns/net", &ours) < 0)
		return !cx_spec_namespace(c->spec ? c->spec : c->task.plan ? c->task.plan->spec : NULL, "network");
	return its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
}

static int read_counters(conex_container *c, cx_counters_each *each, void *data)
{
	cx_autoclose int fd = -1;

	if (c->host_network)
		return -ENODATA;
	if (c->process >= 0)
		return cx_counters_read(c->process, each, data);
	fd = open_process(c);
	if (fd < 0)
		return fd;
	c->host_network = is_hosts(c, fd);
	if (c->host_network)
		return -ENODATA;
	if (fd < cx_kept_below() && c->process < 0)
		return cx_counters_read(c->process = cx_steal_fd(&fd), each, data);
	return cx_counters_read(fd, each, data);
}

static void add(const char *name, const struct cx_counters *c, void *data)
{
	struct cx_counters *sum = data;

	(void)name;
	sum->rx_bytes += c->rx_bytes;
	sum->rx_packets += c->rx_packets;
	sum->rx_errors += c->rx_errors;
	sum->rx_dropped += c->rx_dropped;
	sum->tx_bytes += c->tx_bytes;
	sum->tx_packets += c->tx_packets;
	sum->tx_errors += c->tx_errors;
	sum->tx_dropped += c->tx_dropped;
}

void cx_container_add_counters(conex_container *c, struct conex_stats *s)
{
	struct cx_counters sum = { .rx_bytes = 0 };

	if (read_counters(c, add, &sum) < 0)
		return;
	s->net_rx_bytes = sum.rx_bytes;
	s->net_rx_packets = sum.rx_packets;
	s->net_rx_errors = sum.rx_errors;
	s->net_rx_dropped = sum.rx_dropped;
	s->net_tx_bytes = sum.tx_bytes;
	s->net_tx_packets = sum.tx_packets;
	s->net_tx_errors = sum.tx_errors;
	s->net_tx_dropped = sum.tx_dropped;
}

struct interfaces { json_t *list; int failed; };

static void put(const char *name, const struct cx_counters *c, void *data)
{
	struct interfaces *all = data;
	json_t *one = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rx_bytes", (json_int_t)c->rx_bytes,
		"rx_packets", (json_int_t)c->rx_packets, "rx_errors", (json_int_t)c->rx_errors,
		"rx_dropped", (json_int_t)c->rx_dropped, "tx_bytes", (json_int_t)c->tx_bytes,
		"tx_packets", (json_int_t)c->tx_packets, "tx_errors", (json_int_t)c->tx_errors,
		"tx_dropped", (json_int_t)c->tx_dropped);

	all->failed |= json_object_set_new(all->list, name, one) < 0;
}

json_t *cx_container_interfaces(conex_container *c)
{
	struct interfaces all = { .list = json_object() };
	json_t *object;

	if (!all.list)
		return NULL;
	if (read_counters(c, put, &all) < 0) {
		json_object_clear(all.list);
		return all.list;
	}
	object = all.failed ? NULL : json_pack("{s:O}", "interfaces", all.list);
	json_decref(all.list);
	return object;
}
