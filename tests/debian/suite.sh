#!/bin/bash
# shellcheck disable=SC2154 # box: of box.sh
# In the tree: one of the bindings' suites, or luarocks, as TAP. run.sh comes before, which built here.
top=$(cd "$(dirname "$0")/../.." && pwd)
export CX_SRCDIR=$top CX_BUILDDIR=$top/build
cd "$CX_BUILDDIR" || exit 99
[ "$1" != python3.9 ] || { export CONEX_TEST_PYTHON=/usr/bin/python3.9 && set -- python; }
[ "$1" = luarocks ] || exec ../tests/run "../tests/system/$1.sh"

# The rockspec, against the library as it is installed, by each Lua that a rock can be made for.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
make_box

installed() {
	make -s install && ldconfig
}

# Nothing is fetched: there is only a loopback. What make install put beside Lua is out of the way.
rock() {
	mkdir "$box/source$1" && cp "$top"/bindings/lua/*.* "$box/source$1" && cd "$box/source$1" &&
		luarocks --lua-version "$1" --tree "$box/rocks" make conex-*.rockspec &&
		has "$(luarocks --lua-version "$1" --tree "$box/rocks" list --porcelain)" '^conex[[:space:]].*installed'
}

runs() { # PROGRAM VERSION
	LUA_PATH="$box/rocks/share/lua/$2/?.lua" LUA_CPATH="$box/rocks/lib/lua/$2/?.so" "$1" - "$box/root" <<-'LUA' >"$box/out" || return
		local conex = require "conex"
		print(package.searchpath and package.searchpath("conex.core", package.cpath) or "")
		local cx = assert(conex.open())
		local c = assert(cx:run{ "/bin/sh", "-c", "echo of a rock; exit 3", rootfs = arg[1], stdout = "pipe" })
		print((c:output()), c:wait().code)
		c:delete()
		cx:close()
	LUA
	has "$(cat "$box/out")" '^of a rock' '3$'
}

check 'make install' installed
for version in 5.1 5.2 5.3 5.4; do
	check "luarocks make, Lua $version" rock $version
	check "it runs a container in Lua $version" runs lua$version $version
done
check 'it runs a container in LuaJIT' runs luajit 5.1
finish
