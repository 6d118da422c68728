"""What runs, and jobs, awaitable: :mod:`conex.aio` names them."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, List, Mapping, Optional, Tuple

from . import _loop, _streams, errors
from ._conex import ffi
from ._streams import Reader, Writer
from .container import Container as _Container, Process as _Process, capturing, split
from .images import Job as _Job, Progress
from .keywords import Args, ExecOptions, LimitOptions, described
from .life import Captured, Completed, Life, Output, completed as _completed
from .options import Options, arguments
from .records import Exit, Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .aio import Context

MOST = 16 << 20         # of output, as struct conex_output has it


class _Awaited:
    """What runs. ``sync`` is its object of the synchronous half, whose names that don't wait this one has, too."""

    sync: Any

    def __init__(self, context: "Context", sync: Life) -> None:
        self.context: "Context" = context
        self.sync = sync
        self._ends: Dict[int, Any] = {}

    # ---- what doesn't wait ----

    @property
    def args(self) -> Any:
        """What it was asked to run; None: the image's own command."""
        return self.sync.args

    @property
    def pid(self) -> Optional[int]:
        """Its first process as this PID namespace sees it, for people; None: there is none."""
        return self.sync.pid        # type: ignore[no-any-return]

    @property
    def exit(self) -> Exit:
        """How it ended. Raises :class:`conex.BusyError` while it runs."""
        return self.sync.exit       # type: ignore[no-any-return]

    @property
    def returncode(self) -> Optional[int]:
        """Its status if it has ended, else None."""
        return self.exit.status if self._has_ended() else None

    def send_signal(self, sig: int) -> None:
        """Sends a signal to its first process."""
        self.sync.send_signal(sig)

    def kill(self) -> None:
        """SIGKILL to its first process; nothing happens where it has ended."""
        self.sync.kill()

    def terminate(self) -> None:
        """SIGTERM to its first process; nothing happens where it has ended."""
        self.sync.terminate()

    def resize(self, rows: int, columns: int) -> None:
        """Tells its terminal a new size."""
        self.sync.resize(rows, columns)

    # ---- its stdio ----

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
        """To write to where stdin=PIPE was asked for, else None."""
        writer: Optional[Writer] = self._end(0)
        return writer

    @property
    def stdout(self) -> Optional[Reader]:
        """To read from where stdout=PIPE was asked for, else None."""
        reader: Optional[Reader] = self._end(1)
        return reader

    @property
    def stderr(self) -> Optional[Reader]:
        """The same, where stderr=PIPE was asked for."""
        reader: Optional[Reader] = self._end(2)
        return reader

    # ---- its end ----

    def _has_ended(self) -> bool:
        return bool(self.sync._call("wait", 0, ffi.NULL) == 1)

    async def wait(self, timeout: Optional[float] = None) -> Exit:
        """Waits until it has ended. :class:`conex.TimeoutExpired` after ``timeout`` seconds leaves it running."""
        if not await self.context._until(self._has_ended, timeout):
            raise errors.TimeoutExpired(self.args, timeout or 0)
        return self.exit

    async def communicate(self, input: Output = None) -> Tuple[Output, Output]:
        """Writes all of input, reads all that it writes, waits for its end."""
        (stdout, _), (stderr, _) = await self._collect(input, None)
        return stdout, stderr

    async def _collect(self, input: Output, most: Optional[int]) -> List[Captured]:
        stdin, ends = self.stdin, [self.stdout, self.stderr]
        left = memoryview(self.sync._bytes(input) if input is not None else b"")
        kept = [e and _streams.Kept(e, 1 << 62 if most is None else most) for e in ends]
        while True:
            if stdin and stdin._fd >= 0:
                left = _streams.push(stdin, left)
            read = [k.reader._fd for k in kept if k and k.pull()]
            write = [stdin._fd] if stdin and stdin._fd >= 0 else []
            if not read and not write:
                break
            news = [self.context.sync.fileno()] if self.context.sync._handlers_known else []
            await _streams.ready(read + news, write)
            if news:
                await self.context._pump()
        await self.wait()
        return [self.sync._captured(bytes(k.data), k.total) if k else (None, 0) for k in kept]


class Process(_Awaited):
    """A program executed in a container: what :meth:`Container.popen` returns."""

    sync: _Process


class Container(_Awaited):
    """A container. ``async with`` deletes it at the end of the block."""

    sync: _Container

    # ---- what doesn't wait ----

    @property
    def id(self) -> str:
        """Its name among the context's containers, on its networks, and of its cgroup."""
        return self.sync.id

    @property
    def state(self) -> str:
        """"creating", "held", "running", "paused", "exited" or "deleted"."""
        return self.sync.state

    @property
    def error(self) -> Optional[errors.Error]:
        """Why it never started, or what happened to its keeper; None: nothing."""
        return self.sync.error

    def signal_all(self, sig: int) -> None:
        """Sends a signal to all processes in it."""
        self.sync.signal_all(sig)

    def resume(self) -> None:
        """Lets it run again."""
        self.sync.resume()

    @described(LimitOptions)
    def update(self, **limits: Unpack[LimitOptions]) -> None:
        """Changes limits while it runs; those that aren't named stay as they are."""
        self.sync.update(**limits)

    def stats(self) -> Stats:
        """What it has used, and may use."""
        return self.sync.stats()

    def inspect(self) -> Dict[str, Any]:
        """The OCI state, and labels, cgroup, created_at_ns."""
        return self.sync.inspect()

    def pids(self) -> List[int]:
        """The processes in it, those that this PID namespace can see."""
        return self.sync.pids()

    def address(self, network: Optional[str] = None, family: int = socket.AF_INET) -> Optional[str]:
        """Its address in one of its networks, or in the first."""
        return self.sync.address(network, family)

    def port(self, port: int, protocol: str = "tcp") -> Tuple[str, int]:
        """Where a port of its is published: (address, port) to connect to. Raises KeyError where it isn't."""
        return self.sync.port(port, protocol)

    def label(self, key: str) -> Optional[str]:
        """A label's value; None: it has none of that key."""
        return self.sync.label(key)

    # ---- its life ----

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
        """Stops everything in it from running; False: not yet within the time."""
        async def frozen() -> bool:
            while not self.sync.pause(0):
                await _loop.sleep(0.005)
            return True
        return bool(await _loop.within(timeout, frozen))

    async def start(self) -> None:
        """Executes the program of one that was started with hold=True. (Waits for execve in the calling thread.)"""
        self.sync.start()

    @described(ExecOptions)
    async def popen(self, args: Args, **options: Unpack[ExecOptions]) -> Process:
        """Executes one more program in it, and returns when it runs."""
        given, here = split(options)
        return await self._execute(arguments(args), Options({**given, "nowait": True}), here)

    async def _execute(self, args: Optional[list[Any]], o: Options, here: Mapping[str, Any]) -> Process:
        p = self.sync._execute(args, o, here)
        await self.context._until(lambda: p.pid is not None or p._ended(0), None)
        if p._ended(0) and p.exit.cause == "never_started":
            raise p.error or errors.make(-5, "the program never started")
        return Process(self.context, p)

    @described(ExecOptions)
    async def exec(self, args: Args, *, capture_output: bool = False, check: bool = False, max_output: int = 0,
                   **options: Unpack[ExecOptions]) -> Completed:
        """Executes one more program in it and waits for its end."""
        given, here = split(capturing(options, capture_output))
        o = Options({**given, "nowait": True})
        return await completed(await self._execute(arguments(args), o, here), o, check, max_output)

    async def wait_for(self, *, port: Optional[int] = None, exec: Args = None, timeout: float = 30,
                       interval: float = 0.05) -> None:
        """Waits until a TCP port answers, or a command in it ends with 0."""
        async def usable() -> bool:
            while not ((port is None or await self._answers(port)) and (exec is None or await self._does(exec))):
                if self._has_ended():
                    raise errors.CalledProcessError(self.exit, self.args)
                await _loop.sleep(interval)
            return True
        if not await _loop.within(timeout, usable):
            raise errors.TimeoutExpired(self.args, timeout)

    async def _answers(self, port: int) -> bool:
        peer = self.sync._where(port)
        with socket.socket(socket.AF_INET6 if ":" in peer[0] else socket.AF_INET, socket.SOCK_STREAM) as s:
            s.setblocking(False)
            if s.connect_ex(peer) in (0, errno.EINPROGRESS):
                await _loop.within(1, lambda: _loop.writable(s.fileno()))
            try:
                s.getpeername()         # connected, or not
                return True
            except OSError:
                return False

    async def _does(self, command: Args) -> bool:
        try:
            return bool((await self.exec(command, timeout=10)).exit)
        except errors.EndedError:
            return False


async def completed(life: _Awaited, o: Options, check: bool, max_output: int) -> Completed:
    """What run and exec return, as soon as it has ended."""
    return _completed(life.sync, o, check, await life._collect(None, max_output or MOST))


class Job:
    """Bytes on their way: ``async for progress in job``, ``await job.result()``."""

    def __init__(self, context: "Context", sync: _Job) -> None:
        self.context: "Context" = context
        self.sync: _Job = sync

    def progress(self) -> Progress:
        """How far it is now."""
        return self.sync.progress()

    def cancel(self) -> None:
        """Ends it, and this handle with it; what it has fetched so far waits for the next one."""
        self.sync.cancel()

    async def result(self, timeout: Optional[float] = None) -> str:
        """Waits for its end: the image's digest, or raises what went wrong."""
        if not await self.context._until(lambda: self.sync.done, timeout):
            raise errors.TimeoutExpired("the job", timeout or 0)
        return self.sync.result()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        yield self.progress()
        while not await self.context._until(lambda: self.sync.done, 0.1):
            yield self.progress()
        yield self.progress()
