"""A thousand of everything, and this process is as it was: descriptors, children, memory, Python's objects; and the machine.

CONEX_PYTHON_CYCLES says how many: fewer under a sanitizer.
"""

import asyncio
import gc
import os
import sys
import time
import weakref
from pathlib import Path

import pytest

import conex
from conex import aio
from conftest import descriptors

CYCLES = int(os.environ.get("CONEX_PYTHON_CYCLES", "1000"))


def resident():
    """Bytes, as the kernel counts them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children():
    return sum(len(p.read_text().split()) for p in Path("/proc/self/task").glob("*/children"))


def groups(cx):
    """Cgroups of containers of this context, in whatever hierarchy."""
    ids = cx.containers.ids()
    return [str(p) for id in ids for p in Path("/sys/fs/cgroup").glob(f"*/conex/*{id}*")]


def state(cx):
    list(cx.events(0))
    gc.collect()
    return {"descriptors": descriptors(), "children": children(), "objects": len(gc.get_objects()), "blocks": sys.getallocatedblocks(),
            "resident": resident(), "containers": len(cx.containers.ids()), "cgroups": len(groups(cx))}


def leaves_nothing(cx, cycle, count):
    for _ in range(min(50, count)):
        cycle()
    before = state(cx)
    for n in range(count):
        cycle()
        if n % 100 == 99:
            list(cx.events(0))
    after = state(cx)
    for name in ("descriptors", "children", "containers", "cgroups"):
        assert after[name] <= before[name], name
    assert after["objects"] < before["objects"] + 100
    assert after["blocks"] < before["blocks"] + 1000                # less than one a cycle
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):           # which keeps what was freed
        assert after["resident"] < before["resident"] + (6 << 20)   # 6 KiB a cycle would be that


def run(cx, root):
    r = cx.run(["/bin/sh", "-c", "cat; echo err >&2; exit 3"], rootfs=root, input="in", env={"A": "b"}, capture_output=True, text=True,
               memory="64M", mounts=["tmpfs:/tmp"])
    assert (r.stdout, r.stderr, r.returncode) == ("in", "err\n", 3)


def streams(cx, root):
    with cx.start(["/bin/cat"], rootfs=root, stdin=conex.PIPE, stdout=conex.PIPE) as c:
        assert c.communicate(b"x") == (b"x", None)


def killed(cx, root):
    with cx.start(["/bin/sleep", "1000"], rootfs=root, stdout=conex.PIPE) as c:     # a pipe that nobody reads
        assert c.stats().pids and c.inspect()["id"] == c.id


def plan(cx, root):
    with cx.plan(["/bin/true"], rootfs=root).start() as c:
        c.wait()


def failed(cx, root):
    for options in ({"rootfs": "/nowhere"}, {"rootfs": root, "oci": "{"}, {"rootfs": root, "network": "no-such-network"}):
        with pytest.raises(conex.Error):
            cx.run(["/bin/true"], **options)
    with pytest.raises(conex.NotFoundError):
        cx.run(["/bin/nope"], rootfs=root)
    with pytest.raises(conex.CalledProcessError):
        cx.run(["/bin/false"], rootfs=root, check=True)
    spec = conex.Spec()
    with pytest.raises(conex.Error):
        spec.merge("{").get("/nothing")


@pytest.mark.parametrize("work", [run, streams, killed, plan, failed], ids=lambda f: f.__name__)
def test_a_thousand(cx, root, work):
    leaves_nothing(cx, lambda: work(cx, root), CYCLES if work is streams else max(1, CYCLES // 4))


def test_a_thousand_executed(cx, root):
    with cx.start(["/bin/sleep", "1000"], rootfs=root) as c:
        def work():
            assert c.exec(["/bin/cat"], input=b"x", capture_output=True).stdout == b"x"
            with pytest.raises(conex.NotFoundError):
                c.exec(["/bin/nope"])
        leaves_nothing(cx, work, max(1, CYCLES // 4))


def test_awaited(root):
    async def main():
        async with aio.open() as cx:
            async def work():
                r = await cx.run(["/bin/cat"], rootfs=root, input=b"x", capture_output=True)
                assert r.stdout == b"x"
            for _ in range(20):
                await work()
            while await cx.next_event(0.01):
                pass
            before = state(cx.sync)
            for _ in range(max(1, CYCLES // 4)):
                await work()
            while await cx.next_event(0.01):
                pass
            after = state(cx.sync)
            for name in ("descriptors", "children", "containers", "cgroups"):
                assert after[name] <= before[name], name
            assert after["objects"] < before["objects"] + 100 and after["blocks"] < before["blocks"] + 1000
    asyncio.run(main())


def test_answers(cx, root):
    """A thousand system calls, answered in every way; exceptions in handlers, too."""
    ways = [lambda call: call.fail("EACCES"), lambda call: call.ret(0), lambda call: call.proceed(), lambda call: None,
            lambda call: call.string(call.args[0])]
    asked = []

    def mkdir(call):
        asked.append(call.name)
        ways[len(asked) % len(ways)](call)

    def work():
        cx.run(["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do mkdir /tmp/$i; done"], rootfs=root, ask={"mkdir": mkdir},
               mounts=["tmpfs:/tmp"])
    leaves_nothing(cx, work, max(1, CYCLES // 20))
    assert len(asked) >= max(1, CYCLES // 20) * 10


def test_contexts(root):
    """A hundred contexts, each with its keeper, closed or only forgotten."""
    before = descriptors()
    for n in range(max(4, CYCLES // 10)):
        cx = conex.open()
        c = cx.start(["/bin/sleep", "1000"], rootfs=root)
        keeper, pid = cx.keeper_pid, c.pid
        if n % 2:
            cx.close()
            del cx, c
        else:
            with pytest.warns(ResourceWarning, match="was not closed"):
                del cx, c
                gc.collect()
        assert not os.path.exists(f"/proc/{pid}")
        end = time.monotonic() + 10
        while os.path.exists(f"/proc/{keeper}/exe") and time.monotonic() < end:
            time.sleep(0.005)
        assert not os.path.exists(f"/proc/{keeper}/exe")
    assert descriptors() == before and children() == 0


def test_references(cx, root):
    """Objects go when nobody has them, also those that know one another."""
    c = cx.start(["/bin/sleep", "1000"], rootfs=root)
    p = c.popen(["/bin/sleep", "1000"])
    c.circle = [p, c]
    seen = [weakref.ref(c), weakref.ref(p)]
    id = c.id
    del c, p
    gc.collect()
    assert [r() for r in seen] == [None, None]
    again = cx.containers.get(id)                   # a handle that goes changes nothing
    assert again.state == "running" and again.delete()


def test_late_answers(root):
    """Calls that are kept beyond their context, or that nobody answers any more."""
    cx = conex.open()
    c = cx.start(["/bin/mkdir", "/tmp/x"], rootfs=root, ask=["mkdir"])
    call = next(e.syscall for e in cx.events(10) if e.syscall)
    assert not call.answered
    cx.close()
    assert call.answered
    with pytest.raises(ValueError, match="answered already"):
        call.fail("EPERM")
    del call, c
    with conex.open() as cx:
        with cx.start(["/bin/sh", "-c", "mkdir /tmp/x; exit 7"], rootfs=root, ask=["mkdir"], stderr=conex.PIPE, text=True) as c:
            for e in cx.events(10):
                if e.syscall:
                    break
            del e                                   # refused, since nobody can answer it now
            gc.collect()
            assert c.wait(10).code == 7 and "not permitted" in c.stderr.read()
