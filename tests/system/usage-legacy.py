#!/usr/bin/python3
"""The program in my/legacy:1: an installer of old, which makes devices, gives files away and opens sockets of all sorts."""
import os
import socket
import stat
import sys


def tried(what, function):
    try:
        function()
        print(f"legacy: {what}: done")
    except OSError as e:
        print(f"legacy: {what}: {e.strerror}")


at = os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY)
tried("unix socket", lambda: socket.socket(socket.AF_UNIX).close())
tried("inet socket", lambda: socket.socket(socket.AF_INET).close())
tried("netlink socket", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
tried("mknod", lambda: os.mknod("sda", 0o600 | stat.S_IFBLK, os.makedev(8, 0), dir_fd=at))
tried("chown", lambda: os.chown("/tmp", 12, 34, dir_fd=at))
print(f"legacy: /tmp is of {os.stat('/tmp').st_uid}, /tmp/sda is {'' if os.path.exists('/tmp/sda') else 'not '}there")
sys.exit(7)
