"""Images and jobs: ``cx.images``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Optional, Union

from . import errors
from ._conex import ffi, lib
from ._low import Memory, call, encoded, made, size, taken_json, taken_list, text, wait
from .keywords import File, ImageOptions, Text, described

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .container import Container
    from .context import Context


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    done_bytes: int         #: of the network, or of the archive
    total_bytes: int        #: 0: not known yet
    unpacked_bytes: int
    rate: int               #: bytes a second
    done_layers: int
    total_layers: int
    step: str               #: "layer 3 of 7"


class Job:
    """Bytes on their way. Iterating gives :class:`Progress` until it has ended; leaving the loop doesn't cancel it."""

    def __init__(self, context: "Context", c: Any) -> None:
        self.context = context
        self._c = ffi.gc(c, lib.conex_job_free)
        context._jobs[int(ffi.cast("uintptr_t", c))] = self

    def progress(self) -> Progress:
        """How far it is now."""
        p = ffi.new("struct conex_progress *")
        p.size = ffi.sizeof("struct conex_progress")
        call(lib.conex_job_progress, self._c, p)
        return Progress(p.done_bytes, p.total_bytes, p.unpacked_bytes, p.rate, p.done_layers, p.total_layers, text(p.step))

    @property
    def done(self) -> bool:
        """It has ended, well or not."""
        return self._ended(0)

    def result(self, timeout: Optional[float] = None) -> str:
        """Waits for its end: the image's digest, or raises what went wrong. :class:`TimeoutExpired`: not yet."""
        if not wait(lambda ms: call(lib.conex_job_wait, self._c, ms), timeout):
            raise errors.TimeoutExpired("the job", timeout or 0)
        return text(lib.conex_job_result(self._c))

    def cancel(self) -> None:
        """Ends it, and this handle with it; what it has fetched so far waits for the next one."""
        ffi.release(self._c)

    def __iter__(self) -> Iterator[Progress]:
        yield self.progress()
        while not self._ended(0.1):
            yield self.progress()
        yield self.progress()       # what it has come to

    def _ended(self, timeout: float) -> bool:
        try:
            return wait(lambda ms: call(lib.conex_job_wait, self._c, ms), timeout)
        except errors.ClosedError:
            raise
        except errors.Error:
            return True             # result() says it

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Images:
    """``cx.images``: of the context's store, shared by all processes that use it."""

    def __init__(self, context: "Context") -> None:
        self._context = context

    @described(ImageOptions)
    def pull(self, image: str, **options: Unpack[ImageOptions]) -> Job:
        """Brings an image from its registry."""
        return self._job(lib.conex_image_pull, image, options)

    @described(ImageOptions)
    def push(self, image: str, **options: Unpack[ImageOptions]) -> Job:
        """Brings an image to the registry that its name says."""
        return self._job(lib.conex_image_push, image, options)

    @described(ImageOptions)
    def unpack(self, image: str, directory: Text, **options: Unpack[ImageOptions]) -> Job:
        """Unpacks an image into a new directory."""
        return self._job(lib.conex_image_unpack, image, options, encoded(directory))

    @described(ImageOptions)
    def load(self, source: Union[Text, File], image: str, **options: Unpack[ImageOptions]) -> Job:
        """Brings an image out of an archive or a layout: a path, a file or a descriptor. (conex_image_import(3))"""
        return self._with_file(source, os.O_RDONLY, lambda fd: self._job(
            lambda cx, name, *a: lib.conex_image_import(cx, fd, name, *a), image, options))

    @described(ImageOptions)
    def save(self, image: str, target: Union[Text, File], **options: Unpack[ImageOptions]) -> Job:
        """Writes an image as an OCI layout: a tar into a path, file or descriptor, or into a directory that is there.
        (conex_image_export(3))"""
        is_directory = isinstance(target, (str, bytes, os.PathLike)) and os.path.isdir(target)
        flags = os.O_RDONLY if is_directory else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return self._with_file(target, flags, lambda fd: self._job(lib.conex_image_export, image, options, fd))

    def commit(self, container: "Container", image: str, config: Union[None, str, Mapping[str, Any]] = None) -> Job:
        """What a container has written becomes a layer, and both together an image of this name."""
        t = config if config is None or isinstance(config, str) else json.dumps(config)
        return Job(self._context, made("conex_job *", lambda *a: lib.conex_image_commit(
            container._c, encoded(image), ffi.NULL if t is None else encoded(t), *a)))

    def list(self) -> "list[str]":
        """The names of all, with their tags."""
        ret = ffi.new("char ***")
        count = call(lib.conex_image_list, self._context._open, ret)
        return taken_list(ret[0], count)

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __contains__(self, image: str) -> bool:
        try:
            self.inspect(image)
            return True
        except errors.NotFoundError:
            return False

    def inspect(self, image: str) -> dict[str, Any]:
        """{"name", "digest", "platform", "size", "layers", "config"}"""
        value: dict[str, Any] = taken_json(made("char *", lambda *a: lib.conex_image_json(
            self._context._open, encoded(image), *a)))
        return value

    def delete(self, image: str) -> None:
        """Takes a name away, and what nothing leads to any more."""
        call(lib.conex_image_delete, self._context._open, encoded(image))

    def verify(self) -> Job:
        """Hashes all blobs once more; its result: the digests of those that weren't what their names say, a line each."""
        return Job(self._context, made("conex_job *", lambda *a: lib.conex_image_verify(self._context._open, *a)))

    def usage(self) -> "dict[str, int]":
        """What the store takes of the disk: blob_bytes, layer_bytes, partial_bytes, other_bytes; and how many images, blobs, layers
        and partial ones."""
        u = ffi.new("struct conex_store_usage *")
        u.size = ffi.sizeof("struct conex_store_usage")
        call(lib.conex_image_usage, self._context._open, u)
        return {name: int(getattr(u, name)) for name, _ in ffi.typeof("struct conex_store_usage").fields if name != "size"}

    # ---- inside ----

    def _job(self, function: Callable[..., int], image: str, given: Mapping[str, Any], *args: Any) -> Job:
        memory = Memory()
        o = _options(given, memory)
        return Job(self._context, made("conex_job *", lambda *a: function(self._context._open, encoded(image), *args, o, *a)))

    def _with_file(self, file: Union[Text, File], flags: int, start: Callable[[int], Job]) -> Job:
        if not isinstance(file, (str, bytes, os.PathLike)):
            return start(file if isinstance(file, int) else file.fileno())
        fd = os.open(file, flags | os.O_CLOEXEC, 0o666)
        try:
            return start(fd)
        finally:
            os.close(fd)


def _options(given: Mapping[str, Any], memory: Memory) -> Any:
    o = ffi.new("struct conex_image_options *")
    o.size = ffi.sizeof("struct conex_image_options")
    for name, value in given.items():
        if value is None:
            continue
        if name in ("platform", "auth_file", "user", "password"):
            setattr(o, name, memory.text(value))
        elif name == "mirrors":
            o.mirrors = memory.texts(_listed(value))
        elif name == "max_bytes":
            o.max_bytes = size(value)
        elif name == "limits":
            o.limits = memory.keep(_limits(value))
        elif name in ("plain_http", "not_newer"):
            o.flags |= getattr(lib, f"CONEX_IMAGE_{name.upper()}") if value else 0
        else:
            raise TypeError(f"unexpected keyword argument {name!r}")
    return o


def _listed(value: Union[str, Iterable[str]]) -> Iterable[str]:
    return [value] if isinstance(value, str) else value


def _limits(value: Mapping[str, Any]) -> Any:
    c = ffi.new("struct conex_image_limits *")
    c.size = ffi.sizeof("struct conex_image_limits")
    for name, limit in value.items():
        if name == "size" or not hasattr(c, name):
            raise TypeError(f"limits: unexpected {name!r}")
        setattr(c, name, size(limit))
    return c
