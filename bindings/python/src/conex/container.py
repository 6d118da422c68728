"""Containers, and programs executed in them."""

from __future__ import annotations

import socket
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence, Union

from . import errors
from ._conex import ffi, lib
from ._low import Memory, call, encoded, made, taken_json, text, wait
from .cgroups import _stats
from .keywords import PIPE, Args, ExecOptions, LimitOptions, StreamOptions, described
from .life import Completed, Life, completed
from .options import Options, Published, arguments, limits_struct
from .records import Stats, named
from .spec import Spec

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .context import Context

_STATES = ("", "creating", "held", "running", "paused", "exited", "deleted")
_HERE = tuple(StreamOptions.__annotations__)      # keywords that are about this end of the pipes


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords for the library, and those for this end."""
    return ({k: v for k, v in given.items() if k not in _HERE}, {k: given[k] for k in _HERE if given.get(k) is not None})


def capturing(options: Mapping[str, Any], capture_output: bool) -> dict[str, Any]:
    """The keywords, with those that capture_output stands for."""
    given = dict(options)
    if capture_output:
        if given.get("stdout") is not None or given.get("stderr") is not None:
            raise ValueError("stdout and stderr may not be used with capture_output")
        given = {**given, "stdout": PIPE, "stderr": PIPE}
    if isinstance(given.get("input"), str):
        given = {**given, "input": given["input"].encode(given.get("encoding") or "utf-8", given.get("errors") or "strict")}
    return given


class Process(Life):
    """A program executed in a container: what :meth:`Container.popen` returns."""

    _kind = "process"

    def __init__(self, container: "Container", c: Any, args: Any, **here: Any) -> None:
        self._c = ffi.gc(c, lib.conex_process_free)
        self.container = container      #: the container it runs in
        container._processes.add(self)
        self._begin(container.context, args, handlers=container._handlers, **here)

    def __repr__(self) -> str:
        return f"<conex.Process {self.args!r} in {self.container.id}>"


class Container(Life):
    """A container, running or not. As a context manager it is deleted at the end of the block."""

    _kind = "container"

    def __init__(self, context: "Context", c: Any, args: Any = None, published: Sequence[Published] = (), **here: Any) -> None:
        self._c = ffi.gc(c, lib.conex_container_free)
        self._begin(context, args, **here)
        self._processes: "weakref.WeakSet[Process]" = weakref.WeakSet()
        self._published = published
        context._containers[int(ffi.cast("uintptr_t", c))] = self

    @property
    def id(self) -> str:
        """Its name among the context's containers, on its networks, and of its cgroup."""
        return text(lib.conex_container_id(self._c))

    @property
    def state(self) -> str:
        """"creating", "held", "running", "paused", "exited" or "deleted"."""
        return named(_STATES, lib.conex_container_state(self._c))

    def __repr__(self) -> str:
        return f"<conex.Container {self.id} {self.state}>"

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    # ---- its life ----

    def start(self) -> None:
        """Executes the program of one that was started with hold=True."""
        call(lib.conex_container_start, self._c)

    def signal_all(self, sig: int) -> None:
        """Sends a signal to all processes in it."""
        call(lib.conex_container_kill_all, self._c, int(sig))

    def stop(self, timeout: Optional[float] = None) -> None:
        """Asks it to end: SIGTERM now, SIGKILL to all of it after its ``grace``; and waits for that."""
        try:
            call(lib.conex_container_stop, self._c)
        except errors.EndedError:
            return
        self.wait(timeout)

    def pause(self, timeout: Optional[float] = None) -> bool:
        """Stops everything in it from running; False: not yet within the time."""
        return wait(lambda ms: call(lib.conex_container_pause, self._c, ms), timeout)

    def resume(self) -> None:
        """Lets it run again."""
        call(lib.conex_container_resume, self._c)

    def delete(self, timeout: Optional[float] = None) -> bool:
        """Kills everything in it, and undoes all that was made for it; False: not yet within the time. The exit record stays."""
        try:
            return wait(lambda ms: call(lib.conex_container_delete, self._c, ms), timeout)
        except errors.ClosedError:      # the context has done it
            return True

    @described(LimitOptions)
    def update(self, **limits: Unpack[LimitOptions]) -> None:
        """Changes limits while it runs; those that aren't named stay as they are."""
        memory = Memory()
        call(lib.conex_container_update, self._c, limits_struct(limits, memory))

    # ---- programs in it ----

    @described(ExecOptions)
    def popen(self, args: Args, **options: Unpack[ExecOptions]) -> Process:
        """Executes one more program in it, and returns when it runs."""
        given, here = split(options)
        return self._execute(arguments(args), Options(given), here)

    def _execute(self, args: Optional[list[Any]], o: Options, here: Mapping[str, Any]) -> Process:
        c = made("conex_process *", lambda *a: lib.conex_exec(self._c, o.memory.texts(args), o.c, *a))
        return Process(self, c, args, **here)

    @described(ExecOptions)
    def exec(self, args: Args, *, capture_output: bool = False, check: bool = False, max_output: int = 0,
             **options: Unpack[ExecOptions]) -> Completed:
        """Executes one more program in it and waits for its end, as :func:`conex.run` does."""
        given, here = split(capturing(options, capture_output))
        o = Options(given)
        p = self._execute(arguments(args), o, here)
        return completed(p, o, check, p._collect(max_output))

    # ---- what is known of it ----

    def address(self, network: Optional[str] = None, family: int = socket.AF_INET) -> Optional[str]:
        """Its address in one of its networks, or in the first."""
        a = lib.conex_container_address(self._c, ffi.NULL if network is None else encoded(network), int(family))
        return None if a == ffi.NULL else text(a)

    def port(self, port: int, protocol: str = "tcp") -> tuple[str, int]:
        """Where a port of its is published: (address, port) to connect to. Raises KeyError where it isn't."""
        n = lib.conex_container_port(self._c, port, encoded(protocol))
        if n <= 0:
            raise KeyError(f"{port}/{protocol} isn't published")
        address = next((a for a, p, kind in self._published if (p, kind) == (port, protocol)), "127.0.0.1")
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address), int(n)

    def label(self, key: str) -> Optional[str]:
        """A label's value; None: it has none of that key."""
        value = lib.conex_container_label(self._c, encoded(key))
        return None if value == ffi.NULL else text(value)

    def inspect(self) -> dict[str, Any]:
        """The OCI state, and labels, cgroup, created_at_ns."""
        return self._json(lib.conex_container_json)

    def spec(self) -> Spec:
        """The specification that it was made of."""
        return Spec(_c=made("conex_spec *", lambda *a: lib.conex_container_spec(self._c, *a)))

    def timeline(self) -> list[dict[str, Any]]:
        """What its launch did, operation by operation; of one started with timeline=True."""
        value: list[dict[str, Any]] = taken_json(made("char *", lambda *a: lib.conex_container_timeline(self._c, *a)))
        return value

    def stats(self) -> Stats:
        """What it has used, and may use."""
        s = _stats()
        call(lib.conex_container_stats, self._c, s)
        return Stats(s)

    def details(self) -> dict[str, Any]:
        """What :meth:`stats` has only sums of, and each interface's counters."""
        return self._json(lib.conex_container_details)

    def pids(self) -> list[int]:
        """The processes in it, those that this PID namespace can see."""
        ret = ffi.new("pid_t **")
        n = call(lib.conex_container_pids, self._c, ret)
        try:
            return [int(ret[0][i]) for i in range(n)]
        finally:
            lib.free(ret[0])

    def check_networks(self) -> None:
        """Raises where its interfaces aren't as they were made."""
        call(lib.conex_container_check_networks, self._c)

    def _json(self, function: Callable[..., int]) -> dict[str, Any]:
        value: dict[str, Any] = taken_json(made("char *", lambda *a: function(self._c, *a)))
        return value

    # ---- waiting for it to be of use ----

    def wait_for(self, *, port: Optional[int] = None, exec: Args = None, log: Optional[str] = None,
                 timeout: float = 30, interval: float = 0.05) -> None:
        """Waits until a TCP port answers (published, or at its address), a command in it ends with 0, or a line of its stdout
        contains a text. Raises :class:`TimeoutExpired`, or :class:`CalledProcessError` where it ends before."""
        end = time.monotonic() + timeout
        if log is not None:
            self._wait_for_line(log, end, timeout)
        while (port is not None and not self._answers(port)) or (exec is not None and not self._does(exec)):
            if self._ended(0):
                raise errors.CalledProcessError(self.exit, self.args)
            if time.monotonic() >= end:
                raise errors.TimeoutExpired(self.args, timeout)
            time.sleep(interval)

    def _where(self, port: int) -> tuple[str, int]:
        """Where to connect to: as it is published, or at its own address."""
        try:
            return self.port(port)
        except KeyError:
            return self.address() or "", port

    def _answers(self, port: int) -> bool:
        try:
            socket.create_connection(self._where(port), timeout=1).close()
            return True
        except OSError:
            return False

    def _does(self, command: Args) -> bool:
        try:
            return bool(self.exec(command, timeout=10).exit)
        except errors.EndedError:
            return False

    def _wait_for_line(self, wanted: Union[str, bytes], end: float, timeout: float) -> None:
        import selectors

        stream = self.stdout
        if stream is None:
            raise ValueError("log: takes stdout=PIPE")
        needle = wanted.encode() if isinstance(wanted, str) else wanted
        seen = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while needle not in seen:
                if not selector.select(max(0, end - time.monotonic())):
                    raise errors.TimeoutExpired(self.args, timeout, seen)
                piece = stream.buffer.read1(4096) if self._text else stream.read1(4096)  # type: ignore[attr-defined]
                if not piece:
                    raise errors.CalledProcessError(self.wait(max(0, end - time.monotonic())), self.args, seen)
                seen += piece


