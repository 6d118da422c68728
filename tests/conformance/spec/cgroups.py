"""Limits: what the configuration asks for is what the kernel's files then say."""
import json
import os
import subprocess

import oci
from oci import SLEEP, Container, check, program, same, skip

MIB = 1 << 20
UNIFIED = not os.path.isdir(oci.CGROUPS + "/memory")


def has(controller):
    return UNIFIED or os.path.isdir(f"{oci.CGROUPS}/{controller}")


def limited(**resources):
    c = Container(SLEEP)
    c.linux["resources"].update(resources)
    return c


def expect(c, controller, file, wanted, file2=None, wanted2=None):
    """The file of version 1, or that of version 2."""
    name, value = (file2 or file, wanted2 or wanted) if UNIFIED else (file, wanted)
    same(c.cgroup(controller, name), value, f"{name} is {value}")


@program
def cgroups_path():
    with limited() as c:
        c.started()
        with open(f"/proc/{c.main}/cgroup", encoding="utf-8") as file:
            places = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}
        for controller in ("devices", "pids", "memory", "freezer"):
            if controller in places:
                same(places[controller], c.group, f"cgroupsPath for {controller}")
        if UNIFIED:
            same(places[""], c.group, "cgroupsPath")


@program
def cgroups_memory():
    with limited(memory={"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 64 * MIB}) as c:
        c.started()
        expect(c, "memory", "memory.limit_in_bytes", str(64 * MIB), "memory.max")
        expect(c, "memory", "memory.soft_limit_in_bytes", str(32 * MIB), "memory.low")


@program
def cgroups_memory_swappiness():
    if UNIFIED:
        skip("swappiness", "version 2 has none")
        return
    with limited(memory={"limit": 64 * MIB, "swappiness": 50}) as c:
        c.started()
        expect(c, "memory", "memory.swappiness", "50")


@program
def cgroups_memory_enforced():
    with Container("head -c 60m /dev/zero | tail >/dev/null; echo $?") as c:
        c.linux["resources"]["memory"] = {"limit": 24 * MIB}
        c.started().wait()
        check(c.log("stdout").strip() in ("137", ""), "what needs more is killed", c.log("stdout"))


@program
def cgroups_cpu():
    with limited(cpu={"shares": 512, "quota": 50000, "period": 100000}) as c:
        c.started()
        if UNIFIED:
            same(c.cgroup("cpu", "cpu.max"), "50000 100000", "cpu.max")
        else:
            expect(c, "cpu", "cpu.shares", "512")
            expect(c, "cpu", "cpu.cfs_quota_us", "50000")
            expect(c, "cpu", "cpu.cfs_period_us", "100000")


@program
def cgroups_cpuset():
    with limited(cpu={"cpus": "0", "mems": "0"}) as c:
        c.started()
        expect(c, "cpuset", "cpuset.cpus", "0")
        expect(c, "cpuset", "cpuset.mems", "0")


@program
def cgroups_pids():
    with limited(pids={"limit": 33}) as c:
        c.started()
        expect(c, "pids", "pids.max", "33")
    with Container("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done 2>&1 | head -n 1 | grep -o fork; true") as c:
        c.linux["resources"]["pids"] = {"limit": 4}
        c.started().wait()
        check("fork" in c.log("stdout") + c.log("stderr"), "the limit is enforced", c.log("stdout"))


@program
def cgroups_pids_unlimited():
    with limited(pids={"limit": -1}) as c:
        c.started()
        expect(c, "pids", "pids.max", "max")


@program
def cgroups_blkio_throttle():
    name = next((n for n in sorted(os.listdir("/sys/block"))), None)
    if not name or not has("blkio"):
        skip("blockIO", "no block device, or no controller")
        return
    with open(f"/sys/block/{name}/dev", encoding="utf-8") as file:
        major, minor = file.read().strip().split(":")
    with limited(blockIO={"throttleReadBpsDevice": [{"major": int(major), "minor": int(minor), "rate": 1024000}]}) as c:
        c.started()
        seen = c.cgroup("blkio", "io.max" if UNIFIED else "blkio.throttle.read_bps_device") or ""
        check(f"{major}:{minor}" in seen and "1024000" in seen, "throttleReadBpsDevice", seen)


@program
def cgroups_blkio_empty():
    with limited(blockIO={}) as c:
        c.started()
        same(c.status(), "running", "an empty blockIO asks for nothing")


@program
def cgroups_hugetlb():
    if not has("hugetlb"):
        skip("hugepageLimits", "no controller")
        return
    with limited(hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}]) as c:
        c.started()
        expect(c, "hugetlb", "hugetlb.2MB.limit_in_bytes", str(4 * MIB), "hugetlb.2MB.max")


@program
def cgroups_network():
    if UNIFIED or not has("net_cls") or not has("net_prio"):
        skip("network", "no controllers net_cls and net_prio")
        return
    with limited(network={"classID": 1048577, "priorities": [{"name": "lo", "priority": 10}]}) as c:
        c.started()
        expect(c, "net_cls", "net_cls.classid", "1048577")
        check("lo 10" in (c.cgroup("net_prio", "net_prio.ifpriomap") or ""), "the priority of lo",
              c.cgroup("net_prio", "net_prio.ifpriomap"))


@program
def cgroups_devices():
    rules = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}]
    with Container("exec 3</dev/zero && echo zero; (exec 3</dev/kmsg) 2>/dev/null || echo kmsg refused") as c:
        c.linux["resources"]["devices"] = rules
        c.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
        same(c.output(), "zero\nkmsg refused", "what the list denies cannot be opened")
    with Container("(exec 3</dev/kmsg) 2>/dev/null && echo kmsg opened") as c:
        c.linux["resources"]["devices"] = rules + [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rwm"}]
        c.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
        c.process["capabilities"] = {s: ["CAP_SYSLOG"] for s in ("bounding", "effective", "permitted")}
        same(c.output(), "kmsg opened", "what it allows can")


@program
def cgroups_relative():
    """A runtime may put a relative path where it likes: runc takes the caller's own cgroup for its
    parent. In the memory hierarchy that may be someone else's, so here there is none."""
    if not UNIFIED:
        oci.private_mounts()
        subprocess.run(["umount", "-l", oci.CGROUPS + "/memory"], check=True)
    places = []
    for _ in range(2):
        with Container(SLEEP) as c:
            c.linux["cgroupsPath"] = f"{oci.GROUP.strip('/')}-relative"
            c.started()
            with open(f"/proc/{c.main}/cgroup", encoding="utf-8") as file:
                places.append([line.strip().split(":", 2)[2] for line in file if ":pids:" in line or UNIFIED])
    check(places[0] and places[0][0].endswith("-relative"), "the path ends with it", places[0])
    same(places[0], places[1], "a second time it is the same")


@program
def cgroups_update():
    with limited(pids={"limit": 33}, memory={"limit": 64 * MIB, "swap": 64 * MIB}) as c:
        c.started()
        path = c.bundle + "/resources.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"pids": {"limit": 44}, "memory": {"limit": 48 * MIB}}, file)
        same(c.call("update", "--resources", path, c.id), 0, "update")
        expect(c, "pids", "pids.max", "44")
        expect(c, "memory", "memory.limit_in_bytes", str(48 * MIB), "memory.max")


@program
def cgroups_join_existing():
    """A cgroup that is there already is used, and joined."""
    path = ""
    try:
        with limited(pids={"limit": 33}) as c:
            path = f"{oci.CGROUPS}{'' if UNIFIED else '/pids'}{c.group}"
            os.makedirs(path)
            c.started()
            expect(c, "pids", "pids.max", "33")
    finally:
        if os.path.isdir(path):
            os.rmdir(path)
