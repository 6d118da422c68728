#!/bin/bash
# The Python package as it was built, in Debian's own Python: bindings/python/tests, by pytest. In a build under ASan fewer
# cycles are run, and leaks and errors of the library are one more test.
# shellcheck disable=SC2154 # preload: of sanitized.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/sanitized.sh"
built=$CX_BUILDDIR/bindings/python
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}
[ "$(id -u)" = 0 ] || skip_all "needs root"
[ -x /bin/busybox ] || skip_all "needs /bin/busybox"
[ -e "$built/built" ] || skip_all "the bindings aren't built here: configure says why"
python=${CONEX_TEST_PYTHON:-/usr/bin/python3}         # another one is tests/debian's
$python -c 'import pytest' 2>/dev/null || skip_all "needs python3-pytest"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
export LD_LIBRARY_PATH=$CX_BUILDDIR/.libs PYTHONPATH=$built/lib CONEX_TAP=$dir/tap PYTHONDONTWRITEBYTECODE=1
[ ! -x "$CX_BUILDDIR/conex-worker" ] || export CONEX_WORKER=$CX_BUILDDIR/conex-worker
with_sanitizer "$dir" 0         # leaks are looked for by conftest.py, when all is closed
[ ${#preload[@]} = 0 ] || export CONEX_PYTHON_CYCLES=${CONEX_PYTHON_CYCLES:-100}
"${preload[@]}" "$python" -m pytest -q --no-header -p no:cacheprovider --basetemp="$dir/base" --rootdir="$CX_SRCDIR/bindings/python" \
	"$CX_SRCDIR/bindings/python/tests" >"$dir/log" 2>&1
status=$?
[ -s "$dir/tap" ] || sed 's/^/# /' "$dir/log"
count=$(grep -cE '^(not )?ok' "$dir/tap")
grep -v '^1\.\.' "$dir/tap"
if [ ${#preload[@]} -gt 0 ]; then
	count=$((count + 1))
	if faults "$dir" >"$dir/said"; then
		echo "ok $count - no error or leak of the library under ASan"
	else
		sed 's/^/# /' "$dir/said"
		echo "not ok $count - no error or leak of the library under ASan"
	fi
fi
[ "$count" = 0 ] || echo "1..$count"
exit $status
