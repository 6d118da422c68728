"""The life of a container: create, start, state, kill, delete, and what each must refuse."""
import json
import os
import subprocess

import oci
from oci import SLEEP, Container, check, eventually, kill, program, refused, same


@program
def create():
    with Container("echo ran >/ran") as c:
        c.write()
        check(c.call("create", "--bundle", c.bundle) != 0, "create without an id is an error")
        same(c.create(), 0, "create")
        same(c.status(), "created", "the state is created")
        check(not os.path.exists(c.rootfs + "/ran"), "the program has not been run")
        with Container() as other:
            other.id, other_id = c.id, other.id
            check(other.create() != 0, "the same id a second time is an error")
            other.id = other_id
        same(c.status(), "created", "which leaves the first one as it was")


@program
def create_bad_config():
    for what, text in (("no JSON", "{"), ("an empty object", "{}"), ("no object", "[1]"),
                       ("a wrong type", json.dumps({**oci.BASE, "process": 7}))):
        with Container() as c:
            with open(c.bundle + "/config.json", "w", encoding="utf-8") as file:
                file.write(text)
            check(c.create(write=False) != 0, f"create from {what} is an error")
            same(c.state(), None, "and leaves no container")
    with Container() as c:
        check(c.create(write=False) != 0, "create without config.json is an error")


@program
def create_bad_version():
    with Container() as c:
        c.config["ociVersion"] = "not a version"
        refused(c, "an ociVersion that is none is refused")


@program
def create_no_rootfs():
    with Container() as c:
        c.config["root"]["path"] = "missing"
        refused(c, "a root directory that does not exist is refused")
        same(c.status() in (None, "created", "stopped"), True, "and nothing runs")


@program
def start():
    with Container("echo ran >/ran; " + SLEEP) as c:
        check(c.call("start") != 0, "start without an id is an error")
        check(c.start() != 0, "start of a container that does not exist is an error")
        c.must(c.create(), "create")
        same(c.start(), 0, "start")
        check(eventually(lambda: os.path.exists(c.rootfs + "/ran")), "the program runs")
        same(c.status(), "running", "the state is running")
        check(c.start() != 0, "start of a running container is an error")
        same(c.status(), "running", "which goes on running")


@program
def start_stopped():
    with Container("echo ran >>/ran") as c:
        c.started().wait()
        check(c.start() != 0, "start of a stopped container is an error")
        same(c.status(), "stopped", "it stays stopped")
        with open(c.rootfs + "/ran", encoding="utf-8") as file:
            same(file.read(), "ran\n", "the program ran once")


@program
def start_no_process():
    with Container() as c:
        del c.config["process"]
        refused(c, "without a process, create or start is an error")


@program
def start_no_program():
    for path in ("/bin/missing", "missing", "/etc/passwd", "/bin"):
        with Container() as c:
            c.process["args"] = [path]
            refused(c, f"a program that cannot be run is an error: {path}")


@program
def state():
    with Container(SLEEP) as c:
        c.config["annotations"] = {"org.example.key": "value", "org.example.empty": ""}
        c.must(c.create(), "create")
        s = c.state()
        same(s.get("id"), c.id, "id")
        same(s.get("status"), "created", "status")
        check(isinstance(s.get("ociVersion"), str) and s["ociVersion"][:2] == "1.", "ociVersion")
        same(os.path.realpath(s.get("bundle", "")), os.path.realpath(c.bundle), "bundle")
        check(isinstance(s.get("pid"), int) and oci.exists(s["pid"]), "pid of a process that lives")
        same((s.get("annotations") or {}).get("org.example.key"), "value", "annotations")
        same((s.get("annotations") or {}).get("org.example.empty"), "", "an empty annotation")
        c.must(c.start(), "start")
        same(c.state().get("pid"), s["pid"], "the same pid while it runs")
        c.main = s["pid"]
        kill(c)
        c.wait()
        check(not c.state().get("pid"), "no pid once it has stopped", c.out)


@program
def state_missing():
    with Container() as c:
        check(c.call("state") != 0, "state without an id is an error")
        check(c.call("state", c.id) != 0, "state of a container that does not exist is an error")
        same(c.out.strip(), "", "and says nothing on standard output")


@program
def kill_errors():
    with Container(SLEEP) as c:
        check(c.call("kill") != 0, "kill without an id is an error")
        check(kill(c) != 0, "kill of a container that does not exist is an error")
        c.started()
        check(kill(c, "NONSENSE") != 0, "a signal that does not exist is an error")
        same(c.status(), "running", "it goes on running")
        kill(c)
        c.wait()
        check(kill(c) != 0, "kill of a stopped container is an error")
        same(c.status(), "stopped", "it stays stopped")


@program
def kill_created():
    with Container("echo ran >/ran") as c:
        c.must(c.create(), "create")
        c.main = c.pid()
        same(kill(c), 0, "kill of a created container")
        check(eventually(lambda: c.status() == "stopped"), "it is stopped then")
        check(not os.path.exists(c.rootfs + "/ran"), "its program never ran")
        same(c.call("delete", c.id), 0, "it can be deleted")


@program
def kill_signals():
    for name, wanted in (("TERM", 15), ("SIGTERM", 15), ("USR1", 10), ("10", 10), ("SIGHUP", 1), ("2", 2)):
        with Container(f"trap 'exit 40' {wanted}; echo up; while :; do sleep 0.02; done") as c:
            c.started()
            if not eventually(lambda: c.log("stdout") == "up\n"):
                raise oci.Failed("the trap was not set")
            same(kill(c, name), 0, f"kill with {name}")
            same(c.wait(), 40, f"signal {wanted} came")


@program
def kill_default():
    with Container("trap 'exit 41' TERM; echo up; while :; do sleep 0.02; done") as c:
        c.started()
        eventually(lambda: c.log("stdout") == "up\n")
        same(c.call("kill", c.id), 0, "kill without a signal")
        same(c.wait(), 41, "sends TERM")


@program
def kill_ends():
    for name in ("KILL", "9"):
        with Container("trap '' TERM; echo up; while :; do sleep 0.02; done") as c:
            c.started()
            same(kill(c, name), 0, f"kill with {name}")
            same(c.wait(), 137, "the process was killed")


@program
def delete():
    with Container(SLEEP) as c:
        check(c.call("delete") != 0, "delete without an id is an error")
        check(c.call("delete", c.id) != 0, "delete of a container that does not exist is an error")
        c.started()
        check(c.call("delete", c.id) != 0, "delete of a running container is an error")
        same(c.status(), "running", "which goes on running")
        kill(c)
        c.wait()
        same(c.call("delete", c.id), 0, "delete of a stopped container")
        same(c.state(), None, "it is gone")
        same(c.create(), 0, "its id can be used again")


@program
def delete_created():
    with Container() as c:
        c.must(c.create(), "create")
        check(c.call("delete", c.id) != 0, "delete of a created container is an error")
        same(c.status(), "created", "which is still there")


@program
def delete_force():
    with Container(SLEEP) as c:
        c.started()
        same(c.call("delete", "--force", c.id), 0, "delete --force of a running container")
        same(c.state(), None, "it is gone")
        check(eventually(lambda: oci.wait_child(c.main) is not None or not oci.exists(c.main)),
              "its process, too")
        same(c.call("delete", "--force", c.id), 0, "delete --force of one that does not exist")


def places_of(c):
    return [f"{path}" for path, _, _ in os.walk(oci.CGROUPS) if path.endswith(c.group)]


@program
def delete_resources():
    with Container(SLEEP) as c:
        c.linux["resources"]["pids"] = {"limit": 50}
        c.started()
        check(places_of(c), "while it runs, it has a cgroup")
        kill(c)
        c.wait()
        c.must(c.call("delete", c.id), "delete")
        same(places_of(c), [], "after delete it has none")
        same(sorted(os.listdir(c.rootfs + "/proc")), [], "its mounts are gone")


@program
def delete_only_created():
    with Container(SLEEP) as first, Container("true") as c:
        first.started()
        c.namespace("network", f"/proc/{first.main}/ns/net")
        c.mount("/mnt", "bind", first.rootfs, "bind")
        c.output()
        same(first.status(), "running", "the container whose namespace was joined goes on")
        check(os.path.exists(c.bundle + "/config.json"), "the bundle is left")
        check(os.path.exists(first.rootfs + "/bin/busybox"), "what was mounted is left")


@program
def config_changed_later():
    with Container("echo first") as c:
        c.must(c.create(), "create")
        c.main = c.pid()
        c.process["args"][-1] = "echo second"
        c.write()
        c.must(c.start(), "start")
        c.wait()
        same(c.log("stdout"), "first\n", "what is written to config.json after create is not read")


@program
def pid_file():
    with Container(SLEEP) as c:
        path = c.bundle + "/pid"
        c.started("--pid-file", path)
        with open(path, encoding="utf-8") as file:
            same(file.read(), str(c.main), "the file has the pid and nothing else")


@program
def run_exit_codes():
    for script, wanted in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", None)):
        with Container(script) as c:
            c.write()
            code = c.call("run", "--bundle", c.bundle, c.id)
            if wanted is not None:
                same(code, wanted, f"run ends as its program does: {script}")
            same(c.state(), None, "and leaves no container")


@program
def run_output():
    with Container("cat; echo to stderr >&2") as c:
        c.write()
        with open(c.bundle + "/input", "wb+") as file:
            file.write(b"some input\n")
            file.seek(0)
            c.call("run", "--bundle", c.bundle, c.id, stdin=file)
        same(c.out, "some input\n", "standard input and output are the caller's")
        same(c.errors, "to stderr\n", "and standard error")


@program
def bundle_here():
    with Container("echo here") as c:
        c.write()
        c.call("run", c.id, cwd=c.bundle)
        same(c.out, "here\n", "without --bundle it is the working directory")
    with Container("echo there") as c:
        c.write()
        c.call("run", "--bundle", os.path.basename(c.bundle), c.id, cwd=os.path.dirname(c.bundle))
        same(c.out, "there\n", "a relative --bundle is relative to it")


@program
def misc_properties():
    with Container("echo fine") as c:
        c.config["unknown"] = {"property": [1, 2]}
        c.process["unknown"] = True
        same(c.output(), "fine", "properties that nobody knows are ignored")


@program
def exec_basics():
    with Container(SLEEP) as c:
        c.started()
        same(c.call("exec", c.id, "/bin/sh", "-c", "echo $$-$(readlink /proc/1/root)-$(pwd)"), 0, "exec")
        check(c.out.endswith("-/-/\n") and not c.out.startswith("1-"), "it runs inside, beside the first", c.out)
        same(c.call("exec", c.id, "/bin/sh", "-c", "exit 9"), 9, "its exit code is the program's")
        check(c.call("exec", c.id, "/bin/missing") != 0, "a program that isn't there is an error")
        same(c.call("exec", "--cwd", "/tmp", "--env", "A=b c", "--user", "5:6", c.id,
                    "/bin/sh", "-c", 'echo "$(pwd) $A $(id -u):$(id -g)"'), 0, "exec with options")
        same(c.out, "/tmp b c 5:6\n", "--cwd, --env and --user")
        path = c.bundle + "/process.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"args": ["/bin/sh", "-c", "echo $B $(id -u)"], "cwd": "/", "user": {"uid": 3, "gid": 4},
                       "env": ["PATH=/bin", "B=json"]}, file)
        c.call("exec", "--process", path, c.id)
        same(c.out, "json 3\n", "--process")
        check(c.call("exec", c.id + "-not", "/bin/true") != 0, "exec in a container that doesn't exist")
        kill(c)
        c.wait()
        check(c.call("exec", c.id, "/bin/true") != 0, "exec in a stopped container is an error")


@program
def pause_resume():
    with Container("while :; do echo x; sleep 0.01; done") as c:
        c.started()
        same(c.call("pause", c.id), 0, "pause")
        same(c.status(), "paused", "the state is paused")
        size = len(c.log("stdout"))
        subprocess.run(["sleep", "0.2"], check=True)
        same(len(c.log("stdout")), size, "nothing runs")
        same(c.call("resume", c.id), 0, "resume")
        same(c.status(), "running", "the state is running")
        check(eventually(lambda: len(c.log("stdout")) > size), "it runs again")


@program
def list_containers():
    with Container(SLEEP) as c:
        c.started()
        same(c.call("list", "--format", "json"), 0, "list")
        try:
            found = [e for e in json.loads(c.out) or [] if e.get("id") == c.id]
        except json.JSONDecodeError:
            found = []
        check(len(found) == 1 and found[0].get("pid") == c.main, "names it, with its pid", c.out)


@program
def together():
    containers = [Container("exit 3") for _ in range(6)]
    for c in containers:
        c.write()
    running = [subprocess.Popen([oci.RUNTIME, "run", "--bundle", c.bundle, c.id], stdin=subprocess.DEVNULL)
               for c in containers]
    same([p.wait(timeout=60) for p in running], [3] * 6, "six at once all end as they should")
    for c in containers:
        c.__exit__()
