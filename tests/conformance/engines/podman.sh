#!/bin/bash
# Podman with $RUNTIME: what its users do every day, as TAP. Needs root.
# shellcheck source=tests/conformance/engines/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
needs podman podman conmon conmon busybox busybox-static
enter "$@"

configure() {
	cat >"$dir/containers.conf" <<-END
	[containers]
	log_driver = "k8s-file"
	[engine]
	runtime = "tested"
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	tmp_dir = "$dir/run"
	[engine.runtimes]
	tested = ["$RUNTIME"]
	[network]
	network_backend = "netavark"
	network_config_dir = "$dir/networks"
	END
	cat >"$dir/storage.conf" <<-END
	[storage]
	driver = "overlay"
	graphroot = "$dir/storage"
	runroot = "$dir/run/storage"
	END
	echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$dir/policy.json"
	export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf
}

stop_engine() {
	podman pod rm --all --force --time 0
	podman rm --all --force --time 0
}

# run ARGUMENTS ...: a cgroup of ours, no network
run() { podman run --cgroup-parent "$CONFORMANCE_GROUP" --network none "$@"; }
# group ID CONTROLLER FILE: a value of the container's cgroup, version 1 or 2
group() {
	local path
	path=$(sed -n "s/^[0-9]*:$2://p" "/proc/$(podman inspect -f '{{.State.Pid}}' "$1")/cgroup")
	cat "/sys/fs/cgroup/${2%%,*}$path/$3"
}
export -f run group

test_run() {
	expect 'run: output' 0 '^hello$' 'run --rm box echo hello'
	expect 'run: the image'\''s own command' 0 '^from-sh$' 'echo echo from-sh | run --rm -i box'
	expect 'run: both streams are the program'\''s' 0 '^err$' 'run --rm box sh -c "echo out; echo err >&2" 2>&1 >/dev/null'
	expect 'run -i: standard input' 0 '^5$' 'printf 12345 | run --rm -i box wc -c'
	expect 'run: exit status' 7 '^$' 'run --rm box sh -c "exit 7"'
	expect 'run: 125, an option is wrong' 125 'unknown flag' 'run --rm --no-such-flag box true'
	expect 'run: 126, not executable' 126 '[Pp]ermission denied' 'run --rm box /etc/plain'
	expect 'run: 126, a directory' 126 'permission denied|is a directory|ermission' 'run --rm box /etc'
	expect 'run: 127, not found' 127 'no such file|not found' 'run --rm box no-such-program'
	expect 'run: nothing is left of it' 0 '^$' 'podman ps -aq'
	expect 'run --env, --workdir, --hostname' 0 '^v /tmp host1$' \
		'run --rm --env A=v --workdir /tmp --hostname host1 box sh -c "echo \$A \$PWD \$(hostname)"'
	expect 'run --entrypoint' 0 '^x y$' 'run --rm --entrypoint echo box x y'
	expect 'run --ulimit' 0 '^123$' 'run --rm --ulimit nofile=123:123 --ulimit nproc=100:100 box sh -c "ulimit -n"'
	expect 'run --sysctl' 0 '^4242$' 'run --rm --sysctl net.ipv4.ip_default_ttl=42 --sysctl kernel.msgmax=4242 box cat /proc/sys/kernel/msgmax'
	expect 'run --device' 0 'crw.* 1, *9 .*/dev/mine' 'run --rm --device /dev/urandom:/dev/mine box sh -c "head -c1 /dev/mine >/dev/null && ls -l /dev/mine"'
	expect 'run --tmpfs, --shm-size' 0 '^tmpfs 1024 /scratch [a-z]+ 2048 .*/dev/shm' \
		'run --rm --tmpfs /scratch:size=1m --shm-size 2m box df -k /scratch /dev/shm | sed 1d | tr -s " " | cut -d" " -f1,2,6 | tr "\n" " "'
	expect 'run --preserve-fds' 0 '^handed$' 'run --rm --preserve-fds 1 box sh -c "cat <&3" 3< <(echo handed)'
	expect 'run --detach-keys, --rm, --name' 0 '^named$' 'run --rm --name named box hostname >/dev/null; run --rm --name named --hostname named box hostname'
}

test_life() {
	expect 'run -d' 0 '^[0-9a-f]{64}$' 'run -d --name life box sh -c "trap \"echo got-term; exit 9\" TERM; trap \"echo got-usr1\" USR1; echo up; while :; do sleep 0.1; done"'
	eventually 'logs' '^up$' 'podman logs life'
	expect 'ps' 0 '^life Up' 'podman ps --format "{{.Names}} {{.Status}}"'
	expect 'inspect: running' 0 '^running true$' 'podman inspect -f "{{.State.Status}} {{.State.Running}}" life'
	expect 'exec' 0 '^in life$' 'podman exec life echo in life'
	expect 'exec --env, --workdir, --user' 0 '^b /etc 1234:1234$' 'podman exec --env A=b --workdir /etc --user app life sh -c "echo \$A \$PWD \$(id -u):\$(id -g)"'
	expect 'exec: standard input' 0 '^7$' 'printf 1234567 | podman exec -i life wc -c'
	expect 'exec: exit status' 3 '^$' 'podman exec life sh -c "exit 3"'
	expect 'exec: 126' 126 '' 'podman exec life /etc/plain'
	expect 'exec: 127' 127 '' 'podman exec life no-such-program'
	expect 'exec -t: a terminal' 0 'yes' 'podman exec -t life sh -c "test -t 0 && test -t 1 && echo yes"'
	expect 'exec -d' 0 '' 'podman exec -d life sh -c "echo detached >/tmp/x"'
	eventually 'exec -d: it ran' '^detached$' 'podman exec life cat /tmp/x'
	expect 'exec: no second namespace' 0 '^1$' 'podman exec life sh -c "for i in 1 self; do readlink /proc/\$i/ns/pid; done" | sort -u | wc -l'
	expect 'exec --privileged' 0 'CapEff:.*f' 'podman exec --privileged life grep CapEff /proc/self/status'
	expect 'top' 0 'sleep|sh' 'podman top life'
	expect 'stats' 0 '^life [1-9]' 'podman stats --no-stream --format "{{.Name}} {{.PIDs}}" life'
	expect 'cp into a running container' 0 '^copied$' 'echo copied >$TMPDIR/c && podman cp $TMPDIR/c life:/tmp/c && podman exec life cat /tmp/c'
	expect 'pause' 0 '^paused$' 'podman pause life >/dev/null && podman inspect -f "{{.State.Status}}" life'
	expect 'pause: exec is refused' 255 'paused|not running|state' 'podman exec life true'
	expect 'unpause' 0 '^running$' 'podman unpause life >/dev/null && podman inspect -f "{{.State.Status}}" life'
	expect 'kill -s USR1' 0 '' 'podman kill -s USR1 life'
	eventually 'kill: the program got it' 'got-usr1' 'podman logs life'
	expect 'stop' 0 '^life$' 'podman stop life'
	expect 'stop: with the program'\''s own status' 0 '^exited 9$' 'podman inspect -f "{{.State.Status}} {{.State.ExitCode}}" life'
	expect 'stop: the program got TERM' 0 'got-term' 'podman logs life'
	expect 'wait: the status' 0 '^9$' 'podman wait life'
	expect 'start again' 0 '^life$' 'podman start life'
	expect 'restart' 0 '^life$' 'podman restart life'
	eventually 'restart: it runs anew' '^3$' 'podman logs life | grep -c ^up'
	expect 'kill' 0 '^137$' 'podman kill life >/dev/null; podman wait life'
	expect 'rm' 0 '^$' 'podman rm life >/dev/null; podman ps -aq'
	expect 'rm --force of a running one' 0 '^$' 'run -d --name forced box sleep 1000 >/dev/null && podman rm --force --time 0 forced >/dev/null; podman ps -aq'
	expect 'create and start --attach' 4 '^attached$' 'podman create --cgroup-parent "$CONFORMANCE_GROUP" --network none --name later box sh -c "echo attached; exit 4" >/dev/null && podman start --attach later'
	expect 'init: of one that is only created' 0 '^(created|initialized)$' 'podman rm later >/dev/null; podman create --cgroup-parent "$CONFORMANCE_GROUP" --network none --name later box true >/dev/null; podman init later >/dev/null; podman inspect -f "{{.State.Status}}" later; podman rm -f later >/dev/null'
	expect 'run --restart on-failure' 0 '^3$' 'run --restart on-failure:2 --name again box sh -c "echo run; exit 1" >/dev/null; for i in $(seq 50); do [ "$(podman inspect -f "{{.State.Status}}" again)" = exited ] && break; sleep 0.1; done; podman logs again | grep -c run; podman rm -f again >/dev/null'
}

test_limits() {
	run -d --name limits --memory 64m --memory-swap 64m --memory-reservation 32m --pids-limit 20 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 box sleep 1000 >/dev/null
	expect '--memory: in the cgroup' 0 '^67108864$' 'group limits memory memory.limit_in_bytes'
	expect '--memory-reservation' 0 '^33554432$' 'group limits memory memory.soft_limit_in_bytes'
	expect '--pids-limit' 0 '^20$' 'group limits pids pids.max'
	expect '--cpus' 0 '^50000 100000$' 'echo $(group limits cpu cpu.cfs_quota_us) $(group limits cpu cpu.cfs_period_us)'
	expect '--cpu-shares' 0 '^512$' 'group limits cpu cpu.shares'
	expect '--cpuset-cpus' 0 '^0$' 'group limits cpuset cpuset.cpus'
	expect 'limits: seen in the container' 0 '^67108864$' 'podman exec limits cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
	expect 'update --memory, --cpus' 0 '^134217728 25000$' 'podman update --memory 128m --memory-swap 128m --cpus 0.25 limits >/dev/null; echo $(group limits memory memory.limit_in_bytes) $(group limits cpu cpu.cfs_quota_us)'
	expect '--pids-limit: no more' 1 "an't fork|fork" 'run --rm --pids-limit 5 box sh -c "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait" || exit 1'
	expect '--memory: what takes more is killed' 0 '^137$' 'run --name oom --memory 32m --memory-swap 32m box tail /dev/zero >/dev/null 2>&1; podman inspect -f "{{.State.ExitCode}}" oom; podman rm oom >/dev/null'
	expect '--device: others are refused' 0 'not permitted' 'run --rm --cap-add MKNOD box sh -c "mknod /tmp/m b 7 0; head -c1 /tmp/m; true"'
	podman rm --force --time 0 limits >/dev/null
}

test_rights() {
	expect '--read-only' 0 'Read-only file system' 'run --rm --read-only box sh -c "touch /etc/x; touch /tmp/y && echo tmp-works"'
	expect '--read-only-tmpfs' 0 '^tmp-works$' 'run --rm --read-only box sh -c "touch /tmp/y && touch /dev/shm/y && echo tmp-works"'
	expect '--user NAME: of the image' 0 '^uid=1234\(app\) gid=1234\(app\) groups=.*777\(extra\)' 'run --rm --user app box id'
	expect '--user UID:GID: nobody knows them' 0 '^uid=4321.* gid=8765' 'run --rm --user 4321:8765 box id'
	expect '--group-add' 0 '777' 'run --rm --user 1 --group-add 777 box id -G'
	expect '--user: its own standard output' 0 '^mine$' 'run --rm --user app box sh -c "echo mine >/dev/stdout" | cat'
	expect '--cap-drop all' 0 'CapEff:.0000000000000000' 'run --rm --cap-drop all box grep CapEff /proc/self/status'
	expect '--cap-add' 0 'CapEff:.0000000000001000' 'run --rm --cap-drop all --cap-add NET_ADMIN box grep CapEff /proc/self/status'
	expect 'capabilities: none inheritable' 0 'CapInh:.0000000000000000' 'run --rm box grep CapInh /proc/self/status'
	expect '--security-opt no-new-privileges' 0 'NoNewPrivs:.1' 'run --rm --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status'
	expect 'seccomp: on, and refuses' 0 'Seccomp:.2' 'run --rm box sh -c "grep Seccomp: /proc/self/status; unshare -U true"'
	expect '--privileged' 0 '^ok$' 'run --rm --privileged box sh -c "mount -t tmpfs x /tmp && test -e /dev/loop-control -o -e /dev/kmsg && echo ok"'
	expect 'masked paths' 0 '^0$' 'run --rm box sh -c "wc -c </proc/timer_list"'
	expect 'read-only paths' 0 'Read-only' 'run --rm box sh -c "echo 1 >/proc/sys/kernel/hostname; true"'
	expect '--uidmap: a user namespace' 0 '^0 100000 65536$' 'run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 box sh -c "echo \$(cat /proc/self/uid_map)"'
	expect '--uidmap: root owns the files' 0 '^0 0$' 'run --rm --uidmap 0:100000:65536 box stat -c "%u %g" /etc/passwd'
}

test_volumes() {
	mkdir "$dir/volume" && echo outside >"$dir/volume/file"
	export volume=$dir/volume
	expect '--volume: read' 0 '^outside$' 'run --rm --volume $volume:/v box cat /v/file'
	expect '--volume: written' 0 '^inside$' 'run --rm --volume $volume:/v box sh -c "echo inside >/v/new" && cat $volume/new'
	expect '--volume :ro' 0 'Read-only' 'run --rm --volume $volume:/v:ro box sh -c "touch /v/x; true"'
	expect '--volume of a file' 0 '^outside$' 'run --rm --volume $volume/file:/etc/one box cat /etc/one'
	expect '--mount type=bind' 0 '^outside$' 'run --rm --mount type=bind,source=$volume,target=/v,readonly box cat /v/file'
	expect 'a named volume lives on' 0 '^kept$' 'run --rm --volume named:/v box sh -c "echo kept >/v/f"; run --rm --volume named:/v box cat /v/f; podman volume rm named >/dev/null'
	expect 'a new volume has the image'\''s files' 0 '^text$' 'run --rm --volume fresh:/etc box cat /etc/plain; podman volume rm fresh >/dev/null'
	expect '--volume :rshared' 0 'shared:' 'mount --bind $volume $volume && mount --make-shared $volume; run --rm --volume $volume:/v:rshared box grep " /v " /proc/self/mountinfo; umount $volume'
	expect '--volumes-from' 0 '^outside$' 'run --name from --volume $volume:/v box true; run --rm --volumes-from from box cat /v/file; podman rm from >/dev/null'
}

test_terminal() {
	expect '--tty: a terminal' 0 '^yes /dev/(pts/0|console)' 'run --rm --tty box sh -c "test -t 0 && test -t 2 && echo yes \$(tty)" | tr -d "\r"'
	expect '--tty: lines end with CR LF' 0 'a\\r\\n' 'run --rm --tty box echo a | od -c | tr -d " "'
	expect '-it: typed and answered' 0 'answer: 42' 'script -qec "podman run --rm -it --network none --cgroup-parent $CONFORMANCE_GROUP box sh -c \"read x; echo answer: \\\$x\"" /dev/null < <(sleep 2; echo 42; sleep 2)'
	expect '-it: the size of the caller'\''s terminal' 0 '33 77' 'script -qec "stty rows 33 cols 77; podman run --rm -it --network none --cgroup-parent $CONFORMANCE_GROUP box sh -c \"sleep 0.5; stty size\"" /dev/null < <(sleep 3)'
}

test_namespaces() {
	run -d --name other --hostname other box sleep 1000 >/dev/null
	expect '--pid, --ipc, --uts of the host' 0 '^same same same$' 'run --rm --pid host --ipc host --uts host box sh -c "for i in pid ipc uts; do readlink /proc/self/ns/\$i; done" | (for i in pid ipc uts; do read -r n; [ "$n" = "$(readlink /proc/self/ns/$i)" ] && printf "same " || printf "other "; done) | sed "s/ $//"'
	expect '--pid container:' 0 'sleep 1000' 'run --rm --pid container:other box ps'
	expect '--network container:' 0 '^same$' 'a=$(podman exec other readlink /proc/self/ns/net); b=$(podman run --rm --cgroup-parent $CONFORMANCE_GROUP --network container:other box readlink /proc/self/ns/net); [ "$a" = "$b" ] && echo same'
	expect '--cgroupns private' 0 ':memory:/$' 'run --rm --cgroupns private box cat /proc/self/cgroup'
	podman rm --force --time 0 other >/dev/null
}

test_health() {
	run -d --name health --health-cmd 'test -e /tmp/well' --health-interval disable box sleep 1000 >/dev/null
	expect 'health check: not well' 1 'unhealthy|^$' 'podman healthcheck run health'
	podman exec health touch /tmp/well
	expect 'health check: well' 0 '' 'podman healthcheck run health'
	podman rm --force --time 0 health >/dev/null
}

test_pod() {
	mkdir -p "$dir/pause/bin" && cp "$(command -v busybox)" "$dir/pause/bin/busybox"
	expect 'pod create' 0 '^[0-9a-f]{64}$' 'podman pod create --name pod --cgroup-parent "$CONFORMANCE_GROUP" --network none --hostname podhost --infra-image box --infra-command "sleep 1000"'
	expect 'pod: a container in it' 0 '^[0-9a-f]{64}$' 'podman run -d --pod pod --name one box sh -c "hostname >/dev/shm/one; nc -l -p 7777 -e echo through; sleep 1000"'
	eventually 'pod: they share the network' 'through' 'podman run --rm --pod pod box sh -c "nc 127.0.0.1 7777 </dev/null"'
	expect 'pod: they share the host name' 0 '^podhost$' 'podman run --rm --pod pod box hostname'
	expect 'pod ps' 0 '^pod Running' 'podman pod ps --format "{{.Name}} {{.Status}}"'
	expect 'pod pause, unpause' 0 '^Paused$' 'podman pod pause pod >/dev/null; podman pod ps --format "{{.Status}}"; podman pod unpause pod >/dev/null'
	expect 'pod stop' 0 '^Exited$' 'podman pod stop --time 1 pod >/dev/null; podman pod ps --format "{{.Status}}"'
	expect 'pod start' 0 '^Running$' 'podman pod start pod >/dev/null; podman pod ps --format "{{.Status}}"'
	expect 'pod rm' 0 '^$' 'podman pod rm --force --time 0 pod >/dev/null; podman ps -aq'
}

test_build() {
	mkdir "$dir/build" && echo copied >"$dir/build/file"
	cat >"$dir/build/Dockerfile" <<-'END'
	FROM localhost/box
	ENV WHO=world
	WORKDIR /srv
	COPY file /srv/file
	RUN echo "hello $WHO" >greeting && cat file >>greeting
	RUN ["/bin/sh", "-c", "id -u >>greeting; test -w /proc/self/oom_score_adj"]
	USER app
	RUN id -u >/tmp/user
	CMD ["cat", "/srv/greeting", "/tmp/user"]
	END
	export context=$dir/build
	expect 'build: FROM, ENV, WORKDIR, COPY, RUN, USER, CMD' 0 'tagged localhost/built' 'podman build --network none --cgroup-parent "$CONFORMANCE_GROUP/build" --tag built $context'
	expect 'build: it runs' 0 '^hello world copied 0 1234 $' 'run --rm built | tr "\n" " "'
	expect 'build: a RUN that fails' 5 'exit(ing with)? status 5|status 5' 'printf "FROM localhost/box\nRUN exit 5\n" | podman build --network none --cgroup-parent "$CONFORMANCE_GROUP/build" -'
	expect 'build --memory: in the cgroup' 0 '67108864' 'printf "FROM localhost/box\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes\n" | podman build --memory 64m --network none --cgroup-parent "$CONFORMANCE_GROUP/build" -'
	expect 'build: in no cgroup that is named' 0 '^0$' 'printf "FROM localhost/box\nRUN id -u\n" | podman build --network none - 2>&1 | grep ^0'
	expect 'commit' 0 '^mark$' 'run --name differs box sh -c "echo mark >/mark"; podman commit -q differs committed >/dev/null; podman rm differs >/dev/null; run --rm committed cat /mark'
	expect 'diff' 0 '^A /mark2$' 'run --name differs box sh -c "echo mark >/mark2"; podman diff differs; podman rm differs >/dev/null'
}

test_hooks() {
	mkdir "$dir/hooks"
	printf '#!/bin/sh\ncat >%s/hook-state-$1\n' "$dir" >"$dir/hook" && chmod 755 "$dir/hook"
	for stage in prestart createRuntime poststart poststop; do
		echo '{"version":"1.0.0","hook":{"path":"'"$dir/hook"'","args":["hook","'$stage'"]},"when":{"always":true},"stages":["'$stage'"]}' >"$dir/hooks/$stage.json"
	done
	export dir
	expect '--hooks-dir' 0 '^3$' 'podman --hooks-dir $dir/hooks run --rm --network none --cgroup-parent "$CONFORMANCE_GROUP" box true; cat $dir/hook-state-prestart $dir/hook-state-createRuntime $dir/hook-state-poststart | grep -o "\"id\"" | wc -l'
	eventually '--hooks-dir: poststop' 'stopped' 'cat $dir/hook-state-poststop'
}

test_network() {
	if ! podman run --rm --cgroup-parent "$CONFORMANCE_GROUP" --runtime "$(command -v crun runc | head -1)" box true >"$dir/log" 2>&1; then
		skip 'a bridge of its own' "not even crun has it here: $(tail -1 "$dir/log" | cut -c1-100)"
		return
	fi
	expect 'a bridge of its own' 0 'inet 10\.' 'podman run --rm --cgroup-parent "$CONFORMANCE_GROUP" box ip -4 addr show eth0'
	expect 'DNS and hosts files' 0 '127.0.0.1' 'podman run --rm --cgroup-parent "$CONFORMANCE_GROUP" box cat /etc/hosts'
	expect '--publish' 0 'served' 'podman run -d --name web --publish 127.0.0.1:8099:80 --cgroup-parent "$CONFORMANCE_GROUP" box nc -l -p 80 -e echo served >/dev/null; sleep 1; busybox nc 127.0.0.1 8099 </dev/null; podman rm -f --time 0 web >/dev/null'
}

configure
make_rootfs "$dir/rootfs"
tar -C "$dir/rootfs" -c . | podman import --change 'CMD ["sh"]' - box >/dev/null 2>"$dir/log" ||
	skip_all "podman import failed: $(tail -1 "$dir/log")"
for part in ${PARTS:-run life limits rights volumes terminal namespaces health pod build hooks network}; do
	"test_$part"
done
expect 'in the end: no container, no leftovers of the runtime' 0 '^$' 'podman ps -aq; find /run/conex-oci /run/runc -mindepth 2 ! -path "*/seccomp/*.bpf" 2>/dev/null; true'
finish
