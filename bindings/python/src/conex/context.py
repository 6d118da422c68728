"""The context: containers, images, networks, and one queue of events."""

from __future__ import annotations

import atexit
import collections
import os
import sys
import threading
import warnings
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Type, TypeVar

from . import errors
from ._conex import ffi, lib
from ._low import Memory, call, encoded, made, milliseconds, taken, taken_list, wait
from .broker import Handler, Syscall, answer
from .cgroups import Cgroup, Cgroups
from .container import Container, Process, capturing, split
from .images import Images, Job
from .keywords import Args, LaunchOptions, PlanOptions, RunOptions, Text, described
from .life import Completed, Life, completed
from .namespaces import Namespaces
from .networks import Networks
from .options import Options, Published, arguments
from .records import Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

C = TypeVar("C", bound=Container)
_EVENTS = {getattr(lib, n): n[len("CONEX_EVENT_"):].lower() for n in dir(lib) if n.startswith("CONEX_EVENT_")}


@dataclass(frozen=True)
class Event:
    """News of a container, process, job or cgroup."""

    type: str       #: "started", "exited", "deleted", "oom", "job", "syscall", "pressure", "limit", "empty", "keeper_lost" ...
    container: Optional[Container] = None
    process: Optional[Process] = None
    job: Optional[Job] = None
    syscall: Optional[Syscall] = None
    cgroup: Optional[Cgroup] = None     #: whose watch this is of


@ffi.def_extern(name="_conex_log")      # type: ignore[misc]
def _log(level: int, line: Any, data: Any) -> None:
    ffi.from_handle(data)(level, ffi.string(line).decode(errors="replace"))


def _command(first: Any, args: Args, image: Optional[str]) -> tuple[Optional[str], Optional[list[Any]]]:
    """start("postgres:16") names an image, start(["sh"], image="busybox") a command."""
    if isinstance(first, str) and image is None:
        return first, arguments(args)
    if args is not None:
        raise TypeError("args: given twice")
    return image, arguments(first)


class Plan:
    """Compiled once, launched often: :meth:`Context.plan`."""

    def __init__(self, context: "Context", c: Any, args: Any, handlers: dict[str, Handler],
                 published: Sequence[Published]) -> None:
        self.context: "Context" = context
        self.args: Any = args
        self._handlers, self._published = handlers, published
        self._c = ffi.gc(c, lib.conex_plan_free)

    @described(LaunchOptions)
    def start(self, args: Args = None, **options: Unpack[LaunchOptions]) -> Container:
        """Launches a container of it. args: instead of the plan's."""
        given, here = split(options)
        return self._launch(arguments(args), Options(given), here)

    def _launch(self, args: Optional[list[Any]], o: Options, here: Mapping[str, Any]) -> Container:
        c = made("conex_container *", lambda *a: lib.conex_launch(self.context._open, self._c, o.memory.texts(args), o.c, *a))
        return Container(self.context, c, args or self.args, self._published, handlers=self._handlers, **here)

    @described(LaunchOptions)
    def run(self, args: Args = None, *, capture_output: bool = False, check: bool = False, max_output: int = 0,
            **options: Unpack[LaunchOptions]) -> Completed:
        """Launches one, waits for its end, and deletes it: as :func:`conex.run`."""
        given, here = split(capturing(options, capture_output))
        o = Options(given)
        with self._launch(arguments(args), o, here) as c:
            return completed(c, o, check, c._collect(max_output))

    def __str__(self) -> str:
        """The plan as text for people, one operation a line."""
        return taken(made("char *", lambda *a: lib.conex_plan_dump(self._c, *a)))


class Containers:
    """``cx.containers``: those of the context's state directory, whoever launched them."""

    def __init__(self, context: "Context") -> None:
        self._context = context

    def get(self, id: str) -> Container:
        """One by its id. Raises :class:`conex.NotFoundError`."""
        c = made("conex_container *", lambda *a: lib.conex_container_get(self._context._open, encoded(id), *a))
        return self._context._container(c, counted=True)

    def ids(self, label: Optional[str] = None) -> list[str]:
        """The ids of all; label: "key=value" or "key"."""
        ret = ffi.new("char ***")
        count = call(lib.conex_container_list, self._context._open, ffi.NULL if label is None else encoded(label), ret)
        return taken_list(ret[0], count)

    def list(self, label: Optional[str] = None) -> "List[Container]":
        """All of them, those that are deleted meanwhile left out."""
        found = []
        for id in self.ids(label):
            try:
                found.append(self.get(id))
            except errors.NotFoundError:        # deleted meanwhile
                pass
        return found

    def __iter__(self) -> Iterator[Container]:
        return iter(self.list())

    def sample(self, containers: Iterable[Container]) -> "List[Stats]":
        """Statistics of many at once; of what doesn't run all is None."""
        handles = [c._c for c in containers]
        array = ffi.new("struct conex_stats[]", max(len(handles), 1))
        array[0].size = ffi.sizeof("struct conex_stats")
        call(lib.conex_container_sample, ffi.new("conex_container *[]", handles + [ffi.NULL]), len(handles), array)
        return [Stats(array[i]) for i in range(len(handles))]


class Context:
    """Containers with their keeper, a state directory, and one queue of events. :func:`conex.open` makes one."""

    def __init__(self, *, state: Optional[Text] = None, store: Optional[Text] = None, cgroup: Optional[str] = None,
                 cgroup_driver: Optional[str] = None, detached: bool = False, read_only: bool = False,
                 close_timeout: float = 0, log: Optional[Callable[[int, str], None]] = None) -> None:
        self._c: Any = None
        memory = Memory()
        o = memory.keep(ffi.new("struct conex_options *"))
        o.size = ffi.sizeof("struct conex_options")
        o.flags = (lib.CONEX_DETACHED if detached else 0) | (lib.CONEX_READ_ONLY if read_only else 0)
        o.state, o.store = memory.text(state), memory.text(store)
        o.cgroup, o.cgroup_driver = memory.text(cgroup), memory.text(cgroup_driver)
        o.close_ms = milliseconds(close_timeout) if close_timeout else 0
        self._handles: list[Any] = []
        if log:
            o.log, o.log_data = lib._conex_log, self._remember(log)
        self._c = made("conex *", lambda *a: lib.conex_open(o, *a))
        # Another thread may close it just when a call begins: then its memory stays as long as this object.
        self._memory: Any = ffi.gc(lib.conex_ref(self._c), lib.conex_close)
        self._containers: "weakref.WeakValueDictionary[int, Container]" = weakref.WeakValueDictionary()
        self._jobs: "weakref.WeakValueDictionary[int, Job]" = weakref.WeakValueDictionary()
        self._networks: set[str] = set()
        self._pid = os.getpid()
        self._closing = threading.Lock()
        _alive.add(self)
        self._handlers_known = False    # of system calls: somebody may have to be answered
        self._waiting: "collections.deque[Event]" = collections.deque(maxlen=10000)
        self.containers: Containers = Containers(self)
        self.images: Images = Images(self)
        self.networks: Networks = Networks(self)
        self.namespaces: Namespaces = Namespaces(self)
        self.cgroups: Cgroups = Cgroups(self)

    def _remember(self, value: Any) -> Any:
        handle = ffi.new_handle(value)
        self._handles.append(handle)
        return handle

    def close(self) -> None:
        """Kills and undoes its containers (detached: leaves them), and deletes the networks that it made."""
        if self._c is None:
            return
        with self._closing:             # of two threads one closes
            c, self._c = self._c, None
        lib.conex_close(ffi.NULL if c is None else c)
        if threading.active_count() == 1:
            self._memory = None
        self._delete_networks()

    def _delete_networks(self) -> None:
        if not self._networks:
            return
        names, self._networks = self._networks, set()
        if self._pid != os.getpid():            # a copy that fork made: they are the other one's
            return
        other = Context()
        try:
            for name in names:
                try:
                    call(lib.conex_network_delete, other._c, encoded(name))
                except errors.Error:        # it has other members, or is gone
                    pass
        finally:
            other.close()

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_c", None) is not None and not sys.is_finalizing():
            if self._pid == os.getpid():        # a copy that fork made has nothing to close
                warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self)
            self.close()

    def fileno(self) -> int:
        """One descriptor for poll, select, any event loop: readable while :meth:`next_event` has work to do."""
        return int(lib.conex_fd(self._open))

    def __repr__(self) -> str:
        return f"<conex.Context{'' if self._c is not None else ' (closed)'}>"

    @property
    def _open(self) -> Any:
        if self._c is None:
            raise errors.make(-108, "the context is closed")
        return self._c

    @property
    def keeper_pid(self) -> int:
        """The process that is parent of its containers; 0: none runs yet."""
        return int(lib.conex_keeper_pid(self._open))

    def prune(self) -> int:
        """Undoes what dead owners left, and removes from the store what nobody uses: the bytes of that."""
        ret = ffi.new("uint64_t *")
        call(lib.conex_prune, self._open, ret)
        return int(ret[0])

    # ---- running ----

    @described(RunOptions)
    def run(self, first: Args, args: Args = None, *, image: Optional[str] = None, capture_output: bool = False,
            check: bool = False, max_output: int = 0, **options: Unpack[RunOptions]) -> Completed:
        """Runs a program in a new container, waits for its end, deletes it: see :func:`conex.run`."""
        given, here = split(capturing(options, capture_output))
        o = Options(given)
        with self._start(first, args, image, o, here, Container) as c:
            return completed(c, o, check, c._collect(max_output))

    @described(RunOptions)
    def start(self, first: Args, args: Args = None, *, image: Optional[str] = None, **options: Unpack[RunOptions]) -> Container:
        """Runs a program in a new container, and returns when it has been executed.

        ``start(["sh", "-c", "..."], image="busybox")``, or ``start("postgres:16")`` for an image's own command.
        """
        given, here = split(options)
        return self._start(first, args, image, Options(given), here, Container)

    def _start(self, first: Any, args: Args, image: Optional[str], o: Options, here: Mapping[str, Any],
               kind: Type[C]) -> C:
        name, command = _command(first, args, image)
        self._handlers_known |= bool(o.handlers)
        c = made("conex_container *", lambda *a: lib.conex_run(
            self._open, ffi.NULL if name is None else encoded(name), o.memory.texts(command), o.c, *a))
        return kind(self, c, command, o.published, handlers=o.handlers, **here)

    @described(PlanOptions)
    def plan(self, first: Args = None, args: Args = None, *, image: Optional[str] = None, **options: Unpack[PlanOptions]) -> Plan:
        """Compiles a plan; nothing is made and no process started."""
        o = Options(options)
        name, command = _command(first, args, image)
        self._handlers_known |= bool(o.handlers)
        c = made("conex_plan *", lambda *a: lib.conex_plan_new(
            self._open, ffi.NULL if name is None else encoded(name), o.memory.texts(command), o.c, *a))
        return Plan(self, c, command, o.handlers, o.published)

    # ---- events ----

    def next_event(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The oldest news; None: nothing within the time."""
        if self._waiting:
            return self._waiting.popleft()
        found: list[Event] = []
        wait(lambda ms: self._fetch(found, ms), timeout)
        return found[0] if found else None

    def events(self, timeout: Optional[float] = None) -> Iterator[Event]:
        """News, until there is none within the time; None: for ever."""
        while (event := self.next_event(timeout)) is not None:
            yield event

    def _fetch(self, into: "list[Event]", timeout_ms: int) -> int:
        e = ffi.new("struct conex_event *")
        e.size = ffi.sizeof("struct conex_event")
        n = call(lib.conex_next_event, self._open, timeout_ms, e)
        if n:
            into.append(self._event(e))
        return n

    def _event(self, e: Any) -> Event:
        container = None if e.container == ffi.NULL else self._container(e.container, counted=False)
        process = None
        if e.process != ffi.NULL and container is not None:
            process = next((p for p in container._processes if p._c == e.process), None)
        return Event(_EVENTS.get(e.type, str(e.type)), container, process,
                     None if e.job == ffi.NULL else self._jobs.get(int(ffi.cast("uintptr_t", e.job))),
                     None if e.syscall == ffi.NULL else Syscall(self, e.syscall),
                     None if e.data == ffi.NULL or container is not None else ffi.from_handle(e.data))

    def _container(self, c: Any, counted: bool) -> Container:
        """Its object; counted: the reference is ours."""
        known = self._containers.get(int(ffi.cast("uintptr_t", c)))
        if known is not None:
            if counted:
                lib.conex_container_free(c)
            return known
        return Container(self, c if counted else lib.conex_container_ref(c))

    def _answer(self, life: Life, timeout_ms: int) -> None:
        """Lets handlers answer what a container asks; other news are kept for :meth:`next_event`."""
        found: list[Event] = []
        while self._fetch(found, timeout_ms):
            event, timeout_ms = found.pop(), 0
            if event.syscall is None:
                self._waiting.append(event)
                continue
            handlers = event.container._handlers if event.container else life._handlers
            handler = handlers.get(event.syscall.name)
            if handler:
                answer(event.syscall, handler)
            else:
                self._waiting.append(event)


# Those that nobody has closed are closed at the end of the process, while there still is an interpreter: else their networks
# would stay, and their state directories until somebody opens another context.
_alive: "weakref.WeakSet[Context]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for context in list(_alive):
        context.close()
