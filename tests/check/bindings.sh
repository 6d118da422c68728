#!/bin/bash
# Every C function has its name in Python and Lua, and doc/bindings.md says so.
export top_srcdir=$CX_SRCDIR
exec /usr/bin/python3 -B "$CX_SRCDIR/bindings/table.py" --check
