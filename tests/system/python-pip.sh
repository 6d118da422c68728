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
pip_wheel() { # DIRECTORY
	/usr/bin/python3 -m pip wheel -q --no-build-isolation --no-deps --no-index -w "$1" "$box"/dist/libconex-*.tar.gz
}
wheel() { # one for every Python; build/bindings/python/dist keeps it
	pip_wheel "$box/dist" && has "$(ls "$box/dist")" '^libconex-.*-cp39-abi3-linux_' || return
	rm -rf "$built/dist" && cp -R "$box/dist" "$built/dist"
}
content() {
	/usr/bin/python3 -B "$CX_SRCDIR/tests/system/wheel.py" "$box"/dist/*.whl "$CX_SRCDIR/bindings/python"
}
# As on a machine where libconex is installed somewhere that only pkg-config knows: the same wheel.
by_pkg_config() (
	unset CONEX_INCLUDE CONEX_LIBDIR MAKEFLAGS MFLAGS MAKELEVEL
	make -s -C "$CX_BUILDDIR" install DESTDIR="$box/there" >"$box/log" 2>&1 || { tail "$box/log"; exit 1; }
	libraries=$box/there$(pkg-config --variable=libdir "$CX_BUILDDIR/pkgconfig/libconex.pc")
	rm -rf "$libraries"/python3* "$libraries"/*.la
	sed -i "s|^prefix=|prefix=$box/there|" "$libraries/pkgconfig/libconex.pc"
	export PKG_CONFIG_PATH=$libraries/pkgconfig
	pip_wheel "$box/dist-there" && /usr/bin/python3 -B "$CX_SRCDIR/tests/system/wheel.py" "$box"/dist-there/*.whl "$CX_SRCDIR/bindings/python"
)
# Without the library, or with its headers only, pip ends with a line that says what to do.
without() (
	export CONEX_INCLUDE=$box/nowhere CONEX_LIBDIR=$box/nowhere
	! pip_wheel "$box/none" 2>"$box/words" || exit
	has "$(cat "$box/words")" "conex/base\.h isn't in $box/nowhere: install libconex .*, or set CONEX_INCLUDE" || exit
	export CONEX_INCLUDE=$CX_SRCDIR/include
	! pip_wheel "$box/none" 2>"$box/words" || exit
	has "$(cat "$box/words")" "libconex\.so isn't in $box/nowhere: install libconex .*, or set CONEX_LIBDIR" && ! ls "$box"/none/*.whl 2>/dev/null
)
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
	cd "$CX_SRCDIR/bindings/python" && mypy --python-version 3.9 --python-executable /usr/bin/python3 --cache-dir "$box/mypy" src/conex examples/*.py examples/services/*.py tests/typed.py
}
pyright_is_content() {
	cd "$CX_SRCDIR/bindings/python" && "$pyright" --pythonpath /usr/bin/python3
}
# Everything that the installed package exports has a type.
all_is_typed() {
	cd "$box" && PATH=$box/env/bin:$PATH "$pyright" --ignoreexternal --verifytypes conex >verify; tail -n 5 verify
	has "$(cat verify)" '^Symbols exported by "conex": [1-9]' 'ambiguous type: 0$' 'unknown type: 0$' 'score: 100%$'
}
# Python 3.9 reads all of it; and this check sees what it can't read.
syntax_of_39() {
	cd "$CX_SRCDIR/bindings" && /usr/bin/python3 - ./*.py python/*.py python/*/*.py python/examples/services/*.py python/src/conex/*.py <<-'PYTHON'
		import ast, sys
		def reads(text):
		    try:
		        return ast.parse(text, feature_version=(3, 9))
		    except SyntaxError:
		        return None
		assert not reads("match 1:\n    case 1:\n        pass\n") and len(sys.argv) > 20
		bad = [path for path in sys.argv[1:] if not reads(open(path, encoding="utf-8").read())]
		sys.exit("not for Python 3.9: %s" % bad if bad else 0)
	PYTHON
}
for test in sdist wheel content by_pkg_config without installed runs help_reads syntax_of_39; do check $test $test; done
if command -v mypy >/dev/null; then check mypy mypy_is_content; else skip mypy "needs mypy"; fi
pyright=$CX_SRCDIR/build/npm/node_modules/.bin/pyright
for test in pyright_is_content all_is_typed; do
	if [ -x "$pyright" ]; then check $test $test; else skip $test "needs pyright: ./bootstrap deps, where npm is"; fi
done
finish
