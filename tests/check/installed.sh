#!/bin/bash
# What `make install` puts somewhere: no set-id bit and no capability (class N: nothing of ours runs with more than
# its caller's rights), nothing that others may write to, and it goes without a trace.
set -u
build=${top_builddir:-.}
to=$(mktemp -d) || exit 1
trap 'rm -rf "$to"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL
make -s -C "$build" install DESTDIR="$to" >"$to.log" 2>&1 || {
	tail -n 20 "$to.log"
	rm -f "$to.log"
	exit 1
}
bad=0

none() { # what it would be, find's expression
	local found
	found=$(find "$to" "${@:2}")
	[ -z "$found" ] || {
		echo "$1: ${found//$to/}"
		bad=1
	}
}
[ -n "$(find "$to" -name 'libconex.so.*' -type f)" ] || {
	echo "no library was installed"
	bad=1
}
none "set-id" -perm /6000
none "writable by others" ! -type l -perm /022
none "neither file, directory nor link" ! -type f ! -type d ! -type l
if command -v getcap >/dev/null && [ -n "$(getcap -r "$to")" ]; then
	getcap -r "$to"
	bad=1
fi
make -s -C "$build" uninstall DESTDIR="$to" >"$to.log" 2>&1 || bad=1
none "stays after uninstall" ! -type d
rm -f "$to.log"
exit $bad
