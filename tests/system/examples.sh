#!/bin/bash
# Every example runs, and what it says is true; hello and import in readme.sh.
# shellcheck disable=SC2154 # box, examples: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
make_box
root=$box/root

# Its report names what was isolated, the limit that was hit, what that took.
limits() {
	local out
	out=$("$examples/limits" "$root") || return
	has "$out" '^19 \+ 23 = 42$' 'process 1 of [1-9]' 'called box$' 'network has: lo$' \
		'^How it ended: +out of memory: killed at its limit' '^Exit status: +137 \(signal 9\)' \
		'^Peak of memory: +6[0-4]\.[0-9] MiB' '^Time: +[0-9.]+ s'
}

many() {
	local out numbers
	out=$("$examples/many" "$root") || return
	has "$out" '^200 containers: [0-9]+ ended with 0, [0-9]+ with 1, [0-9]+ with 2, 0 otherwise$' || return
	read -ra numbers < <(tr -dc '0-9 ' <<<"${out#200}")
	[ $((numbers[0] + numbers[2] + numbers[4])) = 200 ]
}

# Programs that can't start are events, not the end of the loop.
many_that_cant() {
	local out
	out=$(becomes 1 "$examples/many" "$box" 3) || return
	[ "$(grep -c 'exec: .*sh: execve' <<<"$out")" = 3 ]
}

# The two sockets live in different networks; the program sees the host's files, but loopback alone.
netns() {
	local out ours
	out=$("$examples/netns") || return
	has "$out" 'in network [0-9]+, the probe in network [0-9]+' '^ *lo:' || return
	has "$out" 'in network ([0-9]+), the probe in network \1;' && return 1
	ours=$(readlink /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/pid)
	out=$("$examples/netns" readlink /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/pid | tail -n 3)
	[ "$(tail -n 2 <<<"$out")" = "$(tail -n 2 <<<"$ours")" ] || return
	[ "$(head -n 1 <<<"$out")" != "$(head -n 1 <<<"$ours")" ]
}

judge() {
	[ "$("$examples/judge" "$root" 1000)" = '900 of 1000 passed' ]
}

errors() {
	local out
	out=$(becomes 127 "$examples/errors" "$root" 2>&1) || return
	has "$out" '^exec: .*no-such-program: execve: No such file' '^  to mend it: ' || return
	becomes 126 "$examples/errors" "$root" /etc 2>/dev/null || return
	becomes 2 "$examples/errors" "$box/nowhere" 2>/dev/null || return
	becomes 5 "$examples/errors" "$root" sh -c 'exit 5'
}

explain() {
	local out
	out=$("$examples/explain") || return
	has "$out" '^0 inherit: ' ' pivot: ' ' mask: mask /proc/kcore ' ' seccomp: ' ' exec: ' || return
	echo '{"ociVersion": "1.0.2", "process": {"args": ["true"], "cwd": "/"}, "root": {"path": "root"},
		"linux": {"namespaces": [{"type": "mount"}]}}' >"$box/config.json"
	out=$("$examples/explain" "$box") || return
	has "$out" "$box/root" ' exec: execute .*true' || return
	echo '{"ociVersion": "1.0.2", "process": {"args": ["true"], "cwd": 7}}' >"$box/config.json"
	has "$(becomes 1 "$examples/explain" "$box/config.json" 2>&1)" 'process\.cwd'
}

cgroup() {
	local out
	out=$("$examples/cgroup" sh -c 'head -c 30000000 /dev/zero | tail -c 20000000 >/dev/null') || return
	has "$out" '^peak [1-9][0-9]{7,} bytes, [0-9.]+ s of processor, 0 killed' || return
	no_cgroup compile-1
}

# One address is reached through it, the next port isn't, and nothing without it.
broker() {
	local out port
	coproc server { exec /usr/bin/python3 -u -c 'import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])
s.settimeout(60)
c = s.accept()[0]
c.sendall(b"from outside\n")'; }
	read -r port <&"${server[0]}" || return
	out=$(becomes 1 "$examples/broker" "$root" 127.0.0.1 "$port" nc 127.0.0.1 $((port - 1)) 2>&1) &&
		has "$out" 'ermission denied' &&
		becomes 1 "$examples/errors" "$root" nc 127.0.0.1 "$port" &&
		[ "$("$examples/broker" "$root" 127.0.0.1 "$port" nc 127.0.0.1 "$port")" = 'from outside' ] || return
	has "$(becomes 2 "$examples/broker" 2>&1)" usage
}

# With a store of its own, and no registry behind any port: nothing is made. (Pulls that work: tests/system/pull.c.)
pull() {
	[ -x "$CX_BUILDDIR/conex-worker" ] || return 0
	local out
	has "$(becomes 2 "$examples/pull" 2>&1)" usage || return
	out=$(becomes 1 unshare -mn --propagation private sh -c 'ip link set lo up && mount -t tmpfs tmpfs /var/lib &&
		CONEX_WORKER=$1 exec "$2" 127.0.0.1:5/nobody/there:1 "$3"' sh "$CX_BUILDDIR/conex-worker" "$examples/pull" "$box/pulled" 2>&1) || return
	has "$out" 'pull: .*127\.0\.0\.1:5' '[Rr]efused' && [ ! -e "$box/pulled" ]
}

for test in limits many many_that_cant netns judge errors explain cgroup broker pull; do
	check $test $test
done
check 'nothing is mounted' sh -c "! grep '$box' /proc/self/mountinfo"
finish
