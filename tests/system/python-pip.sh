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
	has "$("$box/env/bin/python" -c 'import conex; help(conex.run)')" 'capture_output' 'network' '^ *memory: bytes, without swap'
}
# The package, its examples, and tests/typed.py, whose marked errors have to be found and no others.
mypy_is_content() {
	cd "$CX_SRCDIR/bindings/python" && mypy --python-executable /usr/bin/python3 --cache-dir "$box/mypy" src/conex examples/*.py examples/services/*.py tests/typed.py
}
pyright_is_content() {
	cd "$CX_SRCDIR/bindings/python" && "$pyright" --pythonpath /usr/bin/python3
}
# Everything that the installed package exports has a type.
all_is_typed() {
	cd "$box" && PATH=$box/env/bin:$PATH "$pyright" --ignoreexternal --verifytypes conex >verify; tail -n 5 verify
	has "$(cat verify)" '^Symbols exported by "conex": [1-9]' 'ambiguous type: 0$' 'unknown type: 0$' 'score: 100%$'
}
# Python 3.9 reads it.
syntax_of_39() {
	/usr/bin/python3 -c 'import ast, sys
for path in sys.argv[1:]: ast.parse(open(path, encoding="utf-8").read(), path, feature_version=(3, 9))' \
		"$CX_SRCDIR"/bindings/python/*.py "$CX_SRCDIR"/bindings/python/src/conex/*.py "$CX_SRCDIR"/bindings/python/examples/{,services/}*.py
}
for test in sdist wheel installed runs help_reads syntax_of_39; do check $test $test; done
if command -v mypy >/dev/null; then check mypy mypy_is_content; else skip mypy "needs mypy"; fi
pyright=$CX_SRCDIR/build/npm/node_modules/.bin/pyright
for test in pyright_is_content all_is_typed; do
	if [ -x "$pyright" ]; then check $test $test; else skip $test "needs pyright: ./bootstrap deps, where npm is"; fi
done
finish
