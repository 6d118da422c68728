# Sourced by the tests that are scripts: TAP, and a busybox root file system in $box/root.
# shellcheck shell=bash
# check NAME COMMAND...: a test. Its output is shown when it fails.
# finish: the plan, and the exit status.
# shellcheck disable=SC2034 # for the scripts
examples=$CX_BUILDDIR/examples
count=0 failed=0

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

check() {
	local name=$1
	shift
	count=$((count + 1))
	if "$@" >"$box/said" 2>&1; then         # a file: what holds a pipe would hold us
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$box/said"
		echo "not ok $count - $name"
	fi
}

# skip NAME WHY: a test that can't be run here.
skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

finish() {
	echo "1..$count"
	[ $failed = 0 ]
}

# has TEXT PATTERN...: each pattern (of grep -E) is in the text.
has() {
	local text=$1 pattern
	shift
	for pattern in "$@"; do
		grep -qE -e "$pattern" <<<"$text" || {
			printf 'no "%s" in:\n%s\n' "$pattern" "$text"
			return 1
		}
	done
}

# becomes STATUS COMMAND...: it exits so; its output goes on.
becomes() {
	local want=$1 status=0
	shift
	"$@" || status=$?
	[ $status = "$want" ] || {
		echo "status $status, not $want: $*"
		return 1
	}
}

# This process is no more, or waits to be reaped by a pid 1 that takes its time.
is_dead() {
	! grep -q '^State:[^ZX]*$' "/proc/$1/status" 2>/dev/null
}

# No cgroup of these containers is left in any hierarchy.
no_cgroup() {
	local id
	for id in "$@"; do
		! ls -d /sys/fs/cgroup/conex/"$id" /sys/fs/cgroup/*/conex/"$id" 2>/dev/null || return 1
	done
}

make_box() {
	[ "$(id -u)" = 0 ] || skip_all "needs root"
	[ -x /bin/busybox ] || skip_all "needs busybox-static"
	box=$(mktemp -d /tmp/conex-box-XXXXXX)
	chmod 755 "$box"
	mkdir -p "$box"/root/{bin,dev,etc,proc,root,run,sys,tmp,var}
	cp /bin/busybox "$box/root/bin"
	chroot "$box/root" /bin/busybox --install -s /bin       # one process, not one for each name
	chmod 1777 "$box/root/tmp"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$box/root/etc/passwd"
	echo 'root:x:0:' >"$box/root/etc/group"
	trap 'rm -rf --one-file-system "$box"' EXIT
}
