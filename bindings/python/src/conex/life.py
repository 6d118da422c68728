"""What a container and a program executed in one have in common: they run, have stdio, and end."""

from __future__ import annotations

import codecs
import io
import os
import select
import selectors
import signal
import time
from typing import IO, TYPE_CHECKING, Any, Callable, Optional, Sequence, Tuple, Union

from . import errors
from ._conex import ffi, lib
from ._low import call, told, wait
from .options import Options
from .records import Exit, read_exit

if TYPE_CHECKING:
    from .broker import Handler
    from .context import Context

Output = Union[None, bytes, str]
Captured = Tuple[Output, int]       # what is kept, and how many bytes it was in all


class Life:
    """The base of :class:`Container` and :class:`Process`."""

    _kind = ""              # "container", "process": of the C functions' names
    _c: Any
    context: "Context"
    args: Any               #: what it was asked to run; None: the image's own command

    def _begin(self, context: "Context", args: Any, *, text: bool = False, encoding: Optional[str] = None,
               errors: Optional[str] = None, handlers: Optional[dict[str, "Handler"]] = None) -> None:
        self.context, self.args = context, args
        self._text = text or encoding is not None or errors is not None
        self._encoding, self._errors = encoding, errors
        self._handlers = handlers or {}
        self._streams: dict[int, IO[Any]] = {}

    def _call(self, name: str, *args: Any) -> int:
        return call(self._function(name), self._c, *args)

    def _function(self, name: str) -> Callable[..., int]:
        function: Callable[..., int] = getattr(lib, f"conex_{self._kind}_{name}")
        return function

    # ---- its process ----

    @property
    def pid(self) -> Optional[int]:
        """Its first process as this PID namespace sees it, for people; None: there is none."""
        pid = self._function("pid")(self._c)
        return pid if pid > 0 else None

    @property
    def pidfd(self) -> int:
        """Its first process as a descriptor; borrowed. -1: none."""
        return self._function("pidfd")(self._c)

    def send_signal(self, sig: int) -> None:
        """Sends a signal to its first process."""
        self._call("kill", int(sig))

    def kill(self) -> None:
        """SIGKILL to its first process; nothing happens where it has ended."""
        try:
            self.send_signal(signal.SIGKILL)
        except errors.EndedError:
            pass

    def terminate(self) -> None:
        """SIGTERM to its first process; nothing happens where it has ended."""
        try:
            self.send_signal(signal.SIGTERM)
        except errors.EndedError:
            pass

    def resize(self, rows: int, columns: int) -> None:
        """Tells its terminal a new size."""
        self._call("resize", rows, columns)

    # ---- its end ----

    def _ended(self, timeout_ms: int) -> bool:
        if self._handlers:
            self.context._answer(self, timeout_ms)
            timeout_ms = 0
        return self._call("wait", timeout_ms, ffi.NULL) == 1

    def wait(self, timeout: Optional[float] = None) -> Exit:
        """Waits until it has ended. Nothing is killed: :class:`TimeoutExpired` after ``timeout`` seconds (its .exit is None)
        leaves it running."""
        if not wait(self._ended, timeout):
            raise errors.TimeoutExpired(self.args, timeout or 0)
        return self.exit

    def poll(self) -> Optional[int]:
        """Its status if it has ended, else None."""
        return self.exit.status if self._ended(0) else None

    @property
    def returncode(self) -> Optional[int]:
        """As :meth:`poll`."""
        return self.poll()

    @property
    def exit(self) -> Exit:
        """How it ended. Raises :class:`BusyError` while it runs."""
        x = ffi.new("struct conex_exit *")
        x.size = ffi.sizeof("struct conex_exit")
        self._call("exit", x)
        return read_exit(x)

    @property
    def error(self) -> Optional[errors.Error]:
        """Why it never started, or what happened to its keeper; None: nothing."""
        e = getattr(lib, f"conex_{self._kind}_error")(self._c)
        return None if e == ffi.NULL else told(e)

    # ---- its stdio ----

    def _stream(self, n: int) -> Optional[IO[Any]]:
        if n not in self._streams:
            fd = self._function("take_stdio")(self._c, n)
            if fd < 0:
                return None
            os.set_blocking(fd, True)
            stream: Any = open(fd, "rb") if n else open(fd, "wb", 0)
            if self._text:
                stream = io.TextIOWrapper(stream, encoding=self._encoding or "utf-8",
                                          errors=self._errors, write_through=True)
            self._streams[n] = stream
        return self._streams[n]

    @property
    def stdin(self) -> Optional[IO[Any]]:
        """A file to write to where stdin=PIPE was asked for; with tty the terminal. Else None."""
        return self._stream(0)

    @property
    def stdout(self) -> Optional[IO[Any]]:
        """A file to read from where stdout=PIPE was asked for. Iterating gives lines. Else None."""
        return self._stream(1)

    @property
    def stderr(self) -> Optional[IO[Any]]:
        """The same, where stderr=PIPE was asked for."""
        return self._stream(2)

    def communicate(self, input: Output = None, timeout: Optional[float] = None) -> tuple[Output, Output]:
        """Writes all of input, reads all that it writes, waits for its end. On :class:`TimeoutExpired` it goes on, and what
        was read so far is in the exception."""
        end = None if timeout is None else time.monotonic() + timeout
        data = {n: bytearray() for n in (1, 2) if self.stdio(n) >= 0 or n in self._streams}
        left = memoryview(self._bytes(input)) if input is not None else memoryview(b"")
        with selectors.DefaultSelector() as selector:
            for n in data:
                data[n] += self._watch(selector, n, selectors.EVENT_READ)
            if len(left) and self.stdin:
                self._watch(selector, 0, selectors.EVENT_WRITE)
            elif self.stdin:
                self.stdin.close()
            while selector.get_map():
                for key, _ in selector.select(0.1):
                    left = self._move(selector, key, data, left)
                if self._handlers:
                    self.context._answer(self, 0)
                if end is not None and time.monotonic() >= end:
                    raise errors.TimeoutExpired(self.args, timeout or 0, self._decoded(data.get(1)), self._decoded(data.get(2)))
        self.wait(None if end is None else max(0.0, end - time.monotonic()))
        return self._decoded(data.get(1)), self._decoded(data.get(2))

    def _watch(self, selector: selectors.BaseSelector, n: int, events: int) -> bytes:
        """From now on it doesn't block. Returns what somebody's read has left in the file's buffer."""
        stream: Any = self._stream(n)
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, events, n)
        buffer = getattr(stream, "buffer", stream)
        waiting = buffer.peek() if n else b""
        return bytes(buffer.read1(len(waiting))) if waiting else b""

    def _move(self, selector: selectors.BaseSelector, key: selectors.SelectorKey, data: dict[int, bytearray],
              left: memoryview) -> memoryview:
        done = False
        try:
            if key.data == 0:
                left = left[os.write(key.fd, left[:select.PIPE_BUF]):]
                done = not len(left)
            else:
                piece = os.read(key.fd, 1 << 16)
                data[key.data] += piece
                done = not piece
        except BlockingIOError:
            pass
        except (BrokenPipeError, OSError):      # nobody reads any more; a terminal's end is EIO
            done = True
        if done:
            selector.unregister(key.fileobj)
            self._streams[key.data].close()
        return left

    def stdio(self, n: int) -> int:
        """Our end of stdin (0), stdout (1) or stderr (2) as a descriptor, non-blocking; borrowed. -1: no pipe, or taken."""
        return self._function("stdio")(self._c, n)

    def _bytes(self, value: Any) -> bytes:
        return value.encode(self._encoding or "utf-8", self._errors or "strict") if isinstance(value, str) else bytes(value)

    def _decoded(self, value: Union[None, bytes, bytearray], whole: bool = True) -> Output:
        """Not whole: a character that is cut at its end is left out."""
        if value is None or not self._text:
            return value if value is None else bytes(value)
        decoder = codecs.getincrementaldecoder(self._encoding or "utf-8")(self._errors or "strict")
        return decoder.decode(bytes(value), whole).replace("\r\n", "\n")

    def _collect(self, max_output: int) -> list[Captured]:
        """All of stdout and stderr, at most so much of each is kept; and waits for its end."""
        out = ffi.new("struct conex_output *")
        out.size, out.max = ffi.sizeof("struct conex_output"), max_output
        has = [self.stdio(n) >= 0 for n in (1, 2)]
        try:
            if any(has):
                wait(lambda ms: self._output(out, ms), None)
            self.wait()
            kept = [(ffi.buffer(p, n)[:] if p != ffi.NULL else b"", total) for p, n, total in (
                (out.out, out.out_size, out.out_total), (out.err, out.err_size, out.err_total))]
        finally:
            lib.conex_output_clear(out)
        return [self._captured(*one) if is_pipe else (None, 0) for one, is_pipe in zip(kept, has)]

    def _captured(self, kept: bytes, total: int) -> Captured:
        return self._decoded(kept, len(kept) == total), int(total)

    def _output(self, out: Any, timeout_ms: int) -> int:
        if self._handlers:
            p = select.poll()
            for fd in (lib.conex_fd(self.context._open), self.stdio(1), self.stdio(2)):
                if fd >= 0:
                    p.register(fd, select.POLLIN)
            p.poll(timeout_ms)
            self.context._answer(self, 0)
            timeout_ms = 0
        return self._call("output", timeout_ms, out)


def completed(life: Life, options: Options, check: bool, captured: Sequence[Captured]) -> "Completed":
    """What run and exec return; raises where check asks for it."""
    (stdout, _), (stderr, _) = captured
    exit = life.exit
    if check and exit.cause == "timeout":
        raise errors.TimeoutExpired(life.args, options.c.timeout_ms / 1000, stdout, stderr, exit)
    if check and not exit:
        raise errors.CalledProcessError(exit, life.args, stdout, stderr)
    return Completed(life.args, exit, captured)


class Completed:
    """What came of a run: as :class:`subprocess.CompletedProcess`, with the exit record.

    :ivar args: what was run; None: the image's own command
    :ivar returncode: as ``$?`` in a shell has it: 128 + signal where one ended it
    :ivar stdout: what was captured and kept (max_output), bytes or, with text, str; None: nothing was captured
    :ivar stderr: the same
    :ivar stdout_total: how many bytes it wrote; more than were kept where max_output cut it
    :ivar stderr_total: the same
    :ivar exit: how it ended, and what it has used
    """

    def __init__(self, args: Any, exit: Exit, captured: Sequence[Captured]) -> None:
        """captured: of stdout and of stderr what was kept, and how many bytes it was."""
        self.args: Any = args
        self.exit: Exit = exit
        self.returncode: int = exit.status
        self.stdout: Any = captured[0][0]
        self.stdout_total: int = captured[0][1]
        self.stderr: Any = captured[1][0]
        self.stderr_total: int = captured[1][1]

    def check_returncode(self) -> None:
        """Raises :class:`CalledProcessError` unless it ended by itself, with 0."""
        if not self.exit:
            raise errors.CalledProcessError(self.exit, self.args, self.stdout, self.stderr)

    def __repr__(self) -> str:
        shown = "".join(f", {n}={getattr(self, n)!r}" for n in ("stdout", "stderr") if getattr(self, n) is not None)
        return f"Completed(args={self.args!r}, returncode={self.returncode}{shown})"
