"""The same names as :mod:`conex`, awaitable: for asyncio (and uvloop) and for Trio.

>>> async with aio.open() as cx:
...     async with await cx.start(["sh", "-c", "echo hello"], image="busybox", stdout=conex.PIPE, text=True) as c:
...         async for line in c.stdout:
...             print(line, end="")
...         print((await c.wait()).status)

There are no threads and no background tasks: whoever waits reads the context's descriptor for all who wait. What never waits
(networks, namespaces, cgroups, statistics, inspect) is that of the context in ``cx.sync``, and has no second name.
"""

from __future__ import annotations

import inspect
import os
from typing import Any, AsyncIterator, Awaitable, Callable, Mapping, Optional, Union

from . import _loop, errors
from ._conex import ffi
from .broker import Syscall, answer
from .container import capturing, split
from .context import Context as _Context, Event, Plan as _Plan, _command
from .images import Job as _Job, Progress
from .life import Completed
from .options import Args, Options, arguments
from .records import Exit

Output = Union[None, bytes, str]


class Reader:
    """A container's output: bytes or text, as a whole or by lines."""

    def __init__(self, fd: int, encoding: Optional[str], errors_: Optional[str]) -> None:
        self._fd, self._buffer, self._end = fd, b"", False
        self._encoding, self._errors = encoding, errors_ or "strict"
        os.set_blocking(fd, False)

    async def _more(self) -> bool:
        while not self._end:
            try:
                piece = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                await _loop.readable(self._fd)
                continue
            except OSError:         # a terminal's end is EIO
                piece = b""
            self._buffer += piece
            self._end = not piece
            return not self._end
        return False

    def _take(self, n: int) -> Any:
        piece, self._buffer = self._buffer[:n], self._buffer[n:]
        return piece.decode(self._encoding, self._errors) if self._encoding else piece

    async def read(self) -> Any:
        """All that comes until its end."""
        while await self._more():
            pass
        return self._take(len(self._buffer))

    async def readline(self) -> Any:
        """One line with its end; empty at the end of all."""
        at = 0
        while (found := self._buffer.find(b"\n", at)) < 0:
            at = len(self._buffer)
            if not await self._more():
                return self._take(len(self._buffer))
        return self._take(found + 1)

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> Any:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._end = -1, True

    def __del__(self) -> None:
        self.close()


class Writer:
    """A container's stdin."""

    def __init__(self, fd: int, encoding: Optional[str], errors_: Optional[str]) -> None:
        self._fd, self._encoding, self._errors = fd, encoding or "utf-8", errors_ or "strict"
        os.set_blocking(fd, False)

    async def write(self, data: Union[bytes, str]) -> None:
        """Writes all of it. BrokenPipeError: nobody reads any more."""
        left = memoryview(data.encode(self._encoding, self._errors) if isinstance(data, str) else data)
        while len(left):
            try:
                left = left[os.write(self._fd, left):]
            except BlockingIOError:
                await _loop.writable(self._fd)

    def close(self) -> None:
        """Says end of input."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


class _Awaited:
    """What runs, by its object of the synchronous half (``.sync``), whose other names this one has, too."""

    def __init__(self, context: "Context", sync: Any) -> None:
        self.context, self.sync = context, sync
        self._ends: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sync, name)

    def _end(self, n: int) -> Any:
        if n not in self._ends:
            fd = self.sync._function("take_stdio")(self.sync._c, n)
            if fd < 0:
                return None
            encoding = (self.sync._encoding or "utf-8") if self.sync._text else None
            self._ends[n] = (Reader if n else Writer)(fd, encoding, self.sync._errors)
        return self._ends[n]

    @property
    def stdin(self) -> Optional[Writer]:
        writer: Optional[Writer] = self._end(0)
        return writer

    @property
    def stdout(self) -> Optional[Reader]:
        reader: Optional[Reader] = self._end(1)
        return reader

    @property
    def stderr(self) -> Optional[Reader]:
        reader: Optional[Reader] = self._end(2)
        return reader

    def _has_ended(self) -> bool:
        return bool(self.sync._call("wait", 0, ffi.NULL) == 1)

    async def wait(self, timeout: Optional[float] = None) -> Exit:
        """Waits until it has ended. :class:`conex.TimeoutExpired` after ``timeout`` seconds leaves it running."""
        if not await self.context._until(self._has_ended, timeout):
            raise errors.TimeoutExpired(self.sync.args, timeout or 0)
        exit: Exit = self.sync.exit
        return exit

    async def communicate(self, input: Output = None) -> tuple[Output, Output]:
        """Writes all of input, reads all that it writes, waits for its end."""
        stdin, ends = self.stdin, [e for e in (self.stdout, self.stderr) if e]
        left = memoryview(self.sync._bytes(input) if input is not None else b"")
        while True:
            if stdin:
                left = _push(stdin, left)
            going = [e for e in ends if not e._end and _pull(e)]
            if not going and (not stdin or stdin._fd < 0):
                break
            await _any([e._fd for e in going], [stdin._fd] if stdin and stdin._fd >= 0 else [], self.context)
        await self.wait()
        return tuple(e._take(len(e._buffer)) if e else None     # type: ignore[return-value]
                     for e in (self.stdout, self.stderr))


def _push(stdin: Writer, left: memoryview) -> memoryview:
    try:
        while len(left):
            left = left[os.write(stdin._fd, left):]
        stdin.close()
    except BlockingIOError:
        pass
    except BrokenPipeError:
        stdin.close()
    return left


def _pull(reader: Reader) -> bool:
    """Takes what is there; False: its end."""
    try:
        while piece := os.read(reader._fd, 1 << 16):
            reader._buffer += piece
    except BlockingIOError:
        return True
    except OSError:
        pass
    reader._end = True
    return False


async def _any(read: list[int], write: list[int], context: "Context") -> None:
    """Until one of them is ready: an epoll of them is readable then."""
    import select

    with select.epoll() as epoll:
        for fd in set(read + write):
            epoll.register(fd, (select.EPOLLIN if fd in read else 0) | (select.EPOLLOUT if fd in write else 0))
        if context.sync._handlers_known:
            epoll.register(context.sync.fileno(), select.EPOLLIN)
        await _loop.readable(epoll.fileno())
    await context._pump()


class Process(_Awaited):
    """A program executed in a container."""

    sync: Any


class Container(_Awaited):
    """A container. ``async with`` deletes it at the end of the block."""

    async def __aenter__(self) -> "Container":
        return self

    async def __aexit__(self, *_: object) -> None:
        await _loop.shielded(self.delete)

    async def delete(self, timeout: Optional[float] = None) -> bool:
        """Kills everything in it, and undoes all that was made for it."""
        return await self.context._until(lambda: bool(self.sync.delete(0)), timeout)

    async def stop(self, timeout: Optional[float] = None) -> None:
        """SIGTERM now, SIGKILL to all of it after its ``grace``; and waits for that."""
        try:
            self.sync._call("stop")
        except errors.EndedError:
            return
        await self.wait(timeout)

    async def pause(self, timeout: Optional[float] = None) -> bool:
        async def frozen() -> bool:
            while not self.sync.pause(0):
                await _loop.sleep(0.005)
            return True
        return bool(await _loop.within(timeout, frozen))

    async def start(self) -> None:
        """Executes the program of one that was started with hold=True. (Waits for execve in the calling thread.)"""
        self.sync.start()

    async def popen(self, args: Args, **options: Any) -> Process:
        """Executes one more program in it, and returns when it runs."""
        given, here = split(options)
        return await self._execute(arguments(args), Options({**given, "nowait": True}), here)

    async def _execute(self, args: Optional[list[Any]], o: Options, here: Mapping[str, Any]) -> Process:
        p = self.sync._execute(args, o, here)
        await self.context._until(lambda: p.pid is not None or p._call("wait", 0, ffi.NULL) == 1, None)
        if p._call("wait", 0, ffi.NULL) == 1 and p.exit.cause == "never_started":
            raise p.error or errors.make(-5, "the program never started")
        return Process(self.context, p)

    async def exec(self, args: Args, *, capture_output: bool = False, check: bool = False, **options: Any) -> Completed:
        """Executes one more program in it and waits for its end."""
        given, here = split(capturing(options, capture_output))
        o = Options({**given, "nowait": True})
        return await _completed(await self._execute(arguments(args), o, here), o, check)

    async def wait_for(self, *, port: Optional[int] = None, exec: Args = None, timeout: float = 30,
                       interval: float = 0.05) -> None:
        """Waits until a TCP port answers, or a command in it ends with 0."""
        async def usable() -> bool:
            while not ((port is None or self.sync._answers(port)) and (exec is None or await self._does(exec))):
                if self._has_ended():
                    raise errors.CalledProcessError(self.sync.exit, self.sync.args)
                await _loop.sleep(interval)
            return True
        if not await _loop.within(timeout, usable):
            raise errors.TimeoutExpired(self.sync.args, timeout)

    async def _does(self, command: Args) -> bool:
        try:
            return bool((await self.exec(command, timeout=10)).exit)
        except errors.EndedError:
            return False


async def _completed(life: _Awaited, o: Options, check: bool) -> Completed:
    stdout, stderr = await life.communicate()
    exit: Exit = life.sync.exit
    args = life.sync.args
    if check and exit.cause == "timeout":
        raise errors.TimeoutExpired(args, o.c.timeout_ms / 1000, stdout, stderr, exit)
    if check and not exit:
        raise errors.CalledProcessError(exit, args, stdout, stderr)
    return Completed(args, exit, stdout, stderr)


class Job:
    """Bytes on their way: ``async for progress in job``, ``await job.result()``."""

    def __init__(self, context: "Context", sync: _Job) -> None:
        self.context, self.sync = context, sync

    def progress(self) -> Progress:
        return self.sync.progress()

    def cancel(self) -> None:
        self.sync.cancel()

    async def result(self, timeout: Optional[float] = None) -> str:
        if not await self.context._until(lambda: self.sync.done, timeout):
            raise errors.TimeoutExpired("the job", timeout or 0)
        return self.sync.result()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        yield self.progress()
        while not await self.context._until(lambda: self.sync.done, 0.1):
            yield self.progress()
        yield self.progress()


async def _answered(call: Syscall, handler: Callable[[Syscall], Awaitable[Any]]) -> None:
    try:
        await handler(call)
    except BaseException:
        if not call.answered:
            call.fail("EIO")
        raise
    if not call.answered:
        call.fail("EPERM")


class Images:
    """``cx.images``: jobs are awaitable; list, inspect, delete are those of the synchronous half."""

    def __init__(self, context: "Context") -> None:
        self._context, self._sync = context, context.sync.images

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sync, name)
        if name not in ("pull", "push", "load", "save", "unpack", "commit"):
            return found

        def start(*args: Any, **options: Any) -> Job:
            return Job(self._context, found(*(a.sync if isinstance(a, Container) else a for a in args), **options))
        return start

    def __contains__(self, image: str) -> bool:
        return image in self._sync


class Plan:
    """Compiled once, launched often."""

    def __init__(self, context: "Context", sync: _Plan) -> None:
        self.context, self.sync = context, sync

    async def start(self, args: Args = None, **options: Any) -> Container:
        given, here = split(options)
        return await self._launch(args, Options({**given, "nowait": True}), here)

    async def _launch(self, args: Args, o: Options, here: Mapping[str, Any]) -> Container:
        return await self.context._started(self.sync._launch(arguments(args), o, here))

    async def run(self, args: Args = None, *, capture_output: bool = False, check: bool = False, **options: Any) -> Completed:
        given, here = split(capturing(options, capture_output))
        o = Options({**given, "nowait": True})
        async with await self._launch(args, o, here) as c:
            return await _completed(c, o, check)


class Context:
    """As :class:`conex.Context`, whose ``.sync`` is the other half. :func:`open` makes one."""

    def __init__(self, **options: Any) -> None:
        self.sync = _Context(**options)
        self._reading = False
        self._sleepers: set[Any] = set()
        self.images = Images(self)

    def __getattr__(self, name: str) -> Any:        # networks, namespaces, cgroups, prune, keeper_pid ...
        return getattr(self.sync, name)

    async def __aenter__(self) -> "Context":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kills and undoes its containers. (Waits in the calling thread, at most close_timeout.)"""
        self.sync.close()

    # ---- who waits reads for all ----

    async def _until(self, look: Callable[[], bool], timeout: Optional[float]) -> bool:
        async def happened() -> bool:
            while not look():
                await self._news()
            return True
        if look():
            return True
        return bool(await _loop.within(timeout, happened))

    async def _news(self) -> None:
        """Until something has happened: by reading, or by sleeping until whoever reads says so."""
        if self._reading:
            woken = _loop.event()
            self._sleepers.add(woken)
            try:
                await woken.wait()
            finally:
                self._sleepers.discard(woken)
            return
        self._reading = True
        try:
            await _loop.readable(self.sync.fileno())
            await self._pump()
        finally:
            self._reading = False
            self._wake()            # also where this task was cancelled: another one reads on

    def _wake(self) -> None:
        for woken in self._sleepers:
            woken.set()
        self._sleepers = set()

    async def _pump(self) -> None:
        found: list[Event] = []
        while self.sync._fetch(found, 0):
            event = found.pop()
            handlers = event.container._handlers if event.container else {}
            handler = handlers.get(event.syscall.name) if event.syscall else None
            if not handler or not event.syscall:
                self.sync._waiting.append(event)
            elif inspect.iscoroutinefunction(handler):
                await _answered(event.syscall, handler)
            else:
                answer(event.syscall, handler)
        self._wake()

    async def next_event(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The oldest news; None: nothing within the time."""
        await self._until(lambda: bool(self.sync._waiting), timeout)
        return self.sync._waiting.popleft() if self.sync._waiting else None

    async def events(self) -> AsyncIterator[Event]:
        while True:
            event = await self.next_event()
            if event is not None:
                yield event

    # ---- running ----

    async def start(self, first: Any, args: Args = None, *, image: Optional[str] = None, **options: Any) -> Container:
        """Runs a program in a new container, and returns when it has been executed."""
        given, here = split(options)
        return await self._start(first, args, image, Options({**given, "nowait": True}), here)

    async def _start(self, first: Any, args: Args, image: Optional[str], o: Options, here: Mapping[str, Any]) -> Container:
        name, command = _command(first, args, image)
        if name is not None and name not in self.sync.images:
            await self.images.pull(name).result()
        return await self._started(self.sync._start(command, None, name, o, here))

    async def _started(self, c: Any) -> Container:
        container = Container(self, c)
        try:
            await self._until(lambda: bool(c.state != "creating"), None)
        except BaseException:
            await _loop.shielded(container.delete)
            raise
        if c.state in ("exited", "deleted") and c.exit.cause == "never_started":
            error = c.error
            await container.delete()
            raise error or errors.make(-5, "the container never started")
        return container

    async def run(self, first: Any, args: Args = None, *, image: Optional[str] = None, capture_output: bool = False,
                  check: bool = False, **options: Any) -> Completed:
        """Runs a program in a new container, waits for its end, deletes it."""
        given, here = split(capturing(options, capture_output))
        o = Options({**given, "nowait": True})
        async with await self._start(first, args, image, o, here) as c:
            return await _completed(c, o, check)

    async def plan(self, first: Any = None, args: Args = None, *, image: Optional[str] = None, **options: Any) -> Plan:
        """Compiles a plan; an image that isn't in the store is pulled first."""
        name, command = _command(first, args, image)
        if name is not None and name not in self.sync.images:
            await self.images.pull(name).result()
        return Plan(self, self.sync.plan(command, image=name, **options))


def open(**options: Any) -> Context:
    """Opens a context, for ``async with``. Keywords as of :func:`conex.open`."""
    return Context(**options)


async def run(first: Any, args: Args = None, **options: Any) -> Completed:
    """As :func:`conex.run`, in a context of its own."""
    async with open() as cx:
        return await cx.run(first, args, **options)


__all__ = ["Completed", "Container", "Context", "Event", "Exit", "Job", "Plan", "Process", "Reader", "Writer", "open", "run"]
