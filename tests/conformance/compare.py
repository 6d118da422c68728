#!/usr/bin/python3
"""Runs programs that print TAP with each runtime and sets the totals side by side.

compare.py --name NAME --runtime TITLE=PATH ... --ours TITLE --json FILE [--expected FILE] [--mute] [--only WORD ...]
The programs come on standard input, one a line: NAME<tab>DIRECTORY<tab>COMMAND ... .  Ends with 1 when
ours fails what another runtime passes, or when all fail what no line of the list of expected failures
explains. To be run by private.sh."""
import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

CGROUPS = "/sys/fs/cgroup"
GROUP = f"/cnf-{os.urandom(4).hex()}"              # others may run in pid namespaces of their own


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--runtime", action="append", required=True)
    parser.add_argument("--ours", default="conex-oci")
    parser.add_argument("--json", required=True)
    parser.add_argument("--expected")
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--logs", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    return parser.parse_args()


# ---- cleaning up ----

def descendants():
    """All processes below this one: it is the subreaper, so none of them can get away. And of these
    the ones that live."""
    parents, dead = {}, set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        parents[int(name)] = int(parent)
        if state == "Z":
            dead.add(int(name))
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            found -= {os.getpid()}
            return found, found - dead
        found |= more


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def thaw():
    for path, _, files in os.walk(f"{CGROUPS}/freezer{GROUP}"):
        if "freezer.state" in files:
            with open(path + "/freezer.state", "w", encoding="utf-8") as file:
                file.write("THAWED")
    for path, _, files in os.walk(CGROUPS + GROUP):
        if "cgroup.freeze" in files:
            with open(path + "/cgroup.freeze", "w", encoding="utf-8") as file:
                file.write("0")


def end_all():
    """What a program left running, or what a time limit cut off."""
    thaw()
    end = time.monotonic() + 10
    left = 0
    while time.monotonic() < end:
        found, alive = descendants()
        if not found:
            break
        left = max(left, len(alive))
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
        reap()
    return left


def mount_points():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line.split()[4].replace("\\040", " ") for line in file]


# Ours are below GROUP. The suite of runtime-tools chooses names itself: UUIDs, and these.
NAMES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|cgrouptest|testCgroup.*")


def groups():
    ours = {GROUP.strip("/"), GROUP.strip("/") + "-relative"}
    for hierarchy in os.listdir(CGROUPS):
        for parent in ("", "conex/"):
            path = f"{CGROUPS}/{hierarchy}/{parent}"
            for name in os.listdir(path) if os.path.isdir(path) else []:
                if name in ours or NAMES.fullmatch(name):
                    yield path + name


def clean_up(groups_before, mounts_before):
    """A cgroup that has processes stays: rmdir refuses."""
    for top in set(groups()) - groups_before:
        for path, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass
    for path in mount_points()[::-1]:
        if path not in mounts_before:
            subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL, check=False)


# ---- one program with one runtime ----

def totals(text, code, mute):
    """Passed, failed, skipped; a plan that wasn't kept, or a bad end after all, counts as one failure.
    With `mute` a program that makes no test says in another way how it went: by its exit status if it
    prints no TAP, else by an error in a YAML block."""
    points = re.findall(r"^(ok|not ok)\b(.*)$", text, re.M)
    skipped = sum(1 for word, rest in points if word == "ok" and re.search(r"#\s*skip", rest, re.I))
    failed = sum(1 for word, rest in points if word == "not ok" and not re.search(r"#\s*todo", rest, re.I))
    plans = [int(n) for n in re.findall(r"^1\.\.(\d+)", text, re.M)]    # some print two, one after the other
    if mute and not points:
        broken = bool(code) or re.search(r'^ *"error": "[^"]', text, re.M) is not None
    else:
        broken = not plans or sum(plans) != len(points)
    if failed + broken == 0 and code not in (0, None):
        broken = True                                         # it says that all is well, but ends badly
    return {"passed": len(points) - failed - skipped, "failed": failed + broken, "skipped": skipped}


def run(options, name, directory, command, title, runtime):
    log = f"{options.logs}/{name}.{title}.tap"
    before = set(groups()), set(mount_points())
    start = time.monotonic()
    temporary = tempfile.mkdtemp(prefix="conformance-")
    os.chmod(temporary, 0o755)                                # mapped users pass through
    environment = {**os.environ, "RUNTIME": runtime, "TMPDIR": temporary, "CONFORMANCE_GROUP": GROUP}
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout=options.limit)
        except subprocess.TimeoutExpired:
            code = None
    seconds = time.monotonic() - start
    left = end_all()
    clean_up(*before)
    subprocess.run(["rm", "-rf", "--one-file-system", temporary], check=False)
    with open(log, encoding="utf-8", errors="replace") as file:
        result = totals(file.read(), code, options.mute)
    if code is None:
        result["failed"] += 1
    return {**result, "exit": "too long" if code is None else code, "left": left, "seconds": round(seconds, 2)}


# ---- all of them ----

def cell(result):
    word = f"{result['passed']}/{result['passed'] + result['failed']}"
    word = "fine" if word == "0/0" else word
    word += f" ({result['skipped']} skipped)" if result["skipped"] else ""
    return word + (" FAILED" if result["failed"] else "")


def explained(options, mark=""):
    """The programs in the list of expected failures: all, or those with a mark behind the name."""
    if not options.expected:
        return set()
    with open(options.expected, encoding="utf-8") as file:
        return set(re.findall(r"^- `(\w+)`" + re.escape(mark), file.read(), re.M))


def judge(options, results):
    """The faults: what another passes and ours fails; what all fail and nobody has explained."""
    known, faults = explained(options), []
    for name, by in results.items():
        ours = by.get(options.ours)
        others = [r for title, r in by.items() if title != options.ours]
        if ours and ours["failed"] and any(not r["failed"] for r in others):
            faults.append(f"{name}: another runtime passes, {options.ours} fails")
        elif all(r["failed"] for r in by.values()) and name not in known:
            faults.append(f"{name}: all fail, and {options.expected} doesn't say why")
    return faults


def main():
    options = arguments()
    os.environ.pop("NOTIFY_SOCKET", None)
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)                   # PR_SET_CHILD_SUBREAPER
    os.makedirs(options.logs, exist_ok=True)
    runtimes = dict(r.split("=", 1) for r in options.runtime)
    programs = [line.rstrip("\n").split("\t") for line in sys.stdin if line.strip()]
    programs = [p for p in programs if not options.only or p[0] in options.only]
    results = {}
    races = explained(options, " (race)")
    print(f"{'program':36}" + "".join(f" {title:24}" for title in runtimes), flush=True)
    for name, directory, *command in programs:
        results[name] = {}
        print(f"{name:36}", end="", flush=True)
        for title, path in runtimes.items():
            for _ in range(3 if name in races else 1):
                results[name][title] = run(options, name, directory, command, title, path)
                if not results[name][title]["failed"]:
                    break
            print(f" {cell(results[name][title]):24}", end="", flush=True)
        print(flush=True)
    clean = {title: sum(not by[title]["failed"] for by in results.values()) for title in runtimes}
    print(f"{f'without a failure, of {len(results)}':36}" + "".join(f" {clean[t]:<24}" for t in runtimes))
    faults = judge(options, results)
    print("".join(f"{fault}\n" for fault in faults), end="")
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump({"suite": options.name, "runtimes": runtimes, "programs": len(results),
                   "without_failure": clean, "faults": faults, "results": results}, file, indent=1)
    return 1 if faults or not results else 0


sys.exit(main())
