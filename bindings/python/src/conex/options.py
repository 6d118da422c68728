"""From keywords to ``struct conex_run_options``: the same names in run, start, plan, exec."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, Tuple, Union

from ._conex import ffi, lib
from ._low import Memory, call, encoded, milliseconds, size, text
from .keywords import DEVNULL, HOST, PIPE, STDOUT, Args, Env, MountLike, Size, Stdio
from .networks import Network

if TYPE_CHECKING:
    from .broker import Handler
    from .namespaces import Namespace
    from .spec import Spec

Published = Tuple[str, int, str]    # address, port, protocol


_NAMESPACES = {"mount": 1, "pid": 2, "net": 4, "network": 4, "ipc": 8, "uts": 16, "user": 32, "cgroup": 64, "time": 128,
               "all": 255}
_FLAGS = {"nowait": 1 << 0, "hold": 1 << 1, "tty": 1 << 2, "read_only": 1 << 3, "init": 1 << 4, "userns": 1 << 5,
          "autodelete": 1 << 7, "timeline": 1 << 8}


class Options:
    """A filled struct with all that it points to. ``given`` are the keywords of run, start, plan, exec, as far as a call
    knows them; None is as if one weren't there."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.memory: Memory = Memory()
        self.c: Any = ffi.new("struct conex_run_options *")
        self.c.size = ffi.sizeof("struct conex_run_options")
        self.handlers: dict[str, "Handler"] = {}
        self.published: list[Published] = []
        for name, value in given.items():
            if value is None:
                continue
            fill = getattr(self, "_" + name, None)
            if name in _FLAGS:
                self.c.flags |= _FLAGS[name] if value else 0
            elif name in _TEXTS:
                setattr(self.c, _TEXTS[name], self.memory.text(value))
            elif name in _LIMITS:
                continue
            elif fill:
                fill(value)
            else:
                raise TypeError(f"unexpected keyword argument {name!r}")
        limits = {name: given[name] for name in _LIMITS if given.get(name) is not None}
        if limits:
            self.c.limits = self.memory.keep(limits_struct(limits, self.memory))

    # ---- one keyword each ----

    def _labels(self, value: Env) -> None:
        self.c.labels = self.memory.texts(_pairs(value))

    def _env(self, value: Env) -> None:
        self.c.env = self.memory.texts(_pairs(value))

    def _stdin(self, value: Stdio) -> None:
        setattr(self.c, "in", _stdio(value, "stdin"))

    def _stdout(self, value: Stdio) -> None:
        self.c.out = _stdio(value, "stdout")

    def _stderr(self, value: Stdio) -> None:
        self.c.err = _stdio(value, "stderr")

    def _input(self, value: bytes) -> None:
        self.c.input = self.memory.keep(ffi.from_buffer("char[]", value if value else b"\0"))
        self.c.input_size = len(value)
        if not value:       # no bytes are no input: /dev/null
            self.c.input = ffi.NULL

    def _timeout(self, value: float) -> None:
        self.c.timeout_ms = milliseconds(value)

    def _grace(self, value: float) -> None:
        self.c.grace_ms = milliseconds(value)

    def _mounts(self, value: Iterable[MountLike]) -> None:
        mounts = [_mount(m) for m in value]
        array = self.memory.keep(ffi.new("struct conex_mount[]", len(mounts) + 1))
        for to, fields in zip(array, mounts):
            to.source, to.target, to.type, to.options = (self.memory.text(f) for f in fields)
        self.c.mounts = array

    def _network(self, value: Union[str, "Network", Iterable[Union[str, "Network"]]]) -> None:
        names = [value] if isinstance(value, (str, Network)) else list(value)
        self.c.network = self.memory.text(",".join(n if isinstance(n, str) else n.name for n in names))

    def _ports(self, value: Union[str, int, Iterable[Union[str, int]]]) -> None:
        written = [value] if isinstance(value, (str, int)) else list(value)
        found: list[Any] = []
        for one in written:
            ret = ffi.new("struct conex_port **")
            n = call(lib.conex_parse_ports, encoded(str(one)), ret)
            found += [self.memory.keep(ffi.gc(ret[0], lib.free))[i] for i in range(n)] if n else []
        array = self.memory.keep(ffi.new("struct conex_port[]", len(found) + 1))
        for to, port in zip(array, found):
            to.address, to.host_port, to.port, to.protocol = port.address, port.host_port, port.port, port.protocol
            self.published.append((text(port.address) or "127.0.0.1", port.port, text(port.protocol) or "tcp"))
        self.c.ports = array

    def _share(self, value: Union[str, Iterable[str]]) -> None:
        self.c.share = namespace_bits(value)

    def _join(self, value: Iterable["Namespace"]) -> None:
        handles = [ns._c for ns in value]
        self.memory.keep(list(value))
        self.c.join = self.memory.keep(ffi.new("conex_namespace *[]", handles + [ffi.NULL]))

    def _ask(self, value: Union[Mapping[str, "Handler"], Iterable[str]]) -> None:
        if isinstance(value, Mapping):
            self.handlers = dict(value)
        self.c.ask = self.memory.texts(list(value))

    def _spec(self, value: Union["Spec", Mapping[str, Any], str]) -> None:
        from .spec import Spec

        spec = value if isinstance(value, Spec) else Spec(value)
        self.memory.keep(spec)
        self.c.spec = spec._c

    def _oci(self, value: Union[str, Mapping[str, Any]]) -> None:
        self.c.oci = self.memory.text(value if isinstance(value, str) else json.dumps(value))

    def _pass_fds(self, value: Iterable[Any]) -> None:
        fds = [fd if isinstance(fd, int) else fd.fileno() for fd in value]
        self.c.fds = self.memory.keep(ffi.new("int[]", fds or [0]))
        self.c.fds_size = len(fds)

    def _hosts(self, value: Union[Mapping[str, str], Iterable[str]]) -> None:
        lines = [f"{address} {name}" for name, address in value.items()] if isinstance(value, Mapping) else list(value)
        self.c.hosts = self.memory.texts(lines)

    def _dns(self, value: Union[str, Iterable[str]]) -> None:
        self.c.dns = self.memory.texts([value] if isinstance(value, str) else list(value))

    def _ingress_bps(self, value: int) -> None:
        self.c.ingress_bps = value

    def _disk(self, value: Size) -> None:
        self.c.disk = size(value)

    def _egress_bps(self, value: int) -> None:
        self.c.egress_bps = value


_TEXTS = {"id": "id", "cwd": "cwd", "user": "user", "hostname": "hostname", "rootfs": "rootfs"}
_LIMITS = ("memory", "swap", "memory_low", "memory_min", "memory_high", "cpus", "cpu_weight", "cpu_shares", "cpuset", "pids",
           "resources")


def limits_struct(given: Mapping[str, Any], memory: Memory) -> Any:
    """``struct conex_limits`` of keywords: sizes as numbers or "512M", cpus a number, resources as linux.resources has it."""
    c = ffi.new("struct conex_limits *")
    c.size = ffi.sizeof("struct conex_limits")
    for name, value in given.items():
        if value is None:
            continue
        if name == "resources":
            c.oci = memory.text(value if isinstance(value, str) else json.dumps(value))
        elif name == "cpuset":
            c.cpuset = memory.text(value)
        elif name == "cpus":
            c.cpus = value
        elif name in _LIMITS:
            setattr(c, name, size(value))
        else:
            raise TypeError(f"unexpected keyword argument {name!r}")
    return c


def namespace_bits(value: Union[str, Iterable[str]]) -> int:
    """CONEX_NS_...: of "net", or of several."""
    bits = 0
    for name in [value] if isinstance(value, str) else value:
        if name not in _NAMESPACES:
            raise ValueError(f"{name!r} is no namespace: one of {', '.join(_NAMESPACES)}")
        bits |= _NAMESPACES[name]
    return bits


def arguments(args: Args) -> Optional[list[Any]]:
    """A command: a list; a text or a path alone is the program, without arguments (it is not split). None: the image's."""
    if args is None:
        return None
    if isinstance(args, (str, bytes, os.PathLike)):
        return [args]
    out = list(args)
    if not out:
        raise ValueError("args: an empty list; leave it out for the image's own command")
    return out


def _pairs(value: Env) -> list[str]:
    return [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else list(value)


def _stdio(value: Any, name: str) -> int:
    if value is HOST:
        return 2
    if value == PIPE:
        return 1
    if value == DEVNULL:
        return 0
    if value == STDOUT:
        if name != "stderr":
            raise ValueError(f"{name}=STDOUT: only stderr can go where stdout goes")
        return 4
    fd: int = value if isinstance(value, int) else value.fileno()
    if fd < 0:
        raise ValueError(f"{name}={value!r}: PIPE, STDOUT, DEVNULL, HOST, a file or its descriptor")
    return -2 - fd


def _mount(value: MountLike) -> tuple[Optional[str], Optional[str], Optional[str], Optional[str]]:
    """"/host:/inside[:ro]" binds; "tmpfs:/inside[:size=16M]"; or {"source", "target", "type", "options"}; or these four."""
    if isinstance(value, Mapping):
        wrong = set(value) - {"source", "target", "type", "options"}
        if wrong:
            raise TypeError(f"mounts: {sorted(wrong)[0]!r} isn't one of source, target, type, options")
        return value.get("source"), value.get("target"), value.get("type"), value.get("options")
    if not isinstance(value, str):
        four = list(value) + [None] * (4 - len(value))
        return four[0], four[1], four[2], four[3]
    first, _, rest = value.partition(":")
    target, _, options = rest.partition(":")
    if not target:
        raise ValueError(f"mounts: {value!r}: \"/host:/inside\", \"/host:/inside:ro\" or \"tmpfs:/inside:size=16M\"")
    if first == "tmpfs":
        return "tmpfs", target, "tmpfs", options or None
    return first, target, None if first.startswith("/") else "volume", options or None
