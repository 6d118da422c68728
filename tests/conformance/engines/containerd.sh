#!/bin/bash
# containerd's ctr and the runc.v2 shim with $RUNTIME as BinaryName, as TAP. Needs root.
# shellcheck source=tests/conformance/engines/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
needs containerd containerd ctr containerd containerd-shim-runc-v2 containerd busybox busybox-static \
	python3 python3
enter "$@"

space=${CONFORMANCE_GROUP#/} # the default cgroup is /NAMESPACE/ID

start_engine() {
	cat >"$dir/config.toml" <<-END
	version = 2
	root = "$dir/root"
	state = "$dir/state"
	disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.zfs",
		"io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs",
		"io.containerd.snapshotter.v1.devmapper"]
	[grpc]
	address = "$dir/containerd.sock"
	[plugins."io.containerd.internal.v1.opt"]
	path = "$dir/opt"
	END
	mkdir "$dir/bin" && ln -s "$RUNTIME" "$dir/bin/runc" # where ctr takes no --runc-binary
	PATH=$dir/bin:$PATH containerd --config "$dir/config.toml" >"$dir/log" 2>&1 &
	daemon=$!
	export CONTAINERD_ADDRESS=$dir/containerd.sock CONTAINERD_NAMESPACE=$space
	for _ in $(seq 100); do
		ctr version >/dev/null 2>&1 && return
		kill -0 $daemon 2>/dev/null || break
		sleep 0.2
	done
	skip_all "containerd doesn't start here: $(tail -1 "$dir/log")"
}

stop_engine() {
	local id
	for id in $(ctr tasks ls -q); do
		ctr tasks kill -s KILL -a "$id"
		sleep 0.2
		ctr tasks rm -f "$id"
	done
	ctr containers ls -q | xargs -r ctr containers rm
	stop_daemon "$daemon"
}

# image DIRECTORY ARCHIVE NAME: docker's archive of one layer
image() {
	/usr/bin/python3 - "$@" <<-'END'
	import hashlib, io, json, subprocess, sys, tarfile
	layer = subprocess.run(["tar", "-C", sys.argv[1], "-c", "."], stdout=subprocess.PIPE, check=True).stdout
	config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"],
	    "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
	    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}})
	manifest = json.dumps([{"Config": "config.json", "RepoTags": [sys.argv[3]], "Layers": ["layer.tar"]}])
	with tarfile.open(sys.argv[2], "w") as archive:
	    for name, data in (("layer.tar", layer), ("config.json", config.encode()),
	                       ("manifest.json", manifest.encode())):
	        entry = tarfile.TarInfo(name)
	        entry.size = len(data)
	        archive.addfile(entry, io.BytesIO(data))
	END
}

# run ARGUMENTS ... ID COMMAND ...
run() { ctr run --runtime io.containerd.runc.v2 --runc-binary "$RUNTIME" "$@"; }
image=docker.io/library/box:latest
# group ID CONTROLLER FILE: a value of the task's cgroup
group() {
	local pid path
	pid=$(ctr tasks ls | awk -v id="$1" '$1 == id { print $2 }')
	path=$(sed -n "s/^[0-9]*:$2://p" "/proc/$pid/cgroup")
	cat "/sys/fs/cgroup/${2%%,*}$path/$3"
}
# is ID: the task's state
is() { ctr tasks ls | awk -v id="$1" '$1 == id { print $3 }'; }
export -f run group is
export image

test_run() {
	expect 'run: output' 0 '^hello$' 'run --rm $image r1 echo hello'
	expect 'run: the image'\''s own command' 0 '^from-sh$' 'echo "echo from-sh; exit" | run --rm $image r1'
	expect 'run: standard input' 0 '^5$' 'printf 12345 | run --rm $image r1 sh -c "head -c5 | wc -c"'
	expect 'run: exit status' 7 '' 'run --rm $image r1 sh -c "exit 7"'
	expect 'run: not found' 1 'not found|no such file' 'run --rm $image r1 no-such-program'
	expect 'run: not executable' 1 'permission denied' 'run --rm $image r1 /etc/plain'
	expect 'run: nothing is left of it' 0 '^$' 'ctr tasks ls -q; ctr containers ls -q'
	expect 'run --env, --cwd' 0 '^v /tmp$' 'run --rm --env A=v --cwd /tmp $image r1 sh -c "echo \$A \$PWD"'
	expect 'run --mount' 0 '^outside$' 'mkdir -p $TMPDIR/v; echo outside >$TMPDIR/v/f; run --rm --mount type=bind,src=$TMPDIR/v,dst=/v,options=rbind:ro $image r1 cat /v/f'
	expect 'run --read-only' 0 'Read-only' 'run --rm --read-only $image r1 sh -c "touch /etc/x; true"'
	expect_privileged 'run --privileged' 0 '^ok$' 'run --rm --privileged $image r1 sh -c "mount -t tmpfs x /tmp && echo ok"'
	expect 'run --seccomp' 0 'Seccomp:.2' 'run --rm --seccomp $image r1 grep Seccomp: /proc/self/status'
	expect 'run --device' 0 '^c 1 9$' 'run --rm --device /dev/urandom $image r1 sh -c "head -c1 /dev/urandom >/dev/null && echo c \$(stat -c \"%t %T\" /dev/urandom)"'
	expect 'run --memory-limit, --cpus' 0 '^67108864 50000$' 'run -d --memory-limit 67108864 --cpus 0.5 $image l1 sleep 1000; echo $(group l1 memory memory.limit_in_bytes) $(group l1 cpu cpu.cfs_quota_us); ctr tasks kill -s KILL l1; ctr tasks rm -f l1 >/dev/null 2>&1; ctr containers rm l1'
	expect 'run --rootfs' 0 '^text$' 'run --rm --rootfs $dir/rootfs r1 /bin/cat /etc/plain'
	expect 'run --pid-file' 0 '^1$' 'run -d --pid-file $TMPDIR/p $image l1 sleep 1000; grep -c "^NSpid:.*$(cat $TMPDIR/p)" /proc/$(cat $TMPDIR/p)/status; ctr tasks rm -f l1 >/dev/null 2>&1; ctr containers rm l1'
	expect 'run --tty' 0 'answer: 42' 'script -qec "ctr run --rm --tty --runc-binary $RUNTIME $image r1 sh -c \"read x; echo answer: \\\$x\"" /dev/null < <(sleep 2; echo 42; sleep 2)'
	expect 'run --net-host' 0 '^same$' '[ "$(run --rm --net-host $image r1 readlink /proc/self/ns/net)" = "$(readlink /proc/self/ns/net)" ] && echo same'
	expect 'run --with-ns' 0 '^same$' 'run -d $image l1 sleep 1000; p=$(ctr tasks ls | awk "\$1 == \"l1\" { print \$2 }"); [ "$(run --rm --with-ns network:/proc/$p/ns/net $image r1 readlink /proc/self/ns/net)" = "$(readlink /proc/$p/ns/net)" ] && echo same; ctr tasks rm -f l1 >/dev/null 2>&1; ctr containers rm l1'
}

test_tasks() {
	expect 'run -d' 0 '^$' 'run -d $image life sh -c "trap \"exit 9\" TERM; trap \"echo usr1 >/tmp/usr1\" USR1; while :; do sleep 0.1; done"'
	expect 'tasks ls' 0 '^life +[0-9]+ +RUNNING' 'ctr tasks ls'
	expect 'tasks exec' 0 '^in life$' 'ctr tasks exec --exec-id e1 life echo in life'
	expect 'tasks exec: standard input' 0 '^7$' 'printf 1234567 | ctr tasks exec --exec-id e1 life sh -c "head -c7 | wc -c"'
	expect 'tasks exec: exit status' 3 '' 'ctr tasks exec --exec-id e1 life sh -c "exit 3"'
	expect 'tasks exec: not found' 1 'not found|no such file' 'ctr tasks exec --exec-id e1 life no-such-program'
	expect 'tasks exec --tty' 0 'answer: 43' 'script -qec "ctr tasks exec --exec-id e1 --tty life sh -c \"read x; echo answer: \\\$x\"" /dev/null < <(sleep 1; echo 43; sleep 2)'
	expect 'tasks exec --detach' 0 '' 'ctr tasks exec --exec-id e2 --detach life sh -c "echo detached >/tmp/x"'
	eventually 'tasks exec --detach: it ran' '^detached$' 'ctr tasks exec --exec-id e3 life cat /tmp/x'
	expect 'tasks ps' 0 '^[0-9]+' 'ctr tasks ps life'
	expect 'tasks metrics' 0 'memory.usage_in_bytes +[1-9]' 'ctr tasks metrics life'
	expect 'tasks metrics: pids' 0 'pids.current +[1-9]' 'ctr tasks metrics life'
	expect 'tasks pause' 0 '^PAUSED$' 'ctr tasks pause life; is life'
	expect 'tasks resume' 0 '^RUNNING$' 'ctr tasks resume life; is life'
	expect 'tasks kill -s USR1' 0 '^$' 'ctr tasks kill -s USR1 life'
	eventually 'tasks kill: the program got it' '^usr1$' 'ctr tasks exec --exec-id e4 life cat /tmp/usr1'
	# Last: to look the user up, ctr mounts the overlay a second time, and that takes the first one's workdir away.
	expect 'tasks exec --user, --cwd' 0 '^1234 /etc$' 'ctr tasks exec --exec-id e1 --user 1234 --cwd /etc life sh -c "echo \$(id -u) \$PWD"'
	expect 'tasks kill: TERM' 0 '^$' 'ctr tasks kill -s TERM life'
	eventually 'tasks kill: it ends' '^STOPPED$' 'is life'
	expect 'tasks delete: with its status' 0 'exit code 9' 'ctr tasks delete life'
	expect 'containers delete' 0 '^$' 'ctr containers delete life; ctr containers ls -q'
	expect 'tasks start of a container that is only created' 1 '^text$' 'ctr containers create $image made cat /etc/plain /none; ctr tasks start made'
	ctr containers delete made >/dev/null 2>&1
	expect 'tasks kill --all' 0 '^STOPPED$' 'run -d $image all sh -c "sleep 1000 & sleep 1000"; ctr tasks kill -s KILL --all all; for i in $(seq 50); do [ "$(is all)" = STOPPED ] && break; sleep 0.1; done; is all'
	expect 'tasks delete --force of a running one' 0 '^$' 'ctr tasks rm all >/dev/null 2>&1; ctr containers rm all; run -d $image force sleep 1000; ctr tasks rm --force force >/dev/null 2>&1; ctr tasks ls -q; ctr containers rm force'
	expect 'all containers of one shim'\''s group at once' 0 '^8$' 'for i in 1 2 3 4 5 6 7 8; do run --rm $image p$i echo parallel & done | grep -c parallel; wait'
}

start_engine
export dir
make_rootfs "$dir/rootfs"
image "$dir/rootfs" "$dir/box.tar" "$image" && ctr images import "$dir/box.tar" >"$dir/out" 2>&1 ||
	skip_all "ctr images import failed: $(tail -1 "$dir/out")"
for part in ${PARTS:-run tasks}; do
	"test_$part"
done
expect 'in the end: no task, no container' 0 '^$' 'ctr tasks ls -q; ctr containers ls -q'
finish
