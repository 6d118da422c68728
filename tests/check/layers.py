#!/usr/bin/python3
"""#include goes one way: base, state, spec, plan, keeper, (the modules), container, supervise."""
import glob
import os
import re

ORDER = [["base"], ["state"], ["spec"], ["plan"], ["keeper"],
         ["cgroup", "image", "namespace", "network", "rootfs", "security"],
         ["container"], ["supervise"]]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
# The plan's form, which journals share: two files that include nothing else.
FORM = {"plan/format.h", "plan/operations.def"}
# In include/ a header may know those above it.
PUBLIC = [["base"], ["context"], ["spec"], ["cgroup", "namespace", "network", "image"],
          ["container"], ["plan", "broker"], ["supervise"], ["conex"]]
PUBLIC_RANK = {name: rank for rank, names in enumerate(PUBLIC) for name in names}


def includes(path, pattern):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = re.match(r"\s*#\s*include\s+" + pattern, line)
            if match:
                yield number, match.group(1)


def lib_faults(path):
    module = path.split(os.sep)[1]
    for number, name in includes(path, r'"([^"]+)"'):
        other = name.split("/")[0]
        if "/" not in name or other not in RANK:
            yield f"{path}:{number}: write \"<folder>/{name}\", counted from lib/"
        elif name in FORM:
            continue
        elif RANK[other] > RANK[module] or (RANK[other] == RANK[module] and other != module):
            yield f"{path}:{number}: {module}/ must not know {other}/"
        elif os.path.basename(path).startswith("child") and name.split("/")[0] in ("state", "spec"):
            yield f"{path}:{number}: what runs inside a container knows base, plan and keeper only"


def public_faults(path):
    name = os.path.basename(path)[:-2]
    for number, other in includes(path, r"<conex/(\w+)\.h>"):
        if PUBLIC_RANK[other] >= PUBLIC_RANK[name]:
            yield f"{path}:{number}: {name}.h must not include {other}.h"
    for number, other in includes(path, r'"([^"]+)"'):
        yield f"{path}:{number}: a public header includes <conex/...> only, not \"{other}\""


os.chdir(os.environ.get("top_srcdir", "."))
faults = [f for p in sorted(glob.glob("lib/*/*.[chS]") + glob.glob("lib/*/*/*.[ch]"))
          for f in lib_faults(p)]
faults += [f for p in sorted(glob.glob("include/conex/*.h")) for f in public_faults(p)]
print("".join(f"# {fault}\n" for fault in faults), end="")
print("1..1\n" + ("not ok" if faults else "ok") + " 1 - includes go one way")
