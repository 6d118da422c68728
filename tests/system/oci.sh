#!/bin/bash
# conex-oci: every verb as engines call it, on bundles of its own and of runc's.
# shellcheck disable=SC2154 # box, me: of oci-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/oci-box.sh"
loop='trap "exit 7" TERM; echo up; while :; do sleep 0.05; done'
bundle echo "$(args sh -c 'echo hello from $(hostname); exit 3')"
bundle loop "$(args sh -c "$loop")"
bundle quick "$(args sh -c 'exit 4')"
bundle missing "$(args no-such-program)"
bundle missing-path "$(args /no/such/program)"
bundle denied "$(args /etc/passwd)"
bundle terminal "$(args sh -c 'tty; stty size; exit 5')"
sed -i 's/"terminal": false/"terminal": true, "consoleSize": {"height": 33, "width": 99}/' "$box/terminal/config.json"
command -v runc >/dev/null && bundle of-runc "$(args sh -c 'echo of runc; exit 6')" runc

# ---- run ----

runs() {
	local out
	out=$(becomes 3 oci run --bundle "$box/echo" "$me-run") && has "$out" '^hello from conex$'
	no_cgroup "$me-run" && [ -z "$(find "$box/state" -type f ! -path "*/seccomp/*")" ]
}
runs_that_of_runc() {
	local out
	out=$(becomes 6 oci run --bundle="$box/of-runc" "$me-runc") && has "$out" '^of runc$'
}
keeps() {
	becomes 4 oci --log "$box/log" --log-format json run --bundle "$box/quick" --keep "$me-keep" &&
		is "$me-keep" stopped && oci delete "$me-keep" && fails 'does not exist' oci delete "$me-keep"
}
hands_on_signals() {
	local pid
	oci_ run --bundle "$box/loop" "$me-signal" >"$box/out" &
	pid=$!
	waits_for_up
	kill -TERM $pid
	becomes 7 wait $pid
}
check "run: output, status, and nothing is left" runs
command -v runc >/dev/null && check "run: a bundle of runc's" runs_that_of_runc
check "run --keep leaves the container, delete removes it" keeps
check "run hands signals on" hands_on_signals

# ---- create, start, state, kill, delete ----

lives() {
	oci create --bundle "$box/loop" --pid-file "$box/pid" "$me-life" >"$box/out" || return
	is "$me-life" created && [ ! -s "$box/out" ] || return
	[ "$(cat "$box/pid")" = "$(oci state "$me-life" | sed -n 's/^ *"pid": \(.*\),$/\1/p')" ] || return
	has "$(oci state "$me-life")" "\"bundle\": \"$box/loop\"" "\"id\": \"$me-life\"" '"ociVersion": "1' || return
	oci start "$me-life" && is "$me-life" running || return
	waits_for_up
	fails 'already running' oci start "$me-life" && fails 'already exists' oci create --bundle "$box/loop" "$me-life" &&
		fails 'not stopped' oci delete "$me-life" && is "$me-life" running || return
	oci kill "$me-life" && comes_to_be "$me-life" stopped &&
		has "$(oci state "$me-life")" '"pid": 0' && fails 'container not running' oci kill "$me-life" KILL &&
		fails 'has stopped' oci start "$me-life" && oci delete "$me-life" && fails 'does not exist' oci state "$me-life"
}
refuses_created() {
	oci create --bundle "$box/loop" "$me-held" </dev/null >/dev/null && fails 'not stopped: created' oci delete "$me-held" &&
		is "$me-held" created && oci delete --force "$me-held" && oci delete --force "$me-held" &&
		fails 'does not exist' oci delete "$me-held" && no_cgroup "$me-held"
}
kills_all() {
	oci run -d --bundle "$box/loop" "$me-all" </dev/null >/dev/null && oci kill --all "$me-all" 9 &&
		comes_to_be "$me-all" stopped && oci kill -a "$me-all" SIGKILL && oci delete "$me-all"
}
check "create, start, state, kill, delete, and what each refuses" lives
check "a created one is deleted by --force only, and that twice" refuses_created
check "kill --all, of a stopped one as well" kills_all

# ---- errors ----

says_in_log() {
	: >"$box/log"
	fails 'exec: "no-such-program": executable file not found in \$PATH' \
		oci --log "$box/log" --log-format json create --bundle "$box/missing" "$me-err" &&
		python3 -c 'import json, sys
line, = open(sys.argv[1])
line = json.loads(line)
assert line["level"] == "error" and "not found in $PATH" in line["msg"] and "time" in line' "$box/log"
}
check "create: no such program, also in the JSON log" says_in_log
check "create: no such path" fails 'stat /no/such/program: no such file or directory' \
	oci create --bundle "$box/missing-path" "$me-err"
check "create: no permission" fails 'permission denied' oci create --bundle "$box/denied" "$me-err"
check "run: no such program" fails 'executable file not found' oci run --bundle "$box/missing" "$me-err"
check "no bundle" fails 'config.json' oci create --bundle "$box/nowhere" "$me-err"
check "failed launches leave nothing" no_cgroup "$me-err"
check "unknown verbs and options" fails 'no option' oci create --nix "$me-err"
check "a terminal needs --console-socket" fails 'console socket' oci create --bundle "$box/terminal" "$me-err"

# ---- the engine's side ----

reparents() {
	local out
	out=$(subreaper oci_ create --bundle "$box/loop" --pid-file "$box/pid" "$me-shim" -- "$box/pid" \
		sh -c "$CX_BUILDDIR/conex-oci --root $box/state start $me-shim && $CX_BUILDDIR/conex-oci --root $box/state kill --all $me-shim 9") || return
	has "$out" '^status 0' '^parent us' '^second 0' '^ended -9' && oci delete "$me-shim"
}
tells_quick_ends() {
	local i out
	for i in 1 2 3 4 5; do
		out=$(subreaper oci_ run -d --bundle "$box/quick" --pid-file "$box/pid" "$me-q$i" -- "$box/pid") &&
			has "$out" '^parent us' '^ended 4' && oci delete "$me-q$i" || return
	done
}
gives_terminal() {
	local out
	out=$(subreaper -s "$box/tty" oci_ create --bundle "$box/terminal" --pid-file "$box/pid" --console-socket "$box/tty" \
		"$me-tty" -- "$box/pid" "$CX_BUILDDIR/conex-oci" --root "$box/state" start "$me-tty") || return
	has "$out" '^terminal /dev/ptmx True 99 33' '/dev/pts/0' '33 99' '^ended 5' && oci delete "$me-tty"
}
relays_terminal() {
	local out
	out=$(script -qec "stty rows 21 cols 77; $CX_BUILDDIR/conex-oci --root $box/state run --bundle $box/terminal $me-relay; echo status \$?" \
		/dev/null </dev/null) && has "$out" '21 77' 'status 5'
}
check "create: the container becomes the subreaper's, which gets its status" reparents
check "run --detach: however quickly it ends" tells_quick_ends
check "create: the terminal goes over --console-socket" gives_terminal
command -v script >/dev/null && check "run: the caller's terminal" relays_terminal

# ---- exec ----

oci run --detach --bundle "$box/loop" "$me-exec" </dev/null >/dev/null
executes() {
	local out
	out=$(becomes 9 oci exec --cwd /tmp --env X=y -e Z=1 --user 3:4 --additional-gids 8 "$me-exec" \
		sh -c 'pwd; echo $X $Z; id; exit 9') && has "$out" '^/tmp$' '^y 1$' '^uid=3 gid=4 groups=8'
}
executes_file() {
	local out
	cat >"$box/process.json" <<-'JSON'
		{"user": {"uid": 5, "gid": 6, "additionalGids": [7]}, "cwd": "/tmp", "env": ["PATH=/bin", "A=b"],
		 "args": ["sh", "-c", "id; pwd; echo $A; trap '' TERM; exit 2"], "noNewPrivileges": true}
	JSON
	out=$(becomes 2 oci exec --process "$box/process.json" "$me-exec") && has "$out" '^uid=5 gid=6 groups=7' '^/tmp$' '^b$'
}
executes_detached() {
	local out
	sed -i 's/exit 2/sleep 0.3; exit 2/' "$box/process.json"
	out=$(subreaper oci_ exec --process "$box/process.json" --detach --pid-file "$box/pid" "$me-exec" -- "$box/pid") &&
		has "$out" '^parent us' '^ended 2'
	for i in 1 2 3 4 5; do
		out=$(subreaper oci_ exec -d --pid-file "$box/pid" "$me-exec" sh -c 'exit 3' -- "$box/pid") &&
			has "$out" '^parent us' '^ended 3' || return
	done
}
executes_with_terminal() {
	local out
	sed -i 's/^{/{"terminal": true, "consoleSize": {"height": 11, "width": 44},/; s/id; pwd/tty; stty size/' "$box/process.json"
	rm -f "$box/tty"
	out=$(subreaper -s "$box/tty" oci_ exec --process "$box/process.json" --detach --pid-file "$box/pid" \
		--console-socket "$box/tty" "$me-exec" -- "$box/pid") && has "$out" '^terminal /dev/ptmx True' '/dev/pts/' '^ended 2'
}
rights() {
	local out
	out=$(oci exec --cap CAP_NET_RAW "$me-exec" grep Cap /proc/self/status) &&
		has "$out" 'CapBnd:.0000000020002420' 'CapEff:.0000000020002420' 'CapInh:.0*$'
	out=$(oci exec "$me-exec" grep Cap /proc/self/status) && has "$out" 'CapBnd:.0000000020000420'
}
preserves() {
	local out
	out=$(echo three | oci exec --preserve-fds 1 "$me-exec" cat /proc/self/fd/3 3<&0 </dev/null) && has "$out" '^three$'
	out=$(echo four | LISTEN_FDS=1 oci exec "$me-exec" sh -c 'echo $LISTEN_FDS $LISTEN_PID; cat <&3' 3<&0 </dev/null) &&
		has "$out" '^1 1$' '^four$'
}
check "exec: options, output and status" executes
check "exec --process" executes_file
check "exec --detach: the program goes on, and is the subreaper's" executes_detached
check "exec with a terminal over --console-socket" executes_with_terminal
check "exec --cap" rights
check "exec --preserve-fds, LISTEN_FDS" preserves
check "kill: unknown signal" fails 'unknown signal' oci kill "$me-exec" NIX
check "exec: no such program is 127" becomes 127 oci exec "$me-exec" no-such-program
check "exec: not executable is 126" becomes 126 oci exec "$me-exec" /etc/passwd
check "exec: no such container is 255" becomes 255 oci exec "$me-none" true

# ---- list, ps, pause, update, events ----

lists() {
	has "$(oci list)" '^ID ' "^$me-exec +[0-9]+ +running +$box/loop" && has "$(oci list -q)" "^$me-exec$" &&
		oci list --format json | python3 -c 'import json, sys
found, = [c for c in json.load(sys.stdin) if c["id"] == sys.argv[1]]
assert found["status"] == "running" and found["pid"] > 0 and found["bundle"] == sys.argv[2]' "$me-exec" "$box/loop"
}
lists_processes() {
	has "$(oci ps --format json "$me-exec")" '^\[[0-9]+(,[0-9]+)*\]$' && has "$(oci ps "$me-exec")" 'PID' 'trap "exit 7"' &&
		has "$(oci ps "$me-exec" -e -o pid,comm)" 'COMMAND' ' sh$'
}
pauses() {
	oci pause "$me-exec" && is "$me-exec" paused && fails 'already paused' oci pause "$me-exec" &&
		becomes 255 oci exec "$me-exec" true && oci resume "$me-exec" && is "$me-exec" running &&
		fails 'not paused' oci resume "$me-exec"
}
updates() {
	oci update --memory 64M --memory-swap -1 --pids-limit 55 "$me-exec" &&
		[ "$(limit "$me-exec" memory.limit_in_bytes memory.max)" = 67108864 ] &&
		[ "$(limit "$me-exec" pids.max pids.max)" = 55 ] &&
		echo '{"memory": {"limit": 33554432, "swap": 0, "kernel": 0}, "cpu": {"shares": 0, "quota": 50000, "period": 100000,
			"cpus": ""}, "blockIO": {"weight": 0}, "pids": {"limit": 0}}' | oci update --resources=- "$me-exec" &&
		[ "$(limit "$me-exec" memory.limit_in_bytes memory.max)" = 33554432 ] &&
		[ "$(limit "$me-exec" pids.max pids.max)" = 55 ] &&
		has "$(limit "$me-exec" cpu.cfs_quota_us cpu.max)" '^50000'
}
tells() {
	oci events --stats "$me-exec" | python3 -c 'import json, sys
event, = map(json.loads, sys.stdin)
assert event["type"] == "stats" and event["data"]["memory"]["usage"]["usage"] > 0 and event["data"]["pids"]["current"] > 0'
}
check "list" lists
check "ps" lists_processes
check "pause, resume, and paused as state" pauses
check "update, by options and by JSON" updates
check "events --stats" tells
oci delete --force "$me-exec"

# ---- an agent answers system calls (seccomp notification) ----

# The shell's $PPID is what the agent says, of the container's program and of exec's; both with no_new_privs
# and without.
asks() {
	local agent said i
	bundle "asks-$1" "{\"process\": {\"noNewPrivileges\": $1, \"args\": [\"sh\", \"-c\", \"echo of \$PPID; sleep 1000\"]},
		\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\", \"defaultErrnoRet\": null, \"listenerPath\": \"$box/agent-$1\",
		\"listenerMetadata\": \"meta\", \"syscalls\": [{\"names\": [\"getppid\"], \"action\": \"SCMP_ACT_NOTIFY\"}]}}}" || return
	fails 'linux.seccomp.listenerPath' oci create --bundle "$box/asks-$1" "$me-asks" || return
	/usr/bin/python3 -B "$CX_SRCDIR/tests/system/agent.py" "$box/agent-$1" 4711 4712 >"$box/states-$1" &
	agent=$!
	for ((i = 0; i < 500; i++)); do [ ! -S "$box/agent-$1" ] && sleep 0.02 || break; done
	oci create --bundle "$box/asks-$1" --pid-file "$box/pid" "$me-asks" >"$box/out" </dev/null || return
	is "$me-asks" created && oci start "$me-asks" || return
	for ((i = 0; i < 500; i++)); do [ ! -s "$box/out" ] && sleep 0.02 || break; done
	has "$(cat "$box/out")" '^of 4711$' || return
	said=$(oci exec "$me-asks" sh -c 'echo of $PPID') && has "$said" '^of 4712$' || return
	oci delete --force "$me-asks" && wait $agent || return
	has "$(sed -n 1p "$box/states-$1")" '"fds": ?\["seccompFd"\]' '"metadata": ?"meta"' '"status": ?"creating"' \
		"\"pid\": ?$(cat "$box/pid")," "\"id\": ?\"$me-asks\"" "\"bundle\": ?\"$box/asks-$1\"" ' 1$' || return
	has "$(sed -n 2p "$box/states-$1")" '"status": ?"running"' "\"id\": ?\"$me-asks\"" ' 1$'
}
check "an agent at listenerPath gets create's and exec's listeners" asks true
check "the same without no_new_privs" asks false

# ---- the rest ----

describes() {
	oci features | python3 -c 'import json, sys
f = json.load(sys.stdin)
assert f["ociVersionMin"] == "1.0.0" and "pid" in f["linux"]["namespaces"] and f["linux"]["seccomp"]["enabled"]' &&
		has "$(oci --version)" '^conex-oci version' '^spec: 1' && has "$(oci -v)" '^conex-oci'
	(cd "$box/echo" && fails 'exists' oci spec)
}
tolerates() {   # what engines write without meaning it
	local out
	bundle habits '{"linux": {"resources": {"memory": {"limit": 0, "swap": 0, "kernel": 0, "reservation": 0},
		"cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""},
		"pids": {"limit": 0}, "blockIO": {"weight": 0}, "devices": [{"allow": false, "access": "rwm"}]}, "mountLabel": ""},
		"process": {"args": ["sh", "-c", "ulimit -c; echo fine"], "apparmorProfile": "",
		"rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}]},
		"hostName": "habit", "hostname": null}' || return
	out=$(oci run --bundle "$box/habits" "$me-habits") && has "$out" '^0$' '^fine$'
}
at_once() {
	local i pids=()
	for i in 1 2 3 4 5 6 7 8; do
		(oci create --bundle "$box/quick" "$me-m$i" </dev/null && oci list -q && oci start "$me-m$i" &&
			comes_to_be "$me-m$i" stopped && oci delete "$me-m$i") &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || return; done
}
public_only() {
	! grep -rhE '^#include' "$CX_SRCDIR/examples/oci-runtime" | grep -vE '"oci.h"|<conex/|<(sys/)?[a-z]+\.h>'
}
check "written on the public API alone" public_only
check "features, version, spec" describes
check "habits of engines" tolerates
check "many at once in one state directory" at_once
check "nothing is left in it" test -z "$(find "$box/state" -path "*/seccomp/*" -o -type f -print -o -type s -print)"
finish
