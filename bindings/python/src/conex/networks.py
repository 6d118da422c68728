"""Named networks: ``cx.networks``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Optional, Union

from ._conex import ffi, lib
from ._low import Memory, call, encoded, made, taken_json, taken_list

if TYPE_CHECKING:
    from .context import Context
    from .namespaces import Namespace


@dataclass(frozen=True, eq=False)
class Network:
    """A network by its name. It lives until it is deleted, in whatever process."""

    context: "Context"
    name: str

    def inspect(self) -> dict[str, Any]:
        """{"name", "driver", "subnets", "internal", "mtu", "members": [{"container", "addresses"}] ...}"""
        value: dict[str, Any] = taken_json(made("char *", lambda *a: lib.conex_network_json(
            self.context._open, encoded(self.name), *a)))
        return value

    def policy(self, policy: Union[None, str, Mapping[str, Any]]) -> None:
        """Says which members may talk to which, as conex_network_policy(3) has it; None removes it."""
        text = policy if policy is None or isinstance(policy, str) else json.dumps(policy)
        call(lib.conex_network_policy, self.context._open, encoded(self.name), ffi.NULL if text is None else encoded(text))

    def delete(self) -> None:
        """Deletes it. Raises :class:`conex.BusyError` while it has members."""
        call(lib.conex_network_delete, self.context._open, encoded(self.name))
        self.context._networks.discard(self.name)

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def __str__(self) -> str:
        return self.name


class Networks:
    """``cx.networks``: of this machine's (this network namespace's), whoever made them."""

    def __init__(self, context: "Context") -> None:
        self._context = context

    def create(self, name: str, *, driver: Optional[str] = None, parent: Optional[str] = None,
               subnets: Optional[Iterable[str]] = None, mtu: int = 0, range: Optional[str] = None,
               gateways: Optional[Iterable[str]] = None, internal: bool = False, existing: bool = False,
               keep: bool = False) -> Network:
        """Makes a network. It is deleted when the context is closed, unless ``keep``. existing: one of that name is fine."""
        memory = Memory()
        o = ffi.new("struct conex_network_options *")
        o.size = ffi.sizeof("struct conex_network_options")
        o.flags = (lib.CONEX_NETWORK_INTERNAL if internal else 0) | (lib.CONEX_NETWORK_EXISTING if existing else 0)
        o.driver, o.parent, o.range = memory.text(driver), memory.text(parent), memory.text(range)
        o.subnets, o.gateways, o.mtu = memory.texts(subnets), memory.texts(gateways), mtu
        call(lib.conex_network_create, self._context._open, encoded(name), o)
        if not keep and not existing:
            self._context._networks.add(name)
        return Network(self._context, name)

    def get(self, name: str) -> Network:
        """One that exists. Raises :class:`conex.NotFoundError`."""
        network = Network(self._context, name)
        network.inspect()
        return network

    def list(self) -> "list[Network]":
        """All of them."""
        ret = ffi.new("char ***")
        count = call(lib.conex_network_list, self._context._open, ret)
        return [Network(self._context, name) for name in taken_list(ret[0], count)]

    def __iter__(self) -> Iterator[Network]:
        return iter(self.list())

    def veth(self, host_name: str, namespace: "Namespace", *, host_address: Optional[str] = None, name: Optional[str] = None,
             address: Optional[str] = None, gateway: Optional[str] = None) -> None:
        """A pair of veth devices, one end here and the other in a network namespace, both up."""
        memory = Memory()
        o = ffi.new("struct conex_veth_options *")
        o.size = ffi.sizeof("struct conex_veth_options")
        o.host_name, o.host_address, o.name = memory.text(host_name), memory.text(host_address), memory.text(name)
        o.address, o.gateway, o.ns = memory.text(address), memory.text(gateway), namespace._c
        call(lib.conex_veth_create, self._context._open, o)

    def veth_delete(self, host_name: str) -> None:
        """Deletes a pair by the name of its end here."""
        call(lib.conex_veth_delete, self._context._open, encoded(host_name))
