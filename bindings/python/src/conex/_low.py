"""Between Python's values and C's: calls that raise, texts, lists, and memory that lives as long as a struct."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Iterable, Optional, Union

from . import errors
from ._conex import ffi, lib
from .keywords import Text

# A wait that has no end looks this often whether Python has something to do: a signal's handler, Ctrl-C.
SLICE_MS = 100


def text(value: Any) -> str:
    """A borrowed C string; bytes that aren't UTF-8 as os.fsdecode has them."""
    if value == ffi.NULL:
        return ""
    found: bytes = ffi.string(value)
    return found.decode("utf-8", "surrogateescape")


def taken(value: Any) -> str:
    """A C string that is ours: freed."""
    try:
        return text(value)
    finally:
        lib.free(value)


def taken_list(value: Any, count: int) -> list[str]:
    """A list of C strings, freed as one block."""
    try:
        return [text(value[i]) for i in range(count)]
    finally:
        lib.free(value)


def taken_json(value: Any) -> Any:
    """The same, parsed."""
    return json.loads(taken(value))


def encoded(value: Text) -> bytes:
    """A text or path for C."""
    out = os.fsencode(value)
    if b"\0" in out:
        raise ValueError("embedded null byte")
    return out


class Memory:
    """Holds what a C struct points to."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def keep(self, value: Any) -> Any:
        """Holds it, and returns it."""
        self.held.append(value)
        return value

    def text(self, value: Optional[Text]) -> Any:
        """A C string; None: NULL."""
        return ffi.NULL if value is None else self.keep(ffi.new("char[]", encoded(value)))

    def texts(self, values: Optional[Iterable[Text]]) -> Any:
        """An array that ends with NULL; None: NULL."""
        if values is None:
            return ffi.NULL
        return self.keep(ffi.new("const char *[]", [self.text(v) for v in values] + [ffi.NULL]))


def told(error: Any) -> errors.Error:
    """The exception for a C error, which stays whose it is."""
    return errors.make(lib.conex_error_code(error), text(lib.conex_error_text(error)), lib.conex_error_stage(error),
                       text(lib.conex_error_object(error)), text(lib.conex_error_call(error)), text(lib.conex_error_hint(error)))


def raised(code: int, error: Any) -> errors.Error:
    """The exception for what a call answered; the C error is freed."""
    if error == ffi.NULL:
        return errors.make(code, os.strerror(-code))
    try:
        return told(error)
    finally:
        lib.conex_error_free(error)


def call(function: Callable[..., int], *args: Any) -> int:
    """Calls what takes a conex_error ** last. Raises for negative values."""
    err = ffi.new("conex_error **")
    r = function(*args, err)
    if r < 0:
        raise raised(r, err[0])
    return r


def made(kind: str, function: Callable[..., int], *args: Any) -> Any:
    """The same for what returns a handle or a text by its last but one parameter."""
    ret = ffi.new(kind + " *")
    call(function, *args, ret)
    return ret[0]


def wait(look: Callable[[int], int], timeout: Optional[float]) -> bool:
    """Calls look(timeout_ms) until it says that it has happened, or the time is over."""
    end = None if timeout is None else time.monotonic() + max(timeout, 0)
    while True:
        left = SLICE_MS if end is None else min(SLICE_MS, max(0, round((end - time.monotonic()) * 1000 + 0.5)))
        if look(left):
            return True
        if end is not None and time.monotonic() >= end:
            return False


def milliseconds(seconds: Optional[float]) -> int:
    """For C's timeouts, where 0 means none: at least 1. None: 0"""
    if seconds is None:
        return 0
    if seconds < 0:
        raise ValueError(f"{seconds!r} seconds: not below 0")
    return max(1, round(seconds * 1000))


def size(value: Union[int, str, None]) -> int:
    """Bytes: a number, or as people write them ("512M"); "max": no limit; None: 0"""
    if value is None:
        return 0
    if isinstance(value, str):
        if value in ("max", "unlimited"):
            return 2**64 - 1
        ret = ffi.new("uint64_t *")
        call(lib.conex_parse_size, encoded(value), ret)
        return int(ret[0])
    return int(value)
