"""The keywords of run, start, plan, exec and popen: types for checkers, and a line each for help().

This is the one place that describes them. A checker sees them through ``**options: Unpack[RunOptions]``; :func:`described` adds
them to a function's signature and docstring. Which of them a call takes is the library's word: struct conex_run_options.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import subprocess
from typing import (TYPE_CHECKING, Annotated, Any, Callable, Iterable, List, Mapping, Optional, Protocol, Sequence, Tuple,
                    TypedDict, TypeVar, Union)

if TYPE_CHECKING:
    from .broker import Handler
    from .namespaces import Namespace
    from .networks import Network
    from .spec import Spec

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL


class Host:
    """The type of :data:`conex.HOST`: this process's own stdin, stdout or stderr."""

    def __repr__(self) -> str:
        return "conex.HOST"


HOST = Host()

class HasFileno(Protocol):
    """A file, a socket: what has a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


Text = Union[str, bytes, "os.PathLike[str]"]
File = Union[int, HasFileno]
Args = Union[Text, Sequence[Text], None]
Size = Union[int, str]
Env = Union[Mapping[str, str], Iterable[str]]
MountLike = Union[str, Mapping[str, str], Sequence[Optional[str]]]
#: PIPE, STDOUT (stderr only), DEVNULL, HOST, a descriptor, or a file that has one
Stdio = Union[None, File, Host]


class LimitOptions(TypedDict, total=False):
    """What update, cgroups.create and Cgroup.set take, and run, start and plan, too."""

    memory: Annotated[Optional[Size], 'bytes, without swap: "64M"']
    swap: Annotated[Optional[Size], "bytes of swap alone; with memory and no word on it: none"]
    memory_low: Annotated[Optional[Size], "bytes kept back from reclaim"]
    memory_min: Annotated[Optional[Size], "bytes never reclaimed (cgroup v2)"]
    memory_high: Annotated[Optional[Size], "bytes above which it is made to wait (cgroup v2)"]
    cpus: Annotated[Optional[float], "processors: 0.5 is half of one"]
    cpu_weight: Annotated[Optional[int], "1 to 10,000; 100 is the others'"]
    cpu_shares: Annotated[Optional[int], "the same as v1 counts: 2 to 262,144"]
    cpuset: Annotated[Optional[str], 'which processors: "0-3,8"']
    pids: Annotated[Optional[Size], "processes and threads"]
    resources: Annotated[Union[None, str, Mapping[str, Any]], "the rest, as the OCI's linux.resources has it; merged last"]


class StreamOptions(TypedDict, total=False):
    """About this end of the pipes."""

    text: Annotated[Optional[bool], "pipes carry str instead of bytes"]
    encoding: Annotated[Optional[str], "the same, in this encoding; else UTF-8"]
    errors: Annotated[Optional[str], "how text is decoded: as open() has it"]


class ProgramOptions(StreamOptions, total=False):
    """About one program that is started."""

    env: Annotated[Optional[Env], "variables, over the image's; never this process's own"]
    stdin: Annotated[Stdio, "PIPE, DEVNULL, HOST, a file or its descriptor; else /dev/null"]
    stdout: Annotated[Stdio, "the same"]
    stderr: Annotated[Stdio, "the same, or STDOUT: where stdout goes"]
    input: Annotated[Union[None, bytes, bytearray, memoryview, str], "all of its stdin"]
    timeout: Annotated[Optional[float], "seconds, then all of it is killed"]
    tty: Annotated[Optional[bool], "its stdin, stdout and stderr are one new terminal"]
    pass_fds: Annotated[Optional[Iterable[File]], "files or descriptors: its 3, 4 ..."]
    nowait: Annotated[Optional[bool], "don't wait for its execve: news says how that went"]


class ExecOptions(ProgramOptions, total=False):
    """What exec and popen take."""

    cwd: Annotated[Optional[str], "its directory"]
    user: Annotated[Optional[str], '"name", "uid" or "uid:gid"']
    spec: Annotated[Union[None, Spec, str, Mapping[str, Any]], "another process object; its rights are at most the container's"]
    oci: Annotated[Union[None, str, Mapping[str, Any]], "a partial config.json, merged last"]


class LaunchOptions(ProgramOptions, total=False):
    """What Plan.run and Plan.start take: about one launch."""

    id: Annotated[Optional[str], "its name, also its host name; else 12 letters"]
    labels: Annotated[Optional[Env], "for who looks for it: {key: value}"]
    hold: Annotated[Optional[bool], "set all up, and execute nothing until Container.start"]
    autodelete: Annotated[Optional[bool], "it is deleted when it has ended; this object keeps the record"]
    timeline: Annotated[Optional[bool], "keep what its launch did: Container.timeline"]


class PlanOptions(LimitOptions, total=False):
    """What plan takes: all that isn't about one launch."""

    rootfs: Annotated[Optional[Text], "a directory, instead of an image"]
    spec: Annotated[Union[None, Spec, str, Mapping[str, Any]], "a config.json to begin from, instead of image or rootfs"]
    env: Annotated[Optional[Env], "variables, over the image's; never this process's own"]
    cwd: Annotated[Optional[str], "its directory"]
    user: Annotated[Optional[str], '"name", "uid" or "uid:gid"']
    hostname: Annotated[Optional[str], "else its id"]
    tty: Annotated[Optional[bool], "its stdin, stdout and stderr are one new terminal"]
    read_only: Annotated[Optional[bool], "the root file system can't be written"]
    init: Annotated[Optional[bool], "a process 1 of ours that reaps orphans"]
    userns: Annotated[Optional[bool], "root inside is nobody outside; without privileges it is always so"]
    mounts: Annotated[Optional[Iterable[MountLike]], '"/host:/inside:ro", "tmpfs:/tmp:size=16M", or {source, target, type, options}']
    network: Annotated[Union[None, str, Network, Iterable[Union[str, Network]]],
                       'networks\' names, "host", "container:ID", without privileges "pasta"; else loopback alone']
    ports: Annotated[Union[None, int, str, Iterable[Union[int, str]]], 'published: "127.0.0.1::80" (a free one), "8080:80/tcp"']
    hosts: Annotated[Union[None, Mapping[str, str], Iterable[str]], "more names: {name: address}"]
    dns: Annotated[Union[None, str, Iterable[str]], 'servers, "search example", instead of the host\'s']
    ingress_bps: Annotated[Optional[int], "bits a second into it, on each interface"]
    egress_bps: Annotated[Optional[int], "bits a second out of it"]
    disk: Annotated[Optional[Size], "bytes that it may write over its image's files"]
    share: Annotated[Union[None, str, Iterable[str]], 'namespaces that stay the host\'s: "net", "all" ...']
    join: Annotated[Optional[Iterable[Namespace]], "namespaces instead of new ones"]
    ask: Annotated[Union[None, Mapping[str, Handler], Iterable[str]], "system calls that handlers here answer: conex.broker"]
    grace: Annotated[Optional[float], "seconds between SIGTERM and SIGKILL of Container.stop; else 10"]
    oci: Annotated[Union[None, str, Mapping[str, Any]], "a partial config.json, merged last"]


class RunOptions(PlanOptions, LaunchOptions, total=False):  # type: ignore[misc]  # env, tty: the same in both
    """What run and start take."""


class ImageOptions(TypedDict, total=False):
    """What pull, push, load, save and unpack take."""

    platform: Annotated[Optional[str], '"linux/arm64"; else this machine\'s']
    auth_file: Annotated[Optional[Text], "containers' auth.json or Docker's config.json; else the usual places"]
    user: Annotated[Optional[str], "the registry's, instead of what files say"]
    password: Annotated[Optional[str], "the same"]
    mirrors: Annotated[Union[None, str, Iterable[str]], "registries that a pull asks first"]
    max_bytes: Annotated[Optional[Size], "unpacked; else 64 GiB"]
    limits: Annotated[Optional[Mapping[str, Size]], "bytes, ratio, entries, depth, path, header, xattrs: of hostile archives"]
    plain_http: Annotated[Optional[bool], "http:// to this registry, and no certificate"]
    not_newer: Annotated[Optional[bool], "pull: ask nobody where the store has one of that name"]


# ---- at run time ----

F = TypeVar("F", bound=Callable[..., Any])


@functools.lru_cache(maxsize=None)
def _parts(written: str) -> Tuple[str, str]:
    """The type and the text of what is written Annotated[type, text]."""
    both: Any = ast.parse(written, mode="eval").body
    kind, meaning = both.slice.elts
    return ast.unparse(kind), meaning.value


def documented(options: Any) -> List[Tuple[str, str, str]]:
    """Name, type and meaning of each key of such a class, as they are written above."""
    return [(name, *_parts(getattr(written, "__forward_arg__", written))) for name, written in options.__annotations__.items()]


def described(options: Any) -> Callable[[F], F]:
    """A decorator: the keywords of ``**options`` are named in the signature and told in the docstring."""
    keywords = documented(options)

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
                for name, kind, _ in keywords if name not in signature.parameters]
        function.__signature__ = signature.replace(parameters=own + more)  # type: ignore[attr-defined]
        lines = "".join(f"    {name}: {meaning}\n" for name, _, meaning in keywords)
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nKeywords, None where they aren't given:\n\n{lines}"
        return function
    return decorate
