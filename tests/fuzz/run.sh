#!/bin/bash
# Runs fuzzers under libFuzzer, with clang's address and undefined-behaviour sanitizers:
#	tests/fuzz/run.sh SECONDS [NAME...]     default: those of images
# Builds into build/fuzz (CX_BUILDDIR), begins with each one's own seeds (and, for layers, tests/system/unpack-corpus.py's),
# keeps what it found interesting in build/fuzz/NAME.corpus and what it broke on in build/fuzz/NAME.crash-*.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${CX_BUILDDIR:-$top/build}
seconds=${1:?SECONDS [NAME...]}
shift
[ $# -gt 0 ] || set -- archive layer manifest reference registry
flags="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
mkdir -p "$build/fuzz"
cd "$build/fuzz"
[ -e config.status ] ||
	"$top/configure" -q CC="${CC:-clang}" --disable-shared CFLAGS="$flags -fsanitize=fuzzer-no-link"
make -s --no-print-directory libconex_internal.la libworker.a >build.log
libraries=$(sed -n "s/^dependency_libs='\(.*\)'/\1/p" libconex_internal.la)
libraries+=$(sed -n 's/^WORKER_LIBS = / /p' Makefile)

link() { # NAME OPTION... TO
	# shellcheck disable=SC2086 # lists of words
	${CC:-clang} $flags -std=gnu11 -D_GNU_SOURCE -DHAVE_CONFIG_H -I. -I"$top" -I"$top/include" -I"$top/lib" -I"$top/tests" \
		"${@:2}" "$here/$1.c" libworker.a .libs/libconex_internal.a $libraries
}

status=0
for name in "$@"; do
	mkdir -p "$name.corpus"
	link "$name" -o "$name.alone"
	link "$name" -fsanitize=fuzzer -DCONEX_LIBFUZZER -o "$name.fuzzer"
	"./$name.alone" --seeds "$name.corpus"
	if [ "$name" = layer ]; then
		mkdir -p corpus
		python3 "$top/tests/system/unpack-corpus.py" corpus /canary >/dev/null
		find corpus -type f -size -64k -name '*.[0-9]' -exec cp -t "$name.corpus" {} +
	fi
	echo "# $name, $seconds s"
	"./$name.fuzzer" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1500 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$name." "$name.corpus" >"$name.log" 2>&1 || status=1
	grep -E '^stat::number_of_executed_units|^==|SUMMARY|ERROR' "$name.log" || true
done
exit $status
