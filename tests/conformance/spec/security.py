"""System calls that a filter refuses, and labels of security modules."""
import os

from oci import Container, check, program, refused, same, skip

ARCHITECTURE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def filtered(script, *rules, **more):
    c = Container(script)
    c.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW",
                          "architectures": [ARCHITECTURE[os.uname().machine]], "syscalls": list(rules), **more}
    return c


def rule(*names, action="SCMP_ACT_ERRNO", **more):
    return {"names": list(names), "action": action, **more}


MKDIR = ("mkdir", "mkdirat")


@program
def seccomp_errno():
    with filtered("mkdir /tmp/x 2>&1 | sed 's/.*: //'; ls /tmp | wc -l", rule(*MKDIR)) as c:
        same(c.lines(), ["Operation not permitted", "0"], "SCMP_ACT_ERRNO is EPERM")
    with filtered("mkdir /tmp/x 2>&1 | sed 's/.*: //'", rule(*MKDIR, errnoRet=30)) as c:
        same(c.output(), "Read-only file system", "errnoRet")


@program
def seccomp_kill():
    with filtered("mkdir /tmp/x; echo $?", rule(*MKDIR, action="SCMP_ACT_KILL_PROCESS")) as c:
        same(c.output(), "159", "SCMP_ACT_KILL_PROCESS ends it with SIGSYS")


@program
def seccomp_arguments():
    with filtered("chmod 700 /tmp && echo first; chmod 1 /tmp 2>/dev/null || echo second",
                  rule("chmod", args=[{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]),
                  rule("fchmodat", args=[{"index": 2, "value": 1, "op": "SCMP_CMP_EQ"}])) as c:
        same(c.output(), "first\nsecond", "a rule for one value of an argument")


@program
def seccomp_default():
    with filtered("echo never", defaultAction="SCMP_ACT_KILL_PROCESS") as c:
        code = c.create()
        if code == 0:
            c.start()
        check("never" not in c.log("stdout"), "a filter that allows nothing lets nothing run")


@program
def seccomp_unknown_name():
    with filtered("echo fine", rule("no_such_system_call")) as c:
        same(c.output(), "fine", "a name that this kernel doesn't have is ignored")


@program
def seccomp_errors():
    with filtered("true", rule("mkdir", action="SCMP_ACT_NONSENSE")) as c:
        refused(c, "an action that doesn't exist is refused")
    with filtered("true", defaultAction="NONSENSE") as c:
        refused(c, "as a default, too")
    with filtered("true", architectures=["NONSENSE"]) as c:
        refused(c, "an architecture that doesn't exist is refused")


@program
def seccomp_without_no_new_privileges():
    with filtered("mkdir /tmp/x 2>/dev/null || echo refused; grep Seccomp: /proc/self/status", rule(*MKDIR)) as c:
        c.process["noNewPrivileges"] = False
        same(c.output().split(), ["refused", "Seccomp:", "2"], "a filter without noNewPrivileges")


@program
def selinux_labels():
    if os.path.exists("/sys/fs/selinux/enforce"):
        skip("labels", "this machine has SELinux: not what is tested here")
        return
    with Container("echo fine") as c:
        c.linux["mountLabel"] = ""
        c.process.update(selinuxLabel="", apparmorProfile="")
        same(c.output(), "fine", "empty labels are none")
