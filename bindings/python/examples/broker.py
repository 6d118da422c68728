#!/usr/bin/python3
"""A container without any network reaches the addresses of a list, and nothing else: its connect() is answered here.

python3 broker.py HOST:PORT [COMMAND...]
"""

import socket
import struct
import sys

import conex


def broker(allowed: "set[tuple[str, int]]") -> conex.Handler:
    def connect(call: conex.Syscall) -> None:
        fd, address, size = call.args[:3]
        raw = call.read(address, min(size, 128))        # one copy: what is checked is what is used
        if len(raw) < 8 or struct.unpack_from("=H", raw)[0] != socket.AF_INET:
            return call.fail("EACCES")
        peer = socket.inet_ntoa(raw[4:8]), struct.unpack_from("!H", raw, 2)[0]
        if peer not in allowed:
            print(f"refused: {peer[0]}:{peer[1]}", file=sys.stderr)
            return call.fail("EACCES")
        try:
            with socket.create_connection(peer, timeout=5) as s:    # on the host's network
                s.settimeout(None)
                return call.inject(s, at=fd)            # becomes its descriptor; its connect() returns 0
        except OSError as e:
            return call.fail(e.errno or "ECONNREFUSED")
    return connect


if __name__ == "__main__":
    host, port = sys.argv[1].rsplit(":", 1)
    command = sys.argv[2:] or ["sh", "-c", f"ip -o addr; nc {host} {port} </dev/null; nc {host} 1 </dev/null"]
    r = conex.run(command, image="busybox", ask={"connect": broker({(host, int(port))})}, stdout=conex.HOST, stderr=conex.HOST)
    sys.exit(r.returncode)
