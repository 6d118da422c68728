#!/usr/bin/python3
"""What engines do around a runtime, for tests: subreaper.py [-s SOCKET] COMMAND ... -- PIDFILE [COMMAND ...]

Becomes a subreaper (as conmon and containerd's shim are), runs COMMAND, then says who the process in
PIDFILE has as parent at that moment, runs the second command, and tells how that process ended. With -s it first listens
on SOCKET, and afterwards prints what the terminal that came over it says."""
import array
import ctypes
import os
import select
import socket
import subprocess
import sys


def receive(listener):
    connection, _ = listener.accept()
    data, control, _, _ = connection.recvmsg(256, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(control[0][2][:4])
    print("terminal", data.decode(), os.isatty(fds[0]), *os.get_terminal_size(fds[0]))
    return fds[0]


def read_all(fd, seconds=10):
    out = b""
    while select.select([fd], [], [], seconds)[0]:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        out += part
    return out.decode(errors="replace")


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return int(f.read().rpartition(")")[2].split()[1])


def main():
    args = sys.argv[1:]
    listener = None
    if args[0] == "-s":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(args[1])
        listener.listen(1)
        args = args[2:]
    at = args.index("--")
    first, pidfile, second = args[:at], args[at + 1], args[at + 2:]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)         # PR_SET_CHILD_SUBREAPER
    status = subprocess.call(first)
    print("status", status, flush=True)
    if status:
        return
    with open(pidfile, encoding="ascii") as f:
        pid = int(f.read())
    terminal = receive(listener) if listener else None
    print("parent", "us" if parent_of(pid) == os.getpid() else "somebody else", flush=True)
    if second:
        print("second", subprocess.call(second), flush=True)
    if terminal is not None:
        print("says", repr(read_all(terminal)))
    _, status = os.waitpid(pid, 0)
    print("ended", os.waitstatus_to_exitcode(status), flush=True)


main()
