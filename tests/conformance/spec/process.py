"""The process object: arguments, environment, users, limits, rights, terminal."""
import array
import os
import socket

import oci
from oci import CAPS, Container, check, eventually, program, refused, same, skip


def fields_of(lines):
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def self_status(c):
    c.process["args"] = ["cat", "/proc/self/status"]
    return fields_of(c.lines())


@program
def process_arguments():
    with Container() as c:
        c.process["args"] = ["/bin/sh", "-c", 'for a; do echo "[$a]"; done', "sh", "", "a b", "ü", "-x"]
        same(c.output(), "[]\n[a b]\n[ü]\n[-x]", "arguments come as they are")
    with Container() as c:
        c.process["args"] = []
        refused(c, "no arguments at all are refused")


@program
def process_path():
    with Container() as c:
        c.process["args"] = ["echo", "found"]
        same(c.output(), "found", "a name without a slash is looked up in PATH")
    with Container() as c:
        os.makedirs(c.rootfs + "/opt/own")
        os.symlink("/bin/busybox", c.rootfs + "/opt/own/hostid")
        os.symlink("/bin/busybox", c.rootfs + "/opt/own/echo")
        c.process.update(args=["echo", "own"], env=["PATH=/opt/own"])
        same(c.output(), "own", "in the container's PATH")


@program
def process_environment():
    with Container() as c:
        c.process.update(args=["/bin/env"], env=["A=1", "B=two words", "EMPTY=", "PATH=/bin"])
        seen = [line for line in c.lines() if not line.startswith("HOME=")]   # runtimes may add it
        same(sorted(seen), ["A=1", "B=two words", "EMPTY=", "PATH=/bin"], "the environment is the configuration's")


@program
def process_cwd():
    with Container("pwd", cwd="/var") as c:
        same(c.output(), "/var", "the working directory")
    with Container("pwd", cwd="var") as c:
        refused(c, "a relative one is refused")


@program
def process_user():
    with Container("id -u; id -g; grep Groups /proc/self/status",
                   user={"uid": 1000, "gid": 1001, "additionalGids": [5, 77]}) as c:
        seen = c.output().split()
        same(seen[:2], ["1000", "1001"], "uid and gid")
        same(set(seen[3:]) - {"1001"}, {"5", "77"}, "additional groups")


@program
def process_umask():
    with Container("umask", user={"uid": 0, "gid": 0, "umask": 0o27}) as c:
        same(c.output(), "0027", "umask")


@program
def process_user_owns_output():
    with Container("echo written >/dev/stdout", user={"uid": 1000, "gid": 1000}) as c:
        same(c.output(), "written", "another user may open its standard output again")
    with Container(oci.SLEEP) as c:
        c.started()
        c.call("exec", "--user", "1000:1000", c.id, "/bin/sh", "-c", "echo written >/dev/stdout")
        same(c.out, "written\n", "in exec, too")


@program
def process_rlimits():
    with Container() as c:
        c.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 1000, "soft": 900},
                                {"type": "RLIMIT_CORE", "hard": 8192, "soft": 4096},
                                {"type": "RLIMIT_STACK", "hard": 8 << 20, "soft": 4 << 20}]
        c.process["args"] = ["cat", "/proc/self/limits"]
        seen = {line[:26].strip(): line[26:].split()[:2] for line in c.lines()}
        same(seen.get("Max open files"), ["900", "1000"], "open files")
        same(seen.get("Max core file size"), ["4096", "8192"], "core files")
        same(seen.get("Max stack size"), [str(4 << 20), str(8 << 20)], "the stack")


@program
def process_rlimits_fail():
    for limits, what in (([{"type": "RLIMIT_NONSENSE", "hard": 1, "soft": 1}], "an unknown limit"),
                         ([{"type": "RLIMIT_NOFILE", "hard": 10, "soft": 20}], "a soft limit above the hard one"),
                         ([{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}] * 2, "the same one twice")):
        with Container() as c:
            c.process["rlimits"] = limits
            refused(c, f"{what} is refused")


@program
def process_oom_score_adj():
    with Container("cat /proc/self/oom_score_adj", oomScoreAdj=500) as c:
        same(c.output(), "500", "oomScoreAdj")
    with open("/proc/self/oom_score_adj", encoding="utf-8") as file:
        own = file.read().strip()
    with Container("cat /proc/self/oom_score_adj") as c:
        same(c.output(), own, "without one it is the runtime's")


@program
def process_no_new_privileges():
    for on in (True, False):
        with Container(noNewPrivileges=on) as c:
            same(self_status(c).get("NoNewPrivs"), str(int(on)), f"noNewPrivileges: {on}")


CAP_SETS = ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")
NUMBERS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_CHROOT": 18, "CAP_AUDIT_WRITE": 29}


def mask(names):
    return f"{sum(1 << NUMBERS[name] for name in names):016x}"


@program
def process_capabilities():
    sets = {"bounding": CAPS + ["CAP_CHOWN"], "permitted": CAPS, "effective": CAPS[:2]}
    with Container(capabilities=sets) as c:
        seen = self_status(c)
        same(seen.get("CapBnd"), mask(sets["bounding"]), "bounding")
        same(seen.get("CapInh"), mask([]), "inheritable")
        same(seen.get("CapPrm"), mask(sets["permitted"]), "permitted: without new privileges exec adds none")
    with Container(capabilities={}) as c:
        seen = self_status(c)
        same([seen.get(s) for s in CAP_SETS], [mask([])] * 5, "none at all")


@program
def process_capabilities_user():
    both = ["CAP_NET_BIND_SERVICE", "CAP_KILL"]
    with Container(capabilities={s: both for s in ("bounding", "effective", "permitted", "inheritable", "ambient")},
                   user={"uid": 1000, "gid": 1000}) as c:
        seen = self_status(c)
        same([seen.get(s) for s in CAP_SETS], [mask(both)] * 5,
             "a user keeps what is ambient")
    with Container(user={"uid": 1000, "gid": 1000}) as c:
        seen = self_status(c)
        same([seen.get(s) for s in ("CapPrm", "CapEff", "CapAmb")], [mask([])] * 3, "and otherwise nothing")


def receive_terminal(listener):
    """The descriptor that the runtime sends to the console socket."""
    listener.settimeout(10)
    connection, _ = listener.accept()
    numbers = array.array("i")
    with connection:
        _, control, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(numbers.itemsize))
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data[:numbers.itemsize])
    return numbers[0]


@program
def process_terminal():
    with Container("tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all three; ls -l /dev/console | cut -c1",
                   terminal=True, consoleSize={"height": 33, "width": 99}) as c:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(c.bundle + "/console")
            listener.listen(1)
            c.must(c.create("--console-socket", c.bundle + "/console"), "create")
            terminal = receive_terminal(listener)
        c.main = c.pid()
        c.must(c.start(), "start")
        said = b""
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:                                   # EIO: the other end has been closed
                break
            if not part:
                break
            said += part
        os.close(terminal)
        c.wait()
        seen = said.decode().replace("\r", "").splitlines()
        check(len(seen) == 4 and seen[0] in ("/dev/pts/0", "/dev/console"), "its own terminal", seen)
        same(seen[1:], ["33 99", "all three", "c"], "its size, standard descriptors and /dev/console")


@program
def process_no_console_socket():
    with Container(terminal=True) as c:
        check(c.create() != 0, "a terminal without a console socket is an error")


@program
def process_descriptors():
    with Container("ls /proc/self/fd | wc -l; ls /proc/1/fd") as c:
        same(c.lines()[1:4], ["0", "1", "2"], "nothing but the standard descriptors is open")
        check(len(c.log("stdout").split()) <= 5, "and no others", c.log("stdout"))


@program
def process_signals():
    with Container() as c:
        seen = self_status(c)
        same(seen.get("SigBlk"), "0" * 16, "no signal is blocked")
        check(int(seen.get("SigIgn", "1"), 16) & ~0x1000 == 0, "none is ignored", seen.get("SigIgn"))


@program
def process_session():
    with Container("cut -d' ' -f1,5,6 /proc/self/stat; echo $$") as c:
        seen = c.lines()
        same(seen[-1], "1", "the program is the first process of its namespace")
        same(seen[0].split()[2], "1", "and leads a session")


@program
def process_apparmor():
    if os.path.exists("/sys/kernel/security/apparmor"):
        skip("apparmorProfile", "this machine has AppArmor: not what is tested here")
        return
    with Container(apparmorProfile="no-such-profile") as c:
        refused(c, "a profile on a kernel without AppArmor is refused")


@program
def process_scheduler():
    with Container("cut -d' ' -f19,41 /proc/self/stat", scheduler={"policy": "SCHED_BATCH", "nice": 5}) as c:
        same(c.output(), "5 3", "scheduler")


@program
def process_io_priority():
    with Container("ionice -p $$", ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6}) as c:
        same(c.output(), "best-effort: prio 6", "ioPriority")


@program
def process_reaped():
    with Container("(sleep 0.2 &) ; sleep 0.1") as c:
        c.started().wait()
        check(eventually(lambda: c.status() == "stopped"), "it stops with its first process")
