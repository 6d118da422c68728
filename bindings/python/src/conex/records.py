"""Plain records that the library fills: how something ended, what it has used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

from ._conex import ffi, lib

_CAUSES = ("", "code", "signal", "oom", "timeout", "stopped", "seccomp", "never_started", "unknown")
UNKNOWN = 2**64 - 1         # what the library says of what a machine can't tell


@dataclass(frozen=True)
class Exit:
    """How a container or a process ended."""

    cause: str              #: "code", "signal", "oom", "timeout", "stopped", "seccomp", "never_started", "unknown"
    status: int             #: as ``$?`` in a shell: 0 to 255, 128 + signal
    code: int               #: what the program gave; -1: it didn't
    signal: int             #: what ended it; 0: nothing did
    oom_kills: int
    memory_peak: int        #: bytes; 0: the machine can't tell
    cpu: float              #: seconds of processor time
    wall: float             #: seconds from its start to its end
    cpu_ns: int = field(repr=False, default=0)
    wall_ns: int = field(repr=False, default=0)
    exited_at: float = field(repr=False, default=0.0)   #: seconds since the epoch, as time.time()
    restarts: int = field(repr=False, default=0)
    _text: str = field(repr=False, compare=False, default="")

    def __str__(self) -> str:
        """A sentence for people: "out of memory: killed at its limit, ..."."""
        return self._text

    def __bool__(self) -> bool:
        """True where it ended by itself, with 0."""
        return self.cause == "code" and self.code == 0


def named(names: Sequence[str], n: int) -> str:
    """A number of the library's by its name; those of a newer one have none yet."""
    return names[n] if 0 <= n < len(names) else "unknown"


def read_exit(x: Any) -> Exit:
    """Of a ``struct conex_exit *``."""
    text = ffi.new("char[256]")
    lib.conex_exit_text(x, text, 256)
    return Exit(named(_CAUSES, x.cause), x.status, x.code, x.sig, x.oom_kills, x.memory_peak, x.cpu_ns / 1e9, x.wall_ns / 1e9,
                x.cpu_ns, x.wall_ns, x.exited_at_ns / 1e9, x.restarts, ffi.string(text).decode(errors="replace"))


class Stats:
    """What a container or cgroup has used and may use: the fields of ``struct conex_stats``. Bytes, counts, nanoseconds
    (``..._ns``); None where the machine can't tell."""

    memory: Optional[int]
    memory_peak: Optional[int]
    memory_limit: Optional[int]
    swap: Optional[int]
    cpu_ns: Optional[int]
    cpu_user_ns: Optional[int]
    cpu_system_ns: Optional[int]
    throttled_ns: Optional[int]
    pids: Optional[int]
    pids_limit: Optional[int]
    oom_kills: Optional[int]
    read_bytes: Optional[int]
    written_bytes: Optional[int]
    memory_stall_ns: Optional[int]
    cpu_stall_ns: Optional[int]
    io_stall_ns: Optional[int]
    memory_full_stall_ns: Optional[int]
    cpu_full_stall_ns: Optional[int]
    io_full_stall_ns: Optional[int]
    cpu_periods: Optional[int]
    cpu_throttled: Optional[int]
    memory_anon: Optional[int]
    memory_file: Optional[int]
    memory_shared: Optional[int]
    memory_mapped: Optional[int]
    memory_kernel: Optional[int]
    memory_slab: Optional[int]
    memory_sock: Optional[int]
    major_faults: Optional[int]
    memory_high_hits: Optional[int]
    memory_max_hits: Optional[int]
    ooms: Optional[int]
    swap_limit: Optional[int]
    pids_peak: Optional[int]
    pids_refused: Optional[int]
    read_ops: Optional[int]
    write_ops: Optional[int]
    huge_bytes: Optional[int]
    net_rx_bytes: Optional[int]
    net_tx_bytes: Optional[int]
    net_rx_packets: Optional[int]
    net_tx_packets: Optional[int]
    net_rx_errors: Optional[int]
    net_tx_errors: Optional[int]
    net_rx_dropped: Optional[int]
    net_tx_dropped: Optional[int]

    def __init__(self, s: Any) -> None:
        """Of a ``struct conex_stats``."""
        for name in STATS_FIELDS:
            value = getattr(s, name)
            setattr(self, name, None if value == UNKNOWN else value)

    @property
    def cpu(self) -> Optional[float]:
        """Seconds of processor time."""
        return None if self.cpu_ns is None else self.cpu_ns / 1e9

    def as_dict(self) -> dict[str, Optional[int]]:
        """All of them by their names."""
        return {name: getattr(self, name) for name in STATS_FIELDS}

    def __repr__(self) -> str:
        return "Stats(" + ", ".join(f"{k}={v}" for k, v in self.as_dict().items() if v is not None) + ")"


STATS_FIELDS = tuple(name for name, _ in ffi.typeof("struct conex_stats").fields if name != "size")
