import socket, struct, conex

ALLOWED = {("10.0.0.7", 443)}

def connect(call):                      # a system call of the container's, which waits for us
    fd, address, size = call.args[:3]
    raw = call.read(address, min(size, 128))             # one copy: what is checked is what is used
    family, port = struct.unpack_from("=H", raw)[0], struct.unpack_from("!H", raw, 2)[0]
    peer = (socket.inet_ntoa(raw[4:8]), port)
    if family != socket.AF_INET or peer not in ALLOWED:
        return call.fail("EACCES")
    with socket.create_connection(peer, timeout=5) as s: # on the host's network
        return call.inject(s.fileno(), at=fd)            # becomes its fd; its connect() returns 0

with conex.open() as cx:
    r = cx.run(["curl", "-sk", "https://10.0.0.7/"], image="curlimages/curl", capture_output=True, ask={"connect": connect})
    print(r.stdout)
