"""wheel.py WHEEL SOURCE: whether a wheel of the Python package is what it says: every file of SOURCE/src and no other, each as RECORD
has it; its tags; what the compiled half needs of the machine; no call but those of Python 3.9's stable ABI, as the headers of this
Python declare it. python-pip.sh calls it."""

import base64
import csv
import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

path, source = sys.argv[1:]
wheel = zipfile.ZipFile(path)
names = set(wheel.namelist())
info = os.path.basename(path).rsplit("-", 3)[0] + ".dist-info/"


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout


def compiles(symbols):
    """What is no symbol of the stable ABI of 3.9 isn't declared, so that its address can't be taken."""
    text = "#define Py_LIMITED_API 0x03090000\n#include <Python.h>\nconst void *all[] = {\n%s};\n" % "".join("(void *)&%s,\n" % s for s in symbols)
    done = subprocess.run(["cc", "-fsyntax-only", "-w", "-I", sysconfig.get_path("include"), "-xc", "-"], input=text,
                          stderr=subprocess.PIPE, universal_newlines=True)
    return done.returncode == 0, re.findall(r"error: .(\w+). undeclared", done.stderr)


# ---- its files -------------------------------------------------------------------------------------

wanted = {"conex/" + name for name in os.listdir(source + "/src/conex") if name.endswith((".py", ".pyi", ".typed"))}
wanted |= {info + name for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt")}
wanted |= {"conex/_conex.abi3.so"}
assert names == wanted, "missing: %s, too much: %s" % (sorted(wanted - names), sorted(names - wanted))
for name in names:
    if name.startswith("conex/") and not name.endswith(".so"):
        with open(source + "/src/" + name, "rb") as file:
            assert file.read() == wheel.read(name), name
recorded = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(wheel.read(info + "RECORD").decode()))}
assert set(recorded) == names, set(recorded) ^ names
for name in names - {info + "RECORD"}:
    data = wheel.read(name)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    assert recorded[name] == ("sha256=" + digest, str(len(data))), name

# ---- what it says of itself --------------------------------------------------------------------------

assert re.match(r"libconex-[0-9.]+-cp39-abi3-linux_\w+\.whl$", os.path.basename(path)), path
about = wheel.read(info + "WHEEL").decode()
assert re.search(r"^Tag: cp39-abi3-linux_", about, re.M) and "Root-Is-Purelib: false" in about, about
metadata = wheel.read(info + "METADATA").decode().split("\n\n")[0]
for line in (r"Name: libconex", r"Requires-Python: >=3\.9", r"Requires-Dist: cffi ?\(?>=1\.15\)?"):
    assert re.search("^%s$" % line, metadata, re.M), line + " isn't in " + metadata
assert re.search(r"^pytest-conex\s*=\s*conex\.pytest_plugin$", wheel.read(info + "entry_points.txt").decode(), re.M)

# ---- its compiled half -------------------------------------------------------------------------------

with tempfile.TemporaryDirectory() as there:
    library = wheel.extract("conex/_conex.abi3.so", there)
    dynamic = output("readelf", "-dW", library)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    symbols = output("nm", "-D", "--undefined-only", library)
assert "libconex.so" in " ".join(needed), needed
strange = [n for n in needed if not re.match(r"libconex\.so\.\d+$|libc\.so\.6$|ld-linux", n)]
assert not strange, "it needs %s" % strange
assert not re.search(r"RPATH|RUNPATH", dynamic), "it looks for libraries where it was built:\n" + dynamic
undefined = re.findall(r"\b[UwV] (\S+)", symbols)
of_python = sorted({name for name in undefined if re.match(r"_?Py", name)})
assert len(of_python) > 5, symbols
assert compiles(["PyUnicode_AsUTF8"]) == (False, ["PyUnicode_AsUTF8"]), "the check finds nothing: of 3.10"
fine, undeclared = compiles(of_python)
assert fine, "not in the stable ABI of 3.9: %s" % undeclared
others = [name for name in undefined if not re.match(r"_?Py|conex_", name) and "GLIBC" not in name and not re.match(r"_ITM_|__gmon_start__", name)]
assert not others, "whose are these? %s" % others
libc = max((tuple(int(n) for n in version.split(".")) for version in re.findall(r"@GLIBC_([0-9.]+)", symbols)), default=())
print("%d files; needs %s, glibc %s, %d functions of Python's stable ABI, %d of libconex" % (
    len(names), ", ".join(sorted(needed)), ".".join(map(str, libc)), len(of_python), sum(name.startswith("conex_") for name in undefined)))
