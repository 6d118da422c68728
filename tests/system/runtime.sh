#!/bin/bash
# examples/runtime.c: containers that belong to their state directory, and processes that come and go.
# shellcheck disable=SC2154 # box, examples: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
make_box
state=$box/state
me=rt$$ # no two runs share an id

runtime() {
	"$examples/runtime" --root "$state" "$@"
}

bundle() {      # bundle NAME SCRIPT
	mkdir -p "$box/$1"
	cat >"$box/$1/config.json" <<-JSON
		{ "ociVersion": "1.0.2", "root": { "path": "$box/root" }, "hostname": "$1",
		  "process": { "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": [ "PATH=/bin" ], "args": $2 },
		  "mounts": [ { "destination": "/proc", "type": "proc", "source": "proc" } ],
		  "linux": { "namespaces": [ { "type": "pid" }, { "type": "mount" }, { "type": "network" }, { "type": "uts" } ] } }
	JSON
}
bundle sleeper '[ "sh", "-c", "echo started; exec sleep 1000" ]'
bundle quick '[ "sh", "-c", "exit 3" ]'
bundle missing '[ "no-such-program" ]'
bundle broken '[ "/bin/broken" ]'
printf '#!/bin/no-such-interpreter\n' >"$box/root/bin/broken"
chmod +x "$box/root/bin/broken"

# field ID KEY: of the state's JSON
field() {
	runtime state "$1" | sed -n "s/^ *\"$2\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p"
}

is() {
	[ "$(field "$1" status)" = "$2" ] || {
		echo "$1 is $(field "$1" status), not $2"
		return 1
	}
}

# Waits for a state that nobody tells of.
comes_to_be() {
	local i
	for ((i = 0; i < 3000; i++)); do
		[ "$(field "$1" status)" != "$2" ] || return 0
		sleep 0.02
	done
	is "$1" "$2"
}

# The process has come to execute this program.
executes() {
	local i
	for ((i = 0; i < 3000; i++)); do
		[ "$(cat "/proc/$1/comm")" != "$2" ] || return 0
		sleep 0.02
	done
	return 1
}

# Nothing of it is left, here or in the kernel.
is_gone() {
	local left
	has "$(runtime state "$1" 2>&1)" 'No such file or directory' || return
	no_cgroup "$1" || return
	left=$(find "$state" -name "*$1*")
	[ -z "$left" ] || {
		echo "left: $left"
		return 1
	}
}

life() {
	local id=$me-a pid
	runtime create $id "$box/sleeper" >"$box/out" || return
	is $id created || return
	[ ! -s "$box/out" ] || return                   # nothing has run yet
	pid=$(field $id pid)
	kill -0 "$pid" || return
	# the creator is gone; who is the parent now is the nearest that adopts
	has "$(cat /proc/"$pid"/status)" '^PPid:' || return
	[ "$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")" != 0 ] || return
	runtime start $id || return
	is $id running || return
	[ "$(field $id pid)" = "$pid" ] || return       # the same process has executed the program
	executes "$pid" sleep || return
	[ "$(cat "$box/out")" = started ] || return
	has "$(becomes 1 runtime start $id 2>&1)" "$id" || return
	runtime kill $id 9 || return
	runtime wait $id || return
	is $id stopped || return
	[ "$(field $id pid)" = 0 ] || return
	has "$(becomes 1 runtime kill $id 9 2>&1)" 'No such process' || return
	runtime delete $id || return
	has "$(becomes 1 runtime delete $id 2>&1)" 'No such file or directory' || return
	is_gone $id
}

ends_by_itself() {
	local id=$me-b
	runtime create $id "$box/quick" && runtime start $id && runtime wait $id && is $id stopped || return
	runtime delete $id && is_gone $id
}

program_is_missing() {
	local id=$me-c
	has "$(becomes 1 runtime create $id "$box/missing" 2>&1)" '^runtime: exec: .*No such file' || return
	is_gone $id
}

# What only exec itself can find out comes back over the socket.
program_is_broken() {
	local id=$me-g
	runtime create $id "$box/broken" && is $id created || return
	has "$(becomes 1 runtime start $id 2>&1)" '^runtime: exec: .*No such file' || return
	comes_to_be $id stopped || return
	runtime delete $id && is_gone $id
}

held_is_killed() {
	local id=$me-d
	runtime create $id "$box/sleeper" && runtime kill $id 9 && runtime wait $id && is $id stopped || return
	has "$(becomes 1 runtime start $id 2>&1)" "$id" || return
	runtime delete $id && is_gone $id
}

held_is_deleted() {
	local id=$me-e pid
	runtime create $id "$box/sleeper" || return
	pid=$(field $id pid)
	runtime delete $id && is_gone $id || return
	is_dead "$pid"
}

running_is_deleted() {
	local id=$me-f pid
	runtime create $id "$box/sleeper" && runtime start $id || return
	pid=$(field $id pid)
	runtime delete $id && is_gone $id || return
	is_dead "$pid"
}

# one of five processes, each with an id of its own
one_of_five() {
	local id=$me-five$1 i
	for ((i = 0; i < 3; i++)); do
		runtime create "$id" "$box/sleeper" && runtime start "$id" && is "$id" running && runtime kill "$id" 9 \
			&& runtime wait "$id" && runtime delete "$id" || return
	done
	is_gone "$id"
}

five_at_once() {
	local n pids=() bad=0
	for n in 1 2 3 4 5; do
		one_of_five $n &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" || bad=1
	done
	return $bad
}

# Of five that want the same id exactly one gets it, and the others' failure doesn't hurt it.
one_wins() {
	local id=$me-same n pids=() won=0
	for n in 1 2 3 4 5; do
		runtime create $id "$box/sleeper" &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" && won=$((won + 1))
	done
	[ $won = 1 ] || { echo "$won have won"; return 1; }
	is $id created && runtime start $id && is $id running || return
	has "$(becomes 1 runtime create $id "$box/sleeper" 2>&1)" "$id" || return
	is $id running && runtime delete $id && is_gone $id
}

# Of two that start it, one does.
one_starts() {
	local id=$me-start n pids=() won=0
	runtime create $id "$box/sleeper" || return
	for n in 1 2 3; do
		runtime start $id 2>/dev/null &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" && won=$((won + 1))
	done
	[ $won = 1 ] || { echo "$won have won"; runtime delete $id; return 1; }
	is $id running && runtime delete $id && is_gone $id
}

several_wait() {
	local id=$me-wait n pids=() bad=0
	runtime create $id "$box/sleeper" && runtime start $id || return
	for n in 1 2 3; do
		runtime wait $id &
		pids+=($!)
	done
	runtime kill $id 9 || return
	for n in "${pids[@]}"; do
		wait "$n" || bad=1
	done
	runtime delete $id && is_gone $id && return $bad
}

# It dies outside of all control: the next one who looks sees it.
dies_unseen() {
	local id=$me-unseen
	runtime create $id "$box/sleeper" && runtime start $id || return
	kill -9 "$(field $id pid)" || return
	comes_to_be $id stopped && runtime delete $id && is_gone $id
}

refused() {
	has "$(becomes 1 runtime create ../up "$box/sleeper" 2>&1)" '\.\./up' || return
	has "$(becomes 1 runtime create $me-x "$box/nowhere" 2>&1)" nowhere || return
	has "$(becomes 1 runtime start $me-x 2>&1)" 'No such file' || return
	has "$(becomes 1 runtime 2>&1)" usage
}

for test in life ends_by_itself program_is_missing program_is_broken held_is_killed held_is_deleted running_is_deleted five_at_once \
	one_wins one_starts several_wait dies_unseen refused; do
	check $test $test
done
finish
