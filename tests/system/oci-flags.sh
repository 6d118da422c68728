#!/bin/bash
# conex-oci: the flags that oci.sh doesn't come to, and containers in other people's mount namespaces.
# shellcheck disable=SC2154 # box, me: of oci-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/oci-box.sh"

loop='trap "exit 7" TERM; echo up; while :; do sleep 0.05; done'
bundle loop "$(args sh -c "$loop")"
bundle quick "$(args sh -c 'exit 4')"
bundle three "$(args sh -c 'cat <&3')"
bundle limits "$(args sh -c 'while :; do sleep 0.05; done')"
bundle terminal "$(args sh -c 'tty; exit 5')"
sed -i 's/"terminal": false/"terminal": true/' "$box/terminal/config.json"

# ---- global flags ----

logs_text() {
	: >"$box/log"
	fails 'does not exist' oci --log="$box/log" --log-format text state "$me-none" &&
		has "$(cat "$box/log")" '^time=".*" level=error msg="container .* does not exist"$'
}
by_default_here() {     # --bundle's default is the working directory
	(cd "$box/quick" && becomes 4 oci --debug run --no-pivot --no-new-keyring "$me-here")
}
xdg_root() {    # without --root: the default's own
	local out
	out=$("$CX_BUILDDIR/conex-oci" --root "" list -q) && ! has "$out" "$me-" >/dev/null
}
check "--log in text" logs_text
check "--log-format: no other" fails 'json or text' oci --log-format xml list
check "--rootless: true, false or auto" fails 'true, false or auto' oci --rootless maybe list
check "--rootless true, --systemd-cgroup: only create and run care" oci --rootless true --systemd-cgroup list -q
check "run --debug --no-pivot --no-new-keyring, --bundle by default" by_default_here
check "--root \"\" is the default root" xdg_root
check "a flag without its value" fails 'needs a value' oci create --bundle
check "a truth with a nonsense value" fails 'neither true nor false' oci run --keep=perhaps "$me-x"
check "a verb without its container" fails 'usage: conex-oci start' oci start
check "an unknown verb" fails 'no verb "frob"' oci frob

# ---- descriptors: --preserve-fds, --pidfd-socket, --pid-file ----

preserves() {
	local out
	out=$(echo three | oci run --preserve-fds 1 --bundle "$box/three" "$me-fd" 3<&0 </dev/null) && has "$out" '^three$' &&
		out=$(echo four | LISTEN_FDS=1 oci run --bundle "$box/three" "$me-fd" 3<&0 </dev/null) && has "$out" '^four$'
}
# What comes over the socket is a pidfd of the process in the pid file.
gives_pidfd() { # gives_pidfd VERB...
	/usr/bin/python3 - "$box/pidfd" "$box/pid" "$box/oci_" "$@" <<-'PYTHON'
		import array, os, re, signal, socket, subprocess, sys
		path, pid_file, *command = sys.argv[1:]
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(path)
		listener.listen(1)
		process = subprocess.run(command, stdin=subprocess.DEVNULL)
		assert process.returncode == 0, process
		listener.settimeout(5)
		data, control, _, _ = listener.accept()[0].recvmsg(64, socket.CMSG_SPACE(4))
		pidfd = array.array("i", control[0][2][:4])[0]
		os.unlink(path)
		with open(f"/proc/self/fdinfo/{pidfd}") as f:
		    told = re.search(r"^Pid:\s*(\d+)", f.read(), re.M).group(1)
		with open(pid_file) as f:
		    assert told == f.read(), told
		signal.pidfd_send_signal(pidfd, 0)
	PYTHON
}
check "run --preserve-fds, LISTEN_FDS" preserves
preserves_closed() (
	for n in {3..18}; do eval "exec $n<&-"; done
	fails "descriptor 4 isn't open" oci run --preserve-fds 2 --bundle "$box/three" "$me-fd" 3</dev/null
)
check "--preserve-fds of what isn't open" preserves_closed
check "create --pidfd-socket" gives_pidfd create --bundle "$box/loop" --pid-file "$box/pid" --pidfd-socket "$box/pidfd" "$me-pidfd"
oci start "$me-pidfd"
check "exec --pidfd-socket" gives_pidfd exec -d --pid-file "$box/pid" --pidfd-socket "$box/pidfd" "$me-pidfd" sleep 100

# ---- exec's own ----

reads_process() {
	local out
	out=$(printf '{"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/bin/echo", "from", "stdin"]}' |
		oci exec --process - "$me-pidfd") && has "$out" '^from stdin$'
}
has_terminal() {
	local out
	out=$(script -qec "$box/oci_ exec --tty $me-pidfd tty; echo status \$?" /dev/null </dev/null) && has "$out" '/dev/pts/[0-9]' 'status 0'
}
apparmor() {
	[ ! -e /sys/module/apparmor/parameters/enabled ] || return 0
	has "$(becomes 255 oci exec --apparmor mine "$me-pidfd" true 2>&1)" 'apparmorProfile = mine.*AppArmor'
}
# 255 for the runtime's own errors, whatever they are.
own_errors() {
	becomes 255 oci exec --cwd /no/such "$me-pidfd" true && becomes 255 oci exec "$me-pidfd" &&
		becomes 255 oci exec --process "$box/nowhere.json" "$me-pidfd" && becomes 255 oci exec --user nobody-knows "$me-pidfd" true &&
		becomes 255 oci exec --detach --tty "$me-pidfd" true && becomes 255 oci exec --cgroup /x "$me-pidfd" true
}
check "exec --process - reads standard input" reads_process
command -v script >/dev/null && check "exec --tty" has_terminal
check "exec --apparmor without AppArmor" apparmor
check "exec: its own errors are 255" own_errors
check "exec --no-new-privs" has "$(oci exec --no-new-privs "$me-pidfd" grep NoNewPrivs /proc/self/status)" 'NoNewPrivs:.1'

# ---- kill, events, update ----

catches() { # a real-time signal, by name and by number
	oci kill "$me-pidfd" RTMIN+3 2>/dev/null || return
	comes_to_be "$me-pidfd" running || return       # pid 1 without a handler
	oci kill "$me-pidfd" sigterm && comes_to_be "$me-pidfd" stopped
}
follows() {     # events: until the container ends
	oci run -d --bundle "$box/limits" "$me-events" </dev/null >/dev/null && : >"$box/events" || return
	oci_ events --interval 100ms "$me-events" >"$box/events" &
	local pid=$!
	for ((i = 0; i < 200 && $(wc -l <"$box/events") < 3; i++)); do sleep 0.02; done
	oci kill "$me-events" KILL && becomes 0 wait $pid || return
	python3 -c 'import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert len(events) >= 3 and all(e["type"] == "stats" and e["id"] == sys.argv[2] for e in events)' "$box/events" "$me-events"
}
check "kill: signals by all their names" catches
check "events go on until the container ends" follows
check "events of a stopped one" fails 'not running' oci events --stats "$me-events"
check "update of a nonsense file" fails 'nowhere' oci update --resources "$box/nowhere" "$me-events"
oci delete "$me-events" && oci delete "$me-pidfd"

# ---- somebody else's mount namespace ----

mounts_of() {   # as a pattern: "^mnt:.4026531832.$"
	readlink "/proc/$1/ns/mnt" | sed 's/[][]/./g; s/^/^/; s/$/$/'
}
# A root of its own in the host's mount namespace: a tree that nobody else sees.
apart() {
	local before out
	bundle apart '{"linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}], "maskedPaths": ["/proc/kcore", "/proc/irq"],
		"readonlyPaths": ["/proc/sys"], "resources": {}}, "hostname": null,
		"process": {"args": ["sh", "-c", "readlink /proc/self/ns/mnt; ls -d /bin/busybox /proc/1 /dev/null; cat; exec sleep 100"]},
		"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
		{"destination": "/etc", "source": "/etc", "options": ["rbind", "ro"]},
		{"destination": "/sys", "type": "sysfs", "source": "sysfs"}, {"destination": "/sys/fs/cgroup", "type": "cgroup",
		"source": "cgroup", "options": ["ro"]}]}' || return
	before=$(md5sum </proc/self/mountinfo)
	oci run -d --bundle "$box/apart" "$me-apart" </dev/null >"$box/out" || return
	out=$(oci exec "$me-apart" sh -c 'readlink /proc/self/ns/mnt; ls -d /*; cmp /etc/passwd /proc/1/root/etc/passwd && echo same
		touch /etc/x /sys/fs/cgroup/x; echo x >/proc/sys/kernel/hostname; ls /proc/irq' 2>&1) || return
	has "$(cat "$box/out")" "$(mounts_of self)" '^/bin/busybox$' '^/proc/1$' '^/dev/null$' &&
		has "$out" "$(mounts_of self)" '^/bin$' '^same$' '/etc/x: Read-only' '/sys/fs/cgroup/x: Read-only' 'hostname: Read-only' && ! has "$out" '^/usr$' >/dev/null &&
		[ "$(md5sum </proc/self/mountinfo)" = "$before" ] || return
	oci delete --force "$me-apart" && [ "$(md5sum </proc/self/mountinfo)" = "$before" ]
}
joins_mounts() {
	local out pid
	unshare --mount --propagation unchanged sleep 100 &        # a chroot takes no other
	pid=$!
	for ((i = 0; i < 100; i++)); do
		[ "$(readlink /proc/$pid/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] || break
		sleep 0.02
	done
	python3 - "$box/apart/config.json" $pid <<-'PYTHON'
		import json, sys
		with open(sys.argv[1]) as f:
		    spec = json.load(f)
		spec["linux"]["namespaces"].append({"type": "mount", "path": f"/proc/{sys.argv[2]}/ns/mnt"})
		spec["process"]["args"] = ["sh", "-c", "readlink /proc/self/ns/mnt; ls -d /usr /bin/busybox"]
		with open(sys.argv[1], "w") as f:
		    json.dump(spec, f)
	PYTHON
	out=$(oci run --bundle "$box/apart" "$me-join" 2>&1)
	has "$out" "$(mounts_of $pid)" '^/bin/busybox$' '/usr: No such file'
	local status=$?
	kill $pid
	return $status
}
# mountinfo, where the kernel sorts by age, has them in the order that was asked for.
in_order() {
	local out
	mkdir -p "$box"/{one,two}
	bundle order "$(args grep -o ' /tmp/[a-d] ' /proc/self/mountinfo)" && python3 - "$box/order/config.json" "$box" <<-'PYTHON' || return
		import json, sys
		with open(sys.argv[1]) as f:
		    spec = json.load(f)
		spec["mounts"] += [{"destination": "/tmp/d", "source": sys.argv[2] + "/one", "options": ["bind"]},
		    {"destination": "/tmp/c", "type": "tmpfs", "source": "tmpfs"},
		    {"destination": "/tmp/b", "source": sys.argv[2] + "/two", "options": ["rbind"]},
		    {"destination": "/tmp/a", "type": "tmpfs", "source": "tmpfs"}]
		with open(sys.argv[1], "w") as f:
		    json.dump(spec, f)
	PYTHON
	out=$(oci run --bundle "$box/order" "$me-order") && [ "$(tr -d ' \n' <<<"$out")" = /tmp/d/tmp/c/tmp/b/tmp/a ]
}
binds_all() {   # the host's "/" as it was before the container's root came to lie on it
	local out
	bundle all "$(args sh -c 'ls -d /host/usr /host/proc/1 /host/bin/busybox; ls /host/runtime-of-nobody')" || return
	sed -i 's#"mounts": \[#&{"destination": "/host", "source": "/", "options": ["rbind", "ro"]}, #' "$box/all/config.json"
	out=$(oci run --bundle "$box/all" "$me-all" 2>&1)
	has "$out" '^/host/usr$' '^/host/proc/1$'
}
if [ "$(printf '%s\n' 6.15 "$(uname -r)" | sort -V | head -1)" = 6.15 ]; then
	check "without a mount namespace: its root is a tree apart, and exec finds it" apart
	check "in a mount namespace by path, with its own root" joins_mounts
fi
check "mounts appear in their order" in_order
check "rbind of the host's root" binds_all
finish
