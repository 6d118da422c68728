# Sourced by tests/system/cli*.sh: conex, the program, with containers and images of its own, in a network namespace with nothing
# but loopback in it; and archives of images.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # box, failed: of box.sh; archives, terminal: for the scripts
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/registry-box.sh"
needs /usr/bin/python3 python3 /bin/busybox busybox-static
export CONEX_WORKER=${CONEX_WORKER:-$CX_BUILDDIR/conex-worker} CONEX_UNDO=${CONEX_UNDO:-$CX_BUILDDIR/conex-undo}
program=${CONEX_PROGRAM:-$CX_BUILDDIR/conex}
state=$box/state store=$box/store archives=$box/archives
me=cli$$ # no two runs share an id
terminal=("/usr/bin/python3" -B "$CX_SRCDIR/tests/system/cli-terminal.py")
mkdir "$archives"
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/image-archives.py" /bin/busybox "$archives" || exit 99
cd "$box" || exit 99

end_containers() {
	local ids
	mapfile -t ids < <("${with[@]}" ps -aq 2>/dev/null)
	[ ${#ids[@]} = 0 ] || "${with[@]}" rm -f "${ids[@]}" >/dev/null
}
trap 'end_containers; cleanup' EXIT
trap 'exit 1' TERM INT

# tries NAME COMMAND...: as check, and what a failure leaves isn't the next one's trouble.
tries() {
	local before=$failed
	check "$@"
	[ "$failed" = "$before" ] || end_containers
}

conex() {
	"$program" --state "$state" --store "$store" "$@"
}
with=("$program" --state "$state" --store "$store")

# fails PATTERN ARGUMENT...: conex says one line, that one, and 125.
fails() {
	local pattern=$1 said status=0
	shift
	said=$(conex "$@" 2>&1 >"$box/unwanted") || status=$?
	[ $status = 125 ] && [ ! -s "$box/unwanted" ] || {
		echo "status $status: $* said: $said $(cat "$box/unwanted")"
		return 1
	}
	has "$said" "^conex: .*$pattern" || return
	[ "$(wc -l <<<"$said")" = 1 ] || { echo "more than one line: $said"; return 1; }
}

# is WANT COMMAND...: exactly this is what it prints.
is() {
	local want=$1 said
	shift
	said=$("$@" 2>&1) || { echo "status $?: $* said: $said"; return 1; }
	[ "$said" = "$want" ] || { printf '%s\nprinted:\n%s\nnot:\n%s\n' "$*" "$said" "$want"; return 1; }
}

# json EXPRESSION COMMAND...: what it prints is JSON, of which (it) that is true.
json() {
	local expression=$1
	shift
	"$@" >"$box/json" || { echo "status $?: $*"; return 1; }
	/usr/bin/python3 - "$box/json" "$expression" <<-'PYTHON' || { cat "$box/json"; return 1; }
		import json, sys
		with open(sys.argv[1]) as file:
		    it = json.load(file)
		if not eval(sys.argv[2]):
		    sys.exit("not so: " + sys.argv[2])
	PYTHON
}

# Of a container: its state as ps has it.
status_of() {
	conex ps -a --format json | /usr/bin/python3 -c 'import json, sys
print("".join(c["status"] for c in json.load(sys.stdin) if c["id"] == sys.argv[1]))' "$1"
}
becomes_status() {
	until_up bash -c '[ "$("$@" ps -a --filter status='"$2"' -q | grep -x '"$1"')" ]' bash "${with[@]}"
}

# No container, no record, no log, no snapshot, no lease, no cgroup of these ids.
nothing_left() {
	local left
	left=$(
		conex ps -aq
		find "$state"/ends "$state"/logs "$store"/leases "$store"/snapshots -mindepth 1 ! -name '.*' 2>/dev/null
		find "$state"/containers -name "*$me*"
		ls -d /sys/fs/cgroup/conex/"$me"* /sys/fs/cgroup/*/conex/"$me"* 2>/dev/null
	)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}
