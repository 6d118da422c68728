"""Namespaces: new, joined, the host's; mappings; what belongs to them (names, sysctl, clocks)."""
import os
import subprocess

import oci
from oci import Container, check, program, refused, same

FILES = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup",
         "user": "user", "time": "time"}
MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def own(kind):
    return os.readlink(f"/proc/self/ns/{FILES[kind]}")


def inside(c, kind):
    c.process["args"] = ["readlink", f"/proc/self/ns/{FILES[kind]}"]
    return c.output()


def give_to_user(c):
    c.linux.update(uidMappings=MAPS, gidMappings=MAPS)
    for path, _, files in os.walk(c.bundle):
        for name in [path] + [f"{path}/{file}" for file in files]:
            os.lchown(name, 100000, 100000)
    os.chmod(c.bundle, 0o755)


@program
def namespaces_new():
    for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup"):
        with Container() as c:
            c.namespace(kind)
            got = inside(c, kind)
            check(got.startswith(FILES[kind] + ":") and got != own(kind), f"a new {kind} namespace", got)


@program
def namespaces_absent():
    for kind in ("network", "ipc", "uts", "cgroup", "user"):
        with Container() as c:
            c.namespace(kind, False)
            if kind == "uts":
                del c.config["hostname"]
            same(inside(c, kind), own(kind), f"without one it is the host's {kind} namespace")


@program
def namespaces_pid_absent():
    with Container("test $$ != 1 && echo other") as c:
        c.namespace("pid", False)
        same(c.output(), "other", "without a pid namespace the program is not the first")


def sleeper(kind):
    flags = {"network": "--net", "ipc": "--ipc", "uts": "--uts", "cgroup": "--cgroup"}
    done = subprocess.Popen(["unshare", flags[kind], "sleep", "60"])
    oci.eventually(lambda: os.readlink(f"/proc/{done.pid}/ns/{FILES[kind]}") != own(kind))
    return done


@program
def namespaces_path():
    for kind in ("network", "ipc", "uts", "cgroup"):
        other = sleeper(kind)
        path = f"/proc/{other.pid}/ns/{FILES[kind]}"
        wanted = os.readlink(path)
        try:
            with Container() as c:
                c.namespace(kind, path)
                if kind == "uts":
                    del c.config["hostname"]
                same(inside(c, kind), wanted, f"joins a {kind} namespace")
        finally:
            other.kill()
            other.wait()


@program
def namespaces_pid_path():
    with Container(oci.SLEEP) as first, Container() as c:
        first.started()
        c.namespace("pid", f"/proc/{first.main}/ns/pid")
        same(inside(c, "pid"), os.readlink(f"/proc/{first.main}/ns/pid"), "joins a pid namespace")


@program
def namespaces_path_errors():
    with Container() as c:
        c.namespace("network", "/proc/self/ns/ipc")
        refused(c, "a path to another kind of namespace is refused")
    with Container() as c:
        c.namespace("network", "/missing/namespace")
        refused(c, "a path that doesn't exist is refused")
    with Container() as c:
        c.namespace("network", "/etc/passwd")
        refused(c, "a file that is no namespace is refused")


@program
def namespaces_twice():
    with Container() as c:
        c.linux["namespaces"].append({"type": "network"})
        refused(c, "the same namespace twice is refused")


@program
def namespaces_unknown():
    with Container() as c:
        c.linux["namespaces"].append({"type": "nonsense"})
        refused(c, "a kind that doesn't exist is refused")


@program
def user_namespace():
    with Container("cat /proc/self/uid_map /proc/self/gid_map; id -u") as c:
        c.namespace("user")
        give_to_user(c)
        seen = [line.split() for line in c.lines()]
        same(seen, [["0", "100000", "65536"]] * 2 + [["0"]], "the mappings")


@program
def user_namespace_owner():
    with Container(oci.SLEEP) as c:
        c.namespace("user")
        give_to_user(c)
        c.started()
        same(os.stat(f"/proc/{c.main}").st_uid, 100000, "outside, the program runs as the mapped user")


@program
def user_namespace_fail():
    with Container() as c:
        c.linux["uidMappings"] = c.linux["gidMappings"] = MAPS
        refused(c, "mappings without a user namespace are refused")


@program
def hostname():
    with Container("hostname") as c:
        c.config["hostname"] = "some-name"
        same(c.output(), "some-name", "the host's name")
    with Container() as c:
        c.namespace("uts", False)
        refused(c, "a name without a uts namespace is refused")


@program
def domainname():
    with Container("cat /proc/sys/kernel/domainname") as c:
        c.config["domainname"] = "example.org"
        same(c.output(), "example.org", "the domain's name")


@program
def sysctl():
    with Container("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax") as c:
        c.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}
        same(c.lines(), ["1", "4096"], "values")
    with Container() as c:
        c.linux["sysctl"] = {"kernel.panic": "0"}
        refused(c, "what belongs to no namespace is refused")
    with Container() as c:
        c.namespace("network", False)
        c.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
        refused(c, "what belongs to the host's namespace is refused")


@program
def network_loopback():
    with Container("ip addr show lo") as c:
        check("127.0.0.1/8" in c.output(), "the loopback interface is up", c.log("stdout"))


@program
def time_namespace():
    with Container("cut -d. -f1 /proc/uptime") as c:
        c.namespace("time")
        c.linux["timeOffsets"] = {"boottime": {"secs": 1000000}}
        check(int(c.output() or 0) > 1000000, "the clock since boot is ahead", c.log("stdout"))


@program
def personality():
    with Container("uname -m") as c:
        c.linux["personality"] = {"domain": "LINUX32"}
        same(c.output(), "i686", "LINUX32")
