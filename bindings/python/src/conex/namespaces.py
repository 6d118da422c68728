"""Namespaces as handles. No thread of this process ever enters one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Optional

from ._conex import ffi, lib
from ._low import call, encoded, made
from .keywords import Text
from .options import namespace_bits

if TYPE_CHECKING:
    from .context import Context


class Namespace:
    """A namespace that lives as long as something holds it: this handle, processes in it, or its pin."""

    def __init__(self, c: Any) -> None:
        self._c = ffi.gc(c, lib.conex_namespace_free)

    def fileno(self) -> int:
        """The namespace as a descriptor; borrowed."""
        return int(lib.conex_namespace_fd(self._c))

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0) -> "socket.socket":
        """A socket made inside of a network namespace."""
        ret = ffi.new("int *")
        call(lib.conex_namespace_take_socket, self._c, int(family), int(type), proto, ret)
        return socket.socket(fileno=ret[0])


class Namespaces:
    """``cx.namespaces``"""

    def __init__(self, context: "Context") -> None:
        self._context = context

    def create(self, kind: str, pin: Optional[Text] = None) -> Namespace:
        """Makes one without a process: "net", "ipc", "uts", "mount", "cgroup", "time". pin: a file to bind it to."""
        c = made("conex_namespace *", lambda *a: lib.conex_namespace_create(
            self._context._open, namespace_bits(kind), ffi.NULL if pin is None else encoded(pin), *a))
        return Namespace(c)

    def open(self, path: Text) -> Namespace:
        """A handle on one that exists, by a file like /proc/PID/ns/net or a pin."""
        return Namespace(made("conex_namespace *", lambda *a: lib.conex_namespace_open(self._context._open, encoded(path), *a)))
