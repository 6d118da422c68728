"""Groups of processes with limits and statistics, conex's or yours: ``cx.cgroups``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Optional, Union

from ._conex import ffi, lib
from ._low import Memory, call, encoded, made, size, taken_json, wait
from .keywords import LimitOptions, Size, described
from .options import limits_struct
from .records import Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .context import Context

_CLASSES = {1: "guaranteed", 2: "burstable", 3: "best-effort"}


class Cgroup:
    """A cgroup of the context's parent, in every hierarchy."""

    def __init__(self, context: "Context", c: Any, name: str) -> None:
        self.context: "Context" = context
        self.name: str = name
        self._c = ffi.gc(c, lib.conex_cgroup_free)

    def fileno(self) -> int:
        """Its directory, for clone3 with CLONE_INTO_CGROUP; -1 where there are v1 hierarchies. Borrowed."""
        return int(lib.conex_cgroup_fd(self._c))

    def add(self, pid: int) -> None:
        """Moves a process with all its threads into it."""
        call(lib.conex_cgroup_add, self._c, pid)

    @described(LimitOptions)
    def set(self, **limits: Unpack[LimitOptions]) -> None:
        """Changes limits; those that aren't named stay as they are."""
        memory = Memory()
        call(lib.conex_cgroup_set, self._c, limits_struct(limits, memory))

    def stats(self) -> Stats:
        """What all in it have used, and may use."""
        s = _stats()
        call(lib.conex_cgroup_stats, self._c, s)
        return Stats(s)

    def details(self) -> dict[str, Any]:
        """What :meth:`stats` has only sums of: io by device, huge pages, memory.stat, pressure."""
        value: dict[str, Any] = taken_json(made("char *", lambda *a: lib.conex_cgroup_details(self._c, *a)))
        return value

    def pids(self) -> list[int]:
        """The processes in it and below it, those that this PID namespace can see."""
        ret = ffi.new("pid_t **")
        n = call(lib.conex_cgroup_pids, self._c, ret)
        try:
            return [int(ret[0][i]) for i in range(n)]
        finally:
            lib.free(ret[0])

    def freeze(self, timeout: Optional[float] = None) -> bool:
        """Stops every process in it; False: not yet within the time."""
        return wait(lambda ms: call(lib.conex_cgroup_freeze, self._c, ms), timeout)

    def thaw(self) -> None:
        """Lets them run again."""
        call(lib.conex_cgroup_thaw, self._c)

    def kill(self) -> None:
        """SIGKILL to all in it, once."""
        call(lib.conex_cgroup_kill, self._c)

    def watch(self, what: str) -> None:
        """Asks for an event each time that it happens: "oom", "memory.high", "empty", "memory 150ms/1s" ...: as
        conex_cgroup_watch(3). The event's ``cgroup`` is this object."""
        call(lib.conex_cgroup_watch, self._c, encoded(what), self.context._remember(self))

    def delete(self, timeout: Optional[float] = None) -> bool:
        """Kills all in it, and removes it; False: not yet within the time."""
        return wait(lambda ms: call(lib.conex_cgroup_delete, self._c, ms), timeout)

    def __enter__(self) -> "Cgroup":
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()


class Cgroups:
    """``cx.cgroups``"""

    def __init__(self, context: "Context") -> None:
        self._context = context

    @described(LimitOptions)
    def create(self, name: str, **limits: Unpack[LimitOptions]) -> Cgroup:
        """Makes a group, beside those of the context's containers."""
        memory = Memory()
        c = made("conex_cgroup *", lambda *a: lib.conex_cgroup_create(
            self._context._open, encoded(name), limits_struct(limits, memory), *a))
        return Cgroup(self._context, c, name)

    def get(self, name: str) -> Cgroup:
        """A group that exists. Raises :class:`conex.NotFoundError`."""
        c = made("conex_cgroup *", lambda *a: lib.conex_cgroup_get(self._context._open, encoded(name), *a))
        return Cgroup(self._context, c, name)

    def sample(self, groups: Iterable[Cgroup]) -> list[Stats]:
        """Statistics of many at once; of what is gone all is None."""
        handles = [g._c for g in groups]
        array = ffi.new("struct conex_stats[]", max(len(handles), 1))
        array[0].size = ffi.sizeof("struct conex_stats")
        call(lib.conex_cgroup_sample, ffi.new("conex_cgroup *[]", handles + [ffi.NULL]), len(handles), array)
        return [Stats(array[i]) for i in range(len(handles))]


def _stats() -> Any:
    s = ffi.new("struct conex_stats *")
    s.size = ffi.sizeof("struct conex_stats")
    return s


def classify(*, cpu_request: float = 0, cpu_limit: float = 0, memory_request: Union[None, Size] = None,
             memory_limit: Union[None, Size] = None, capacity: Union[None, Size] = None, throttling: float = 0,
             memory_qos: bool = False) -> tuple[str, dict[str, Any], int]:
    """Kubernetes' requests and limits as conex's: the class ("guaranteed", "burstable", "best-effort"), the limits as run
    takes them, and an oom_score_adj."""
    d = ffi.new("struct conex_demand *")
    d.size = ffi.sizeof("struct conex_demand")
    d.flags = lib.CONEX_DEMAND_MEMORY if memory_qos else 0
    d.cpu_request, d.cpu_limit, d.throttling = cpu_request, cpu_limit, throttling
    d.memory_request, d.memory_limit, d.capacity = size(memory_request), size(memory_limit), size(capacity)
    limits, score = ffi.new("struct conex_limits *"), ffi.new("int *")
    limits.size = ffi.sizeof("struct conex_limits")
    kind = call(lib.conex_limits_classify, d, limits, score)
    names = [name for name, field in ffi.typeof("struct conex_limits").fields if field.type.kind == "primitive"]
    found = {n: getattr(limits, n) for n in names if n != "size" and getattr(limits, n)}
    return _CLASSES[kind], found, int(score[0])
