"""The awaitable half, under asyncio, uvloop and Trio."""

import asyncio
import os
import threading

import pytest

import conex
from conex import aio


def with_asyncio(work):
    return asyncio.run(work)


def with_uvloop(work):
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def with_trio(work):
    trio = pytest.importorskip("trio")

    async def main():
        return await work
    return trio.run(main)


@pytest.fixture(params=[with_asyncio, with_uvloop, with_trio], ids=["asyncio", "uvloop", "trio"])
def run(request):
    before = threading.active_count()
    yield request.param
    assert threading.active_count() == before


async def together(*works):
    """asyncio.gather, and Trio's nursery."""
    from conex._loop import _trio

    trio = _trio()
    if not trio:
        return await asyncio.gather(*works)
    results = [None] * len(works)

    async def one(n):
        results[n] = await works[n]
    async with trio.open_nursery() as nursery:
        for n in range(len(works)):
            nursery.start_soon(one, n)
    return results


def test_twenty_side_by_side(run, root):
    async def work(cx, n):
        async with await cx.start(["/bin/sh", "-c", f"for i in 1 2 3; do echo {n}.$i; sleep 0.02; done; exit {n}"], rootfs=root,
                                  stdout=conex.PIPE, stderr=conex.STDOUT, text=True) as c:
            lines = [line async for line in c.stdout]
            return lines, (await c.wait()).status

    async def main():
        async with aio.open() as cx:
            return await together(*(work(cx, n) for n in range(20)))
    assert run(main()) == [([f"{n}.1\n", f"{n}.2\n", f"{n}.3\n"], n) for n in range(20)]


def test_run(run, root):
    async def main():
        async with aio.open() as cx:
            r = await cx.run(["/bin/sh", "-c", "cat; echo err >&2; exit 3"], rootfs=root, input="in", capture_output=True, text=True)
            assert (r.stdout, r.stderr, r.returncode) == ("in", "err\n", 3)
            with pytest.raises(conex.NotFoundError) as e:
                await cx.run(["/bin/nope"], rootfs=root)
            assert e.value.stage == "exec"
            with pytest.raises(conex.TimeoutExpired) as t:
                await cx.run(["/bin/sleep", "99"], rootfs=root, timeout=1, check=True)
            assert t.value.exit.cause == "timeout"
            with pytest.raises(conex.CalledProcessError):
                await cx.run(["/bin/false"], rootfs=root, check=True)
            with pytest.raises(conex.InvalidError):
                await cx.start(["/bin/true"], rootfs=root, id="no/slash")
    run(main())


def test_streams(run, root):
    async def main():
        async with aio.open() as cx:
            async with await cx.start(["/bin/cat"], rootfs=root, stdin=conex.PIPE, stdout=conex.PIPE, text=True) as c:
                await c.stdin.write("line\n")
                assert await c.stdout.readline() == "line\n"
                await c.stdin.write("rest")
                c.stdin.close()
                assert await c.stdout.read() == "rest" and await c.stdout.readline() == ""
                assert (await c.wait()).code == 0
            data = os.urandom(1 << 20)
            async with await cx.start(["/bin/cat"], rootfs=root, stdin=conex.PIPE, stdout=conex.PIPE) as c:
                assert await c.communicate(data) == (data, None)
            async with await cx.start(["/bin/true"], rootfs=root, stdin=conex.PIPE) as c:
                assert await c.communicate(data) == (None, None)
    run(main())


def test_exec_pause_stop(run, root):
    async def main():
        async with aio.open() as cx:
            async with await cx.start(["/bin/sleep", "1000"], rootfs=root) as c:
                r = await c.exec(["/bin/sh", "-c", "echo x; exit 4"], capture_output=True)
                assert (r.stdout, r.returncode) == (b"x\n", 4)
                with pytest.raises(conex.NotFoundError):
                    await c.exec(["/bin/nope"])
                p = await c.popen(["/bin/cat"], stdin=conex.PIPE, stdout=conex.PIPE)
                assert await p.communicate(b"y") == (b"y", None)
                with pytest.raises(conex.TimeoutExpired):
                    await c.wait(0.02)
                assert await c.pause(10) and c.state == "paused"
                c.resume()
                await c.wait_for(exec=["/bin/true"])
                assert c.stats().pids == 1 and c.id and c.pid
                c.kill()
                assert (await c.wait()).signal == 9
            assert c.state == "deleted"
    run(main())


def test_cancelled(root):
    async def main():
        async with aio.open() as cx:
            c = await cx.start(["/bin/sleep", "1000"], rootfs=root)
            waits = [asyncio.ensure_future(c.wait()) for _ in range(3)]
            await asyncio.sleep(0.05)
            waits[0].cancel()               # who reads for all
            await asyncio.sleep(0.05)
            c.kill()
            assert (await waits[1]).signal == 9 and (await waits[2]).signal == 9
            with pytest.raises(asyncio.CancelledError):
                await waits[0]
            await c.delete()
            task = asyncio.ensure_future(cx.run(["/bin/sleep", "1000"], rootfs=root, id="cancelled"))
            while "cancelled" not in cx.containers.ids():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert cx.containers.ids() == []
    asyncio.run(main())


def test_broker(run, root):
    async def main():
        asked = []

        async def slow(call):
            await together(*[])  # a point at which others run
            asked.append(call.name)
            call.fail("ENOSPC")

        def wrong(call):
            raise LookupError
        async with aio.open() as cx:
            r = await cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": slow}, capture_output=True, text=True)
            assert "No space" in r.stderr and asked == ["mkdir"]
            r = await cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": lambda call: call.fail(13)}, capture_output=True, text=True)
            assert "ermission" in r.stderr
            with pytest.raises(LookupError):
                await cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": wrong})
    run(main())


def test_events_and_plans(run, root):
    async def main():
        async with aio.open() as cx:
            plan = await cx.plan(["/bin/sh", "-c", "echo $0"], rootfs=root)
            rs = await together(*(plan.run(["/bin/sh", "-c", f"echo {n}"], capture_output=True, text=True) for n in range(10)))
            assert [r.stdout for r in rs] == [f"{n}\n" for n in range(10)]
            types = set()
            while (e := await cx.next_event(0.05)) is not None:
                types.add(e.type)
            assert types == {"started", "exited", "deleted"}
    run(main())
