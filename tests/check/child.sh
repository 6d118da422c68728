#!/bin/sh
# What runs inside a container (lib/*/child*.c) references only what child.allow lists: no malloc, no
# stdio, no locks, no name service. Read from the objects as they are linked, so nothing is missed.
src=${top_srcdir:-.}
build=${top_builddir:-build}
if [ -n "$SANITIZED" ]; then
	echo "1..0 # SKIP sanitizers bring symbols of their own"
	exit 0
fi
objects=$(find "$build/lib" -name '*.keeper.o' ! -path '*/program/*' | sort)
[ -n "$objects" ] || { echo "Bail out! no keeper objects in $build"; exit 1; }
own=$(mktemp)
trap 'rm -f "$own"' EXIT
# shellcheck disable=SC2086 # a list of paths without blanks
${NM:-nm} --defined-only -g $objects | awk 'NF == 3 { print $3 }' >"$own"
n=0
for object in $objects; do
	n=$((n + 1))
	strange=$(${NM:-nm} -u "$object" | awk -v own="$own" -v allow="$src/tests/check/child.allow" '
		function learn(file, line, f) {
			while ((getline line < file) > 0) { split(line, f); if (f[1] !~ /^#/) ok[f[1]] = 1 }
		}
		BEGIN { learn(own); learn(allow) }
		!($NF in ok) { print "# " $NF }')
	name=${object#"$build/"}
	if [ -n "$strange" ]; then
		printf '%s\nnot ok %d - %s\n' "$strange" "$n" "$name"
	else
		echo "ok $n - $name"
	fi
done
echo "1..$n"
