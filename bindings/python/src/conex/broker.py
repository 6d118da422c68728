"""System calls of a container that wait for an answer.

``ask={"connect": handler}`` of run, start and plan: where a program of the container makes that call, the handler gets a
:class:`Syscall` and answers it. What a handler doesn't answer fails with EPERM, an exception in it with EIO; the exception
comes out of the call that waited.
"""

from __future__ import annotations

import errno as _errno
import sys
from typing import TYPE_CHECKING, Any, Callable, Tuple, Union

from . import errors
from ._conex import ffi, lib
from ._low import call, text

if TYPE_CHECKING:
    from .context import Context


class Syscall:
    """One system call, which waits.

    Memory that an argument points to can change at any time: judge by one copy (:meth:`read`), act on that copy
    (:meth:`inject`, :meth:`ret`), and :meth:`proceed` only after a look at plain arguments.
    """

    def __init__(self, context: "Context", c: Any) -> None:
        self._context, self._c = context, c
        self.name: str = text(lib.conex_syscall_name(c))        #: "connect"
        self.args: Tuple[int, ...] = tuple(lib.conex_syscall_arg(c, n) for n in range(6))   #: the six registers, unsigned
        self.pid: int = lib.conex_syscall_pid(c)        #: the calling thread; 0: it isn't visible from here

    @property
    def answered(self) -> bool:
        """It has its answer, or the context was closed, which answers all."""
        return self._c is None or self._context._c is None

    def __del__(self) -> None:      # nobody can answer any more
        if getattr(self, "_c", None) is not None and self._context._c is not None and not sys.is_finalizing():
            lib.conex_syscall_return(self._c, -_errno.EPERM, ffi.NULL)

    def read(self, address: int, size: int) -> bytes:
        """One copy of the caller's memory; shorter where that ends."""
        buffer = ffi.new("char[]", max(size, 1))
        n = call(lib.conex_syscall_read, self._mine(), address, buffer, size)
        copy: bytes = ffi.buffer(buffer, n)[:]
        return copy

    def string(self, address: int, most: int = 4096) -> str:
        """A copy of a text that ends with NUL, at most so many bytes: good for a log."""
        return self.read(address, most).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def ret(self, value: int = 0) -> None:
        """It returns this."""
        self._end(lib.conex_syscall_return, value)

    def fail(self, error: Union[int, str]) -> None:
        """It fails with this error: errno.EACCES or "EACCES"."""
        number = getattr(_errno, error) if isinstance(error, str) else error
        self._end(lib.conex_syscall_return, -number)

    def inject(self, fd: Any, at: int = -1) -> None:
        """It gets a copy of a descriptor (or file): at its lowest free number, which the call returns, or in place of its
        descriptor ``at``, and the call returns 0."""
        self._end(lib.conex_syscall_inject, fd if isinstance(fd, int) else fd.fileno(), at)

    def proceed(self) -> None:
        """The kernel does it, and reads what arguments point to anew."""
        self._end(lib.conex_syscall_proceed)

    def _mine(self) -> Any:
        if self.answered:
            raise ValueError(f"{self.name}: it is answered already")
        return self._c

    def _end(self, function: Callable[..., int], *args: Any) -> None:
        try:
            call(function, self._mine(), *args)
        except errors.NotFoundError:        # its caller is gone: nobody waits for it
            pass
        self._c = None

    def __repr__(self) -> str:
        return f"<conex.Syscall {self.name}({', '.join(hex(a) for a in self.args)}) of {self.pid}>"


Handler = Callable[[Syscall], Any]


def answer(syscall: Syscall, handler: Handler) -> None:
    """Lets a handler answer, and answers where it doesn't."""
    try:
        handler(syscall)
    except BaseException:
        if not syscall.answered:
            syscall.fail(_errno.EIO)
        raise
    if not syscall.answered:
        syscall.fail(_errno.EPERM)
