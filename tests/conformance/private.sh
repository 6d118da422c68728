#!/bin/bash
# Runs a command where mounts are private, and where the cgroup controllers that nobody mounted are
# there too: private.sh COMMAND ... (as root). Nothing here changes a mount that others see.
set -euo pipefail

if [ "${CONFORMANCE_PRIVATE:-}" != yes ]; then
	CONFORMANCE_PRIVATE=yes exec unshare --mount --propagation private -- "$0" "$@"
fi

# On machines with version 1 hierarchies, /sys/fs/cgroup is a tmpfs: ours takes its place, so that
# no directory has to be made in the machine's. Moved, not bound: runtimes look for hierarchies in
# mountinfo, and would find the covered ones first.
cgroups=/sys/fs/cgroup
if [ "$(stat -fc %T $cgroups)" = tmpfs ]; then
	new=$(mktemp -d)
	mount -t tmpfs -o mode=755 conformance "$new"
	for old in "$cgroups"/*; do
		if mountpoint -q "$old"; then
			mkdir "$new/${old##*/}"
			mount --move "$old" "$new/${old##*/}"
		elif [ -h "$old" ]; then
			cp -P "$old" "$new/"
		fi
	done
	for controller in net_cls net_prio perf_event hugetlb; do   # crun 1.8 insists on hugetlb
		grep -q "^$controller\s.*1$" /proc/cgroups || continue
		mkdir "$new/$controller" 2>/dev/null || continue        # it is mounted already
		mount -t cgroup -o $controller cgroup "$new/$controller" 2>/dev/null ||
			rmdir "$new/$controller"
	done
	mount --move "$new" $cgroups
	rmdir "$new"
fi

# What runtimes keep about containers goes with this namespace.
mount -t tmpfs -o mode=755 conformance /run
exec "$@"
