#!/bin/bash
# newcomer.sh python|lua, in a bare tree: the README of that binding, taken at its word. Its first program becomes the
# file that its text names, its ```sh blocks are run one after the other, each by a shell that ends where a command
# fails, and what README promises as output is what must come. run.sh comes before.
binding=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
readme=$top/bindings/$binding/README.md
program=hello.${binding/python/py}
export CX_BUILDDIR=$top/build
# shellcheck source=/dev/null
. "$top/tests/system/box.sh"
box=$(mktemp -d /tmp/conex-box-XXXXXX)
trap 'rm -rf --one-file-system "$box"' EXIT
cd "$top" || exit 99

# blocks LANGUAGE: README's fenced blocks in that language into $box/LANGUAGE1, 2 ...
blocks() {
	awk -v to="$box/$1" -v fence='```'"$1" '
		$0 == fence { on = 1; n++; next }
		/^```$/ { on = 0 }
		on { print >(to n) }' "$readme"
}

extracted() {
	blocks sh && blocks "$binding" && [ -s "$box/sh1" ] && [ -s "$box/${binding}1" ] &&
		grep -qE "$program" "$box"/sh* && cp "$box/${binding}1" "$program"
}

# It is as bare as it should be: no compiler, no make, none of what the blocks have to bring.
bare() {
	! command -v gcc && ! command -v make && ! command -v python3 && ! command -v lua5.4 && ! command -v pkg-config
}

block() {
	bash -e "$1" >"$1.out" 2>"$1.err" && return
	tail -n 30 "$1.out" "$1.err"
	return 1
}

# What follows "#> " or "--> " in the program ("..." stands for anything) are the last lines that the block said.
promised() {
	sed -nE 's/.*(#|--)> (.*)/\2/p' "$program" >"$box/promised"
	grep . "$1.out" | tail -n "$(wc -l <"$box/promised")" >"$box/last"
	sed -E 's/[][().*^$+?{}|\\]/\\&/g; s/(\\\.){3}/.*/g' "$box/promised" | paste -d '\n' - "$box/last" |
		while read -r pattern && read -r line; do
			[[ $line =~ ^$pattern$ ]] || { echo "$line, not $pattern"; return 1; }
		done && [ -s "$box/promised" ] && [ "$(wc -l <"$box/last")" = "$(wc -l <"$box/promised")" ]
}

# Each of the two ways brought a package of its own.
from_python() {
	cd / && has "$(python3 -c 'import conex; print(conex.__file__)')" '^/usr/local/lib/python3' &&
		has "$("$HOME/conex-env/bin/python" -c 'import conex; print(conex.__file__)')" "^$HOME/conex-env/lib/"
}
from_lua() {
	local lua
	for lua in lua5.1 lua5.2 lua5.3 lua5.4 luajit; do
		has "$(cd / && sudo $lua "$top/$program")" '^hello$' '^ended with 3' || return
	done
	has "$(luarocks --lua-version 5.3 list --porcelain)" '^conex[[:space:]].*installed'
}

check 'nothing of it is here' bare
check 'README has its blocks' extracted
# shellcheck disable=SC2154 # of box.sh
[ $failed = 0 ] || { finish; exit; }
for file in "$box"/sh?; do
	check "$(grep -v '^cd' "$file" | head -n 1 | sed 's/  *#.*//')" block "$file"
	! grep -q 'hello\.' "$file" || check '... and it says what README promises' promised "$file"
	sed 's/^/# /' "$file.out" "$file.err" 2>/dev/null
done
check 'where it runs from' from_$binding
finish
