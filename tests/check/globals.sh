#!/bin/sh
# No writable globals in the library: nothing of ours lies in .data, .bss or thread-local sections.
# (.data.rel.ro is constant once loaded.) Exceptions, with their reason: globals.allow.
src=${top_srcdir:-.}
lib=${top_builddir:-build}/.libs/libconex_internal.a
if [ -n "$SANITIZED" ]; then
	echo "1..0 # SKIP sanitizers bring globals of their own"
	exit 0
fi
[ -r "$lib" ] || { echo "Bail out! no $lib"; exit 1; }
found=$(objdump -t "$lib" | awk -v allow="$src/tests/check/globals.allow" '
	BEGIN { while ((getline line < allow) > 0) { split(line, f); if (f[1] !~ /^#/) ok[f[1]] = 1 } }
	/file format/ { object = $1 }
	{
		section = ""
		for (i = 2; i < NF; i++)
			if ($i ~ /^(\.(data|bss|tdata|tbss)(\..*)?|\*COM\*)$/ && $i !~ /^\.data\.rel\.ro/)
				section = $i
		if (section != "" && $NF != section && !($NF in ok))
			print "# " object " " $NF " in " section
	}')
echo 1..1
if [ -n "$found" ]; then
	printf '%s\nnot ok 1 - no writable globals\n' "$found"
else
	echo "ok 1 - no writable globals"
fi
