#!/bin/bash
# bindings/python/examples/services, as a user has it: images of Debian's packages, then its tests one after another, by two
# workers, and one that fails; nothing is left of them. The images are made once, and kept in the build directory.
# shellcheck disable=SC2154 # box: of box.sh; preload: of sanitized.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/sanitized.sh"
built=$CX_BUILDDIR/bindings/python suite=$CX_SRCDIR/bindings/python/examples/services cache=$CX_BUILDDIR/images/services
export CONEX_STORE=$cache/store CONEX_WORKER=${CONEX_WORKER:-$CX_BUILDDIR/conex-worker} CONEX_UNDO=${CONEX_UNDO:-$CX_BUILDDIR/conex-undo}
[ -e "$built/built" ] || skip_all "the bindings aren't built here: configure says why"
[ -x "$CX_BUILDDIR/conex" ] || skip_all "built without the program conex"
for module in pytest xdist psycopg redis; do
	/usr/bin/python3 -c "import $module" 2>/dev/null || skip_all "needs python3-${module/#xdist/pytest-xdist}"
done
command -v ip >/dev/null || skip_all "needs iproute2"
make_box

# ---- the images, once: the network is needed for them, and only for them -----------------------------

made=$cache/$(sha256sum <"$suite/images.sh" | cut -c 1-16)
make_images() {
	rm -rf "${cache:?}" && mkdir -p "$cache" && CONEX="$CX_BUILDDIR/conex --state $box/state" "$suite/images.sh" && touch "$made"
}
if [ -z "${SERVICES_INSIDE:-}" ]; then
	for program in apt-get dpkg-deb; do command -v $program >/dev/null || skip_all "needs $program"; done
	if [ ! -e "$made" ]; then
		status=0
		make_images >"$box/log" 2>&1 || status=$?
		[ $status != 69 ] || skip_all "apt brings no packages here: $(grep -v '^images' "$box/log" | tail -n 1)"
		[ $status = 0 ] || check "the images are made" eval 'cat "$box/log"; false'
		[ $status = 0 ] || { finish; exit; }
	fi
	rm -rf --one-file-system "$box"
	SERVICES_INSIDE=1 exec unshare -n bash "$0"
fi
ip link set lo up
ip -o link | cut -d: -f2 >"$box/links"
with_sanitizer "$box" 0

# ---- the suite ---------------------------------------------------------------------------------------

export LD_LIBRARY_PATH=$CX_BUILDDIR/.libs PYTHONPATH=$built/lib:$box PYTHONDONTWRITEBYTECODE=1
# Of each service its id and its first process, for afterwards.
cat >"$box/noted.py" <<-'PYTHON'
	import os
	import conex.pytest_plugin as plugin
	started = plugin._started
	def noted(*args):
	    service = started(*args)
	    with open(os.environ["NOTED"], "a") as file:
	        print(service.id, service.pid, file=file)
	    return service
	plugin._started = noted
PYTHON
export NOTED=$box/noted
run_suite() { # LOG DIRECTORY OPTION...
	"${preload[@]}" /usr/bin/python3 -m pytest -v -rA -p conex.pytest_plugin -p noted -p no:cacheprovider --rootdir="$2" "${@:3}" "$2" >"$box/$1" 2>&1
}
passes() {
	run_suite "$@" || { cat "$box/$1"; return 1; }
}
# A line for each test of the log; more than two in each file there are.
each() {
	local result name
	while read -r result name; do
		check "${name##*/}$2" [ "$result" = PASSED ]
	done < <(grep -E '^(PASSED|FAILED|ERROR|SKIPPED) ' "$box/$1")
	check "tests of both services$2" eval "[ \$(grep -c '^PASSED .*test_postgres' '$box/$1') -gt 2 ] && [ \$(grep -c '^PASSED .*test_redis' '$box/$1') -gt 2 ]"
}
check "the suite passes" passes alone "$suite"
each alone ''
check "with two workers" passes workers "$suite" -n 2
each workers ", by one of two workers"
two_work() {
	has "$(cat "$box/workers")" '\[gw0\].*PASSED' '\[gw1\].*PASSED'
}
check "both workers had tests" two_work

# ---- a test that fails shows what the services had to say -----------------------------------------------

mkdir "$box/failing" && cp "$suite"/test_*.py "$box/failing"
cat >"$box/failing/test_failing.py" <<-'PYTHON'
	from test_postgres import db, pg
	from test_redis import client
	def test_query(db):
	    db.execute("select * from nowhere")
	def test_value(client):
	    assert client.get("x")
PYTHON
after() { # PATTERN: the lines of the log from there on
	sed -n "/$1/,\$p" "$box/failing.log"
}
logs_appear() {
	becomes 1 run_suite failing.log "$box/failing" -k failing "$@" || { cat "$box/failing.log"; return 1; }
	has "$(after 'conex: log of postgres:16 ([a-z]*) -')" 'ready to accept connections' \
		'ERROR:  relation "nowhere" does not exist' 'STATEMENT:  select \* from nowhere' '^FAILED .*test_query' &&
		has "$(after 'conex: log of redis:7 ([a-z]*) -')" 'Ready to accept connections' '^FAILED .*test_value'
}
check "the logs of services are shown with tests that fail" logs_appear
check "the logs of services are shown with tests that fail, by two workers" logs_appear -n 2

# ---- nothing is left ---------------------------------------------------------------------------------------

nothing_left() {
	local left id pid
	[ "$(wc -l <"$NOTED")" -gt 16 ] || { cat "$NOTED"; return 1; }
	while read -r id pid; do
		no_cgroup "$id" && is_dead "$pid" || return
	done <"$NOTED"
	left=$(find "$CONEX_STORE"/leases "$CONEX_STORE"/snapshots -mindepth 1 ! -name '.*' 2>/dev/null)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}
check "no container, cgroup, process or file of theirs is left" nothing_left
links_are_gone() {
	"${preload[@]}" /usr/bin/python3 -c 'import conex
with conex.open() as cx:
    cx.networks.get("bridge").delete()' && ip -o link | cut -d: -f2 | diff "$box/links" -
}
check "nor an interface, but for the bridge, which goes when asked" links_are_gone
[ ${#preload[@]} = 0 ] || check "no error of the library under ASan" faults "$box"
finish
