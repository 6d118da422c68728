"""OCI specifications in memory: what to run, as a config.json has it. No context is needed."""

from __future__ import annotations

import json
from typing import Any, Mapping, Union

from ._conex import ffi, lib
from ._low import call, encoded, made, taken, taken_json
from .keywords import Text


class Spec:
    """A specification.

    ``Spec()`` is the default, from which :func:`conex.run` starts, too; ``Spec(json_or_dict)`` reads one, ``Spec.load(path)``
    a config.json or a bundle.
    """

    def __init__(self, value: Union[None, str, Mapping[str, Any]] = None, *, _c: Any = None) -> None:
        if _c is None and value is None:
            _c = made("conex_spec *", lib.conex_spec_new)
        elif _c is None:
            text = value if isinstance(value, str) else json.dumps(value)
            _c = made("conex_spec *", lambda *a: lib.conex_spec_parse(encoded(text), *a))
        self._c = ffi.gc(_c, lib.conex_spec_free)

    @classmethod
    def load(cls, path: Text) -> "Spec":
        """Reads a config.json, or that of a bundle's directory; relative paths in it count from the bundle."""
        return cls(_c=made("conex_spec *", lambda *a: lib.conex_spec_load(encoded(path), *a)))

    def merge(self, partial: Union[str, Mapping[str, Any]]) -> "Spec":
        """Lays a partial config.json over it: objects by key, None removes a key, lists by identity. Returns itself."""
        call(lib.conex_spec_merge, self._c, encoded(partial if isinstance(partial, str) else json.dumps(partial)))
        return self

    def get(self, pointer: str = "") -> Any:
        """The value that a JSON pointer names: "/process/args/0". Raises :class:`conex.NotFoundError`."""
        return taken_json(made("char *", lambda *a: lib.conex_spec_get(self._c, encoded(pointer), *a)))

    def __getitem__(self, pointer: str) -> Any:
        return self.get(pointer)

    def as_dict(self) -> dict[str, Any]:
        """All of it."""
        value: dict[str, Any] = self.get("")
        return value

    def __str__(self) -> str:
        """The config.json, indented."""
        return taken(made("char *", lambda *a: lib.conex_spec_print(self._c, *a)))


