#!/bin/bash
# The programs for which the Lua module was made, tests/usage/*.lua, run in every Lua that reads them: what they print is what
# happened.
# shellcheck disable=SC2154 # box, usage, preload: of usage-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/usage-box.sh"
built=$CX_BUILDDIR/bindings/lua
[ -e "$built/built" ] || skip_all "the module isn't built here: configure says why"
with_sanitizer "$box"

# lua VERSION PROGRAM...: standard output is what it says.
lua() {
	local version=${1#lua} program=lua$1
	case $1 in jit) version=5.1 ;; esac
	shift
	LUA_PATH="$CX_SRCDIR/bindings/lua/?.lua;;" LUA_CPATH="$built/$version/?.so;;" timeout 60 "${preload[@]}" "$program" "$@" || {
		echo "status $?: $*"
		return 1
	}
}

images legacy app
image my/legacy:1 legacy
policy() {
	local said
	said=$(lua "$1" "$usage/policy.lua") || { echo "$said"; return 1; }
	# what the handlers said, what the program was told, and how it ended
	has "$said" '^pid [0-9]+ wants a socket of family 2: no$' '^pid [0-9]+ wants a socket of family 16: no$' '^mknod[[:space:]]sda$' \
		'^legacy: unix socket: done$' '^legacy: inet socket: Permission denied$' '^legacy: netlink socket: Permission denied$' \
		'^legacy: mknod: Operation not permitted$' '^legacy: chown: done$' '^legacy: /tmp is of 0, /tmp/sda is not there$' '^ended with 7$' || return
	[ "$(wc -l <<<"$said")" = 10 ] && nothing_left
}
for one in 5.1 5.2 5.3 5.4 jit; do
	command -v lua$one >/dev/null && [ -d "$built/${one/jit/5.1}" ] && check "lua$one: a policy" policy $one
done

build_shards() {
	local said n
	said=$(cd "$box/images" && lua 5.4 "$usage/build_shards.lua") || { echo "$said"; return 1; }
	has "$(tr '\r' '\n' <<<"$said")" '^layer 2 of 2' || return
	has "$said" "[[:space:]]sha256:[0-9a-f]{64}$" || return
	for n in 1 2 3 4; do
		[ "$(grep "^$n" <<<"$said")" = "$(printf "$n\tshard $n, part %d\n" 1 2 3; printf "$n\t$n")" ] || { echo "$said"; return 1; }
	done
	# side by side: all four begin before one has ended
	[ "$(grep -n 'part 1' <<<"$said" | tail -n 1 | cut -d: -f1)" -lt "$(grep -n 'part 3' <<<"$said" | head -n 1 | cut -d: -f1)" ] || { echo "$said"; return 1; }
	nothing_left
}
if command -v lua5.4 >/dev/null && [ -d "$built/5.4" ]; then
	check "lua5.4: build, run, wait with coroutines" build_shards
else
	skip "lua5.4: build, run, wait with coroutines" "needs lua5.4"
fi
[ ${#preload[@]} = 0 ] || check "no error or leak of the library under ASan" faults "$box"
finish
