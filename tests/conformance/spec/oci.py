"""What the programs share: a bundle, a container driven by $RUNTIME's command line, TAP."""
import copy
import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

RUNTIME = os.environ["RUNTIME"]
GROUP = os.environ.get("CONFORMANCE_GROUP", "/conformance")   # cgroup paths begin with this
BUSYBOX = shutil.which("busybox")
CGROUPS = "/sys/fs/cgroup"
PATIENCE = 10                                                 # seconds, for what takes milliseconds

CAPS = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
BASE = {
    "ociVersion": "1.0.2",
    "process": {
        "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/",
        "env": ["PATH=/bin", "TERM=xterm"],
        "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs"},
    "hostname": "conformance",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
    },
}


# ---- TAP ----

class Tap:
    count = failed = 0


def check(right, text, detail=""):
    """One test point; what was seen instead follows as a comment."""
    Tap.count += 1
    Tap.failed += not right
    print(f"{'ok' if right else 'not ok'} {Tap.count} - {text}", flush=True)
    if not right and detail != "":
        print("".join(f"#   {line}\n" for line in str(detail).splitlines()), end="", flush=True)
    return right


def same(got, wanted, text):
    return check(got == wanted, text, f"got {got!r}, not {wanted!r}")


def skip(text, why):
    Tap.count += 1
    print(f"ok {Tap.count} - {text} # SKIP {why}", flush=True)


# ---- processes ----

def adopt_orphans():
    """As an engine: what `create` leaves behind becomes a child of this process."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)                   # PR_SET_CHILD_SUBREAPER


def private_mounts():
    """This program, and what it starts from here on, has mounts of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x20000) != 0:   # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare")


def eventually(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Failed(Exception):
    """A command of the runtime ended otherwise than a program can go on with."""


ended = {}                                                    # by pid: the status of orphans that were ours


def wait_child(pid):
    """The exit status as a shell has it; None if it is not our child, or goes on living. As an engine
    does, it reaps whatever became a child of ours: a pid namespace doesn't end before."""
    end = time.monotonic() + PATIENCE
    while pid not in ended and time.monotonic() < end:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if found:
            ended[found] = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.005)
    code = ended.pop(pid, None)
    return code if code is None or code >= 0 else 128 - code


# ---- bundles and containers ----

def make_rootfs(path):
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"):
        os.makedirs(f"{path}/{name}")
    os.chmod(f"{path}/tmp", 0o1777)
    shutil.copy(BUSYBOX, f"{path}/bin/busybox")
    names = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in names.split():
        if name != "busybox":
            os.symlink("busybox", f"{path}/bin/{name}")
    for name, line in (("passwd", "root:x:0:0:root:/root:/bin/sh"), ("group", "root:x:0:")):
        with open(f"{path}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(line + "\n")


class Container:
    """A bundle of its own and the runtime's commands on it; `with` removes all of it."""
    number = 0

    def __init__(self, script=None, **process):
        Container.number += 1
        self.id = f"cnf-{os.getpid()}-{Container.number}"
        self.bundle = tempfile.mkdtemp(prefix="conformance-")
        self.rootfs = self.bundle + "/rootfs"
        make_rootfs(self.rootfs)
        self.config = copy.deepcopy(BASE)
        self.linux = self.config["linux"]
        self.process = self.config["process"]
        self.linux["cgroupsPath"] = self.group = f"{GROUP}/{self.id}"
        if script is not None:
            self.process["args"] = ["/bin/sh", "-c", script]
        self.process.update(process)
        self.errors = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        state = self.state()
        if state:
            self.call("kill", self.id, "KILL")
            if state.get("pid"):
                wait_child(state["pid"])
            if self.call("delete", self.id) != 0:
                self.call("delete", "--force", self.id)
        shutil.rmtree(self.bundle, ignore_errors=True)

    def write(self):
        with open(self.bundle + "/config.json", "w", encoding="utf-8") as file:
            json.dump(self.config, file)

    def namespace(self, kind, path=None):
        """Adds or replaces one namespace; path=False takes it away (the host's is used)."""
        rest = [n for n in self.linux["namespaces"] if n["type"] != kind]
        if path is not False:
            rest.append({"type": kind, **({"path": path} if path else {})})
        self.linux["namespaces"] = rest

    def mount(self, destination, kind, source, *options):
        self.config["mounts"].append({"destination": destination, "type": kind, "source": source,
                                      "options": list(options)})

    def open_log(self, name):
        return open(f"{self.bundle}/{name}", "ab")            # files: a container outlives its pipe

    def log(self, name):
        try:
            with open(f"{self.bundle}/{name}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def call(self, *args, cwd=None, stdin=subprocess.DEVNULL, **more):
        """One command of the runtime; its exit code. Output: self.out, words of error: self.errors."""
        for name in ("call.out", "call.err"):
            open(f"{self.bundle}/{name}", "wb").close()
        with self.open_log("call.out") as out, self.open_log("call.err") as err:
            try:
                code = subprocess.run([RUNTIME, *args], stdin=stdin, stdout=out, stderr=err, cwd=cwd,
                                      timeout=PATIENCE * 2, check=False, **more).returncode
            except subprocess.TimeoutExpired:
                code = "no end"
        self.out, self.errors = self.log("call.out"), self.log("call.err")
        return code

    def create(self, *options, write=True):
        if write:
            self.write()
        with self.open_log("stdout") as out, self.open_log("stderr") as err:
            try:
                done = subprocess.run([RUNTIME, "create", "--bundle", self.bundle, *options, self.id],
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                      timeout=PATIENCE * 2, check=False)
            except subprocess.TimeoutExpired:
                return "no end"
        self.errors = self.log("stderr")
        return done.returncode

    def start(self):
        return self.call("start", self.id)

    def state(self):
        if self.call("state", self.id) != 0:
            return None
        try:
            return json.loads(self.out)
        except json.JSONDecodeError:
            return None

    def status(self):
        return (self.state() or {}).get("status")

    def pid(self):
        return (self.state() or {}).get("pid", 0)

    def must(self, code, what):
        if code != 0:
            raise Failed(f"{what} ended with {code}: {self.errors.strip()[-400:]}")

    def started(self, *options):
        """Created and started; self.main is its first process."""
        self.must(self.create(*options), "create")
        self.main = self.pid()
        self.must(self.start(), "start")
        return self

    def wait(self):
        """The end of the first process: its exit code, if it became a child of ours."""
        code = wait_child(self.main)
        if not eventually(lambda: self.status() == "stopped"):
            raise Failed("the container did not stop")
        return code

    def output(self):
        """Runs it through create, start and delete, and returns what it wrote."""
        self.started().wait()
        self.must(self.call("delete", self.id), "delete")
        return self.log("stdout").strip()

    def lines(self):
        return self.output().splitlines()

    def cgroup(self, controller, file):
        """A file of its cgroup, wherever this machine mounts that controller; None without one."""
        for base in (f"{CGROUPS}/{controller}", CGROUPS):
            path = f"{base}{self.group}/{file}"
            if os.path.exists(path):
                with open(path, encoding="utf-8") as opened:
                    return opened.read().strip()
        return None


def refused(container, text):
    """create or start must end with an error; a runtime may see the fault as late as at start."""
    code = container.create()
    check(code != 0 or container.start() != 0, text, "neither create nor start was refused")


def exists(pid):
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def kill(container, name="KILL"):
    return container.call("kill", container.id, name)


# ---- programs ----

PROGRAMS = {}


def remove_groups():
    """What containers left empty; that delete removes their own is a matter of a program."""
    for hierarchy in os.listdir(CGROUPS):
        for path, _, _ in os.walk(f"{CGROUPS}/{hierarchy}{GROUP}", topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def run(name):
    adopt_orphans()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.umask(0o022)
    try:
        PROGRAMS[name]()
    except Failed as error:
        check(False, "can go on", error)
    remove_groups()
    print(f"1..{Tap.count}")
    return 1 if Tap.failed else 0
