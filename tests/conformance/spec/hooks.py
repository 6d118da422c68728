"""Hooks: when each runs, where, what it is given, and what its failure means."""
import json
import os

from oci import Container, check, eventually, kill, program, same

OUTSIDE = ("prestart", "createRuntime", "poststart", "poststop")
SLEEP = "while :; do sleep 0.05; done"


def hook(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], **more}


def polite(script):
    """Reads the state first; what becomes of a runtime whose hooks don't, hooks_deaf asks."""
    return hook("cat >/dev/null; " + script)


def note(c, word):
    """A hook on the host that writes a word."""
    return polite(f"echo {word} >>{c.bundle}/order")


def note_inside(word):
    return polite(f"echo {word} >>/order")


def wait_for(c, name):
    return eventually(lambda: c.log(name) != "")


@program
def hooks_order():
    with Container(f"echo program >>/order; {SLEEP}") as c:
        c.mount("/order", "bind", c.bundle + "/order", "bind")
        c.open_log("order").close()
        c.config["hooks"] = {kind: [note(c, kind + "1"), note(c, kind + "2")]
                             for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}
        c.config["hooks"]["startContainer"] = [note_inside("startContainer")]
        c.started()
        check(eventually(lambda: "program" in c.log("order") and "poststart2" in c.log("order")), "all were run")
        kill(c)
        c.wait()
        c.must(c.call("delete", c.id), "delete")
        seen = c.log("order").split()
        same([w for w in seen if w not in ("program", "poststart1", "poststart2")],
             ["prestart1", "prestart2", "createRuntime1", "createRuntime2", "createContainer1", "createContainer2",
              "startContainer", "poststop1", "poststop2"], "in this order")
        same([w for w in seen if w.startswith("poststart")], ["poststart1", "poststart2"], "poststart, too")
        check(seen.index("startContainer") < seen.index("program") < seen.index("poststop1"),
              "startContainer before the program, poststop after it", seen)


@program
def hooks_when():
    with Container(SLEEP) as c:
        c.config["hooks"] = {kind: [note(c, kind)] for kind in OUTSIDE}
        c.must(c.create(), "create")
        same(c.log("order").split(), ["prestart", "createRuntime"], "create runs prestart and createRuntime")
        c.main = c.pid()
        c.must(c.start(), "start")
        same(c.log("order").split()[2:], ["poststart"], "start runs poststart")
        kill(c)
        c.wait()
        same(c.log("order").split()[3:], [], "the end runs none")
        c.must(c.call("delete", c.id), "delete")
        same(c.log("order").split()[3:], ["poststop"], "delete runs poststop")


@program
def hooks_state():
    with Container(SLEEP) as c:
        c.config["annotations"] = {"org.example": "yes"}
        c.config["hooks"] = {kind: [hook(f"cat >{c.bundle}/state-{kind}")] for kind in OUTSIDE}
        c.started()
        pid = c.main
        kill(c)
        c.wait()
        c.must(c.call("delete", c.id), "delete")
        for kind, status in (("prestart", ("creating", "created")), ("createRuntime", ("creating", "created")),
                             ("poststart", ("running",)), ("poststop", ("stopped",))):
            try:
                state = json.loads(c.log(f"state-{kind}"))
            except json.JSONDecodeError:
                check(False, f"{kind} gets the state", c.log(f"state-{kind}"))
                continue
            same(state.get("id"), c.id, f"{kind}: id")
            check(state.get("status") in status, f"{kind}: status", state)
            same(os.path.realpath(state.get("bundle", "")), os.path.realpath(c.bundle), f"{kind}: bundle")
            same(state.get("annotations"), {"org.example": "yes"}, f"{kind}: annotations")
            if kind != "poststop":
                same(state.get("pid"), pid, f"{kind}: pid")


@program
def hooks_inside_state():
    with Container(SLEEP) as c:
        c.config["hooks"] = {"startContainer": [hook("cat >/state")]}
        c.started()
        wait_for(c, "rootfs/state")
        try:
            state = json.loads(c.log("rootfs/state"))
        except json.JSONDecodeError:
            state = {}
        same(state.get("id"), c.id, "startContainer gets the state, too")


@program
def hooks_arguments():
    with Container() as c:
        c.config["hooks"] = {"createRuntime": [
            {"path": "/bin/sh", "args": ["sh", "-c", f'cat >/dev/null; echo "$0 $1 $A ${{HOME-unset}}" >{c.bundle}/said', "zero", "one two"],
             "env": ["A=b", "PATH=/bin:/usr/bin"]}]}
        c.must(c.create(), "create")
        same(c.log("said").strip(), "zero one two b unset", "its arguments and no environment but its own")


@program
def hooks_namespaces():
    with Container(SLEEP) as c:
        where = "readlink /proc/self/ns/mnt"
        c.config["hooks"] = {"createRuntime": [polite(f"{where} >{c.bundle}/runtime")],
                             "createContainer": [polite(f"{where} >{c.bundle}/container")],
                             "startContainer": [polite("readlink /proc/self/ns/mnt >/start")]}
        c.started()
        host, inside = os.readlink("/proc/self/ns/mnt"), os.readlink(f"/proc/{c.main}/ns/mnt")
        same(c.log("runtime").strip(), host, "createRuntime runs in the runtime's mount namespace")
        same(c.log("container").strip(), inside, "createContainer in the container's")
        wait_for(c, "rootfs/start")
        same(c.log("rootfs/start").strip(), inside, "and startContainer")


def failing(kind):
    with Container("echo ran >/ran") as c:
        c.config["hooks"] = {kind: [polite("exit 3"), note(c, "second")]}
        code = c.create()
        if code == 0:
            code = c.start()
        check(code != 0, f"when a {kind} hook fails, create or start is an error")
        check(not os.path.exists(c.rootfs + "/ran"), "the program does not run")
        same(c.log("order"), "", "nor the next hook")
        check(c.status() in (None, "stopped"), "and the container has stopped or is gone")


@program
def hooks_prestart_fail():
    failing("prestart")


@program
def hooks_create_runtime_fail():
    failing("createRuntime")


@program
def hooks_create_container_fail():
    failing("createContainer")


@program
def hooks_start_container_fail():
    failing("startContainer")


@program
def hooks_poststart_fail():
    with Container(f"echo ran >/ran; {SLEEP}") as c:
        c.config["hooks"] = {"poststart": [polite("exit 3"), note(c, "second")]}
        c.must(c.create(), "create")
        same(c.start(), 0, "a failing poststart hook is a warning")
        same(c.log("order").strip(), "second", "the next one runs")
        same(c.status(), "running", "the container runs")


@program
def hooks_poststop_fail():
    with Container("true") as c:
        c.config["hooks"] = {"poststop": [polite("exit 3"), note(c, "second")]}
        c.started().wait()
        same(c.call("delete", c.id), 0, "a failing poststop hook is a warning")
        same(c.log("order").strip(), "second", "the next one runs")
        same(c.state(), None, "the container is gone")


@program
def hooks_timeout():
    with Container("echo ran >/ran") as c:
        c.config["hooks"] = {"createRuntime": [hook("exec sleep 60", timeout=1)]}
        check(c.create() not in (0, "no end"), "a hook that takes too long is an error")
        check(not os.path.exists(c.rootfs + "/ran"), "the program does not run")


@program
def hooks_missing():
    with Container() as c:
        c.config["hooks"] = {"createRuntime": [{"path": "/missing/hook"}]}
        check(c.create() != 0, "a hook that isn't there is an error")


@program
def hooks_deaf():
    with Container(SLEEP) as c:
        c.config["annotations"] = {f"key{i}": "x" * 1000 for i in range(200)}   # more than a pipe holds
        c.config["hooks"] = {kind: [hook("exec </dev/null; true")] for kind in OUTSIDE}
        c.started()
        same(c.status(), "running", "hooks that don't read their standard input do no harm")
