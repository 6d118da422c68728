#!/bin/bash
# What `conex-oci features` claims is true (runtime-spec, features.md): each name in it is tried on a container, or
# compared with what the kernel says.
# shellcheck disable=SC2154 # box: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
make_box
me=feat$$

oci() {
	"$CX_BUILDDIR/conex-oci" --root "$box/state" "$@"
}

# field EXPRESSION: of the document, a line an item.
field() {
	oci features | python3 -c "import json, sys
f = json.load(sys.stdin)
v = f$1
print(*(v if isinstance(v, list) else [v]), sep='\\n')"
}

bundle() { # MOUNT: a config.json with that mount, JSON
	mkdir -p "$box/data" "$box/bundle"
	cat >"$box/bundle/config.json" <<-JSON
		{"ociVersion": "1.3.0", "root": {"path": "$box/root"}, "process": {"args": ["true"], "cwd": "/", "env": ["PATH=/bin"]},
		 "mounts": [{"destination": "/proc", "type": "proc"}, $1],
		 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}
	JSON
}

versions() {
	[ "$(field "['ociVersionMin']")" = 1.0.0 ] && has "$(field "['ociVersionMax']")" '^1\.[3-9]\.[0-9]+$'
}

hooks() {
	[ "$(field "['hooks']" | sort | xargs)" = "createContainer createRuntime poststart poststop prestart startContainer" ]
}

mount_options() {
	local option type maps='"uidMappings": [{"containerID": 0, "hostID": 7, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 7, "size": 1}]'
	for option in $(field "['mountOptions']"); do
		# in a chroot the kernel makes no user namespace, which a map is made with
		[[ $option != *idmap ]] || awk '$5 == "/" { found = 1 } END { exit !found }' /proc/self/mountinfo || continue
		type=bind
		[ "$option" != tmpcopyup ] || type=tmpfs
		bundle "{\"destination\": \"/m\", \"type\": \"$type\", \"source\": \"$box/data\", \"options\": [\"rbind\", \"$option\"]}"
		[ $type = bind ] || sed -i 's/"rbind", //' "$box/bundle/config.json"
		[[ $option != *idmap ]] || sed -i "s/\"destination\": \"\/m\",/&$maps,/" "$box/bundle/config.json"
		oci run --bundle "$box/bundle" "$me" </dev/null || {
			echo "claimed, but refused: $option"
			return 1
		}
	done
	bundle "{\"destination\": \"/m\", \"type\": \"bind\", \"source\": \"$box/data\", \"options\": [\"rbind\", \"nosuchoption\"]}"
	! oci run --bundle "$box/bundle" "$me" </dev/null 2>"$box/why" || return
	has "$(cat "$box/why")" nosuchoption
}

namespaces() {
	local name
	for name in $(field "['linux']['namespaces']"); do
		case $name in
		mount) name=mnt ;;
		network) name=net ;;
		esac
		[ -e "/proc/self/ns/$name" ] || {
			echo "claimed, but the kernel has none: $name"
			return 1
		}
	done
	[ "$(field "['linux']['namespaces']" | wc -l)" = 8 ]
}

# Those that the kernel has are all known, by name.
capabilities() {
	[ "$(field "['linux']['capabilities']" | sort -u | wc -l)" -gt "$(cat /proc/sys/kernel/cap_last_cap)" ]
}

# An action that asks needs somebody who answers.
agent() {
	/usr/bin/python3 -B "$CX_SRCDIR/tests/system/agent.py" "$box/agent" 0 >"$box/agent.out" &
	agent=$!
	until [ -S "$box/agent" ]; do sleep 0.01; done
}

seccomp() {
	local action
	agent
	[ "$(field "['linux']['seccomp']['enabled']")" = True ] || return
	for action in $(field "['linux']['seccomp']['actions']"); do
		bundle '{"destination": "/m", "type": "tmpfs"}'
		python3 - "$box/bundle/config.json" "$action" "$box/agent" <<-'PYTHON' || return
			import json, sys
			spec = json.load(open(sys.argv[1]))
			spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_LOG" if sys.argv[2] == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW",
				"syscalls": [{"names": ["acct"], "action": sys.argv[2]}]}
			spec["linux"]["seccomp"].update({"listenerPath": sys.argv[3]} if sys.argv[2] == "SCMP_ACT_NOTIFY" else {})
			json.dump(spec, open(sys.argv[1], "w"))
		PYTHON
		oci run --bundle "$box/bundle" "$me" </dev/null || {
			echo "claimed, but refused: $action"
			kill "$agent"
			return 1
		}
	done
	wait "$agent"
}

# What the runtime can, whether or not this machine has it; what it can't is refused when asked for.
modules() {
	[ "$(field "['linux']['apparmor']['enabled']")" = True ] || return
	[ "$(field "['linux']['selinux']['enabled']")" = True ] || return
	bundle '{"destination": "/m", "type": "tmpfs"}'
	[ "$(field "['linux']['intelRdt']['enabled']")" = True ] && return
	sed -i 's/"linux": {/&"intelRdt": {"closID": "x"}, /' "$box/bundle/config.json"
	! oci run --bundle "$box/bundle" "$me" </dev/null 2>"$box/why" || return
	has "$(cat "$box/why")" 'linux\.intelRdt'
}

the_rest() {
	[ "$(field "['linux']['mountExtensions']['idmap']['enabled']")" = True ] || return
	[ "$(field "['linux']['netDevices']['enabled']")" = True ] || return
	[ "$(oci features | python3 -c 'import json, sys
print(type(json.load(sys.stdin)["potentiallyUnsafeConfigAnnotations"]).__name__)')" = list ]
}

[ -x "$CX_BUILDDIR/conex-oci" ] || skip_all "conex-oci isn't built"
for test in versions hooks mount_options namespaces capabilities seccomp modules the_rest; do
	check $test $test
done
finish
