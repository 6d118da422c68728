"""Mounts, the root directory, propagation, and the devices and files that every container has."""
import os
import stat

import oci
from oci import Container, check, program, refused, same


def mounted(c, destination):
    """Options, type and optional fields of a mount as /proc/self/mountinfo has it inside."""
    c.process["args"] = ["cat", "/proc/self/mountinfo"]
    for line in reversed(c.lines()):
        left, _, right = line.partition(" - ")
        fields = left.split()
        if fields[4] == destination:
            return set(fields[5].split(",")), right.split()[0], fields[6:], right.split()[2]
    return set(), None, [], ""


@program
def mounts_default():
    with Container() as c:
        c.process["args"] = ["cat", "/proc/self/mountinfo"]
        kinds = {line.split()[4]: line.partition(" - ")[2].split()[0] for line in c.lines()}
        for place, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"),
                            ("/dev/shm", "tmpfs")):
            same(kinds.get(place), kind, f"{place} is {kind}")


@program
def mounts_options():
    options = ("ro", "nosuid", "nodev", "noexec", "noatime")
    with Container() as c:
        c.mount("/data", "tmpfs", "tmpfs", *options, "size=64k", "mode=700")
        seen, kind, _, data = mounted(c, "/data")
        same(kind, "tmpfs", "a tmpfs")
        check(set(options) <= seen, "its options", seen)
        check("size=64k" in data and "mode=700" in data, "its data", data)
    with Container() as c:
        c.mount("/data", "tmpfs", "tmpfs", "ro", "rw", "nosuid", "suid", "relatime")
        seen = mounted(c, "/data")[0]
        check("rw" in seen and "nosuid" not in seen and "relatime" in seen, "a later option counts", seen)


@program
def mounts_bind():
    with Container("cat /deep/er/data/file && ls /deep/er/data/sub && ! touch /deep/er/data/x 2>/dev/null && echo ro") as c:
        source = c.bundle + "/source"
        os.makedirs(source + "/sub")
        with open(source + "/file", "w", encoding="utf-8") as file:
            file.write("text\n")
        c.mount("/deep/er/data", "bind", source, "bind", "ro")
        same(c.output(), "text\nro", "a read-only bind mount where nothing was")
    with Container("cat /data") as c:
        with open(c.bundle + "/file", "w", encoding="utf-8") as file:
            file.write("text\n")
        c.mount("/data", "none", c.bundle + "/file", "bind")
        same(c.output(), "text", "of one file")


@program
def mounts_rbind():
    def recursive(option):
        with Container("ls /data/sub") as c:
            source = c.bundle + "/source"
            os.makedirs(source + "/sub")
            oci.subprocess.run(["mount", "-t", "tmpfs", "x", source + "/sub"], check=True)
            try:
                open(source + "/sub/below", "wb").close()
                c.mount("/data", "bind", source, option)
                return c.output()
            finally:
                oci.subprocess.run(["umount", "-l", source + "/sub"], check=True)
    same(recursive("rbind"), "below", "rbind takes what is mounted below along")
    same(recursive("bind"), "", "bind does not")


@program
def mounts_relative_source():
    with Container("cat /data/file") as c:
        os.mkdir(c.bundle + "/beside")
        with open(c.bundle + "/beside/file", "w", encoding="utf-8") as file:
            file.write("here\n")
        c.mount("/data", "bind", "beside", "bind")
        same(c.output(), "here", "a relative source is relative to the bundle")


@program
def mounts_order():
    with Container("ls /a") as c:
        os.makedirs(c.bundle + "/source/one")
        c.mount("/a", "bind", c.bundle + "/source", "bind")
        c.mount("/a", "tmpfs", "tmpfs")
        same(c.output(), "", "in the order of the list: the later one covers the first")


@program
def mounts_symlink():
    with Container("ls /real") as c:
        os.mkdir(c.rootfs + "/real")
        os.symlink("/real", c.rootfs + "/link")
        os.makedirs(c.bundle + "/source/seen")
        c.mount("/link", "bind", c.bundle + "/source", "bind")
        same(c.output(), "seen", "a link is followed inside the root directory")
    with Container("ls /tmp/outside") as c:
        outside = c.bundle + "/outside"
        os.mkdir(outside)
        os.symlink("../../../../../.." + outside, c.rootfs + "/tmp/outside")
        c.mount("/tmp/outside/new", "tmpfs", "tmpfs")
        c.create()
        same(os.listdir(outside), [], "no link leads out of it")


@program
def mounts_errors():
    with Container() as c:
        c.mount("/data", "bind", c.bundle + "/missing", "bind")
        refused(c, "a source that isn't there is refused")
    with Container() as c:
        c.mount("/data", "nonsensefs", "x")
        refused(c, "a file system that doesn't exist is refused")


@program
def mounts_propagation():
    for option, wanted in (("private", []), ("shared", ["shared"]), ("rprivate", [])):
        with Container() as c:
            os.mkdir(c.bundle + "/source")
            c.mount("/data", "bind", c.bundle + "/source", "bind", option)
            fields = mounted(c, "/data")[2]
            same([f.split(":")[0] for f in fields], wanted, option)


@program
def mounts_recursive_attributes():
    with Container("touch /data/sub/x 2>/dev/null || echo ro") as c:
        source = c.bundle + "/source"
        os.makedirs(source + "/sub")
        oci.subprocess.run(["mount", "-t", "tmpfs", "x", source + "/sub"], check=True)
        try:
            c.mount("/data", "bind", source, "rbind", "rro")
            same(c.output(), "ro", "rro")
        finally:
            oci.subprocess.run(["umount", "-l", source + "/sub"], check=True)


@program
def mounts_tmpcopyup():
    with Container("cat /etc/passwd | cut -d: -f1; touch /etc/x && echo written") as c:
        c.mount("/etc", "tmpfs", "tmpfs", "tmpcopyup")
        same(c.output(), "root\nwritten", "tmpcopyup")
        check(not os.path.exists(c.rootfs + "/etc/x"), "the original stays as it is")


@program
def root_readonly():
    for on in (True, False):
        with Container("touch /written 2>/dev/null && echo yes || echo no") as c:
            c.config["root"]["readonly"] = on
            same(c.output(), "no" if on else "yes", f"readonly: {on}")


@program
def root_absolute():
    with Container("echo fine") as c:
        c.config["root"]["path"] = c.rootfs
        same(c.output(), "fine", "an absolute path")


@program
def root_propagation():
    for option, wanted in (("private", []), ("rprivate", []), ("slave", None), ("shared", ["shared"]),
                           ("unbindable", ["unbindable"])):
        with Container() as c:
            c.linux["rootfsPropagation"] = option
            fields = [f.split(":")[0] for f in mounted(c, "/")[2]]
            if wanted is None:                                # a slave of nobody is private
                check("shared" not in fields, option, fields)
            else:
                same(fields, wanted, option)
    with Container() as c:
        c.linux["rootfsPropagation"] = "nonsense"
        refused(c, "one that doesn't exist is refused")


@program
def masked_paths():
    with Container("cat /secret/file /alone; ls -a /secret | wc -l") as c:
        os.mkdir(c.rootfs + "/secret")
        for name in ("/secret/file", "/alone"):
            with open(c.rootfs + name, "w", encoding="utf-8") as file:
                file.write("text\n")
        c.linux["maskedPaths"] = ["/secret", "/alone", "/missing"]
        same(c.output(), "2", "directories and files are empty, what isn't there is ignored")


@program
def masked_paths_kinds():
    with Container("ls /link-target; cat /fifo & sleep 0.1; kill $! 2>/dev/null; echo end") as c:
        os.mkdir(c.rootfs + "/link-target")
        open(c.rootfs + "/link-target/file", "wb").close()
        os.mkfifo(c.rootfs + "/fifo")
        c.linux["maskedPaths"] = ["/link-target", "/fifo"]
        same(c.output(), "end", "a directory and a fifo")


@program
def readonly_paths():
    with Container("for p in /area/x /area/deep/x /alone; do echo y 2>/dev/null >$p && echo $p; done; cat /alone") as c:
        os.makedirs(c.rootfs + "/area/deep")
        with open(c.rootfs + "/alone", "w", encoding="utf-8") as file:
            file.write("text\n")
        c.linux["readonlyPaths"] = ["/area", "/alone", "/missing"]
        same(c.output(), "text", "nothing can be written there")


@program
def default_devices():
    wanted = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
    with Container("cd /dev; for n in null zero full random urandom tty; do stat -c '%n %t %T %a %F' $n; done;"
                   "for n in fd stdin stdout stderr ptmx; do echo $n $(readlink $n); done") as c:
        seen = [line.split(" ") for line in c.lines()]
        for name, (major, minor) in wanted.items():
            found = [s for s in seen if s[0] == name]
            same(found and found[0][1:4], [f"{major:x}", f"{minor:x}", "666"], f"/dev/{name}")
        links = {s[0]: s[1] for s in seen if len(s) == 2}
        for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                             ("stderr", "/proc/self/fd/2")):
            same(links.get(name), target, f"/dev/{name}")
        check(links.get("ptmx") in ("pts/ptmx", "/dev/pts/ptmx"), "/dev/ptmx", links)


@program
def default_devices_work():
    with Container("echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 5 /dev/urandom | wc -c;"
                   "echo x 2>/dev/null >/dev/full || echo full") as c:
        same(c.output(), "3\n5\nfull", "they can be used, though the list allows none")


@program
def devices():
    with Container("cd /dev; for n in own block pipe sub/deep; do stat -c '%n %t %T %a %u %g %F' $n; done") as c:
        c.linux["devices"] = [
            {"path": "/dev/own", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 6},
            {"path": "/dev/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 1, "gid": 2},
            {"path": "/dev/sub/deep", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666}]
        same(c.lines(), ["own 1 5 640 5 6 character special file", "block 7 0 600 0 0 block special file",
                         "pipe 0 0 622 1 2 fifo", "sub/deep 1 3 666 0 0 character special file"],
             "number, mode, owner and kind")


@program
def devices_outside_dev():
    with Container("stat -c %F /var/null") as c:
        c.linux["devices"] = [{"path": "/var/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
        same(c.output(), "character special file", "a device elsewhere")
        check(not os.path.exists(c.rootfs + "/var/null")
              or stat.S_ISCHR(os.stat(c.rootfs + "/var/null").st_mode), "it is one on the host, too")


@program
def cgroup_mount():
    with Container("ls /sys/fs/cgroup; touch /sys/fs/cgroup/x 2>/dev/null || echo ro") as c:
        c.mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev", "relatime")
        seen = c.output().split()
        check("ro" in seen, "cannot be written to", seen)
        check({"pids", "memory"} <= set(seen) or "cgroup.procs" in seen, "has the hierarchies", seen)


@program
def cgroup_mount_own():
    with Container("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null") as c:
        c.namespace("cgroup")
        c.linux["resources"]["pids"] = {"limit": 77}
        c.mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev")
        same(c.output(), "77", "with a cgroup namespace its root is the container's own")
