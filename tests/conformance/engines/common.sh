#!/bin/bash
# What the scripts for the engines share: namespaces of their own, the runtime under test, an image's
# files, TAP, and tidying up. To be sourced; RUNTIME names the runtime (build/conex-oci by default).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the distribution's first
points=0 dir=

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# needs PROGRAM PACKAGE ...
needs() {
	while [ $# -gt 1 ]; do
		command -v "$1" >/dev/null || skip_all "$1 isn't here (Debian's package $2)"
		shift 2
	done
}

# Begins the script again in namespaces of its own: what an engine mounts, routes or leaves running is
# gone with them. All cgroups are below $CONFORMANCE_GROUP.
enter() {
	if [ "${ENGINES_INSIDE:-}" != yes ]; then
		[ "$(id -u)" = 0 ] || skip_all "only root can run an engine"
		RUNTIME=$(command -v "${RUNTIME:-$here/../../../build/conex-oci}") ||
			skip_all "no runtime: ${RUNTIME:-build/conex-oci}"
		RUNTIME=$(realpath "$RUNTIME")
		CONFORMANCE_GROUP=${CONFORMANCE_GROUP:-/conformance-$$}
		export RUNTIME CONFORMANCE_GROUP ENGINES_INSIDE=yes
		exec unshare --net --pid --fork --kill-child --mount-proc -- "$here/../private.sh" "$0" "$@"
	fi
	trap leave EXIT
	trap 'exit 1' INT TERM
	ip link set lo up
	dir=$(mktemp -d /var/tmp/engine.XXXXXX) # not /tmp: storage drivers want a real file system
	chmod 755 "$dir"
	mkdir "$dir/tmp"
	export TMPDIR=$dir/tmp HOME=$dir
	unset NOTIFY_SOCKET XDG_RUNTIME_DIR DOCKER_HOST
	echo "# $(basename "$RUNTIME"): $("$RUNTIME" --version | head -1)"
}

# ---- tidying up ----

# Every process of this namespace but this shell, one by one.
end_processes() {
	local path
	[ $$ = 1 ] || return 0 # not in a namespace of its own: those aren't ours
	for path in /proc/[0-9]*; do
		[ "$path" = /proc/1 ] || [ ! -e "$path/cmdline" ] || kill -KILL "${path#/proc/}"
	done 2>/dev/null
}

remove_groups() {
	local state group
	# shellcheck disable=SC2044 # names of our own making, without blanks
	for state in $(find "/sys/fs/cgroup/freezer$CONFORMANCE_GROUP" -name freezer.state 2>/dev/null); do
		echo THAWED >"$state"
	done
	for group in /sys/fs/cgroup/*"$CONFORMANCE_GROUP" "/sys/fs/cgroup$CONFORMANCE_GROUP"; do
		[ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + || true
	done 2>/dev/null
}

leave() {
	local status=$? try
	trap - EXIT
	declare -F stop_engine >/dev/null && stop_engine >/dev/null 2>&1
	for try in 1 2 3 4 5 6 7 8 9 10; do
		end_processes
		remove_groups
		compgen -G "/sys/fs/cgroup/*$CONFORMANCE_GROUP" >/dev/null || break
		sleep 0.2
	done
	grep -o " $dir/[^ ]*" /proc/self/mounts | sort -r | while read -r path; do
		umount -l "$path"
	done
	rm -rf --one-file-system "$dir"
	exit $status
}

# stop_daemon PID: asked nicely, then not
stop_daemon() {
	local try
	kill "$1" || return 0
	for try in $(seq 100); do
		kill -0 "$1" || return 0
		sleep 0.1
	done
	kill -KILL "$1"
} 2>/dev/null

# What --privileged asks for: every capability that the kernel knows.
all_capabilities() {
	local last
	last=$(cat /proc/sys/kernel/cap_last_cap)
	[ $((0x$(sed -n 's/^CapBnd:\s*//p' /proc/self/status))) = $(((1 << (last + 1)) - 1)) ]
}

# ---- images ----

# make_rootfs DIRECTORY: busybox and two users
make_rootfs() {
	mkdir -p "$1"/{bin,dev,etc,proc,sys,tmp,home/app}
	cp "$(command -v busybox)" "$1/bin/busybox"
	"$1/bin/busybox" --list | while read -r name; do
		[ "$name" = busybox ] || ln -s busybox "$1/bin/$name"
	done
	chmod 1777 "$1/tmp"
	printf 'root:x:0:0:root:/:/bin/sh\napp:x:1234:1234::/home/app:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\napp:x:1234:\nextra:x:777:app\n' >"$1/etc/group"
	echo text >"$1/etc/plain"
}

# ---- TAP ----

# report STATUS NAME OUTPUT
report() {
	points=$((points + 1))
	[ "$1" = 0 ] && echo "ok $points - $2" && return
	echo "not ok $points - $2"
	printf '%s\n' "$3" | head -30 | sed 's/^/#   /'
}

skip() {
	points=$((points + 1))
	echo "ok $points - $1 # SKIP $2"
}

# What a line of shell says on both streams; exported functions can be used in it. By a file: who goes
# on in the background, or can't be stopped, isn't waited for.
say_of() {
	local status
	timeout -k 5 30 bash -c "$1" >"$dir/said" 2>&1 </dev/null
	status=$?
	tr -d '\0' <"$dir/said"
	return $status
}

# expect NAME STATUS REGEX LINE: what the line of shell says and how it ends
expect() {
	local out got bad=0
	out=$(say_of "$4")
	got=$?
	[ $got = "$2" ] && grep -qE -- "$3" <<<"$out" || bad=1
	report $bad "$1" "expected status $2 and /$3/, got status $got and: $out"
}

# expect_privileged: expect, where root may give all capabilities
expect_privileged() {
	all_capabilities && expect "$@" && return
	skip "$1" 'root lacks capabilities here, and the engine asks for all'
}

# eventually NAME REGEX LINE: says so within 20 s
eventually() {
	local out='' try bad=1
	for try in $(seq 100); do
		out=$(say_of "$3")
		grep -qE -- "$2" <<<"$out" && bad=0 && break
		sleep 0.2
	done
	report $bad "$1" "expected /$2/ ($try tries), got: $out"
}

finish() {
	echo "1..$points"
	exit 0
}
