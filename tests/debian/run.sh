#!/bin/bash
# The bindings in bare Debians of their own: ./bootstrap debians [12|13] [suites|newcomer]
#	suites    what tests/system/python.sh, python-pip.sh and lua.sh say there; LuaRocks in each Lua; in 12 Python 3.9, too
#	newcomer  the READMEs of the bindings, taken at their word (without a release: in 12)
# A tree is made by mmdebstrap from the archives of this machine's apt, kept as a tar, and entered by enter.sh: all that
# is mounted lives in a mount namespace of its own. TAP here; all the rest goes to build/debian/*.log.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 99
top=$PWD
cache=$top/${CX_BUILDDIR:-build}/debian
keys=/usr/share/keyrings/debian-archive-keyring.gpg
count=0 failed=0 releases=() parts=()
for word in "$@"; do
	case $word in
	12 | 13) releases+=("$word") ;;
	suites | newcomer) parts+=("$word") ;;
	*) echo "debians: 12, 13, suites or newcomer, not $word" >&2; exit 2 ;;
	esac
done
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
[ "${DEBIANS_INSIDE:-}" ] || DEBIANS_INSIDE=1 exec unshare --mount --propagation private bash "$top/tests/debian/run.sh" "$@"
mkdir -p "$cache" && cache=$(realpath "$cache") || exit 99

# ---- trees ---------------------------------------------------------------------------------------

code_name() {
	case $1 in 12) echo bookworm ;; 13) echo trixie ;; esac
}

# This machine's archives with the other release's name for ours, as lines of a sources.list.
sources() { # CODENAME
	local ours
	ours=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
		sed "s/ $ours/ $1/; s#^#deb [signed-by=$keys] #" | sort -u
}

# What a newcomer has: Debian's required packages, apt, certificates, sudo.
bare_tar() { # CODENAME
	[ ! -e "$cache/$1.tar" ] || return 0
	sources "$1" >"$cache/$1.list" && TMPDIR=$cache mmdebstrap -q --variant=minbase --include=ca-certificates,sudo '' \
		"$cache/$1.new.tar" "$cache/$1.list" && mv "$cache/$1.new.tar" "$cache/$1.tar"
}

# Trees hold no mounts, we are in a namespace of our own; all the same nothing goes that something is mounted on.
remove_tree() {
	! grep -qF " $1" /proc/self/mountinfo && rm -rf --one-file-system "$1"
}

bare_tree() { # CODENAME DIRECTORY
	bare_tar "$1" && remove_tree "$2" && mkdir "$2" && tar -xpf "$cache/$1.tar" --numeric-owner -C "$2" &&
		apt-config dump | grep '^Acquire::' >"$2/etc/apt/apt.conf.d/99acquire"
}

# What git knows of or would, as it is here now. What was built from it stays.
put_sources() { # DIRECTORY
	mkdir -p "$1" && git ls-files --cached --others --exclude-standard | sort -u >"$1.new" && touch "$1.files" &&
		comm -23 "$1.files" "$1.new" | (cd "$1" && xargs -r -d '\n' rm -f) && mv "$1.new" "$1.files" &&
		tar -c --no-recursion --ignore-failed-read --owner=0 --group=0 -T "$1.files" | tar -xp -C "$1"
}

# enter [--net] TREE SECONDS COMMAND...: as root in there. With --net it has a network of its own, with nothing but a loopback.
enter() {
	local net=()
	[ "$1" != --net ] || { net=(--net) && shift; }
	timeout -k 10 "$2" unshare --mount --propagation private --pid --fork --kill-child "${net[@]}" \
		bash "$top/tests/debian/enter.sh" "$1" "${@:3}" </dev/null
}

# ---- what is said --------------------------------------------------------------------------------

result() { # STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
	fi
	return "$1"
}

step() { # NAME COMMAND...: its output is the log's
	local name=$1 status=0
	shift
	echo "=== $name" >>"$log"
	"$@" >>"$log" 2>&1 || status=$?
	[ $status = 0 ] || tail -n 40 "$log" | sed 's/^/# /'
	result $status "$name"
}

# tap NAME COMMAND...: each of its tests, numbered on; what was said before a failure. All of it is in the log.
tap() {
	local name=$1 said=$cache/said line status=0 before=$failed words=()
	shift
	echo "=== $name" >>"$log"
	"$@" >"$said" 2>&1 || status=$?
	cat "$said" >>"$log"
	while read -r line; do
		case $line in
		"ok "*) result 0 "$name: ${line#*- }"; words=() ;;
		"not ok "*)
			[ ${#words[@]} = 0 ] || printf '# %s\n' "${words[@]}" | tail -n 40
			result 1 "$name: ${line#*- }"; words=() ;;
		"1..0 # SKIP"*) result 1 "$name: skipped: ${line#*SKIP }" ;;        # all that it needs was installed
		1..*) ;;
		*) words+=("${line#\# }") ;;
		esac
	done <"$said"
	[ $status = 0 ] || [ $failed != "$before" ] || result 1 "$name: status $status"
	[ $failed != "$before" ] || grep -q '^ok ' "$said" || result 1 "$name: nothing was tested"
}

# ---- the two parts -------------------------------------------------------------------------------

old_python() { # TREE; into $old what to run
	local status=0
	enter "$1" 1800 bash tests/debian/python39.sh >>"$log" 2>&1 || status=$?
	if [ $status = 77 ]; then
		result 0 'debian 12: Python 3.9 # SKIP the archive has no Debian 11'
	else
		result $status 'debian 12: Python 3.9' && old=python3.9
	fi
}

suites() { # RELEASE
	local name tree test old=
	name=$(code_name "$1") tree=$cache/$name log=$cache/suites-$1.log
	: >"$log"
	[ -e "$tree/.made" ] || step "debian $1: a bare tree" bare_tree "$name" "$tree" && touch "$tree/.made" || return
	put_sources "$tree/root/conex" || return
	step "debian $1: packages" enter "$tree" 1800 ./bootstrap deps bindings &&
		step "debian $1: built" enter --net "$tree" 1800 ./bootstrap build || return
	[ "$1" != 12 ] || old_python "$tree"
	exec 9>"/tmp/conex-tests.$EUID.lock" && flock 9         # as tests/run does: one at a time on this machine
	for test in python python-pip lua luarocks $old; do
		tap "debian $1: $test" enter --net "$tree" 1800 bash tests/debian/suite.sh $test 9>&-
	done
	exec 9>&-
}

newcomer() { # RELEASE
	local name tree log binding
	name=$(code_name "$1")
	for binding in python lua; do
		tree=$cache/newcomer-$name-$binding log=$cache/newcomer-$1-$binding.log
		: >"$log"
		step "debian $1: a bare tree for $binding" bare_tree "$name" "$tree" && put_sources "$tree/root/conex" || continue
		tap "debian $1: bindings/$binding/README.md" enter "$tree" 1800 bash tests/debian/newcomer.sh $binding
		[ "${CONEX_KEEP:-}" ] || remove_tree "$tree"
	done
}

[ ${#parts[@]} -gt 0 ] || parts=(suites newcomer)
all() {
	local part release
	for part in "${parts[@]}"; do
		case $part in
		suites) set -- 12 13 ;;
		newcomer) set -- 12 ;;
		esac
		[ ${#releases[@]} = 0 ] || set -- "${releases[@]}"
		for release in "$@"; do $part "$release"; done
	done
	echo "1..$count"
	[ $failed = 0 ]
}
all | tee "$cache/last.tap"
