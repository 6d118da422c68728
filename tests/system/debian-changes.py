#!/usr/bin/python3
"""What the second and third layer of tests/system/debian.sh change in a Debian's tree: debian-changes.py TREE 2|3."""
import os
import random
import shutil
import struct
import sys

os.chdir(sys.argv[1])
random.seed(int(sys.argv[2]))


def write(path, data, mode=0o644, when=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    stamp(path, when or random.randrange(10 ** 18, 1700000000 * 10 ** 9))


def stamp(path, ns):
    os.utime(path, ns=(ns, ns), follow_symlinks=False)


def attributes():
    write("conex/xattrs", b"x")
    os.setxattr("conex/xattrs", "user.one", b"\0\1\2\xff" * 20)
    os.setxattr("conex/xattrs", "user.empty", b"")
    os.setxattr("conex/xattrs", "trusted.two", b"text")
    os.setxattr("conex", "user.directory", b"too")
    os.symlink("nowhere", "conex/dangling")
    os.setxattr("conex/dangling", "trusted.link", b"x", follow_symlinks=False)
    write("conex/capable", b"#!/bin/sh\n", 0o755)
    os.setxattr("conex/capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13 | 1 << 10, 0, 0, 0))
    write("conex/acl", b"acl")
    os.setxattr("conex/acl", "system.posix_acl_access", struct.pack(
        "<I" + "HHI" * 5, 2, 1, 6, 0xffffffff, 2, 4, 12345, 4, 4, 0xffffffff, 16, 4, 0xffffffff, 32, 0, 0xffffffff))
    for mode in (0o4755, 0o2711, 0o1777, 0, 0o6777):
        write(f"conex/mode{mode:o}", b"m", mode)
    for owner in (1, 65534, 1234567, 3000000000):
        write(f"conex/owner{owner}", b"o")
        os.chown(f"conex/owner{owner}", owner, owner + 1)
    for i, ns in enumerate((1, 999999999, -1500000000, 4102444800123456789, 1234567890987654321)):
        write(f"conex/time{i}", b"t", when=ns)


def kinds():
    os.mkfifo("conex/fifo", 0o622)
    os.mknod("conex/zero", 0o20666, os.makedev(1, 5))
    os.mknod("conex/disk", 0o60640, os.makedev(259, 70000))
    for name in ("conex/fifo", "conex/zero", "conex/disk"):
        stamp(name, 1111111111222222222)
    os.symlink("/" + "t" * 3000, "conex/long-link")
    os.symlink("../bin/sh", "conex/link")
    os.chown("conex/link", 5, 6, follow_symlinks=False)
    stamp("conex/link", 1333333333444444444)
    write("conex/" + "n" * 255, b"long")
    write(b"conex/caf\xc3\xa9".decode() + "\udcff \n", b"bytes")
    write("conex/" + "/".join(["deeper" * 10] * 12) + "/file", b"deep")
    write("conex/empty", b"")
    write("conex/random", random.randbytes(50 << 20))
    with open("conex/sparse", "wb") as file:
        for at in (0, 70 << 20, 133 << 20):
            file.seek(at)
            file.write(random.randbytes(5000))
        file.truncate(300 << 20)
    with open("conex/hole", "wb") as file:
        file.truncate(20 << 20)
    for i in range(2000):
        write(f"conex/many/{i % 40}/{i}", b"%d" % i)


def links():
    os.link("conex/empty", "conex/empty-too")
    os.link("conex/xattrs", "usr/xattrs")
    os.link("usr/bin/env", "usr/bin/env-too")               # of the layer below
    os.link("usr/bin/env", "conex/env")
    os.link("conex/link", "conex/link-too")
    for i in range(100):
        os.link("conex/many/0/0", f"conex/many/1/link{i}")


def second():
    os.mkdir("conex")
    attributes()
    kinds()
    links()
    shutil.rmtree("usr/share/common-licenses")
    shutil.rmtree("usr/lib/apt")
    os.unlink("etc/debian_version")
    os.unlink("bin")                                        # a link to usr/bin
    os.symlink("./usr/bin", "bin")
    write("etc/passwd", open("etc/passwd", "rb").read() + b"one:x:1000:1000::/:/bin/sh\n")
    os.chmod("usr/bin/tar", 0o700)
    os.chown("var/log", 0, 4)


def third():
    for name in os.listdir("var/lib/dpkg/info"):            # all of it: opaque
        os.unlink("var/lib/dpkg/info/" + name)
    write("var/lib/dpkg/info/new", b"new")
    shutil.rmtree("etc/apt")
    write("etc/apt", b"a file now")
    os.unlink("etc/hostname" if os.path.lexists("etc/hostname") else "etc/issue")
    os.unlink("etc/os-release")
    write("etc/os-release/is/a/directory", b"now")
    shutil.rmtree("etc/cron.d", ignore_errors=True)
    os.symlink("alternatives", "etc/cron.d")
    write("etc/debian_version", b"back again\n")
    write("usr/lib/apt/back", b"again")
    shutil.rmtree("conex/many/3")
    os.unlink("conex/many/1/link7")                         # of a hundred
    os.unlink("conex/empty")
    os.rename("conex/sparse", "conex/moved")
    os.removexattr("conex/xattrs", "user.one")
    os.unlink("conex/zero")
    os.mknod("conex/zero", 0o20600, os.makedev(1, 3))
    shutil.rmtree("conex/many/2")
    os.mkdir("conex/many/2", 0o711)
    stamp("conex/many/2", 1000000000)


second() if sys.argv[2] == "2" else third()
