"""What cffi compiles: the public headers as they are, so that no declaration is written twice.

The result, conex._conex, uses Python's stable ABI: one build serves every Python from 3.9 on. cffi releases the GIL
around every call.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import cffi

HEADERS = ("base", "context", "cgroup", "namespace", "network", "container", "spec", "plan", "image", "broker")

MEND = "install libconex first (in conex's source tree: sudo ./bootstrap install), or set "


def _pkg_config(*what: str) -> list[str]:
    try:
        return subprocess.run(["pkg-config", *what, "libconex"], capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


def include_dir() -> str:
    """Where conex/*.h is: CONEX_INCLUDE, what pkg-config says, or /usr/include."""
    named = os.environ.get("CONEX_INCLUDE")
    found = [named] if named else [f[2:] for f in _pkg_config("--cflags-only-I")] + ["/usr/local/include", "/usr/include"]
    for directory in found:
        if Path(directory, "conex", "base.h").exists():
            return directory
    raise SystemExit("conex/base.h isn't in " + ", ".join(found) + ": " + MEND + "CONEX_INCLUDE")


def library_dirs() -> list[str]:
    """Where libconex.so is: CONEX_LIBDIR, what pkg-config says, or where the linker looks by itself."""
    named = os.environ.get("CONEX_LIBDIR")
    found = [named] if named else [f[2:] for f in _pkg_config("--libs-only-L")]
    if found and not any(Path(directory, "libconex.so").exists() for directory in found):
        raise SystemExit("libconex.so isn't in " + ", ".join(found) + ": " + MEND + "CONEX_LIBDIR")
    return found


def declarations(directory: str) -> str:
    """The headers as cffi reads them: without comments and directives; numeric macros as constants."""
    lines = ["typedef int pid_t;"]
    for name in HEADERS:
        text = Path(directory, "conex", name + ".h").read_text(encoding="utf-8")
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
        for line in text.splitlines():
            macro = re.match(r"#\s*define\s+(CONEX_\w+)(\(?)\s*(.*)", line)
            if macro and not macro[2] and re.search(r"\d|MAX", macro[3]):
                lines.append(f"#define {macro[1]} ...")
            elif not line.startswith("#") and line.strip() not in ("CONEX_BEGIN_DECLARATIONS", "CONEX_END_DECLARATIONS"):
                lines.append(line)
    return "\n".join(lines) + '\nextern "Python" void _conex_log(int level, const char *line, void *data);\nvoid free(void *);\n'


def make() -> Any:
    ffi = cffi.FFI()
    directory = include_dir()
    ffi.cdef(declarations(directory))
    ffi.set_source(
        "conex._conex",
        "#include <stdlib.h>\n" + "".join(f"#include <conex/{name}.h>\n" for name in HEADERS),
        libraries=["conex"],
        include_dirs=[directory],
        library_dirs=library_dirs(),
        py_limited_api=True,
        define_macros=[("Py_LIMITED_API", "0x03090000")],
    )
    return ffi


ffibuilder = make() if os.environ.get("CONEX_BUILD") != "no" else None

if __name__ == "__main__" and ffibuilder:
    ffibuilder.compile(verbose=True)
