#!/usr/bin/python3
"""A program on a terminal of its own: cli-terminal.py ROWSxCOLUMNS [PATTERN SEND]... -- PROGRAM [ARGUMENT]...
Each PATTERN (a regular expression) is waited for in what it writes after the one before, then SEND is typed ("" nothing; "resize
ROWSxCOLUMNS" changes the terminal; \\n and \\x03 are what they are in Python). What it wrote goes to standard output, its exit
status is ours; 99: a pattern never came. The terminal has to be, at the end, as it was at the beginning, else 98."""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios


def resize(fd, text):
    rows, columns = text.split("x")
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))


split = sys.argv.index("--")
size, steps, program = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
steps = list(zip(steps[::2], steps[1::2]))
master, slave = pty.openpty()
resize(slave, size)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.close(master)
    os.login_tty(slave) if hasattr(os, "login_tty") else (os.setsid(), fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
                                                         [os.dup2(slave, fd) for fd in range(3)])
    os.execvp(program[0], program)

# Our own hold on the slave lets us look at its settings afterwards; so the end is the program's end, not the terminal's.
out, seen = b"", 0
pidfd = os.pidfd_open(pid)
os.set_blocking(master, False)
while True:
    while steps and (found := re.search(steps[0][0].encode(), out[seen:])):
        seen += found.end()
        send = steps.pop(0)[1]
        if send.startswith("resize "):
            resize(slave, send[7:])
        elif send:
            os.write(master, send.encode().decode("unicode_escape").encode("latin-1"))
    ready = select.select([master, pidfd], [], [], 60)[0]
    if not ready:
        sys.exit(f"{out.decode(errors='replace')}\nnothing more came; waited for: {steps[:1]}")
    if master in ready:
        try:
            out += os.read(master, 65536)
        except BlockingIOError:
            pass
    elif pidfd in ready:
        break
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(out)
sys.stdout.flush()
while steps and re.search(steps[0][0].encode(), out[seen:]):
    seen += re.search(steps[0][0].encode(), out[seen:]).end()
    steps.pop(0)
if steps:
    print(f"\nnever seen: {steps[0][0]}")
    sys.exit(99)
if termios.tcgetattr(slave) != before:
    print("\nthe terminal isn't as it was")
    sys.exit(98)
sys.exit(status if status >= 0 else 128 - status)
