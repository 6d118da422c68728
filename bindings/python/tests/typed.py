"""Right and wrong uses, for checkers alone: mypy --strict and pyright find the errors that are marked, and no others."""

import asyncio
from typing import TYPE_CHECKING, Iterator, Optional

import conex
from conex import aio
from conex.pytest_plugin import Service, Start

if TYPE_CHECKING:
    from typing_extensions import assert_type


def right(cx: conex.Context) -> None:
    r = conex.run(["true"], image="busybox", memory="64M", cpus=0.5, timeout=2.5, env={"A": "b"}, stdout=conex.PIPE, text=True)
    assert_type(r, conex.Completed)
    assert_type(r.exit.memory_peak, int)
    with cx.start("postgres:16", ports=["127.0.0.1::5432"], network="bridge", labels={"role": "db"}) as c:
        assert_type(c, conex.Container)
        assert_type(c.port(5432), "tuple[str, int]")
        assert_type(c.stats().memory_anon, Optional[int])
        c.exec(["true"], user="7:8", check=True)
        c.update(memory=1 << 20, pids="max")
    plan = cx.plan("busybox", ["true"], read_only=True, mounts=["tmpfs:/tmp", {"source": "/srv", "target": "/data"}])
    plan.run(input=b"x", id="one")
    job = cx.images.pull("busybox", platform="linux/arm64", limits={"depth": 10})
    assert_type(job.result(), str)


def wrong(cx: conex.Context, c: conex.Container) -> None:
    conex.run(["true"], imagee="busybox")               # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    conex.run(["true"], image=7)                        # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cx.start(["true"], memory=["64M"])                  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cx.plan(["true"], id="a-launch's")                  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    c.exec(["true"], network="bridge")                  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    c.update(memry="64M")                               # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cx.images.pull("busybox", plainhttp=True)           # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    c.nonsense()                                        # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def awaited() -> None:
    async with aio.open(store="/srv/store") as cx:
        c = await cx.start(["true"], image="busybox", stdout=conex.PIPE)
        assert_type(c.stdout, Optional[aio.Reader])
        assert_type(await c.wait(), conex.Exit)
        await cx.run(["true"], checks=True)             # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        c.nonsense()                                    # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        assert_type((await c.exec(["true"])).returncode, int)
        assert_type(await cx.images.pull("busybox").result(), str)


def service(conex_service: Start) -> Iterator[Service]:
    s = conex_service("redis:7", network="bridge", health={"port": 6379}, ready=10)
    assert_type(s.port(6379), "tuple[str, int]")
    conex_service("redis:7", helth={"port": 6379})      # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    yield s


if TYPE_CHECKING:
    asyncio.run(awaited())
