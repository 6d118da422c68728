"""What can go wrong: a tree under :class:`Error`, which is an :class:`OSError`."""

from __future__ import annotations

import errno as _errno
import subprocess
from typing import TYPE_CHECKING, Any, Optional, Sequence

if TYPE_CHECKING:
    from .records import Exit

_STAGES = ("", "open", "image", "spec", "plan", "launch", "child", "exec", "run", "teardown")


class Error(OSError):
    """A call into conex failed. Nothing that it had begun is left.

    :ivar errno: the error number, as ``errno.ENOENT``
    :ivar stage: where it failed: "open", "image", "spec", "plan", "launch", "child", "exec", "run" or "teardown"
    :ivar object: what it was about: "mounts[2] /proc"; may be empty
    :ivar call: the system call that failed: "mount"; may be empty
    :ivar hint: what would mend it; may be empty
    """

    stage: str = ""
    object: str = ""
    call: str = ""
    hint: str = ""
    _text: str = ""

    @property
    def operation(self) -> str:
        """The system call that failed, or else the stage."""
        return self.call or self.stage

    def __str__(self) -> str:
        return self._text or super().__str__()


class NotFoundError(Error, FileNotFoundError):
    """There is no such image, container, network, program or file (ENOENT)."""


class ExistsError(Error, FileExistsError):
    """There is one already (EEXIST)."""


class PermissionDeniedError(Error, PermissionError):
    """Not allowed, or not logged in (EACCES, EPERM)."""


class InvalidError(Error, ValueError):
    """An option or argument can't be (EINVAL, E2BIG, ERANGE); ``object`` names it."""


class NotSupportedError(Error):
    """This machine, or this version, can't do it (EOPNOTSUPP)."""


class BusyError(Error):
    """Somebody else is at it, or it is in use (EBUSY)."""


class EndedError(Error, ProcessLookupError):
    """It has ended, or not begun (ESRCH)."""


class ClosedError(Error):
    """The context is closed (ESHUTDOWN)."""


class ForkedError(Error):
    """This process is a copy that fork made: open a context of its own (ECHILD)."""


class DataError(Error):
    """Bytes aren't what their digest says, or are broken (EBADMSG)."""


_CLASSES = {
    _errno.ENOENT: NotFoundError, _errno.EEXIST: ExistsError, _errno.EACCES: PermissionDeniedError,
    _errno.EPERM: PermissionDeniedError, _errno.EINVAL: InvalidError, _errno.E2BIG: InvalidError,
    _errno.ERANGE: InvalidError, _errno.EOPNOTSUPP: NotSupportedError, _errno.EBUSY: BusyError,
    _errno.ESRCH: EndedError, _errno.ESHUTDOWN: ClosedError, _errno.ECHILD: ForkedError, _errno.EBADMSG: DataError,
}


def make(code: int, text: str, stage: int = 0, object: str = "", call: str = "", hint: str = "") -> Error:
    """The exception of a negative errno."""
    e = _CLASSES.get(-code, Error)(-code, text)
    e.stage = _STAGES[stage] if 0 <= stage < len(_STAGES) else ""
    e.object, e.call, e.hint, e._text = object, call, hint, text
    return e


class TimeoutExpired(Error, subprocess.TimeoutExpired):
    """It was killed after its ``timeout``, or didn't end within that of a wait.

    Also a :class:`subprocess.TimeoutExpired`.

    :ivar exit: the exit record; None: it goes on (a wait that ran out)
    """

    stage: str = "run"
    cmd: Any
    timeout: float
    output: Any
    stderr: Any
    exit: Optional["Exit"]

    def __init__(self, cmd: Any, timeout: float, output: Any = None, stderr: Any = None,
                 exit: Optional["Exit"] = None) -> None:
        text = f"{_shown(cmd)}: {exit}" if exit is not None else f"{_shown(cmd)}: not within {timeout:g} s"
        OSError.__init__(self, _errno.ETIMEDOUT, text)
        self._text = text
        self.cmd, self.timeout, self.output, self.stderr, self.exit = cmd, timeout, output, stderr, exit


class CalledProcessError(Error, subprocess.CalledProcessError):
    """``check=True``, and the status isn't 0. Also a :class:`subprocess.CalledProcessError`.

    :ivar exit: the exit record, which tells how it ended
    """

    returncode: int
    stage: str = "run"
    cmd: Any
    output: Any
    stderr: Any
    exit: "Exit"

    def __init__(self, exit: "Exit", cmd: Any, output: Any = None, stderr: Any = None) -> None:
        text = f"{_shown(cmd)}: {exit}"
        if stderr:
            last = (stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr).strip().splitlines()[-1:]
            text += "".join(f": {line}" for line in last)
        OSError.__init__(self, _errno.EREMOTEIO, text)
        self._text = text
        self.returncode, self.cmd, self.output, self.stderr, self.exit = exit.status, cmd, output, stderr, exit


def _shown(cmd: Any) -> str:
    if isinstance(cmd, Sequence) and not isinstance(cmd, (str, bytes)):
        return " ".join(str(part) for part in cmd)
    return str(cmd) if cmd is not None else "the container"
