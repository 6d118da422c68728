#!/bin/bash
# conex, the program: every command, good and bad; what it prints for people and for programs; that nothing is left.
# tests/system/cli-images.sh is about images on their way.
# shellcheck disable=SC2154 # box, program, state, store, archives, me, terminal, with: of cli-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/cli-box.sh"

# ---- the program itself ------------------------------------------------------------------------

# It is what anybody could have written: no header but the public ones, no function but theirs.
public_only() {
	local bad file=$CX_BUILDDIR/.libs/conex
	bad=$(grep -Hn '^ *# *include' "$CX_SRCDIR"/examples/cli/*.[ch] | grep -vE 'include (<[a-z_/]+\.h>|"cli\.h")$')
	[ -z "$bad" ] || { echo "$bad"; return 1; }
	! grep -n 'lib/' "$CX_SRCDIR"/examples/cli/*.[ch] | grep -v 'var/lib' || return
	[ -x "$file" ] || file=$program
	! nm "$file" | grep -E ' [A-Zu] cx_' || return
	has "$(nm -u "$file")" ' U conex_run' ' U conex_image_pull'
}
tries "on the public API alone" public_only

# The tables are the one source: usage, completion and the manual page say the same.
no_drift() {
	conex help --format json >"$box/help.json" && conex help --format man >"$box/help.man" || return
	sed -n '/^\.\\" ---- conex help --format man$/,/^\.\\" ---- until here$/p' "$CX_SRCDIR/doc/conex.1" | sed '1d;$d' | diff - "$box/help.man" || {
		echo "put the output of conex help --format man between the marks of doc/conex.1"
		return 1
	}
	/usr/bin/python3 - "$box/help.json" "${with[@]}" <<-'PYTHON'
		import json, subprocess, sys
		with open(sys.argv[1]) as file:
		    all_ = json.load(file)
		def run(*words):
		    return subprocess.run(sys.argv[2:] + list(words), check=True, capture_output=True, text=True).stdout
		def complete(*words):
		    return subprocess.run([sys.argv[2], "__complete", *words], check=True, capture_output=True, text=True).stdout.split("\n")
		names = [c["name"] for c in all_["commands"]]
		assert len(names) == len(set(names)) and names == sorted(names), names
		assert {n.split()[0] for n in names} == set(complete("")) - {""}, complete("")
		overview = run("help")
		for c in all_["commands"]:
		    words = c["name"].split()
		    usage = run(*words, "--help")
		    assert f"\n  {c['name']} " in overview and c["help"] in usage and c["args"] in usage, c["name"]
		    assert usage == run("help", *words), c["name"]
		    shown = [o for o in c["options"] if "help" in o]
		    assert set(complete(*words, "--")) - {""} == {"--" + o["name"] for o in shown}, c["name"]
		    letters = [o["letter"] for o in shown if "letter" in o]
		    assert len(letters) == len(set(letters)), c["name"]
		    for o in shown:
		        assert f"--{o['name']}" in usage and o["help"] in usage, o
		        assert (o["kind"] == "flag") == ("value" not in o), o
		    for o in c["options"]:
		        assert "help" in o or o["same"] in {s["name"] for s in shown}, o
	PYTHON
}
tries "usage, completion and manual page say what the tables say" no_drift

usage_errors() {
	fails 'no command "frobnicate"; conex help' frobnicate || return
	fails 'no command "system eat"' system eat || return
	fails 'no command "system"' system || return
	fails 'conex has no option --nope' --nope ps || return
	fails 'run has no option --nope; conex run --help' run --nope app || return
	fails 'ps has no option -az' ps -az || return
	fails 'run: -m needs a value: SIZE' run -m || return
	fails 'run: --memory needs a value' run --memory || return
	fails 'ps: --all=perhaps: it is true or false' ps --all=perhaps || return
	fails 'pull takes IMAGE' pull || return
	fails 'pull takes IMAGE' pull a b || return
	fails 'ps takes no words' ps a || return
	fails 'run takes IMAGE' run || return
	fails 'ps: --format xml: it is table or json' ps --format xml || return
	fails 'inspect: --format table: it is json' inspect --format table x || return
	fails 'help: --format xml' help --format xml || return
	fails 'no command "x"' help x || return
	has "$(becomes 125 "$program" 2>&1)" '^usage: conex' && has "$(becomes 0 "$program" --help)" '^usage: conex' '^  run ' --state
}
full() {
	has "$(becomes 125 conex version 2>&1 >/dev/full)" '^conex: standard output: No space left on device$'
}
tries "a full standard output" full

version() {
	has "$(conex version)" '^conex [0-9]+\.[0-9]+' && [ "$(conex --version)" = "$(conex version)" ] || return
	json '"conex " + it["version"] == "'"$(conex version)"'" and "exec" in it["features"]' conex version --format json
}
tries version version

# ---- images ------------------------------------------------------------------------------------

nothing_yet() {
	is "" conex ps -aq && json 'it == []' conex ps --format json && is "" conex images -q && json 'it == []' conex images --format json || return
	json '{row["type"]: row.get("count", 0) for row in it}["images"] == 0' conex system df --format json || return
	fails 'there is no container x; conex run' logs x || return
	fails 'no such container, and as an image' inspect x
}
tries "before there is anything" nothing_yet

import() {
	is "$(cat "$archives/digest")" conex import -q "$archives/layout.tar" app:1 || return
	is "$(cat "$archives/digest")" conex import --quiet "$archives/layout" app:2 || return
	is "$(cat "$archives/digest")" conex import -q - app:3 <"$archives/layout.tar.gz" || return
	is "app:1
app:2
app:3" conex images -q || return
	has "$(conex images)" '^NAME +DIGEST +PLATFORM +LAYERS +SIZE$' "^app:1 +$(cut -c8-19 "$archives/digest") +linux/[a-z0-9]+ +2 +[0-9.]+ [KM]iB$" || return
	json '[i["name"] for i in it] == ["app:1", "app:2", "app:3"] and it[0]["layers"] == 2 and it[0]["size"] > 100000' conex images --format json || return
	# without a terminal, lines
	has "$(conex import "$archives/layout.tar" app:2 2>&1 >/dev/null)" '^importing ' && ! conex import -q "$archives/layout.tar" app:2 2>&1 >/dev/null | grep . || return
	is "app:2
app:3" conex rmi app:2 app:3 || return
	fails 'import: .*nowhere: No such file' import nowhere app:4 || return
	fails 'import: .*UPPER' import "$archives/layout.tar" UPPER || return
	fails 'import: ' import -q "$archives/junk.tar" app:4 || return
	fails 'import: ' import -q "$archives/cut.tar" app:4 || return
	fails 'rmi: .*app:4' rmi app:4 || return
	is "" conex rmi -f app:4 && is app:1 conex images -q
}
tries "import, images, rmi" import

inspect_image() {
	json 'len(it) == 1 and it[0]["type"] == "image" and it[0]["digest"] == "'"$(cat "$archives/digest")"'" and it[0]["config"]["config"]["User"] == "server"' conex inspect app:1 || return
	fails 'there is no container app:1' inspect --type container app:1 || return
	fails '--type both: it is container or image' inspect --type both app:1
}
tries "inspect an image" inspect_image

# ---- run ---------------------------------------------------------------------------------------

run() { # run OPTION... -- WORD...: in app:1, with a shell in front, removed at the end
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	conex run --rm "${options[@]}" app:1 "$@"
}

statuses() {
	becomes 0 run -- true && becomes 7 run -- 'exit 7' && becomes 143 run --init -- 'kill -TERM $$' || return
	becomes 127 run --entrypoint /bin/nothing -- && becomes 126 run --entrypoint /etc/passwd -- 2>"$box/said" || return
	has "$(cat "$box/said")" '^conex: run: exec: .*/etc/passwd' || return
	becomes 137 run --timeout 0.3 -- 'sleep 1000' || return
	fails 'no image nothing/here; conex pull' run --pull never nothing/here || return
	fails '--pull often: it is missing, always or never' run --pull often app:1 || return
	nothing_left
}
tries "exit statuses" statuses

what_it_is_told() {
	is "from the image" run -- 'echo $HELLO' || return
	export THERE=here
	is "A B here" run -e ONE=A -e TWO=B -e THERE -e NOWHERE -- 'echo $ONE $TWO $THERE$NOWHERE' || return
	printf '# a comment\n\nONE=from a file\nTWO=too\n' >"$box/env"
	is "from a file, not" run --env-file "$box/env" -e TWO=not -- 'echo $ONE, $TWO' || return
	is /tmp run -w /tmp -- pwd && is "77:78" run -- 'echo $(id -u):$(id -g)' && is "0:0" run -u 0:0 -- 'echo $(id -u):$(id -g)' || return
	is "a b" run --entrypoint echo -- a b && is word run --entrypoint '' -- echo word && is "" run --entrypoint true -- || return
	is somewhere run -h somewhere -- hostname && is "$me-name" run --name "$me-name" -- hostname || return
	is "10.1.2.3" run --network bridge --add-host db:10.1.2.3 -- 'grep -w db /etc/hosts | cut -f1 -d" "' || return
	has "$(run --network bridge --dns 10.1.2.53 -- 'cat /etc/resolv.conf')" '^nameserver 10\.1\.2\.53$' || return
	is 500 run --oci '{"process":{"oomScoreAdj":500}}' -- 'cat /proc/self/oom_score_adj' || return
	is "500 x" run --oci '{"process":{"oomScoreAdj":500}}' --entrypoint /bin/sh -- -c 'echo $(cat /proc/self/oom_score_adj) x' || return
	is child run --init --entrypoint /bin/sh -- -c '[ $$ != 1 ] && echo child' && is 1 run --entrypoint /bin/sh -- -c 'echo $$' || return
	nothing_left
}
tries "environment, user, directory, names" what_it_is_told

what_it_sees() {
	mkdir -p "$box/data" && echo inside >"$box/data/file" && chmod 777 "$box/data" || return
	is inside run -v "$box/data:/data:ro" -- 'cat /data/file; (echo x >/data/new) 2>/dev/null; true' && [ ! -e "$box/data/new" ] || return
	becomes 0 run -v ./data:/data -- 'echo new >/data/new' && [ "$(cat "$box/data/new")" = new ] || return
	is inside run --mount "type=bind,src=$box/data,dst=/data,readonly" -- 'cat /data/file' || return
	has "$(run --tmpfs /scratch:size=4m -- 'grep /scratch /proc/mounts')" ' /scratch tmpfs .*size=4096k' || return
	has "$(run --mount type=tmpfs,target=/scratch,size=4m -- 'grep /scratch /proc/mounts')" ' /scratch tmpfs .*size=4096k' || return
	has "$(run -u 0 --read-only -- 'echo x >/new' 2>&1)" 'Read-only file system' || return
	mkdir -p "$box/tree/bin" "$box/tree"/{proc,dev,sys} && cp /bin/busybox "$box/tree/bin/sh" || return
	is hello conex run --rm --rootfs tree sh -c 'echo hello' || return
	nothing_left
}
tries "files" what_it_sees

# in_cgroup FILE... of the container: whichever there is, v2 or v1
in_cgroup() {
	cat /sys/fs/cgroup/{,memory/,pids/,cpu/,cpu,cpuacct/}conex/"$me-limits/$1" /sys/fs/cgroup/{memory,pids,cpu,cpu,cpuacct}/conex/"$me-limits/$2" 2>/dev/null | head -n 1
}
limits() {
	is "$me-limits" conex run -d --name "$me-limits" -m 64M --cpus 0.5 --pids-limit 20 app:1 'sleep 1000' || return
	[ "$(in_cgroup memory.max memory.limit_in_bytes)" = 67108864 ] && [ "$(in_cgroup pids.max pids.max)" = 20 ] || return
	has "$(in_cgroup cpu.max cpu.cfs_quota_us)" '^50000' || return
	json 'it[0]["memory_limit"] == 67108864 and it[0]["pids"] == 1' conex stats --no-stream --format json "$me-limits" || return
	has "$(conex stats --no-stream)" '^ID +CPU ' "^$me-limits +[0-9.]+% +[0-9.]+ [KM]?i?B / 64.0 MiB" || return
	is "$me-limits" conex rm -f "$me-limits" && nothing_left
}
tries limits limits

bad_options() {
	fails '--memory lots: a size is meant' run -m lots app:1 || return
	fails '--cpus many: a number from' run --cpus many app:1 || return
	fails '--cpus nan: a number from' run --cpus nan app:1 || return
	fails '--pids 1e9: a number from' run --pids 1e9 app:1 || return
	fails '--timeout -1: a number' run --timeout -1 app:1 || return
	fails '--env =x: write NAME=VALUE' run -e =x app:1 || return
	fails '--env-file .*nowhere: No such file' run --env-file nowhere app:1 || return
	fails '--volume data:/data: there are no volumes by name' run -v data:/data app:1 || return
	fails '--volume ./nowhere:/data: No such file' run -v ./nowhere:/data app:1 || return
	fails '--volume /tmp: write SOURCE:TARGET' run -v /tmp app:1 || return
	fails '--volume /tmp:tmp: write' run -v /tmp:tmp app:1 || return
	fails '--volume /tmp:/tmp:z: .*SELinux' run -v /tmp:/tmp:z app:1 || return
	fails '--tmpfs tmp: write an absolute' run --tmpfs tmp app:1 || return
	fails '--mount type=bind,src=/tmp: its target is missing' run --mount type=bind,src=/tmp app:1 || return
	fails '--mount type=volume,dst=/x: its type' run --mount type=volume,dst=/x app:1 || return
	fails '--publish 70000: ' run -p 70000 app:1 || return
	fails '--add-host db: write NAME:ADDRESS' run --add-host db app:1 || return
	fails '--label =x: write' run -l =x app:1 || return
	fails '--creds: write USER:PASSWORD' run --pull always --creds x app:1 || return
	fails '--oci: .*config.json' run --oci '{' app:1 || return
	fails '--oci: it is no object' run --oci '[]' app:1 || return
	fails '--entrypoint "" leaves nothing' run --entrypoint '' app:1 || return
	fails '--name ../up: write 1 to 64' run --name ../up app:1 || return
	fails '--rootfs nowhere: No such file' run --rootfs nowhere sh || return
	fails '--log-size x: a size' run -d --log-size x app:1 true || return
	fails 'run: .*no-such-net' run --network no-such-net app:1 true || return
	fails '-i with -t needs a terminal' run -it app:1 </dev/null || return
	nothing_left
}
tries "options that can't be" bad_options

input() {
	is "a word" conex run --rm -i app:1 cat <<<"a word" && is "" conex run --rm app:1 cat <<<"a word" || return
	# a pipe that its user, not root, may open again
	[ "$(run -- 'echo again >/dev/stdout' | cat)" = again ] && [ "$(run -- 'echo err >/dev/stderr' 2>&1 >/dev/null | cat)" = err ]
}
tries "standard input and output" input

# A signal that conex gets is the program's.
signals() {
	local pid
	mkfifo "$box/ready"
	"${with[@]}" run --rm app:1 'trap "exit 5" USR1; trap "exit 6" TERM; echo ready; while :; do sleep 0.1; done' >"$box/ready" &
	pid=$!
	read -r <"$box/ready"
	kill -USR1 "$pid"
	wait "$pid"
	[ $? = 5 ] || return
	# and when conex is killed nothing stays of what was to be removed
	"${with[@]}" run --rm --name "$me-killed" app:1 'echo ready; sleep 1000' >"$box/ready" &
	pid=$!
	read -r <"$box/ready"
	kill -KILL "$pid"
	wait "$pid"
	rm "$box/ready"
	until_up bash -c '! ls -d /sys/fs/cgroup/conex/'"$me"'-killed /sys/fs/cgroup/*/conex/'"$me"'-killed' || return
	touch -d '1 hour ago' "$state/ends/$me-killed"  # nobody held it long ago
	until_up gone "$me-killed" && nothing_left
}
gone() {
	conex run --rm app:1 true && [ -z "$(conex ps -aq)" ] && nothing_left >/dev/null
}
tries "signals, and a death" signals

on_terminal() {
	local said
	# shellcheck disable=SC2016
	said=$(becomes 3 "${terminal[@]}" 33x77 '\$ ' 'stty size; echo $TERM $(tty)\n' 'pts/0' 'sh -c "echo go\x27\x27ing; exec sleep 1000"\n' 'going' '\x03' '\$ ' 'exit 3\n' -- \
		"${with[@]}" run --rm -it --entrypoint sh app:1) || { echo "$said"; return 1; }
	has "$said" '^33 77' '^xterm /dev/pts/0' || return
	# another size
	said=$(becomes 0 "${terminal[@]}" 33x77 'ready' 'resize 44x88' '44 88' '' -- \
		"${with[@]}" run --rm -it app:1 'trap "stty size; exit 0" WINCH; echo ready; while :; do sleep 0.1; done') || { echo "$said"; return 1; }
	# a terminal alone
	has "$(run -t -- 'tty; echo both >&2' </dev/null)" '/dev/pts/0' both || return
	nothing_left
}
tries "on a terminal" on_terminal

published() {
	local id
	ip link show lo >/dev/null && command -v nft >/dev/null || { echo "no nft: left out"; return 0; }
	id=$(conex run -d --name "$me-web" -p 18080:8080 -p 81 app:1 'while :; do echo hello | nc -l -p 8080; done') || return
	# shellcheck disable=SC2016
	until_up bash -c '[ "$(cat </dev/tcp/127.0.0.1/18080)" = hello ]' || return
	has "$(conex ps)" "127.0.0.1:18080->8080/tcp, 127.0.0.1:[1-9][0-9]*->81/tcp" || return
	json 'it[0]["address"].startswith("10.")' conex inspect "$id" || return
	conex rm -f "$id" && nothing_left
}
tries "published ports" published

# ---- in the background -------------------------------------------------------------------------

detached() {
	local id=$me-back
	is "$id" conex run -d --name "$id" -l color=red -l plain app:1 'echo one; echo two >&2; printf three; exit 3' || return
	becomes_status "$id" exited || return
	is 3 conex wait "$id" || return
	json 'it[0]["exit"]["status"] == 3 and it[0]["exit"]["cause"] == "code" and it[0]["labels"]["color"] == "red" and it[0]["image"] == "app:1"' conex inspect "$id" || return
	has "$(conex ps -a)" "^$id +app:1 +/bin/sh -c .* exited \(3\) " && is "" conex ps -q || return
	is "$id" conex ps -aq --filter label=color && is "$id" conex ps -aq -f label=color=red -f label=plain && is "" conex ps -aq -f label=color=blue || return
	is "$id" conex ps -q -f status=exited && is "$id" conex ps -aq -f image=app:1 && is "" conex ps -aq -f image=app:2 || return
	fails '--filter color=red: write label=' ps -f color=red || return
	[ "$(conex logs "$id" 2>/dev/null)" = $'one\nthree' ] && [ "$(conex logs "$id" 2>&1 >/dev/null)" = two ] || return
	fails "the id $id is taken" run --name "$id" app:1 true || return
	fails "the id $id is taken" run -d --name "$id" app:1 true || return
	[ "$(conex logs "$id" 2>/dev/null)" = $'one\nthree' ] || return         # it wasn't touched
	is "$id" conex rm "$id" && fails "there is no container $id" rm "$id" && is "" conex rm -f "$id" && nothing_left
}
tries "run --detach, ps, inspect, wait, rm" detached

failed_starts() {
	becomes 127 conex run -d --entrypoint nothing app:1 2>"$box/said" && has "$(cat "$box/said")" '^conex: run: exec' || return
	fails 'run: .*no-such-net' run -d --network no-such-net app:1 true || return
	nothing_left
}
tries "what doesn't start in the background" failed_starts

log_options() {
	local id=$me-logs
	conex run -d -u 0 --name "$id" app:1 'for i in 1 2 3 4 5; do echo line $i; done; mkfifo /tmp/go; read x </tmp/go; echo last' || return
	until_up bash -c '[ "$("$@" logs '"$id"' | wc -l)" = 5 ]' bash "${with[@]}" || return
	is $'line 4\nline 5' conex logs -n 2 "$id" && is "" conex logs --tail 0 "$id" && [ "$(conex logs --tail all "$id" | wc -l)" = 5 ] || return
	has "$(conex logs -t --tail 1 "$id")" '^20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-9:]+\.[0-9]{9}Z line 5$' || return
	[ "$(conex logs --since 1h "$id" | wc -l)" = 5 ] && is "" conex logs --since 2999-01-01T00:00:00Z "$id" && [ "$(conex logs --since 2020-01-01 "$id" | wc -l)" = 5 ] || return
	conex logs --format json "$id" | /usr/bin/python3 -c 'import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert [l["text"] for l in lines] == [f"line {i}" for i in range(1, 6)] and {l["stream"] for l in lines} == {"stdout"}, lines' || return
	fails '--since soon: write' logs --since soon "$id" || return
	fails '--tail few: a number' logs --tail few "$id" || return
	conex logs -f "$id" >"$box/followed" &
	until_up grep -q 'line 5' "$box/followed" || return
	conex exec -u 0 "$id" sh -c 'echo go >/tmp/go' || return
	wait $! || return
	[ "$(tail -n 1 "$box/followed")" = last ] && [ "$(conex logs -f "$id")" = "$(cat "$box/followed")" ] || return
	conex rm -f "$id" && conex run --name "$id" app:1 true && fails "logs: $id: .*--detach" logs "$id" && conex rm "$id" && nothing_left
}
tries logs log_options

# A log that grows turns over, and who follows misses nothing.
turning_logs() {
	local id=$me-turn
	conex run -d -u 0 --name "$id" --log-size 4K app:1 'mkfifo /tmp/go; read x </tmp/go; i=0; while [ $i -lt 400 ]; do echo number $i; i=$((i+1)); done; head -c 40000 /dev/zero | tr "\0" x' || return
	conex logs -f "$id" >"$box/followed" &
	until_up conex exec "$id" test -p /tmp/go && conex exec -u 0 "$id" sh -c 'echo go >/tmp/go' || return
	wait $! || return
	is 0 conex wait "$id" || return
	[ -e "$state/logs/$id.1" ] && [ "$(stat -c %s "$state/logs/$id" "$state/logs/$id.1" | sort -n | tail -n 1)" -lt 25000 ] || return
	conex logs "$id" | tr -d '\n' | grep -q 'xxxx$' || return
	conex rm "$id" && nothing_left
}
tries "a log that turns over" turning_logs

changes() {
	local id=$me-change pid
	conex run -d --name "$id" app:1 'trap "exit 4" TERM; trap : HUP; while :; do sleep 0.1; done' >/dev/null && is "$id" conex ps -q || return
	fails "rm: $id runs; stop it first" rm "$id" || return
	is "$id" conex pause "$id" && [ "$(status_of "$id")" = paused ] && fails "pause $id" pause "$id" && fails 'exec: ' exec "$id" true || return
	is "$id" conex unpause "$id" && [ "$(status_of "$id")" = running ] && fails "unpause $id" unpause "$id" || return
	is "$id" conex kill -s HUP "$id" && fails '--signal NOPE: there is no such signal' kill -s NOPE "$id" && [ "$(status_of "$id")" = running ] || return
	is "$id" conex stop "${id%nge}" && json 'it[0]["exit"]["status"] == 4' conex inspect "$id" && is "$id" conex stop "$id" || return
	fails "kill $id: .*No such process" kill "$id" && is "$id" conex rm "$id" || return
	# one that doesn't listen
	conex run -d --name "$id" app:1 'trap "" TERM; while :; do sleep 0.1; done' >/dev/null && is "$id" conex stop -t 0.2 "$id" || return
	json 'it[0]["exit"]["status"] == 137' conex inspect "$id" && conex rm "$id" || return
	conex run -d --name "$id" app:1 'sleep 1000' >/dev/null && is "$id" conex kill "$id" && is 137 conex wait "$id" && conex rm "$id" || return
	conex run -d --name "$id" app:1 'sleep 1000' >/dev/null && pid=$(conex inspect "$id" | sed -n 's/^ *"pid": \([1-9][0-9]*\),$/\1/p') && is "$id" conex rm -f "$id" && is_dead "$pid" || return
	fails 'there is no container nobody' stop nobody || return
	nothing_left
}
tries "pause, kill, stop, rm" changes

several() {
	conex run -d --name "$me-a1" app:1 'sleep 1000' && conex run -d --name "$me-a2" app:1 'sleep 1000' || return
	fails "$me-a: 2 ids begin so" kill "$me-a" || return
	has "$(becomes 125 conex kill "$me-a1" nobody "$me-a2" 2>&1)" "^$me-a1$" "no container nobody" "^$me-a2$" || return
	is $'137\n137' conex wait "$me-a1" "$me-a2" && conex rm "$me-a1" "$me-a2" && nothing_left
}
tries "several at once" several

by_itself() {
	local id=$me-self
	conex run -d --rm --name "$id" app:1 true && until_up bash -c '[ -z "$("$@" ps -aq)" ]' bash "${with[@]}" && until_up nothing_left || return
	conex run -d --name "$id" --timeout 0.2 app:1 'sleep 1000' && is 137 conex wait "$id" && json 'it[0]["exit"]["cause"] == "timeout"' conex inspect "$id" || return
	conex rm "$id" && nothing_left
}
tries "--rm and --timeout in the background" by_itself

keeps_open() {
	local id=$me-open
	conex run -dit --name "$id" --entrypoint sh app:1 && [ "$(status_of "$id")" = running ] && is /dev/pts/0 conex exec "$id" readlink /proc/1/fd/0 || return
	conex rm -f "$id" && conex run -di --name "$id" --entrypoint sh app:1 && [ "$(status_of "$id")" = running ] && conex rm -f "$id" && nothing_left
}
tries "a shell in the background" keeps_open

# Who was to watch is killed: the container runs on, and can be removed.
unwatched() {
	local id=$me-alone watcher
	conex run -d --name "$id" app:1 'sleep 1000' || return
	watcher=$(pgrep -f "run -d --name $id") && [ -n "$watcher" ] || return
	kill -KILL "$watcher" && until_up is_dead "$watcher" || return
	[ "$(status_of "$id")" = running ] && is "$id" conex stop -t 5 "$id" && [ "$(status_of "$id")" = exited ] && conex rm "$id" && nothing_left
}
tries "nobody watches" unwatched

execs() {
	local id=$me-exec
	conex run -d --name "$id" app:1 'sleep 1000' || return
	becomes 9 conex exec "$id" sh -c 'exit 9' && becomes 127 conex exec "$id" nothing && becomes 126 conex exec "$id" /etc/passwd || return
	is "A:0:/tmp" conex exec -e ONE=A -u 0 -w /tmp "$id" sh -c 'echo $ONE:$(id -u):$(pwd)' && is "word" conex exec -i "$id" cat <<<word || return
	becomes 137 conex exec --timeout 0.2 "$id" sleep 1000 || return
	conex exec -u 0 -d "$id" sh -c 'echo there >/tmp/done' && until_up conex exec "$id" grep there /tmp/done || return
	has "$(becomes 4 "${terminal[@]}" 20x50 '\$ ' 'stty size; exit 4\n' -- "${with[@]}" exec -it "$id" sh)" '^20 50' || return
	fails 'there is no container nobody' exec nobody true || return
	conex stop -t 0 "$id" && fails 'exec: ' exec "$id" true && conex rm "$id" && nothing_left
}
tries exec execs

# ---- the whole ---------------------------------------------------------------------------------

stats_stream() {
	local id=$me-stats
	conex run -d --name "$id" app:1 'sleep 1000' || return
	# a table on a terminal is drawn again; it ends with the container
	has "$(becomes 0 "${terminal[@]}" 20x99 "$id" '' "$id" '' -- bash -c '"$@" stats '"$id"' & sleep 2.5; "$@" kill '"$id"'; wait %1' bash "${with[@]}")" "CPU" || return
	conex rm "$id" && fails 'no container nobody' stats nobody && is "ID   CPU   MEMORY / LIMIT   MEMORY   NETWORK IN / OUT   READ / WRITTEN   PIDS" conex stats --no-stream
}
tries "stats again and again" stats_stream

system() {
	local id=$me-sys
	conex import -q "$archives/both.tar" other:second >/dev/null && conex run --name "$id" app:1 true && conex run -d --name "$id-runs" app:1 'echo x; sleep 1000' || return
	until_up grep -q x "$state/logs/$id-runs" || return
	json '(lambda t: t["images"]["count"] == 2 and t["containers"]["count"] == 2 and t["running"]["count"] == 1 and t["logs"]["bytes"] > 0 and t["unpacked layers"]["bytes"] > 100000)({row["type"]: row for row in it})' conex system df --format json || return
	has "$(conex system df)" '^TYPE +COUNT +SIZE$' '^images +2 +[0-9.]+ [KM]iB$' '^running +1 +-$' || return
	fails 'nobody can be asked; --force' system prune </dev/null || return
	has "$(becomes 125 "${terminal[@]}" 20x50 'y/N' 'n\n' -- "${with[@]}" system prune)" 'nothing was removed' && [ "$(status_of "$id")" = exited ] || return
	has "$(becomes 0 "${terminal[@]}" 20x50 'y/N' 'y\n' -- "${with[@]}" system prune)" "container $id" 'are free again' && is "$id-runs" conex ps -aq || return
	json 'it["containers"] == [] and it["images"] == ["other:second"] and it["bytes"] > 0' conex system prune -af --format json && is app:1 conex images -q || return
	conex rm -f "$id-runs" && nothing_left
}
tries "system df, system prune" system

completes() {
	local id=$me-comp
	conex run -d --name "$id" app:1 'sleep 1000' && ln -s "$program" "$box/conex" || return
	conex completion bash >"$box/completion" && has "$(conex completion zsh)" '^#compdef conex' && has "$(conex completion fish)" '^complete -c conex' || return
	fails 'completion: tcsh: the shell is bash' completion tcsh || return
	cat >"$box/completing" <<-'BASH'
		. completion
		compopt() { echo "compopt $*"; }
		complete -p conex | grep -q _conex || exit 1
		global="conex --state $1 --store $2"
		try() { COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=(); _conex; echo "${COMPREPLY[*]}"; }
		try "$global pu" && try "$global system " && try "$global run --ent" && try "$global run --pull " && try "$global ps --format=j"
		try "$global run ap" && try "$global rmi app:" && try "$global logs $3" && try "$global inspect $3" && try "$global import " && try "$global unpack app:1 "
		try "$global run -d --name x app:1 s" && try "$global completion b" && try "$global run --pull=" && try "$global ps x" && try "$global help sto"
	BASH
	PATH=$box:$PATH is "pull push
df prune
--entrypoint
missing always never
json
app:1
1
$id
$id
compopt -o default

compopt -o dirnames

compopt -o default

bash
missing always never

stop" bash "$box/completing" "$state" "$store" "$me" || return
	# and as people meet it
	has "$(PATH=$box:$PATH becomes 0 "${terminal[@]}" 24x200 '# ' '. ./completion\n' '# ' "conex --store $store rmi ap\\t" 'app:1 ' '\x15exit\n' -- \
		bash --norc --noprofile -i)" 'rmi app:1' || return
	conex rm -f "$id" && nothing_left
}
tries "completion" completes

usage_of_users() {
	has "$(becomes 125 setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_RUNTIME_DIR "$program" ps 2>&1)" 'set XDG_RUNTIME_DIR'
}
tries "a user without a session" usage_of_users
tries "wrong usage" usage_errors

end() {
	is app:1 conex rmi app:1 && nothing_left || return
	[ -z "$(find "$store"/layers "$store"/blobs/sha256 "$store"/tmp -mindepth 1)" ] && ! pgrep -f -- "--state $state"
}
tries "nothing is left" end
finish
