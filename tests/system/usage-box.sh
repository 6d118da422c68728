# Sourced by tests/system/usage-*.sh: a box, network and mounts of the test's own, and a store with the images that the programs
# of tests/usage name. Those are read from there and run as they stand, so the names must lead where the test wants them.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # for the scripts; box: of registry-box.sh
# A mount namespace beside registry-box.sh's network: /etc/hosts is to be ours.
if [ -z "${REGISTRY_INSIDE:-}" ] && unshare -n -m true 2>/dev/null; then
	REGISTRY_INSIDE=1 exec unshare -n -m --propagation private bash "$0"
fi
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/registry-box.sh"
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/sanitized.sh"
needs ldd libc-bin /usr/bin/python3 python3 /bin/busybox busybox-static
usage=$CX_SRCDIR/tests/usage
export LD_LIBRARY_PATH=$CX_BUILDDIR/.libs CONEX_WORKER=${CONEX_WORKER:-$CX_BUILDDIR/conex-worker} CONEX_STORE=$box/store
mkdir "$box/images"

# images ARCHIVE...: makes them. image NAME ARCHIVE: from now on one is in the store, under that name.
images() {
	/usr/bin/python3 -B "$CX_SRCDIR/tests/system/usage-images.py" "$box/images" "$@" || exit 99
}
image() {
	"$CX_BUILDDIR/conex" import -q "$box/images/$2.tar" "$1" >/dev/null || exit 99
}

# nothing_left ID...: no interface but lo, and none of these containers' cgroups.
nothing_left() {
	[ "$(ip -o link | wc -l)" = 1 ] || { ip -o link; return 1; }
	no_cgroup "$@"
}
