#!/bin/bash
# The Lua module as it was built, in every Lua that is here: bindings/lua/tests/all.lua.
# shellcheck disable=SC2154 # box: of box.sh; preload: of sanitized.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/sanitized.sh"
built=$CX_BUILDDIR/bindings/lua
[ -e "$built/built" ] || skip_all "the module isn't built here: configure says why"
make_box
with_sanitizer "$box"
[ ${#preload[@]} = 0 ] || export CONEX_LUA_CYCLES=${CONEX_LUA_CYCLES:-100}
here=$CX_SRCDIR/bindings/lua
export LD_LIBRARY_PATH=$CX_BUILDDIR/.libs CONEX_WORKER=${CONEX_WORKER:-$CX_BUILDDIR/conex-worker}
images=
[ ! -x "$CX_BUILDDIR/conex-worker" ] || { images=$box/images && mkdir "$images" && "$CX_SRCDIR/examples/busybox.sh" "$images/busybox.tar"; } || exit 99

# in_lua PROGRAM VERSION: its TAP, each test with the program's name, numbered on.
in_lua() {
	local program=$1 line
	command -v "$program" >/dev/null && [ -d "$built/$2" ] || return
	LUA_PATH="$here/?.lua;$here/tests/?.lua;;" LUA_CPATH="$built/$2/?.so;;" "${preload[@]}" "$program" "$here/tests/all.lua" "$box/root" ${images:+"$images"} >"$box/said" 2>&1
	status=$?
	[ $status = 0 ] || grep -q '^not ok' "$box/said" || echo "not ok 0 - it ended with $status" >>"$box/said"
	while read -r line; do
		case $line in
		"ok "*) count=$((count + 1)) && echo "ok $count - $program: ${line#*- }" ;;
		"not ok "*) count=$((count + 1)) failed=$((failed + 1)) && echo "not ok $count - $program: ${line#*- }" ;;
		1..*) ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$box/said"
}

in_lua lua5.1 5.1
in_lua lua5.2 5.2
in_lua lua5.3 5.3
in_lua lua5.4 5.4
in_lua luajit 5.1
[ "$count" -gt 0 ] || skip_all "no Lua is here"

# The orchestrating example says what it did.
orchestrate() {
	local out
	out=$(LUA_PATH="$here/?.lua;;" LUA_CPATH="$built/5.4/?.so;;" "${preload[@]}" lua5.4 "$here/examples/orchestrate.lua" "$box/root") || return
	has "$out" '^all is up' '^web 1: 200' '^web 3: 200' '^done: 4 containers'
}
[ ! -d "$built/5.4" ] || check orchestrate orchestrate

# example LUA PROGRAM ARGUMENT...: one that every Lua reads
example() {
	local version=${1#lua}
	case $1 in luajit) version=5.1 ;; esac
	LUA_PATH="$here/?.lua;;" LUA_CPATH="$built/$version/?.so;;" "${preload[@]}" "$1" "$here/examples/$2.lua" "${@:3}"
}

# A server in a network of its own, of which the container sees nothing but its loopback.
broker() {
	local out
	export -f example
	export here built
	out=$(unshare -n bash -c 'preload=("${@:4}")
		ip link set lo up && ip addr add 10.0.0.7/32 dev lo || exit
		/bin/busybox nc -ll -p 443 -e /bin/echo "hello from outside" &
		for ((i = 0; i < 100; i++)); do (: </dev/tcp/10.0.0.7/443) 2>/dev/null && break; sleep 0.05; done
		example "$1" broker 10.0.0.7:443 "$3" 2>"$2/refused"
		kill $!' broker "$1" "$box" "$box/root" "${preload[@]}") || return
	has "$out" '^hello from outside$' "^nc: can't connect .*Permission denied$" '^ended with 1$' && ! grep 10.0.0.7 <<<"${out%%nc:*}" &&
		[ "$(cat "$box/refused")" = "refused: 10.0.0.7:1" ]
}
sandbox() {
	has "$(example "$1" sandbox "$box/root")" '^read .* ok: ended with 0; 2 bytes: 6$' '^while :; do :; .* no: time-out: killed after 2\.[0-9] s; 0 bytes: $' \
		'^x=y; .* no: out of memory: killed at its limit, with a peak of 6[0-9] MiB' "^while :; do sleep .* no: .*can't fork" \
		'^echo >/etc/passwd .* no: ended with 1; .*Read-only' '^nc 10.* no: .*unreachable$' '^yes .* ok: ended with 0; 100000 bytes: y$' '^exit 3 .* no: ended with 3; 0 bytes: $'
}
for lua in lua5.1 lua5.2 lua5.3 lua5.4 luajit; do
	version=${lua#lua}
	command -v $lua >/dev/null && [ -d "$built/${version/jit/5.1}" ] || continue
	check "$lua: a broker" broker $lua
	[ $lua != lua5.1 ] && [ $lua != lua5.4 ] || check "$lua: a sandbox" sandbox $lua
done
[ ${#preload[@]} = 0 ] || check "no error or leak of the library under ASan" faults "$box"
finish
