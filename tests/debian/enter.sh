#!/bin/bash
# enter.sh TREE COMMAND...: the command as root in /root/conex of a Debian tree. run.sh has given us mount and pid namespaces of
# our own, which end with us and take all mounts along. pivot_root, not chroot: in a chroot no user namespace can be made.
set -euo pipefail
tree=$1
shift
ip link set lo up
mount --bind "$tree" "$tree"
cd "$tree"
mount -t proc proc proc
mount -t sysfs sysfs sys                # of our network namespace
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm dev/net
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for node in null zero full random urandom tty fuse net/tun; do
	[ ! -e /dev/$node ] || cp -a /dev/$node dev/$node
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for i in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${i%:*}" "dev/${i#*:}"; done
cp -L /etc/resolv.conf /etc/hosts etc/
pivot_root . .
umount -l .
cd /root/conex
exec env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
