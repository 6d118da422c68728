#!/bin/bash
# The Python package as it was built, in Debian's own Python: bindings/python/tests, by pytest.
built=$CX_BUILDDIR/bindings/python
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}
[ "$(id -u)" = 0 ] || skip_all "needs root"
[ -x /bin/busybox ] || skip_all "needs /bin/busybox"
[ -e "$built/built" ] || skip_all "the bindings aren't built here: configure says why"
/usr/bin/python3 -c 'import pytest' 2>/dev/null || skip_all "needs python3-pytest"
tap=$(mktemp) || exit 99
trap 'rm -rf "$tap" "$tap.d"' EXIT
export LD_LIBRARY_PATH=$CX_BUILDDIR/.libs PYTHONPATH=$built/lib CONEX_TAP=$tap PYTHONDONTWRITEBYTECODE=1
[ ! -x "$CX_BUILDDIR/conex-worker" ] || export CONEX_WORKER=$CX_BUILDDIR/conex-worker
/usr/bin/python3 -m pytest -q --no-header -p no:cacheprovider --basetemp="$tap.d" --rootdir="$CX_SRCDIR/bindings/python" \
	"$CX_SRCDIR/bindings/python/tests" >"$tap.log" 2>&1
status=$?
cat "$tap"
[ -s "$tap" ] || sed 's/^/# /' "$tap.log"
rm -f "$tap.log"
exit $status
