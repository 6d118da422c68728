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
from typing import Any, Optional

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
from .life import Completed
from .namespaces import Namespace
from .networks import Network
from .options import DEVNULL, HOST, PIPE, STDOUT, Args
from .records import Exit, Stats
from .spec import Spec

__version__ = _text_of(_lib.conex_version())


def has(feature: str) -> bool:
    """Whether the library has a feature: "cgroup-v2", "overlay", "broker" ..."""
    return bool(_lib.conex_has(_encoded(feature)))


def open(**options: Any) -> Context:
    """Opens a context. Keywords:

    state: a directory for containers that others shall find; none: a private one, gone at close
    store: the directory of images; none: /var/lib/conex
    cgroup, cgroup_driver: where cgroups are made, and by whom ("cgroupfs", "systemd")
    detached: containers outlive this process (with state); read_only: only to look at state
    close_timeout: how many seconds :meth:`Context.close` may take; log: called with (level, line)
    """
    return Context(**options)


_default: Optional[Context] = None
_default_pid = 0
_default_lock = threading.Lock()


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


def run(first: Any, args: Args = None, **options: Any) -> Completed:
    """Runs a program in a new container, waits for its end, and deletes it: as :func:`subprocess.run`.

    ``run(["python", "-c", "print(6 * 7)"], image="python:3", capture_output=True, text=True)``; ``run("hello-world")`` runs an
    image's own command. Nothing of this process goes into the container unless it is named: no environment, no stdio, no
    network, no descriptor.

    What runs: image (a reference; pulled if missing), or rootfs (a directory), or spec (a config.json); env, cwd, user,
    hostname, read_only, userns, init, tty.
    What it gets: mounts ("/srv:/data:ro", "tmpfs:/tmp:size=16M"), network ("bridge", a name, "host", "pasta"), ports
    ("127.0.0.1::80"), hosts, dns, pass_fds, share, join.
    Limits: memory ("64M"), swap, cpus, pids, cpu_weight, cpuset, timeout (seconds, then all of it is killed), max_output
    (bytes that are kept of each), disk (what it may write), ingress_bps, egress_bps, resources (linux.resources).
    Its stdio: stdin, stdout, stderr (PIPE, STDOUT, DEVNULL, HOST, a file), input, capture_output, text, encoding, errors.
    Beyond: oci (a partial config.json, merged last), ask (system calls to answer: :mod:`conex.broker`), id, labels, grace.

    check=True raises :class:`CalledProcessError` unless it ended with 0, and :class:`TimeoutExpired` where ``timeout`` killed
    it; without it look at the result's ``exit``. (subprocess.run raises TimeoutExpired always.)
    """
    return default().run(first, args, **options)


__all__ = [
    "Args", "BusyError", "CalledProcessError", "Cgroup", "ClosedError", "Completed", "Container", "Context", "DEVNULL",
    "DataError", "EndedError", "Error", "Event", "ExistsError", "Exit", "ForkedError", "HOST", "Handler", "InvalidError", "Job",
    "Namespace", "Network", "NotFoundError", "NotSupportedError", "PIPE", "PermissionDeniedError", "Plan", "Process", "Progress",
    "STDOUT", "Spec", "Stats", "Syscall", "TimeoutExpired", "classify", "default", "errors", "has", "open", "parse_size", "run",
]
