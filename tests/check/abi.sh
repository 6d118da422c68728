#!/bin/bash
# The ABI against the last release (the newest tag v*, or REF=tag): both libraries are compared.
# Known and accepted differences, each with its reason: abi.ignore.
skip() { echo "1..0 # SKIP $*"; exit 0; }
fail() { printf '%s\n' "$2" | sed 's/^/# /'; echo "not ok 1 - $1"; exit 0; }

src=$(cd "${top_srcdir:-.}" && pwd)
build=$(cd "${top_builddir:-build}" && pwd)
[ -z "$SANITIZED" ] || skip "sanitizers change the library"
command -v abidiff >/dev/null || skip "abidiff is missing (package abigail-tools)"
ref=${REF:-$(git -C "$src" describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null)}
[ -n "$ref" ] || skip "nothing has been released yet"

old=$build/abi-$ref
if [ ! -e "$old/.libs/libconex.so" ]; then
	mkdir -p "$old/src"
	said=$({ git -C "$src" archive "$ref" | tar -x -C "$old/src" &&
		cd "$old/src" && autoreconf -i && cd .. && src/configure CFLAGS='-g -O1' &&
		make -j"$(nproc)" libconex.la; } 2>&1) || { echo 1..1; fail "$ref builds" "$said"; }
fi
echo 1..1
options=(--no-added-syms --headers-dir1 "$old/src/include" --headers-dir2 "$src/include")
[ -e "$src/tests/check/abi.ignore" ] && options+=(--suppressions "$src/tests/check/abi.ignore")
said=$(abidiff "${options[@]}" "$old/.libs/libconex.so" "$build/.libs/libconex.so" 2>&1)
# 4: some change; 8: an incompatible one; 1, 2: abidiff itself failed
[ $(($? & 11)) = 0 ] || fail "the ABI of $ref stands" "$said"
echo "ok 1 - the ABI of $ref stands"
