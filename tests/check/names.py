#!/usr/bin/python3
"""Public names: headers = map = exported symbols = documented; inside all is cx_ or conex_."""
import glob
import os
import re
import subprocess
import sys

SRC = os.environ.get("top_srcdir", ".")
sys.path.insert(0, SRC + "/doc")
sys.dont_write_bytecode = True
import man  # doc/man.py: makes the manual pages of the same blocks
BUILD = os.environ.get("top_builddir", "build")
NM = os.environ.get("NM", "nm").split()

def declared():
    names = set()
    for path in glob.glob(SRC + "/include/conex/*.h"):
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/|^#.*?[^\\]$", "", file.read(), flags=re.S | re.M)
        names |= set(re.findall(r"\b(conex_\w+)\(", text))
    return names


def documented():
    found = [f for path in glob.glob(SRC + "/include/conex/*.h") for f in man.functions(path)]
    return {name for name, prototype, parts in found if not man.missing(prototype, parts)}


def mapped():
    with open(SRC + "/lib/conex.map", encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    return {n for part in re.findall(r"global:(.*?)local:", text, flags=re.S)
            for n in re.findall(r"[\w*?]+", part)}


def symbols(path, *options):
    out = subprocess.run(NM + ["--defined-only", *options, path], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[2].split("@")[0] for line in out.splitlines()
            if len(line.split()) == 3 and line.split()[1] in "TDBRVWCGSi"}


def compare(number, title, left, right, left_name, right_name):
    for name in sorted(left - right):
        print(f"# {name}: in {left_name}, not in {right_name}")
    for name in sorted(right - left):
        print(f"# {name}: in {right_name}, not in {left_name}")
    print("ok" if left == right else "not ok", number, "-", title)


# The version node itself is a symbol of the library; sanitizers leave marks of their own.
exported = {n for n in symbols(f"{BUILD}/.libs/libconex.so", "-D") if n[:6] != "CONEX_"}
stray = {n for n in symbols(f"{BUILD}/.libs/libconex_internal.a", "-g")
         if not re.match(r"(conex|cx)_|_*(asan|ubsan|tsan|sanitizer|odr_asan)_|\.", n)}
print("1..4")
compare(1, "headers and symbol map agree", declared(), mapped(), "include/conex", "conex.map")
compare(2, "symbol map and library agree", mapped(), exported, "conex.map", "libconex.so")
compare(3, "no stray globals in libconex.a", stray, set(), "libconex.a", "our prefixes cx_ and conex_")
compare(4, "all are documented", declared(), documented(), "include/conex", "complete doc blocks")
