"""The same names as :mod:`conex`, awaitable: for asyncio (and uvloop) and for Trio.

>>> async with aio.open() as cx:
...     async with await cx.start(["sh", "-c", "echo hello"], image="busybox", stdout=conex.PIPE, text=True) as c:
...         async for line in c.stdout:
...             print(line, end="")
...         print((await c.wait()).status)

There are no threads and no background tasks: whoever waits reads the context's descriptor for all who wait. What doesn't wait
(networks, namespaces, cgroups, statistics, inspect) is as it is there; ``.sync`` is an object's other half.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, AsyncIterator, Awaitable, Callable, Dict, List, Mapping, Optional, Set, Union

from . import _loop, errors
from ._awaited import Container, Job, Process, completed
from ._streams import Reader, Writer
from .broker import Syscall, answer
from .cgroups import Cgroups
from .container import Container as _Container, capturing, split
from .context import Containers, Context as _Context, Event, Plan as _Plan, _command
from .images import Images as _Images
from .keywords import Args, File, ImageOptions, LaunchOptions, PlanOptions, RunOptions, Text, described
from .life import Completed
from .namespaces import Namespaces
from .networks import Networks
from .options import Options, arguments
from .records import Exit

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
    """``cx.images``: of the context's store, shared by all processes that use it. What takes long is a :class:`Job`."""

    def __init__(self, context: "Context") -> None:
        self._context = context
        self.sync: _Images = context.sync.images

    @described(ImageOptions)
    def pull(self, image: str, **options: Unpack[ImageOptions]) -> Job:
        """Brings an image from its registry."""
        return Job(self._context, self.sync.pull(image, **options))

    @described(ImageOptions)
    def push(self, image: str, **options: Unpack[ImageOptions]) -> Job:
        """Brings an image to the registry that its name says."""
        return Job(self._context, self.sync.push(image, **options))

    @described(ImageOptions)
    def unpack(self, image: str, directory: Text, **options: Unpack[ImageOptions]) -> Job:
        """Unpacks an image into a new directory."""
        return Job(self._context, self.sync.unpack(image, directory, **options))

    @described(ImageOptions)
    def load(self, source: Union[Text, File], image: str, **options: Unpack[ImageOptions]) -> Job:
        """Brings an image out of an archive or a layout: a path, a file or a descriptor."""
        return Job(self._context, self.sync.load(source, image, **options))

    @described(ImageOptions)
    def save(self, image: str, target: Union[Text, File], **options: Unpack[ImageOptions]) -> Job:
        """Writes an image as an OCI layout: a tar into a path, file or descriptor, or into a directory that is there."""
        return Job(self._context, self.sync.save(image, target, **options))

    def commit(self, container: Container, image: str, config: Union[None, str, Mapping[str, Any]] = None) -> Job:
        """What a container has written becomes a layer, and both together an image of this name."""
        return Job(self._context, self.sync.commit(container.sync, image, config))

    def verify(self) -> Job:
        """Hashes all blobs once more; its result: the digests of those that weren't what their names say, a line each."""
        return Job(self._context, self.sync.verify())

    def list(self) -> "List[str]":
        """The names of all, with their tags."""
        return self.sync.list()

    def inspect(self, image: str) -> Dict[str, Any]:
        """{"name", "digest", "platform", "size", "layers", "config"}"""
        return self.sync.inspect(image)

    def delete(self, image: str) -> None:
        """Takes a name away, and what nothing leads to any more."""
        self.sync.delete(image)

    def usage(self) -> Dict[str, int]:
        """What the store takes of the disk."""
        return self.sync.usage()

    def __contains__(self, image: str) -> bool:
        return image in self.sync


class Plan:
    """Compiled once, launched often."""

    def __init__(self, context: "Context", sync: _Plan) -> None:
        self.context: "Context" = context
        self.sync: _Plan = sync

    @described(LaunchOptions)
    async def start(self, args: Args = None, **options: Unpack[LaunchOptions]) -> Container:
        """Launches a container of it. args: instead of the plan's."""
        given, here = split(options)
        return await self._launch(args, Options({**given, "nowait": True}), here)

    async def _launch(self, args: Args, o: Options, here: Mapping[str, Any]) -> Container:
        return await self.context._started(self.sync._launch(arguments(args), o, here))

    @described(LaunchOptions)
    async def run(self, args: Args = None, *, capture_output: bool = False, check: bool = False, max_output: int = 0,
                  **options: Unpack[LaunchOptions]) -> Completed:
        """Launches one, waits for its end, and deletes it."""
        given, here = split(capturing(options, capture_output))
        o = Options({**given, "nowait": True})
        async with await self._launch(args, o, here) as c:
            return await completed(c, o, check, max_output)

    def __str__(self) -> str:
        """The plan as text for people, one operation a line."""
        return str(self.sync)


class Context:
    """As :class:`conex.Context`, whose ``.sync`` is the other half. :func:`open` makes one."""

    def __init__(self, sync: _Context, alone: bool, close_timeout: float) -> None:
        """alone: nobody else's containers are in its state."""
        self.sync: _Context = sync
        self.images: Images = Images(self)
        self._alone, self._close_timeout = alone, close_timeout
        self._reading = False
        self._sleepers: Set[Any] = set()

    # ---- what doesn't wait ----

    @property
    def containers(self) -> Containers:
        """Those of the context's state directory, as :class:`conex.Container`."""
        return self.sync.containers

    @property
    def networks(self) -> Networks:
        """Named networks."""
        return self.sync.networks

    @property
    def namespaces(self) -> Namespaces:
        """Namespaces as handles."""
        return self.sync.namespaces

    @property
    def cgroups(self) -> Cgroups:
        """Groups of processes with limits; freezing and deleting them waits in the calling thread."""
        return self.sync.cgroups

    @property
    def keeper_pid(self) -> int:
        """The process that is parent of its containers; 0: none runs yet."""
        return self.sync.keeper_pid

    def fileno(self) -> int:
        """The descriptor that all waits here wait for."""
        return self.sync.fileno()

    def prune(self) -> int:
        """Undoes what dead owners left, and removes from the store what nobody uses: the bytes of that. Waits in the calling
        thread."""
        return self.sync.prune()

    # ---- its end ----

    async def __aenter__(self) -> "Context":
        return self

    async def __aexit__(self, *_: object) -> None:
        await _loop.shielded(self.aclose)

    async def aclose(self) -> None:
        """Kills and undoes its containers, without holding others up, and closes it."""
        try:
            if self._alone and self.sync._c is not None:
                left = self.sync.containers.list()
                await self._until(lambda: all([c.delete(0) for c in left]), self._close_timeout)
        finally:
            self.sync.close()

    def close(self) -> None:
        """The same, waiting in the calling thread, at most close_timeout."""
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
        """News, for ever."""
        while True:
            event = await self.next_event()
            if event is not None:
                yield event

    # ---- running ----

    @described(RunOptions)
    async def start(self, first: Args, args: Args = None, *, image: Optional[str] = None, **options: Unpack[RunOptions]) -> Container:
        """Runs a program in a new container, and returns when it has been executed."""
        given, here = split(options)
        return await self._start(first, args, image, Options({**given, "nowait": True}), here)

    async def _start(self, first: Any, args: Args, image: Optional[str], o: Options, here: Mapping[str, Any]) -> Container:
        name, command = _command(first, args, image)
        if name is not None and name not in self.sync.images:
            await self.images.pull(name).result()
        return await self._started(self.sync._start(command, None, name, o, here, _Container))

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

    @described(RunOptions)
    async def run(self, first: Args, args: Args = None, *, image: Optional[str] = None, capture_output: bool = False,
                  check: bool = False, max_output: int = 0, **options: Unpack[RunOptions]) -> Completed:
        """Runs a program in a new container, waits for its end, deletes it."""
        given, here = split(capturing(options, capture_output))
        o = Options({**given, "nowait": True})
        async with await self._start(first, args, image, o, here) as c:
            return await completed(c, o, check, max_output)

    @described(PlanOptions)
    async def plan(self, first: Args = None, args: Args = None, *, image: Optional[str] = None,
                   **options: Unpack[PlanOptions]) -> Plan:
        """Compiles a plan; an image that isn't in the store is pulled first."""
        name, command = _command(first, args, image)
        if name is not None and name not in self.sync.images:
            await self.images.pull(name).result()
        return Plan(self, self.sync.plan(command, image=name, **options))


def open(*, state: Optional[Text] = None, store: Optional[Text] = None, cgroup: Optional[str] = None,
         cgroup_driver: Optional[str] = None, detached: bool = False, read_only: bool = False, close_timeout: float = 0,
         log: Optional[Callable[[int, str], None]] = None) -> Context:
    """Opens a context, for ``async with``: as :func:`conex.open`."""
    sync = _Context(state=state, store=store, cgroup=cgroup, cgroup_driver=cgroup_driver, detached=detached, read_only=read_only,
                    close_timeout=close_timeout, log=log)
    return Context(sync, state is None, close_timeout or 5)


@described(RunOptions)
async def run(first: Args, args: Args = None, *, image: Optional[str] = None, capture_output: bool = False, check: bool = False,
              max_output: int = 0, **options: Unpack[RunOptions]) -> Completed:
    """As :func:`conex.run`, in a context of its own."""
    async with open() as cx:
        return await cx.run(first, args, image=image, capture_output=capture_output, check=check, max_output=max_output, **options)


__all__ = ["Completed", "Container", "Context", "Event", "Exit", "Job", "Plan", "Process", "Reader", "Writer", "open", "run"]
