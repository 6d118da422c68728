#!/usr/bin/python3
"""Every source file is named in a Makefile fragment, and every named one exists."""
import glob
import os
import re

os.chdir(os.environ.get("top_srcdir", "."))
named = set()
for path in ["Makefile.am"] + glob.glob("*/*.am") + glob.glob("lib/keeper/*.am") + glob.glob("lib/image/worker/*.am"):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^#.*$", "", file.read(), flags=re.M)
    named |= set(re.findall(r"(?<![\w$()/])(?:include|lib|tests|examples|doc)/[\w./-]+\w", text))

files = set()
for pattern in ("include/conex/*.h", "lib/*/*.[chS]", "lib/*/*.def", "lib/keeper/program/*.[ch]", "lib/image/worker/*.[ch]",
                "tests/unit/*.[ch]", "tests/system/*.[ch]", "tests/system/*.sh", "tests/usage/*", "tests/vm/*", "tests/cases/*",
                "tests/bench/*.[ch]", "tests/check/*", "examples/*.[ch]", "examples/*/*.[ch]", "doc/*.[1-9]", "doc/*.md"):
    files |= {path for path in glob.glob(pattern) if os.path.isfile(path)}

# A program is named without .c; headers that only one test includes are named, too.
faults = [f"{path} is in no list: it is neither built nor in the tarball"
          for path in sorted(files) if path not in named and path[:-2] not in named]
faults += [f"{name} is listed, but isn't there" for name in sorted(named)
           if os.path.splitext(name)[1] in (".c", ".h", ".S", ".def", ".sh", ".py", ".md", ".json")
           and not os.path.exists(name)]
print("".join(f"# {fault}\n" for fault in faults), end="")
print("1..1\n" + ("not ok" if faults else "ok") + " 1 - the lists are complete")
