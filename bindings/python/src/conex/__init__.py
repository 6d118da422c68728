"""Containers as easily as subprocess.

>>> import conex
>>> conex.run(["echo", "hello"], image="busybox", capture_output=True, text=True).stdout
'hello\\n'

:func:`run` runs a program in a container and waits; :func:`open` gives a :class:`Context` for all else: containers that run
beside one another, plans, images, networks, events. :mod:`conex.aio` has the same for asyncio.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Callable, Optional

from . import errors
from ._conex import lib as _lib
from ._low import encoded as _encoded, size as parse_size, text as _text_of
from .broker import Handler, Syscall
from .cgroups import Cgroup, classify
from .container import Container, Process
from .context import Context, Event, Plan
from .errors import (BusyError, CalledProcessError, ClosedError, DataError, EndedError, Error, ExistsError, ForkedError,
                     InvalidError, NotFoundError, NotSupportedError, PermissionDeniedError, TimeoutExpired)
from .images import Job, Progress
from .keywords import DEVNULL, HOST, PIPE, STDOUT, Args, RunOptions, Text, described as _described
from .life import Completed
from .namespaces import Namespace
from .networks import Network
from .records import Exit, Stats
from .spec import Spec

if TYPE_CHECKING:
    from typing_extensions import Unpack

__version__ = _text_of(_lib.conex_version())


def has(feature: str) -> bool:
    """Whether the library has a feature: "cgroup-v2", "overlay", "broker" ..."""
    return bool(_lib.conex_has(_encoded(feature)))


def open(*, state: Optional[Text] = None, store: Optional[Text] = None, cgroup: Optional[str] = None,
         cgroup_driver: Optional[str] = None, detached: bool = False, read_only: bool = False, close_timeout: float = 0,
         log: Optional[Callable[[int, str], None]] = None) -> Context:
    """Opens a context.

    state: a directory for containers that others shall find; else a private one, gone at close
    store: the directory of images; else /var/lib/conex, or without privileges ~/.local/share/conex
    cgroup: the parent of its cgroups; else /conex, or what was delegated
    cgroup_driver: who makes them: "cgroupfs" or "systemd"
    detached: containers outlive this process (with state)
    read_only: only to look at state
    close_timeout: how many seconds :meth:`Context.close` may wait; else 5
    log: called with a level (syslog's: 3 is an error) and a line, in the thread that calls conex; it may not call conex
    """
    return Context(state=state, store=store, cgroup=cgroup, cgroup_driver=cgroup_driver, detached=detached, read_only=read_only,
                   close_timeout=close_timeout, log=log)


_default: Optional[Context] = None
_default_pid = 0
_default_lock = threading.Lock()


def _after_fork() -> None:
    global _default_lock
    _default_lock = threading.Lock()        # another thread, which isn't here, may have had it


os.register_at_fork(after_in_child=_after_fork)


def default() -> Context:
    """The context that :func:`run` uses: one a process, closed at its end."""
    global _default, _default_pid
    with _default_lock:
        if _default is None or _default_pid != os.getpid() or _default._c is None:
            if _default is not None and _default_pid != os.getpid():
                _default.close()            # of the process that forked us: frees memory only
            if _default is None:
                atexit.register(_close_default)
            _default, _default_pid = Context(), os.getpid()
        return _default


def _close_default() -> None:
    if _default is not None:
        _default.close()


@_described(RunOptions)
def run(first: Args, args: Args = None, *, image: Optional[str] = None, capture_output: bool = False, check: bool = False,
        max_output: int = 0, **options: Unpack[RunOptions]) -> Completed:
    """Runs a program in a new container, waits for its end, and deletes it: as :func:`subprocess.run`.

    ``run(["python", "-c", "print(6 * 7)"], image="python:3", capture_output=True, text=True)``; ``run("hello-world")`` runs an
    image's own command. Nothing of this process goes into the container unless it is named: no environment, no stdio, no
    network, no descriptor.

    image: what it runs of: a reference, pulled if it is missing; or else rootfs, or spec.
    capture_output: stdout and stderr are pipes, and in the result.
    max_output: so many bytes of each are kept, 16 MiB unless told otherwise; the rest is counted (``stdout_total``).
    check: True raises :class:`CalledProcessError` unless it ended with 0, and :class:`TimeoutExpired` where ``timeout`` killed
    it; without it look at the result's ``exit``. (subprocess.run raises TimeoutExpired always.)
    """
    return default().run(first, args, image=image, capture_output=capture_output, check=check, max_output=max_output, **options)


__all__ = [
    "Args", "BusyError", "CalledProcessError", "Cgroup", "ClosedError", "Completed", "Container", "Context", "DEVNULL",
    "DataError", "EndedError", "Error", "Event", "ExistsError", "Exit", "ForkedError", "HOST", "Handler", "InvalidError",
    "Job", "Namespace", "Network", "NotFoundError", "NotSupportedError", "PIPE", "PermissionDeniedError", "Plan", "Process",
    "Progress", "RunOptions", "STDOUT", "Spec", "Stats", "Syscall", "TimeoutExpired", "classify", "default", "errors", "has",
    "open", "parse_size", "run",
]
