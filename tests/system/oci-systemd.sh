#!/bin/bash
# conex-oci --systemd-cgroup: every verb is a process of its own, and none but create and run knows of systemd.
# shellcheck disable=SC2154 # box, me: of oci-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/oci-box.sh"
bundle loop "$(args sh -c 'echo up; while :; do sleep 0.05; done')"
slice() { # NAME: the path as engines give it
	sed -i "s/\"linux\": {/\"linux\": {\"cgroupsPath\": \"$1\", /" "$box/$2/config.json"
}

if [ ! -d /run/systemd/system ] || [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
	check "without systemd: a clear word" fails 'systemd' oci --systemd-cgroup create --bundle "$box/loop" "$me-no"
	check "without systemd: nothing is left" fails 'does not exist' oci state "$me-no"
	finish
	exit
fi

unit=conextest-$me.scope
slice "system.slice:conextest:$me" loop
group=/sys/fs/cgroup/system.slice/$unit
shows() {
	[ "$(systemctl show -p "$1" --value "$unit")" = "$2" ] || {
		echo "$1 is $(systemctl show -p "$1" --value "$unit"), not $2"
		return 1
	}
}
gone() {
	local i
	for ((i = 0; i < 500; i++)); do
		[ -e "$group" ] || ! shows LoadState not-found >/dev/null || return 0
		sleep 0.02
	done
	shows LoadState not-found
}

creates() {
	oci --systemd-cgroup create --bundle "$box/loop" --pid-file "$box/pid" "$me" >"$box/out" || return
	is "$me" created && has "$(cat "/proc/$(cat "$box/pid")/cgroup")" "^0::/system.slice/$unit\$" || return
	shows Delegate yes && shows ActiveState active && shows Slice system.slice
}
executes() {
	oci start "$me" && is "$me" running || return
	[ "$(oci exec "$me" sh -c 'echo hi; cat /proc/self/cgroup')" = "hi
0::/" ]
}
updates() {
	oci update --memory 64M --pids-limit 30 "$me" || return
	systemctl daemon-reload
	[ "$(cat "$group/memory.max")" = 67108864 ] && [ "$(cat "$group/pids.max")" = 30 ] || return
	shows MemoryMax 67108864 && shows TasksMax 30
}
pauses() {
	oci pause "$me" && is "$me" paused && oci resume "$me" && is "$me" running
}
deletes() {
	fails 'not stopped' oci delete "$me" && oci kill "$me" KILL && comes_to_be "$me" stopped &&
		oci delete "$me" && fails 'does not exist' oci state "$me" && gone
}
deletes_by_force() {
	oci --systemd-cgroup create --bundle "$box/loop" "$me" >"$box/out" && oci start "$me" && oci pause "$me" || return
	oci delete --force "$me" && gone
}
refuses() {
	sed -i "s/system.slice:conextest:$me/\\/conex\\/$me/" "$box/loop/config.json"
	fails 'slice:prefix:name' oci --systemd-cgroup create --bundle "$box/loop" "$me" &&
		sed -i "s/\\/conex\\/$me/system.slice:conextest:$me/" "$box/loop/config.json" &&
		fails 'systemd-cgroup' oci create --bundle "$box/loop" "$me"
}
check "create: in a scope" creates
check "start, exec: in the same" executes
check "update: systemd knows" updates
check "pause, resume" pauses
check "kill, delete: nothing is left" deletes
check "delete --force of a paused one" deletes_by_force
check "paths of the other driver are refused" refuses
check "features: it is there" has "$(oci features)" '"systemd": *true'
finish
