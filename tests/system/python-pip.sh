#!/bin/bash
# The Python package as its users get it: an sdist, a wheel made of it by pip, installed in an environment of its own.
# Nothing is fetched: setuptools and cffi are Debian's.
# shellcheck disable=SC2154 # box: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
built=$CX_BUILDDIR/bindings/python
[ -e "$built/built" ] || skip_all "the bindings aren't built here: configure says why"
/usr/bin/python3 -c 'import pip, venv, ensurepip' 2>/dev/null || skip_all "needs python3-pip and python3-venv"
make_box
export CONEX_INCLUDE=$CX_SRCDIR/include CONEX_LIBDIR=$CX_BUILDDIR/.libs LD_LIBRARY_PATH=$CX_BUILDDIR/.libs PIP_DISABLE_PIP_VERSION_CHECK=1 HOME=$box

sdist() {
	cp -R "$CX_SRCDIR/bindings/python" "$box/source" && chmod -R u+w "$box/source" && rm -rf "$box/source/build" && cd "$box/source" &&
		/usr/bin/python3 setup.py -q sdist -d "$box/dist" && tar tzf "$box"/dist/libconex-*.tar.gz >"$box/files" &&
		has "$(cat "$box/files")" 'src/conex/_build\.py' 'src/conex/_conex\.pyi' 'src/conex/py\.typed' 'pyproject\.toml' &&
		! grep -E '_conex\.(c|abi3)' "$box/files"
}
wheel() { # one for every Python
	/usr/bin/python3 -m pip wheel -q --no-build-isolation --no-deps --no-index -w "$box/dist" "$box"/dist/libconex-*.tar.gz &&
		has "$(ls "$box/dist")" '^libconex-.*-cp39-abi3-linux_'
}
installed() {
	/usr/bin/python3 -m venv --system-site-packages "$box/env" &&
		"$box/env/bin/python" -m pip install -q --no-deps --no-index "$box"/dist/*.whl && cd / &&
		has "$("$box/env/bin/python" -c 'import conex; print(conex.__version__, conex.__file__)')" "$box/env/lib" &&
		has "$("$box/env/bin/python" -m pytest --trace-config --collect-only -q "$box/env" 2>&1)" 'conex.pytest_plugin'
}
runs() {
	[ "$(id -u)" = 0 ] || return 0
	has "$("$box/env/bin/python" -c 'import conex, sys; print(conex.run(["/bin/sh", "-c", "echo from a wheel"], rootfs=sys.argv[1],
		capture_output=True, text=True).stdout)' "$box/root")" '^from a wheel$'
}
help_reads() {
	has "$("$box/env/bin/python" -c 'import conex; help(conex.run)')" 'capture_output' 'network' 'memory'
}
typed() {
	command -v mypy >/dev/null || return 0
	cd "$CX_SRCDIR/bindings/python" && mypy --strict --python-executable /usr/bin/python3 --cache-dir "$box/mypy" src/conex examples/*.py
}
for test in sdist wheel installed runs help_reads typed; do check $test $test; done
finish
