"""What conex.aio needs of an event loop: asyncio's (uvloop's) or Trio's, whichever runs. No threads, no tasks of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Awaitable, Callable, Optional, TypeVar

T = TypeVar("T")


def _trio() -> Any:
    """Trio's module where it is what runs; else None."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    import sniffio  # Trio brings it

    try:
        return trio if sniffio.current_async_library() == "trio" else None
    except sniffio.AsyncLibraryNotFoundError:
        return None


def event() -> Any:
    trio = _trio()
    return trio.Event() if trio else asyncio.Event()


async def sleep(seconds: float) -> None:
    trio = _trio()
    await (trio or asyncio).sleep(seconds)


async def readable(fd: int) -> None:
    trio = _trio()
    if trio:
        await trio.lowlevel.wait_readable(fd)
    else:
        loop = asyncio.get_running_loop()
        await _asyncio(lambda f: loop.add_reader(fd, f), lambda: loop.remove_reader(fd))


async def writable(fd: int) -> None:
    trio = _trio()
    if trio:
        await trio.lowlevel.wait_writable(fd)
    else:
        loop = asyncio.get_running_loop()
        await _asyncio(lambda f: loop.add_writer(fd, f), lambda: loop.remove_writer(fd))


async def _asyncio(add: Callable[[Callable[[], None]], Any], remove: Callable[[], Any]) -> None:
    ready: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()

    def is_ready() -> None:
        if not ready.done():
            ready.set_result(None)
    add(is_ready)
    try:
        await ready
    finally:
        remove()


async def within(seconds: Optional[float], work: Callable[[], Awaitable[T]]) -> Optional[T]:
    """What work returns; None: it was cancelled after so many seconds."""
    if seconds is None:
        return await work()
    trio = _trio()
    if trio:
        with trio.move_on_after(seconds):
            return await work()
        return None
    try:
        return await asyncio.wait_for(work(), seconds)
    except asyncio.TimeoutError:
        return None


async def shielded(work: Callable[[], Awaitable[T]]) -> T:
    """Finished also where the task is cancelled: for what must not be left half done."""
    trio = _trio()
    if trio:
        with trio.CancelScope(shield=True):
            return await work()
    task = asyncio.ensure_future(work())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
