#!/bin/bash
# Each public header alone, as C99, C11, C23 and C++17, -pedantic -Werror, without our configuration.
include=${top_srcdir:-.}/include
warn=(-Wall -Wextra -pedantic -Werror -fsyntax-only -I"$include")
n=0

try() { # compiler language standard header
	local said
	n=$((n + 1))
	# shellcheck disable=SC2086 # a compiler may have options
	if said=$(echo "#include <conex/$4>" | $1 -x "$2" -std="$3" "${warn[@]}" - 2>&1); then
		echo "ok $n - $4 $3 $1"
	else
		printf '%s\n' "$said" | sed 's/^/# /'
		echo "not ok $n - $4 $3 $1"
	fi
}

those_here() { # compilers
	local c
	for c in "$@"; do
		command -v "${c%% *}" >/dev/null && echo "$c"
	done | sort -u
}

mapfile -t c_compilers < <(those_here "${CC:-cc}" clang)
mapfile -t cxx_compilers < <(those_here "${CXX:-c++}" clang++)
for path in "$include"/conex/*.h; do
	header=${path##*/}
	for cc in "${c_compilers[@]}"; do
		for std in c99 c11 c2x; do
			try "$cc" c "$std" "$header"
		done
	done
	for cxx in "${cxx_compilers[@]}"; do
		try "$cxx" c++ c++17 "$header"
	done
done
if [ ${#cxx_compilers[@]} = 0 ]; then
	n=$((n + 1))
	echo "ok $n - C++17 # SKIP no C++ compiler"
fi
echo "1..$n"
