#!/usr/bin/python3
"""Files to 600 lines, functions to 60; sizes.allow lists exceptions: path[:function] limit reason."""
import glob
import os
import re
import statistics

FILE_LIMIT, FUNCTION_LIMIT = 600, 60
os.chdir(os.environ.get("top_srcdir", "."))


def allowed():
    with open("tests/check/sizes.allow", encoding="utf-8") as file:
        rows = [line.split(None, 2) for line in file if line.strip() and line[0] != "#"]
    return {row[0]: int(row[1]) for row in rows if len(row) == 3}


def functions(lines):
    """Our style puts a body's braces alone into the first column, and a name before its ("""
    head, start = "", None
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and start is None:
            start = number
        elif line.startswith("}") and start is not None:
            names = re.findall(r"(\w+)\(", head)
            yield (names or ["?"])[0], number - start + 1
            head, start = "", None
        elif start is None:
            head = line if line[:1] not in "\t \n" else head + line


allow, faults, sizes, seen = allowed(), [], [], set()
paths = glob.glob("lib/**/*.[ch]", recursive=True) + glob.glob("include/conex/*.h") \
    + glob.glob("examples/**/*.c", recursive=True) + glob.glob("tests/**/*.[ch]", recursive=True)
for path in sorted(paths):
    with open(path, encoding="utf-8") as file:
        text = file.readlines()
    found = [(path, len(text), FILE_LIMIT)]
    found += [(f"{path}:{name}", size, FUNCTION_LIMIT) for name, size in functions(text)]
    sizes += [size for _, size, limit in found[1:] if path.startswith("lib/")]
    for what, size, limit in found:
        seen.add(what)
        if size > allow.get(what, limit):
            faults.append(f"{what}: {size} lines, at most {allow.get(what, limit)}")
faults += [f"sizes.allow: {what} is there no more" for what in allow if what not in seen]
print("".join(f"# {fault}\n" for fault in faults), end="")
if sizes:
    print(f"# {len(sizes)} functions in lib/, median {statistics.median(sizes):g} lines")
print("1..1\n" + ("not ok" if faults else "ok") + " 1 - files and functions are short")
