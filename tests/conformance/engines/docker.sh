#!/bin/bash
# Docker with $RUNTIME (--add-runtime): what its users do every day, as TAP. Needs root.
# shellcheck source=tests/conformance/engines/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
needs dockerd docker.io docker docker.io containerd containerd containerd-shim-runc-v2 containerd \
	busybox busybox-static
enter "$@"

start_engine() {
	export DOCKER_HOST=unix://$dir/docker.sock DOCKER_CONFIG=$dir/config DOCKER_BUILDKIT=0
	export DOCKER_BUILDKIT_RUNC_COMMAND=$RUNTIME # the BuildKit in newer daemons; 20.10's runs "runc"
	mkdir "$dir/exec" "$dir/bin" && ln -s "$RUNTIME" "$dir/bin/runc"
	PATH=$dir/bin:$PATH dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" \
		--host "$DOCKER_HOST" --exec-opt native.cgroupdriver=cgroupfs \
		--cgroup-parent "$CONFORMANCE_GROUP" --iptables=false --ip6tables=false \
		--add-runtime "tested=$RUNTIME" --default-runtime tested >"$dir/log" 2>&1 &
	daemon=$!
	for _ in $(seq 100); do
		docker version >/dev/null 2>&1 && return
		kill -0 $daemon 2>/dev/null || break
		sleep 0.2
	done
	skip_all "dockerd doesn't start here: $(grep -v level=info "$dir/log" | tail -1)"
}

stop_engine() {
	docker ps -aq | xargs -r docker rm -f
	stop_daemon "$daemon"
}

# run ARGUMENTS ...: no network
run() { docker run --network none "$@"; }
# group ID CONTROLLER FILE: a value of the container's cgroup
group() {
	local path
	path=$(sed -n "s/^[0-9]*:$2://p" "/proc/$(docker inspect -f '{{.State.Pid}}' "$1")/cgroup")
	cat "/sys/fs/cgroup/${2%%,*}$path/$3"
}
# until_is ID WORD: waits for a state
until_is() {
	for _ in $(seq 100); do
		[ "$(docker inspect -f '{{.State.Status}}' "$1")" = "$2" ] && return
		sleep 0.1
	done
	return 1
}
export -f run group until_is

test_run() {
	expect 'info: the runtime is known' 0 'Default Runtime: tested' 'docker info 2>/dev/null'
	expect 'run: output' 0 '^hello$' 'run --rm box echo hello'
	expect 'run: the image'\''s own command' 0 '^from-sh$' 'echo echo from-sh | run --rm -i box'
	expect 'run: both streams are the program'\''s' 0 '^err$' 'run --rm box sh -c "echo out; echo err >&2" 2>&1 >/dev/null'
	expect 'run -i: standard input' 0 '^5$' 'printf 12345 | run --rm -i box wc -c'
	expect 'run: exit status' 7 '^$' 'run --rm box sh -c "exit 7"'
	expect 'run: 125, an option is wrong' 125 'unknown flag' 'run --rm --no-such-flag box true'
	expect 'run: 126, not executable' 126 '[Pp]ermission denied' 'run --rm box /etc/plain'
	expect 'run: 126, a directory' 126 '[Pp]ermission denied|is a directory' 'run --rm box /etc'
	expect 'run: 127, not found' 127 'executable file not found|no such file' 'run --rm box no-such-program'
	expect 'run: 127, a path not found' 127 'no such file' 'run --rm box /no/such/program'
	expect 'run: nothing is left of it' 0 '^$' 'docker ps -aq'
	expect 'run --env, --workdir, --hostname' 0 '^v /tmp host1$' \
		'run --rm --env A=v --workdir /tmp --hostname host1 box sh -c "echo \$A \$PWD \$(hostname)"'
	expect 'run --workdir: made if it is not there' 0 '^/new/dir$' 'run --rm --workdir /new/dir box pwd'
	expect 'run --entrypoint' 0 '^x y$' 'run --rm --entrypoint echo box x y'
	expect 'run --ulimit' 0 '^123$' 'run --rm --ulimit nofile=123:123 box sh -c "ulimit -n"'
	expect 'run --sysctl' 0 '^4242$' 'run --rm --sysctl kernel.msgmax=4242 box cat /proc/sys/kernel/msgmax'
	expect 'run --device' 0 'crw.* 1, *9 .*/dev/mine' 'run --rm --device /dev/urandom:/dev/mine box sh -c "head -c1 /dev/mine >/dev/null && ls -l /dev/mine"'
	expect 'run --tmpfs, --shm-size' 0 '^1024 /scratch$' 'run --rm --tmpfs /scratch:size=1m box df -k /scratch | sed 1d | tr -s " " | cut -d" " -f2,6'
	expect 'run --shm-size' 0 '^2048$' 'run --rm --shm-size 2m box df -k /dev/shm | sed 1d | tr -s " " | cut -d" " -f2'
	expect 'run --init: reaps' 0 'docker-init|tini|/sbin/docker-init' 'run --rm --init box cat /proc/1/cmdline | tr "\0" " "'
	expect 'run --oom-score-adj' 0 '^500$' 'run --rm --oom-score-adj 500 box cat /proc/self/oom_score_adj'
}

test_life() {
	expect 'run -d' 0 '^[0-9a-f]{64}$' 'run -d --name life box sh -c "trap \"echo got-term; exit 9\" TERM; trap \"echo got-usr1\" USR1; echo up; while :; do sleep 0.1; done"'
	eventually 'logs' '^up$' 'docker logs life'
	expect 'ps' 0 '^life Up' 'docker ps --format "{{.Names}} {{.Status}}"'
	expect 'exec' 0 '^in life$' 'docker exec life echo in life'
	expect 'exec --env, --workdir, --user' 0 '^b /etc 1234:1234$' 'docker exec --env A=b --workdir /etc --user app life sh -c "echo \$A \$PWD \$(id -u):\$(id -g)"'
	expect 'exec: standard input' 0 '^7$' 'printf 1234567 | docker exec -i life wc -c'
	expect 'exec: exit status' 3 '^$' 'docker exec life sh -c "exit 3"'
	expect 'exec: 126' 126 '[Pp]ermission denied' 'docker exec life /etc/plain'
	expect 'exec: 126 or 127, not found' 0 '^12[67]$' 'docker exec life no-such-program >/dev/null 2>&1; echo $?'
	expect 'exec -t: a terminal' 0 'yes' 'docker exec -t life sh -c "test -t 0 && test -t 1 && echo yes"'
	expect 'exec -d' 0 '' 'docker exec -d life sh -c "echo detached >/tmp/x"'
	eventually 'exec -d: it ran' '^detached$' 'docker exec life cat /tmp/x'
	expect_privileged 'exec --privileged' 0 'CapEff:.*f' 'docker exec --privileged life grep CapEff /proc/self/status'
	expect 'top' 0 'sleep 0.1|sh -c' 'docker top life'
	expect 'stats' 0 '^life [1-9]' 'docker stats --no-stream --format "{{.Name}} {{.PIDs}}" life'
	expect 'cp into a running container' 0 '^copied$' 'echo copied >$TMPDIR/c && docker cp $TMPDIR/c life:/tmp/c >/dev/null 2>&1 && docker exec life cat /tmp/c'
	expect 'pause' 0 '^paused$' 'docker pause life >/dev/null && docker inspect -f "{{.State.Status}}" life'
	expect 'pause: exec is refused' 1 'paused' 'docker exec life true'
	expect 'unpause' 0 '^running$' 'docker unpause life >/dev/null && docker inspect -f "{{.State.Status}}" life'
	expect 'kill -s USR1' 0 '^life$' 'docker kill -s USR1 life'
	eventually 'kill: the program got it' 'got-usr1' 'docker logs life'
	expect 'stop' 0 '^life$' 'docker stop life'
	expect 'stop: with the program'\''s own status' 0 '^exited 9$' 'docker inspect -f "{{.State.Status}} {{.State.ExitCode}}" life'
	expect 'stop: the program got TERM' 0 'got-term' 'docker logs life'
	expect 'wait: the status' 0 '^9$' 'docker wait life'
	expect 'start again' 0 '^life$' 'docker start life'
	expect 'restart' 0 '^life$' 'docker restart life'
	eventually 'restart: it runs anew' '^3$' 'docker logs life | grep -c ^up'
	expect 'kill' 0 '^137$' 'docker kill life >/dev/null; docker wait life'
	expect 'rm' 0 '^$' 'docker rm life >/dev/null; docker ps -aq'
	expect 'rm --force of a running one' 0 '^$' 'run -d --name forced box sleep 1000 >/dev/null && docker rm --force forced >/dev/null; docker ps -aq'
	expect 'create and start --attach' 4 '^attached$' 'docker create --network none --name later box sh -c "echo attached; exit 4" >/dev/null && docker start --attach later'
	docker rm later >/dev/null
}

test_restart() {
	expect '--restart on-failure:2' 0 '^3 2$' 'run -d --restart on-failure:2 --name again box sh -c "echo run; exit 1" >/dev/null; for i in $(seq 60); do [ "$(docker inspect -f "{{.RestartCount}} {{.State.Status}}" again)" = "2 exited" ] && break; sleep 0.2; done; echo $(docker logs again | grep -c run) $(docker inspect -f "{{.RestartCount}}" again)'
	expect '--restart always: comes back when killed' 0 '^[1-9]' 'run -d --restart always --name back box sleep 1000 >/dev/null; kill -9 $(docker inspect -f "{{.State.Pid}}" back); for i in $(seq 60); do [ "$(docker inspect -f "{{.RestartCount}}" back)" -gt 0 ] && break; sleep 0.2; done; until_is back running; docker inspect -f "{{.RestartCount}}" back'
	docker rm -f again back >/dev/null
}

test_limits() {
	run -d --name limits --memory 64m --memory-swap 64m --memory-reservation 32m --pids-limit 20 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 box sleep 1000 >/dev/null
	expect '--memory: in the cgroup' 0 '^67108864$' 'group limits memory memory.limit_in_bytes'
	expect '--memory-reservation' 0 '^33554432$' 'group limits memory memory.soft_limit_in_bytes'
	expect '--pids-limit' 0 '^20$' 'group limits pids pids.max'
	expect '--cpus' 0 '^50000 100000$' 'echo $(group limits cpu cpu.cfs_quota_us) $(group limits cpu cpu.cfs_period_us)'
	expect '--cpu-shares' 0 '^512$' 'group limits cpu cpu.shares'
	expect '--cpuset-cpus' 0 '^0$' 'group limits cpuset cpuset.cpus'
	expect 'limits: seen in the container' 0 '^67108864$' 'docker exec limits cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
	expect 'update --memory, --cpus, --pids-limit' 0 '^134217728 25000 30$' 'docker update --memory 128m --memory-swap 128m --cpus 0.25 --pids-limit 30 limits >/dev/null; echo $(group limits memory memory.limit_in_bytes) $(group limits cpu cpu.cfs_quota_us) $(group limits pids pids.max)'
	expect '--pids-limit: no more' 0 "an't fork" 'run --rm --pids-limit 5 box sh -c "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait"; true'
	expect '--memory: what takes more is killed, and said' 0 '^137 true$' 'run --name oom --memory 32m --memory-swap 32m box sh -c "tail /dev/zero; exit \$?" >/dev/null 2>&1; docker inspect -f "{{.State.ExitCode}} {{.State.OOMKilled}}" oom; docker rm oom >/dev/null'
	expect '--device: others are refused' 0 'not permitted' 'run --rm --cap-add MKNOD box sh -c "mknod /tmp/m b 7 0; head -c1 /tmp/m; true"'
	docker rm --force limits >/dev/null
}

test_rights() {
	expect '--read-only' 0 'Read-only file system' 'run --rm --read-only box sh -c "touch /etc/x; true"'
	expect '--user NAME: of the image' 0 '^uid=1234\(app\) gid=1234\(app\) groups=.*777\(extra\)' 'run --rm --user app box id'
	expect '--user UID:GID: nobody knows them' 0 '^uid=4321.* gid=8765' 'run --rm --user 4321:8765 box id'
	expect '--group-add' 0 '777' 'run --rm --user 1 --group-add 777 box id -G'
	expect '--user: its own standard output' 0 '^mine$' 'run --rm --user app box sh -c "echo mine >/dev/stdout" | cat'
	expect '--cap-drop all' 0 'CapEff:.0000000000000000' 'run --rm --cap-drop all box grep CapEff /proc/self/status'
	expect '--cap-add' 0 'CapEff:.0000000000001000' 'run --rm --cap-drop all --cap-add NET_ADMIN box grep CapEff /proc/self/status'
	expect '--security-opt no-new-privileges' 0 'NoNewPrivs:.1' 'run --rm --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status'
	expect 'seccomp: on' 0 'Seccomp:.2' 'run --rm box grep Seccomp: /proc/self/status'
	expect_privileged '--privileged' 0 '^ok$' 'run --rm --privileged box sh -c "mount -t tmpfs x /tmp && test -e /dev/kmsg && echo ok"'
	expect 'masked paths' 0 '^0$' 'run --rm box sh -c "wc -c </proc/timer_list"'
	expect 'read-only paths' 0 'Read-only' 'run --rm box sh -c "echo 1 >/proc/sys/kernel/hostname; true"'
}

test_volumes() {
	mkdir "$dir/volume" && echo outside >"$dir/volume/file"
	export volume=$dir/volume
	expect '--volume: read' 0 '^outside$' 'run --rm --volume $volume:/v box cat /v/file'
	expect '--volume: written' 0 '^inside$' 'run --rm --volume $volume:/v box sh -c "echo inside >/v/new" && cat $volume/new'
	expect '--volume :ro' 0 'Read-only' 'run --rm --volume $volume:/v:ro box sh -c "touch /v/x; true"'
	expect '--volume of a file' 0 '^outside$' 'run --rm --volume $volume/file:/etc/one box cat /etc/one'
	expect '--mount type=bind' 0 '^outside$' 'run --rm --mount type=bind,source=$volume,target=/v,readonly box cat /v/file'
	expect 'a named volume lives on' 0 '^kept$' 'run --rm --volume named:/v box sh -c "echo kept >/v/f"; run --rm --volume named:/v box cat /v/f; docker volume rm named >/dev/null'
	expect 'a new volume has the image'\''s files' 0 '^text$' 'run --rm --volume fresh:/etc box cat /etc/plain; docker volume rm fresh >/dev/null'
}

test_terminal() {
	expect '-t: a terminal' 0 'yes /dev/(pts/0|console)' 'run --rm -t box sh -c "test -t 0 && test -t 2 && echo yes \$(tty)" | tr -d "\r"'
	expect '-it: typed and answered' 0 'answer: 42' 'script -qec "docker run --rm -it --network none box sh -c \"read x; echo answer: \\\$x\"" /dev/null < <(sleep 2; echo 42; sleep 2)'
	expect '-it: the size of the caller'\''s terminal' 0 '33 77' 'script -qec "stty rows 33 cols 77; docker run --rm -it --network none box sh -c \"sleep 1; stty size\"" /dev/null < <(sleep 3)'
	run -d --name term box sleep 1000 >/dev/null
	expect 'exec -it' 0 'answer: 43' 'script -qec "docker exec -it term sh -c \"read x; echo answer: \\\$x\"" /dev/null < <(sleep 1; echo 43; sleep 2)'
	docker rm -f term >/dev/null
}

test_namespaces() {
	run -d --name other --hostname other --ipc shareable box sleep 1000 >/dev/null
	expect '--pid container:' 0 'sleep 1000' 'run --rm --pid container:other box ps'
	expect '--network, --ipc container:' 0 '^same same$' 'for i in net ipc; do docker exec other readlink /proc/self/ns/$i; done | sort >$TMPDIR/a; docker run --rm --network container:other --ipc container:other box sh -c "for i in net ipc; do readlink /proc/self/ns/\$i; done" | sort >$TMPDIR/b; cmp $TMPDIR/a $TMPDIR/b && echo same same'
	expect '--pid, --uts, --network of the host' 0 '^yes$' 'docker run --rm --pid host --uts host --network host box sh -c "for i in pid uts net; do readlink /proc/self/ns/\$i; done" >$TMPDIR/b; for i in pid uts net; do readlink /proc/self/ns/$i; done | cmp - $TMPDIR/b && echo yes'
	expect '--cgroupns private' 0 ':memory:/$' 'run --rm --cgroupns private box cat /proc/self/cgroup'
	docker rm --force other >/dev/null
}

test_health() {
	expect 'health check: well' 0 '^healthy$' 'run -d --name health --health-cmd "test -e /etc/plain" --health-interval 1s box sleep 1000 >/dev/null; for i in $(seq 50); do docker inspect -f "{{.State.Health.Status}}" health | grep -x healthy && break; sleep 0.2; done'
	docker rm --force health >/dev/null
}

test_build() {
	mkdir "$dir/build" && echo copied >"$dir/build/file"
	cat >"$dir/build/Dockerfile" <<-'END'
	FROM box
	ENV WHO=world
	WORKDIR /srv
	COPY file /srv/file
	RUN echo "hello $WHO" >greeting && cat file >>greeting
	RUN ["/bin/sh", "-c", "id -u >>greeting"]
	USER app
	RUN id -u >/tmp/user
	CMD ["cat", "/srv/greeting", "/tmp/user"]
	END
	export context=$dir/build
	local kit
	for kit in 0 1; do
		export DOCKER_BUILDKIT=$kit kit=$kit
		local name='build'
		[ $kit = 0 ] || name='build by BuildKit'
		if [ $kit = 1 ] && ! docker build --help | grep -q secret; then
			skip "$name" 'this docker has no BuildKit'
			continue
		fi
		expect "$name: FROM, ENV, WORKDIR, COPY, RUN, USER, CMD" 0 '' 'docker build --no-cache --network host -t built$kit $context'
		expect "$name: it runs" 0 '^hello world copied 0 1234 $' 'run --rm built$kit | tr "\n" " "'
		expect "$name: a RUN that fails" 0 'code:? 5|exit code: 5' 'printf "FROM box\nRUN exit 5\n" | docker build --rm --force-rm --no-cache --network host - && echo built; true'
	done
	export DOCKER_BUILDKIT=0
	expect 'commit' 0 '^mark$' 'run --name commits box sh -c "echo mark >/mark"; docker commit commits committed >/dev/null; docker rm commits >/dev/null; run --rm committed cat /mark'
}

# libnetwork sets up the network in a prestart hook, and holds it by the namespace's path.
test_network() {
	docker network create --subnet 10.213.0.0/24 own >"$dir/out" 2>&1 || {
		skip 'a network' "docker network create: $(cat "$dir/out")"
		return
	}
	expect 'a network: the prestart hook made eth0' 0 'inet 10.213.0.' 'docker run --rm --network own box ip -4 addr show eth0'
	expect 'a network: containers see one another by name' 0 'served' 'docker run -d --network own --name server box sh -c "while :; do echo served | nc -l -p 80; done" >/dev/null; sleep 1; docker run --rm --network own box sh -c "nc server 80 </dev/null"; docker rm -f server >/dev/null'
	expect 'a network: connected while it runs' 0 'inet 10.213.0.' 'docker run -d --name joins --network bridge box sleep 1000 >/dev/null; docker network connect own joins; docker exec joins ip -4 addr; docker rm -f joins >/dev/null'
	docker network rm own >/dev/null
}

start_engine
make_rootfs "$dir/rootfs"
tar -C "$dir/rootfs" -c . | docker import --change 'CMD ["sh"]' - box >"$dir/out" 2>&1 ||
	skip_all "docker import failed: $(tail -1 "$dir/out")"
for part in ${PARTS:-run life restart limits rights volumes terminal namespaces health build network}; do
	"test_$part"
done
expect 'in the end: no container' 0 '^$' 'docker ps -aq'
finish
