"""The ends of a container's pipes, awaitable."""

from __future__ import annotations

import os
import select
from typing import Any, Optional, Sequence, Union

from . import _loop

PIECE = 1 << 16


class Reader:
    """A container's output: bytes or text, as a whole or by lines."""

    def __init__(self, fd: int, encoding: Optional[str], errors: Optional[str]) -> None:
        self._fd, self._buffer, self._end = fd, bytearray(), False
        self._encoding, self._errors = encoding, errors or "strict"
        os.set_blocking(fd, False)

    def _get(self) -> Optional[bytes]:
        """What is there; empty at its end; None: nothing is there yet."""
        try:
            piece = os.read(self._fd, PIECE)
        except BlockingIOError:
            return None
        except OSError:         # a terminal's end is EIO
            piece = b""
        self._end = not piece
        return piece

    async def _more(self) -> bool:
        while not self._end:
            piece = self._get()
            if piece is None:
                await _loop.readable(self._fd)
            else:
                self._buffer += piece
                return not self._end
        return False

    def _take(self, n: int) -> Any:
        piece = bytes(self._buffer[:n])
        del self._buffer[:n]
        return piece.decode(self._encoding, self._errors) if self._encoding else piece

    async def read(self) -> Any:
        """All that comes until its end."""
        while await self._more():
            pass
        return self._take(len(self._buffer))

    async def readline(self) -> Any:
        """One line with its end; empty at the end of all."""
        at = 0
        while (found := self._buffer.find(b"\n", at)) < 0:
            at = len(self._buffer)
            if not await self._more():
                return self._take(len(self._buffer))
        return self._take(found + 1)

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> Any:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def close(self) -> None:
        """Reads no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._end = -1, True

    def __del__(self) -> None:
        self.close()


class Writer:
    """A container's stdin."""

    def __init__(self, fd: int, encoding: Optional[str], errors: Optional[str]) -> None:
        self._fd, self._encoding, self._errors = fd, encoding or "utf-8", errors or "strict"
        os.set_blocking(fd, False)

    async def write(self, data: Union[bytes, str]) -> None:
        """Writes all of it. BrokenPipeError: nobody reads any more."""
        left = memoryview(data.encode(self._encoding, self._errors) if isinstance(data, str) else data)
        while len(left):
            try:
                left = left[os.write(self._fd, left):]
            except BlockingIOError:
                await _loop.writable(self._fd)

    def close(self) -> None:
        """Says end of input."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


class Kept:
    """What is read of one pipe until its end: at most so many bytes are kept, all are counted."""

    def __init__(self, reader: Reader, most: int) -> None:
        self.reader, self._most = reader, most
        self.data = reader._buffer[:most]
        self.total = len(reader._buffer)
        reader._buffer.clear()

    def pull(self) -> bool:
        """Takes what is there; False: its end."""
        while not self.reader._end:
            piece = self.reader._get()
            if piece is None:
                return True
            self.data += piece[:max(0, self._most - len(self.data))]
            self.total += len(piece)
        return False


def push(writer: Writer, left: memoryview) -> memoryview:
    """Writes what the pipe takes, and closes it behind the last byte, or where nobody reads. Returns the rest."""
    try:
        while len(left):
            left = left[os.write(writer._fd, left):]
        writer.close()
    except BlockingIOError:
        pass
    except BrokenPipeError:
        writer.close()
    return left


async def ready(read: Sequence[int], write: Sequence[int]) -> None:
    """Until one of them is: an epoll of them is readable then."""
    with select.epoll() as epoll:
        for fd in set(read) | set(write):
            epoll.register(fd, (select.EPOLLIN if fd in read else 0) | (select.EPOLLOUT if fd in write else 0))
        await _loop.readable(epoll.fileno())
