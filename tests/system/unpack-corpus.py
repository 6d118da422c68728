#!/usr/bin/python3
"""Hostile layers, byte by byte: unpack-corpus.py DIRECTORY CANARY writes DIRECTORY/NAME.0 (.1 ... the layers above it)
and DIRECTORY/index, a line each: name, number of layers, what is expected, options, what the tree must show, and, where it
is another thing when each layer is unpacked on its own and overlay puts them together, "expected|what it shows"; tabs between.
Expected: an errno's name, or "lands". CANARY is a directory outside, which the layers try to reach."""
import gzip
import os
import struct
import sys
import zlib

OUT, CANARY = sys.argv[1], sys.argv[2].encode()
MIB = 1 << 20
cases = []


def octal(value, size):
    return b"%0*o\0" % (size - 1, value)


def base256(value, size):
    return (value & ((1 << 8 * size) - 1) | (1 << (8 * size - 1))).to_bytes(size, "big")


def head(name, size=0, kind=b"0", link=b"", mode=0o644, uid=0, gid=0, mtime=1000000000, dev=(0, 0), prefix=b"",
         magic=b"ustar\x0000", raw_size=None, raw_sum=None, rest=None, raw_uid=None):
    block = bytearray(512)
    block[0:100] = name[:100].ljust(100, b"\0")
    block[100:108] = octal(mode, 8)
    block[108:116] = raw_uid or octal(uid, 8)
    block[116:124] = octal(gid, 8)
    block[124:136] = raw_size or octal(size, 12)
    block[136:148] = octal(mtime, 12)
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157:257] = link[:100].ljust(100, b"\0")
    block[257:265] = magic
    block[329:337], block[337:345] = octal(dev[0], 8), octal(dev[1], 8)
    block[345:345 + len(prefix)] = prefix
    for at, value in (rest or {}).items():
        block[at:at + len(value)] = value
    block[148:156] = raw_sum or b"%06o\0 " % sum(block)
    return bytes(block)


def pad(data):
    return data + bytes(-len(data) % 512)


def file(name, data=b"x", **more):
    return head(name, len(data), **more) + pad(data)


def directory(name, mode=0o755, **more):
    return head(name, kind=b"5", mode=mode, **more)


def symlink(name, target, **more):
    return head(name, kind=b"2", link=target, mode=0o777, **more)


def hardlink(name, target, **more):
    return head(name, kind=b"1", link=target, **more)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    size = len(body) + 1
    while len(str(size)) + len(body) != size:
        size = len(str(size)) + len(body)
    return str(size).encode() + body


def pax(*records, kind=b"x", raw=None):
    data = raw if raw is not None else b"".join(record(k, v) for k, v in records)
    return head(b"pax", len(data), kind=kind) + pad(data)


def gnu_long(text, kind=b"L"):
    return head(b"././@LongLink", len(text) + 1, kind=kind, magic=b"ustar  \0") + pad(text + b"\0")


END = bytes(1024)


def case(name, expect, *layers, options="", shows=(), apart=()):
    assert name not in (c[0] for c in cases), name
    cases.append((name, len(layers), expect, options, "|".join(shows), "|".join(apart)))
    for number, layer in enumerate(layers):
        with open(f"{OUT}/{name}.{number}", "wb") as out:
            out.write(layer)


def tar(name, expect, *entries, **more):
    case(name, expect, b"".join(entries) + END, **more)


def two(name, expect, below, above, **more):
    case(name, expect, below + END, above + END, options=more.pop("options", "") + " apply", **more)


def zstd(data, window=0x38):
    """A frame of raw blocks, as anybody may write one."""
    out = b"\x28\xb5\x2f\xfd\0" + bytes([window])
    parts = [data[i:i + 65536] for i in range(0, len(data), 65536)] or [b""]
    for number, part in enumerate(parts):
        out += struct.pack("<I", len(part) << 3 | (number == len(parts) - 1))[:3] + part
    return out


def skippable(data):
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def traversals():
    for number, name in enumerate([b"../x", b"a/../../x", b"a/..", b"..", b"/../x", b"./../x", b"a/b/../../../x", b"..//x",
                                   b"a/../b", b"a/./../x", b"//..//../x", b"../" * 20 + b"etc/x"]):
        tar(f"dotdot-{number}", "EINVAL", file(b"first"), file(name))
    tar("dotdot-directory", "EINVAL", directory(b"../d/"))
    tar("dotdot-symlink", "EINVAL", symlink(b"../l", b"x"))
    tar("dotdot-device", "EINVAL", head(b"../null", kind=b"3", dev=(1, 3)))
    tar("dotdot-pax", "EINVAL", pax((b"path", b"a/../../x")), file(b"innocent"))
    tar("dotdot-gnu", "EINVAL", gnu_long(b"../../x"), file(b"innocent"))
    tar("dotdot-prefix", "EINVAL", file(b"x", prefix=b"a/../.."))
    tar("dotdot-sparse-name", "EINVAL", pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"../x"), (b"GNU.sparse.realsize", b"1")), file(b"innocent", b"1\n0\n1\n".ljust(512, b"\0") + b"x"))
    tar("absolute", "lands", file(CANARY + b"/file", b"new"), shows=[os.fsdecode(CANARY)[1:] + "/file=file:new"])
    tar("absolute-slashes", "lands", file(b"///etc///x", b"new"), shows=["etc/x=file:new"])
    tar("dots", "lands", file(b"./././a/./b", b"new"), shows=["a/b=file:new"])


def links():
    tar("link-then-write", "ENOENT", symlink(b"l", CANARY), file(b"l/new"))
    tar("link-up-then-write", "lands", symlink(b"l", b"../../../../.."), file(b"l/new"), shows=["new=file:x", "l=link"])
    tar("link-root-then-write", "lands", symlink(b"l", b"/"), file(b"l/new"), shows=["new=file:x"])
    tar("link-inside", "lands", directory(b"usr/lib/"), symlink(b"lib", b"usr/lib"), file(b"lib/so"), shows=["usr/lib/so=file:x", "lib=link:usr/lib"])
    tar("link-chain", "lands", symlink(b"a", b"b"), symlink(b"b", b"/c"), directory(b"c"), file(b"a/new"), shows=["c/new=file:x"])
    tar("link-loop", "ELOOP", symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/new"))
    tar("link-proc", "ENOENT", symlink(b"p", b"/proc/self/root"), file(b"p" + CANARY + b"/new"))
    tar("link-fd", "ENOENT", symlink(b"p", b"/proc/self/fd/3"), file(b"p/new"))
    tar("link-to-file", "lands", symlink(b"l", CANARY + b"/file"), file(b"l", b"new"), shows=["l=file:new"])
    tar("link-to-directory", "lands", symlink(b"l", CANARY), directory(b"l"), file(b"l/new"), shows=["l/new=file:x"])
    tar("link-to-link", "lands", symlink(b"l", b"a"), symlink(b"l", CANARY), shows=["l=link"])
    tar("link-then-directory-in-it", "ENOENT", symlink(b"l", CANARY), directory(b"l/sub"))
    tar("link-then-link-in-it", "ENOENT", symlink(b"l", CANARY), symlink(b"l/sub", b"/etc"))
    tar("link-then-hardlink-from-it", "ENOENT", symlink(b"l", CANARY), hardlink(b"mine", b"l/file"))
    tar("link-then-fifo", "lands", symlink(b"l", CANARY + b"/file"), head(b"l", kind=b"6"), shows=["l=fifo"])
    tar("link-empty", "EINVAL", symlink(b"l", b""))
    tar("link-long", "EINVAL", pax((b"linkpath", b"a/" * 2500)), symlink(b"l", b"x"))
    tar("link-way-replaced", "ENOENT", directory(b"d"), file(b"d/a"), symlink(b"d", CANARY), file(b"d/b"))
    tar("link-way-replaced-twice", "lands", directory(b"d"), file(b"d/a"), symlink(b"d", CANARY), directory(b"d"), file(b"d/b"),
        shows=["d/b=file:x", "!d/a"])
    tar("link-way-cached", "lands", directory(b"e"), symlink(b"d", b"e"), file(b"d/a"), symlink(b"d", b"f"), directory(b"f"),
        file(b"d/b"), shows=["e/a=file:x", "f/b=file:x", "!e/b"])
    tar("hardlink-way-replaced", "lands", file(b"d/f", b"one"), hardlink(b"h", b"d/f"), symlink(b"d", b"e"), file(b"e/f", b"two"), hardlink(b"g", b"d/f"),
        shows=["h=file:one", "g=file:two"])
    tar("hardlink-outside", "EINVAL", hardlink(b"h", b"../canary/file"))
    tar("hardlink-absolute", "ENOENT", hardlink(b"h", CANARY + b"/file"))
    tar("hardlink-missing", "ENOENT", hardlink(b"h", b"nothing"))
    tar("hardlink-later", "ENOENT", hardlink(b"h", b"f"), file(b"f"))
    tar("hardlink-directory", "EINVAL", directory(b"d"), hardlink(b"h", b"d"))
    tar("hardlink-root", "EINVAL", hardlink(b"h", b"/"))
    tar("hardlink-itself", "lands", file(b"f"), hardlink(b"f", b"./f"), shows=["f=file:x"])
    tar("hardlink-to-link", "lands", symlink(b"l", CANARY + b"/file"), hardlink(b"h", b"l"), file(b"h", b"new"), shows=["h=file:new", "l=link"])
    tar("hardlink-with-contents", "EINVAL", file(b"f"), hardlink(b"h", b"f", raw_size=octal(512, 12)), bytes(512))
    tar("hardlink-to-whiteout", "EINVAL", head(b".wh.gone"), hardlink(b"h", b"gone"))
    tar("hardlink-long", "ENOENT", gnu_long(b"n" * 250, b"K"), hardlink(b"h", b"x"))
    tar("hardlink-over-directory", "lands", file(b"f"), directory(b"d"), file(b"d/in"), hardlink(b"d", b"f"), shows=["d=file:x"])


def roots():
    for number, name in enumerate([b".", b"/", b"./", b"/.", b"././/."]):
        tar(f"root-link-{number}", "EINVAL", symlink(name, CANARY), file(b"new"))
    tar("root-file", "EINVAL", file(b"."))
    tar("root-fifo", "EINVAL", head(b"/", kind=b"6"))
    tar("root-hardlink", "EINVAL", file(b"f"), hardlink(b".", b"f"))
    tar("root-directory", "lands", directory(b"./", mode=0o2750), shows=["=dir"])
    tar("name-empty", "EINVAL", file(b""))
    tar("name-empty-pax", "EBADMSG EINVAL lands", pax((b"path", b"")), file(b""))


def whiteouts():
    for number, name in enumerate([b".wh.", b".wh..", b".wh...", b"a/.wh.", b"a/.wh..", b"a/.wh...", b".wh.a/b", b"x/.wh.y/z"]):
        tar(f"whiteout-{number}", "EINVAL", directory(b"a"), file(name, b""))
    tar("whiteout-directory", "EINVAL", directory(b".wh.d/"))
    tar("whiteout-link", "EINVAL", symlink(b".wh.l", CANARY))
    tar("whiteout-fifo", "EINVAL", head(b".wh.f", kind=b"6"))
    tar("whiteout", "lands", file(b"a/.wh.gone", b""), shows=["a/gone=whiteout", "!a/.wh.gone"])
    tar("whiteout-with-contents", "lands", file(b".wh.gone", b"y" * 700), file(b"f"), shows=["gone=whiteout", "f=file:x"])
    tar("whiteout-own-file", "lands", file(b"f"), file(b".wh.f", b""), shows=["f=file:x"])
    tar("whiteout-then-own-file", "lands", file(b".wh.f", b""), file(b"f"), shows=["f=file:x"])
    tar("whiteout-own-directory", "lands", file(b"d/f"), file(b".wh.d", b""), shows=["d=opaque", "d/f=file:x"])
    tar("whiteout-then-own-directory", "lands", file(b".wh.d", b""), directory(b"d"), file(b"d/f"), shows=["d=opaque", "d/f=file:x"])
    tar("whiteout-then-way", "lands", file(b".wh.d", b""), file(b"d/f"), shows=["d=opaque", "d/f=file:x"])
    tar("whiteout-opaque", "lands", directory(b"d"), file(b"d/.wh..wh..opq", b""), file(b"d/f"), shows=["d=opaque", "d/f=file:x"])
    tar("whiteout-opaque-root", "lands", file(b".wh..wh..opq", b""), file(b"f"), shows=["=opaque", "f=file:x"])
    tar("whiteout-opaque-after", "lands", file(b"d/f"), file(b"d/.wh..wh..opq", b""), shows=["d=opaque", "d/f=file:x"])
    tar("whiteout-aufs", "lands", file(b".wh..wh.plnk/1.2"), file(b".wh..wh.aufs", b""), file(b"f"), shows=["f=file:x", "!.wh..wh.plnk", "!.wh..wh.aufs"])
    tar("whiteout-through-link", "ENOENT", symlink(b"l", CANARY), file(b"l/.wh.file", b""))
    tar("opaque-through-link", "ENOENT", symlink(b"l", CANARY), file(b"l/.wh..wh..opq", b""))
    tar("whiteout-device", "lands", head(b"gone", kind=b"3", dev=(0, 0)), options="root")
    two("two-whiteout", "lands", file(b"d/f") + file(b"d/g"), file(b"d/.wh.f", b""), shows=["!d/f", "d/g=file:x"])
    two("two-whiteout-tree", "lands", file(b"d/e/f") + file(b"g"), file(b".wh.d", b""), shows=["!d", "g=file:x"])
    two("two-whiteout-link", "lands", symlink(b"l", CANARY), file(b".wh.l", b""), shows=["!l"])
    two("two-whiteout-through-link", "lands", symlink(b"l", CANARY), file(b"l/.wh.file", b""), shows=["l=link"],
        apart=["lands", "l=dir", "!l/file"])
    two("two-opaque-through-link", "lands", symlink(b"l", CANARY), file(b"l/.wh..wh..opq", b""), shows=["l=link"],
        apart=["lands", "l=dir", "!l/file"])
    two("two-whiteout-up-link", "lands", symlink(b"l", b"../..") + file(b"f"), file(b"l/.wh.f", b""), shows=["!f"],
        apart=["lands", "f=file:x", "l=dir"])
    two("two-whiteout-dotdot", "EINVAL", file(b"d/f"), file(b"d/.wh...", b""))
    two("two-opaque", "lands", file(b"d/f") + file(b"d/e/g"), file(b"d/e/new") + file(b"d/.wh..wh..opq", b""), shows=["!d/f", "!d/e/g", "d/e/new=file:x"])
    two("two-opaque-before", "lands", file(b"d/f") + file(b"d/e/g"), file(b"d/.wh..wh..opq", b"") + file(b"d/e/new"), shows=["!d/f", "!d/e/g", "d/e/new=file:x"])
    two("two-whiteout-own", "lands", file(b"d/f"), file(b"d/new") + file(b".wh.d", b""), shows=["!d/f", "d/new=file:x"])
    two("two-whiteout-nothing", "lands", file(b"f"), file(b"no/such/.wh.f", b""), shows=["f=file:x", "!no"],
        apart=["lands", "f=file:x", "no/such=dir", "!no/such/f"])
    two("two-opaque-root", "lands", file(b"f") + file(b"d/f") + symlink(b"l", CANARY), file(b".wh..wh..opq", b"") + file(b"new") + file(b"d/new"),
        shows=["!f", "!l", "!d/f", "new=file:x", "d/new=file:x"])
    two("two-whiteout-root", "EINVAL", file(b"f"), file(b".wh./", b""))
    two("two-whiteout-of-root", "EINVAL", file(b"f"), file(b"./.wh..", b""))
    two("two-whiteout-device", "lands", file(b"f"), head(b"f", kind=b"3", dev=(0, 0)), shows=["f=char"], options="root", apart=["lands", "!f"])
    two("two-redirect", "lands", file(b"secret/f") + directory(b"d"), pax((b"SCHILY.xattr.trusted.overlay.redirect", b"/secret")) + directory(b"d"),
        shows=["d=dir", "!d/f"])
    two("two-metacopy", "lands", file(b"secret") + file(b"f", b"mine"), pax((b"SCHILY.xattr.trusted.overlay.metacopy", b""),
        (b"SCHILY.xattr.trusted.overlay.redirect", b"/secret")) + file(b"f", b"new"), shows=["f=file:new"])
    two("two-whiteout-xattr", "lands", file(b"d/f"), pax((b"SCHILY.xattr.trusted.overlay.opaque", b"x")) + directory(b"d")
        + pax((b"SCHILY.xattr.trusted.overlay.whiteout", b"y")) + file(b"d/f", b""), shows=["d/f=file:"])


def flips():
    tar("flip-directory-link-file", "lands", directory(b"a"), file(b"a/in"), symlink(b"a", CANARY), file(b"a", b"new"), shows=["a=file:new"])
    tar("flip-file-directory", "lands", file(b"a"), directory(b"a"), file(b"a/in"), shows=["a/in=file:x"])
    tar("flip-file-way", "ENOTDIR", file(b"a"), file(b"a/in"))
    tar("flip-fifo-file", "lands", head(b"a", kind=b"6"), file(b"a", b"new"), shows=["a=file:new"])
    tar("flip-fifo-way", "ENOTDIR", head(b"a", kind=b"6"), file(b"a/in"))
    tar("flip-below", "lands", file(b"x/y/d/in"), file(b"x/y/d", b"new"), file(b"x/y/e"), shows=["x/y/d=file:new", "x/y/e=file:x"])
    tar("flip-below-directory", "lands", file(b"x/y/d"), directory(b"x/y/d"), file(b"x/y/d/in"), directory(b"x/y/d"), shows=["x/y/d/in=file:x"])
    tar("flip-below-link", "lands", file(b"x/y/d/in"), symlink(b"x/y/d", b"e"), symlink(b"x/y/d", b"f"), head(b"x/y/d", kind=b"6"), shows=["x/y/d=fifo"])
    tar("flip-below-hardlink", "lands", file(b"x/f"), file(b"x/y/d/in"), hardlink(b"x/y/d", b"x/f"), shows=["x/y/d=file:x"])
    tar("flip-hardlink-takes-its-target", "ENOENT", file(b"x/d/in"), hardlink(b"x/d", b"x/d/in"))
    tar("flip-through-link", "lands", directory(b"x/y"), symlink(b"l", b"x"), file(b"l/y/f"), file(b"l/y/f", b"new"), directory(b"l/y/f"), file(b"l/y/f/g"),
        hardlink(b"l/y/h", b"l/y/f/g"), hardlink(b"l/y/h", b"l/y/f/g"), shows=["x/y/f/g=file:x", "x/y/h=file:x"])
    tar("flip-whiteout-through-link", "lands", directory(b"x/y"), symlink(b"l", b"x"), file(b"l/y/.wh.w", b""), file(b"l/y/w/v/u"), shows=["x/y/w/v/u=file:x", "x/y/w=opaque"])
    two("two-directory-link", "ENOENT", file(b"etc/f"), symlink(b"etc", CANARY) + file(b"etc/new"))
    two("two-link-directory", "lands", symlink(b"etc", CANARY), directory(b"etc") + file(b"etc/new"), shows=["etc/new=file:x"])
    two("two-link-file", "lands", symlink(b"f", CANARY + b"/file"), file(b"f", b"new"), shows=["f=file:new"])
    two("two-link-way", "ENOENT", symlink(b"etc", CANARY), file(b"etc/file", b"new"), apart=["lands", "etc/file=file:new"])
    two("two-file-link-hardlink", "ENOENT", file(b"f"), symlink(b"d", CANARY) + hardlink(b"h", b"d/file"))
    two("two-hardlink-below", "lands", file(b"f"), hardlink(b"h", b"f"), shows=["h=file:x"], apart=["ENOENT"])
    two("two-hardlink-below-link", "lands", symlink(b"l", CANARY + b"/file"), hardlink(b"h", b"l") + file(b"h", b"new"),
        shows=["h=file:new", "l=link"], apart=["ENOENT"])
    two("two-directory-file", "lands", file(b"d/a/b/c/f"), file(b"d", b"new"), shows=["d=file:new"])
    two("two-second-refused", "EINVAL", file(b"f"), file(b"g") + file(b"../x"))
    two("two-root-link", "EINVAL", file(b"f"), symlink(b"./", CANARY))
    tar("closed", "lands", directory(b"d", mode=0), file(b"d/f", mode=0), directory(b"d/e", mode=0o555), file(b"d/e/g"), shows=["d=mode:0"])
    two("two-closed", "lands", directory(b"d", mode=0o555) + file(b"d/f"), file(b"d/.wh.f", b"") + file(b"d/new"),
        shows=["d=mode:555", "!d/f", "d/new=file:x"], apart=["lands", "d=mode:555", "!d/f", "d/new=file:x"])
    tar("duplicate", "lands", file(b"f", b"first"), file(b"./f", b"second"), shows=["f=file:second"])
    tar("duplicate-of-hardlink", "lands", file(b"f", b"first"), hardlink(b"h", b"f"), file(b"f", b"second"), shows=["f=file:second", "h=file:first"])


def bombs():
    tar("bomb-file", "E2BIG", file(b"f", bytes(2 * MIB)), options="bytes=1048576")
    tar("bomb-files", "E2BIG", *[file(b"f%d" % i, bytes(300000)) for i in range(5)], options="bytes=1000000")
    case("bomb-plain", "E2BIG", gzip.compress(file(b"f") + END + bytes(4 * MIB)), options="bytes=1048576")
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    zeros = b"".join([packer.compress(head(b"f", 300 * MIB))] + [packer.compress(bytes(MIB)) for _ in range(300)] + [packer.flush()])
    case("bomb-ratio", "E2BIG", zeros, options="ratio=100")
    tar("bomb-entries", "E2BIG", *[file(b"f%d" % i, b"") for i in range(120)], options="entries=100")
    tar("bomb-same-entry", "E2BIG", *[directory(b"d")] * 120, options="entries=100")
    tar("bomb-memory", "E2BIG", *[pax((b"path", b"n" * 200 + b"/" + b"m" * 200 + b"%d" % i)) + directory(b"d") for i in range(300)],
        options="memory=100000")
    tar("bomb-memory-ways", "E2BIG", *[file(b"%d/f" % i) for i in range(2000)], options="memory=100000")
    tar("bomb-memory-xattrs", "E2BIG", *[pax((b"SCHILY.xattr.user.big", b"v" * 50000)) + directory(b"d%d" % i) for i in range(5)],
        options="memory=100000")
    tar("bomb-depth", "E2BIG", pax((b"path", b"d/" * 257 + b"f")), file(b"f"))
    tar("bomb-depth-option", "E2BIG", file(b"a/b/c/d/e"), options="depth=4")
    tar("deep", "lands", pax((b"path", b"d/" * 255 + b"f")), file(b"f"), shows=["d/" * 255 + "f=file:x"])
    deep = b"/".join([b"d"] * 250)
    hops = [pax((b"path", deep), ), directory(b"x"), symlink(b"l0", deep)]
    for i in range(4):
        hops += [pax((b"path", b"l%d/" % i + deep)), directory(b"x"), pax((b"linkpath", b"l%d/" % i + deep)), symlink(b"l%d" % (i + 1), b"x")]
    tar("deep-by-links", "EINVAL", *hops, file(b"../x"))
    tar("bomb-path", "ENAMETOOLONG", pax((b"path", b"n" * 200 + b"/" + b"m/" * 100 + (b"p" * 200 + b"/") * 20)), file(b"f"))
    tar("bomb-name", "ENAMETOOLONG", pax((b"path", b"n" * 256)), file(b"f"))
    tar("bomb-path-option", "ENAMETOOLONG", file(b"a" * 50), options="path=40")
    tar("bomb-long-name", "E2BIG", gnu_long(b"n" * 2 * MIB), file(b"f"))
    tar("bomb-pax", "E2BIG", pax((b"comment", b"c" * 2 * MIB)), file(b"f"))
    tar("bomb-pax-later", "E2BIG", file(b"f", bytes(700000)), pax((b"comment", b"c" * 2 * MIB)), file(b"g"))
    tar("bad-checksum-later", "EBADMSG", file(b"f", bytes(700000)), file(b"g", raw_sum=b"000001\0 "))
    case("gzip-crc-later", "EBADMSG", (lambda data: data[:-8] + b"crc?" + data[-4:])(gzip.compress(file(b"f", os.urandom(3000000)) + END)))
    tar("bomb-pax-option", "E2BIG", pax((b"comment", b"c" * 3000)), file(b"f"), options="header=2048")
    tar("bomb-global", "E2BIG", pax((b"comment", b"c" * 2 * MIB), kind=b"g"), file(b"f"))
    tar("bomb-pax-many", "EINVAL", *[pax((b"comment", b"c"))] * 17, file(b"f"))
    tar("bomb-pax-empty", "EINVAL", *[pax(raw=b"")] * 20000, file(b"f"))
    tar("bomb-global-many", "EINVAL", *[pax((b"comment", b"c"), kind=b"g")] * 20000)
    tar("bomb-xattr", "E2BIG", pax((b"SCHILY.xattr.user.big", b"v" * 300000)), file(b"f"))
    tar("bomb-xattrs", "E2BIG", pax(*[(b"SCHILY.xattr.user.n%d" % i, b"v") for i in range(200)]), file(b"f"), options="xattrs=1000")
    tar("bomb-sparse", "E2BIG", pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"),
        (b"GNU.sparse.realsize", b"10995116277760")), file(b"s", b"1\n10995116277759\n1\n".ljust(512, b"\0") + b"x"))
    tar("bomb-sparse-gnu", "E2BIG", head(b"s", 512, kind=b"S", magic=b"ustar  \0", rest={386: octal(0, 12), 398: octal(512, 12),
        483: base256(1 << 50, 12)}), bytes(512))


def sparse():
    def ten(size, table, data):
        return (pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"),
                    (b"GNU.sparse.realsize", size)), file(b"s", table.ljust(512, b"\0") + data))
    tar("sparse", "lands", *ten(b"1048576", b"2\n0\n3\n1048573\n3\n", b"abcdef"), shows=["s=size:1048576"])
    tar("sparse-beyond-size", "EBADMSG", *ten(b"100", b"1\n4096\n3\n", b"abc"))
    tar("sparse-backwards", "EBADMSG lands", *ten(b"9000", b"2\n4096\n3\n0\n3\n", b"abcdef"))
    tar("sparse-overlapping", "EBADMSG lands", *ten(b"9000", b"2\n0\n512\n100\n512\n", bytes(1024)))
    tar("sparse-negative", "EBADMSG", *ten(b"9000", b"1\n-5\n3\n", b"abc"))
    tar("sparse-huge-count", "EBADMSG", *ten(b"9000", b"99999999999999999999\n0\n3\n", b"abc"))
    tar("sparse-no-number", "EBADMSG", *ten(b"9000", b"one\n0\n3\n", b"abc"))
    tar("sparse-negative-size", "EBADMSG EINVAL", *ten(b"-1", b"1\n0\n3\n", b"abc"))
    tar("sparse-old", "lands", head(b"s", 512, kind=b"S", magic=b"ustar  \0", rest={386: octal(1024, 12), 398: octal(512, 12),
        483: octal(4096, 12)}), b"z" * 512, shows=["s=size:4096"])
    tar("sparse-old-endless", "lands EBADMSG", head(b"s", 512, kind=b"S", magic=b"ustar  \0", rest={386: octal(0, 12), 398: octal(512, 12),
        482: b"\1", 483: octal(4096, 12)}), (bytes(504) + b"\1" + bytes(7)) * 3000)


def broken():
    good = file(b"f", b"contents") + END
    packed = gzip.compress(good)
    tar("bad-checksum", "EBADMSG", file(b"f", raw_sum=b"000001\0 "))
    tar("bad-second-checksum", "EBADMSG", file(b"f"), file(b"g", raw_sum=b"000001\0 "))
    case("noise", "EBADMSG", bytes((i * 7919 >> 3) & 255 or 1 for i in range(5000)))
    case("text", "EBADMSG", b"<html>404 not found</html>\n" * 50)
    case("too-short", "EBADMSG", good[:100])
    case("cut-in-header", "EBADMSG", file(b"f") + file(b"g")[:300])
    case("cut-in-contents", "EBADMSG", head(b"f", 5000) + bytes(1000))
    case("cut-in-pax", "EBADMSG", pax((b"comment", b"c" * 900))[:700])
    case("pax-alone", "EBADMSG", pax((b"path", b"x")))
    case("no-end", "lands", file(b"f"), shows=["f=file:x"])
    case("empty", "lands", b"")
    case("empty-tar", "lands", END)
    case("after-the-end", "lands", good + b"rest" * 5000, shows=["f=file:contents", "!rest"])
    case("gzip", "lands", packed, shows=["f=file:contents"])
    case("gzip-cut", "EBADMSG", packed[:-20])
    case("gzip-no-trailer", "EBADMSG", packed[:-8])
    case("gzip-header-alone", "EBADMSG", packed[:10])
    case("gzip-magic-alone", "EBADMSG", packed[:2])
    case("gzip-crc", "EBADMSG", packed[:-8] + b"\1\2\3\4" + packed[-4:])
    case("gzip-size", "EBADMSG", packed[:-4] + b"\1\2\3\4")
    case("gzip-noise", "EBADMSG", packed[:10] + b"\xff" * 500)
    case("gzip-method", "EBADMSG", packed[:2] + b"\7" + packed[3:])
    case("gzip-rest", "EBADMSG", packed + b"rest")
    case("gzip-zeros", "lands", packed + bytes(1000), shows=["f=file:contents"])
    case("gzip-zeros-rest", "EBADMSG", packed + bytes(1000) + packed)
    case("gzip-members", "lands", b"".join(gzip.compress(good[i:i + 100]) for i in range(0, len(good), 100)), shows=["f=file:contents"])
    case("gzip-empty-members", "lands", gzip.compress(b"") * 50 + packed + gzip.compress(b"") * 50, shows=["f=file:contents"])
    case("gzip-name", "lands", packed[:3] + b"\x08" + packed[4:10] + b"../../name\0" + packed[10:], shows=["f=file:contents"])
    case("gzip-extra", "lands", packed[:3] + b"\x04" + packed[4:10] + b"\xff\xff" + bytes(65535) + packed[10:], shows=["f=file:contents"])
    case("gzip-second-broken", "EBADMSG", packed + packed[:-3])
    case("zstd", "lands", zstd(good), shows=["f=file:contents"])
    case("zstd-frames", "lands", zstd(good[:700]) + zstd(good[700:]), shows=["f=file:contents"])
    case("zstd-skippable", "lands", skippable(b"s" * 99) + zstd(good[:700]) + skippable(b"") + zstd(good[700:]) + skippable(bytes(9)),
         shows=["f=file:contents"])
    case("zstd-cut", "EBADMSG", zstd(good)[:-5])
    case("zstd-magic-alone", "EBADMSG", zstd(good)[:4])
    case("zstd-skippable-cut", "EBADMSG", zstd(good) + skippable(b"s" * 99)[:-5])
    case("zstd-rest", "EBADMSG", zstd(good) + b"rest")
    case("zstd-reserved-block", "EBADMSG", zstd(b"")[:6] + b"\x07\0\0")
    case("zstd-window", "EBADMSG", zstd(good, window=21 << 3))
    case("zstd-in-gzip", "EBADMSG", gzip.compress(zstd(good)))
    case("xz", "EOPNOTSUPP", b"\xfd7zXZ\0" + bytes(100))
    case("bzip2", "EOPNOTSUPP", b"BZh91AY" + bytes(100))


def numbers():
    tar("size-negative", "EINVAL EBADMSG", head(b"f", raw_size=b"-0000000001\0"), options="")
    tar("size-base256-negative", "EINVAL", head(b"f", raw_size=base256(-1, 12)))
    tar("size-base256-huge", "EINVAL", head(b"f", raw_size=base256(1 << 80, 12)))
    tar("size-base256", "lands", head(b"f", raw_size=base256(5, 12)), pad(b"fives"), shows=["f=file:fives"])
    tar("size-lies-more", "EBADMSG", head(b"f", 100000), pad(b"x"))
    tar("size-lies-less", "EBADMSG", head(b"f", 1), b"x" * 2048)
    tar("size-pax-negative", "EBADMSG EINVAL", pax((b"size", b"-1")), file(b"f"))
    tar("size-pax-huge", "EINVAL E2BIG", pax((b"size", b"9223372036854775807")), file(b"f"))
    tar("size-pax-noise", "EBADMSG EINVAL", pax((b"size", b"many")), file(b"f", b"yy"))
    tar("size-pax-hides", "EBADMSG", pax((b"size", b"0")), head(b"f", 1024), file(b"hidden")[:1024], pad(b"junk"))
    tar("uid-pax-large", "EINVAL", pax((b"uid", b"4294967296")), file(b"f"))
    tar("uid-pax-none", "EINVAL", pax((b"uid", b"4294967295")), file(b"f"))
    tar("uid-pax-negative", "EINVAL EBADMSG", pax((b"uid", b"-1")), file(b"f"))
    tar("uid-base256-negative", "EINVAL", file(b"f", raw_uid=base256(-1, 8)))
    tar("gid-pax-large", "EINVAL", pax((b"gid", b"18446744073709551616")), file(b"f"))
    tar("mtime-huge", "lands", pax((b"mtime", b"99999999999999999999")), file(b"f"), shows=["f=file:x"])
    tar("mtime-negative", "lands", pax((b"mtime", b"-5.25")), file(b"f"), shows=["f=file:x"])
    tar("mtime-noise", "lands EBADMSG", pax((b"mtime", b"yesterday")), file(b"f"))
    tar("size-pax-of-directory", "EINVAL", pax((b"size", b"512")), directory(b"d"), file(b"hidden")[:512], file(b"f"))
    tar("size-pax-of-link", "EINVAL", pax((b"size", b"512")), symlink(b"l", b"x"), file(b"hidden")[:512], file(b"f"))
    tar("pax-nul", "EINVAL", pax((b"path", b"safe\0/../../x")), file(b"f"))
    tar("pax-nul-link", "EINVAL", pax((b"linkpath", b"safe\0/../../x")), symlink(b"l", b"x"))
    tar("pax-length-0", "EBADMSG", pax(raw=b"0 path=x\n"), file(b"f"))
    tar("pax-length-huge", "EBADMSG", pax(raw=b"99999999999999999999999 path=x\n"), file(b"f"))
    tar("pax-length-more", "EBADMSG", pax(raw=b"900 path=x\n"), file(b"f"))
    tar("pax-no-newline", "EBADMSG", pax(raw=b"10 path=xy"), file(b"f"))
    tar("pax-no-equals", "EBADMSG", pax(raw=b"10 pathxy\n"), file(b"f"))
    tar("pax-noise", "EBADMSG", pax(raw=b"\xff" * 300), file(b"f"))
    tar("pax-twice", "EINVAL", pax((b"path", b"good"), (b"path", b"../bad")), file(b"f"))
    tar("pax-global", "lands", pax((b"path", b"../x"), (b"comment", b"c"), kind=b"g"), file(b"f"), shows=["f=file:x"])
    tar("mode-all", "lands", file(b"f", mode=0o7777777), shows=["f=mode:7777"])
    tar("setuid", "lands", file(b"f", mode=0o4755, uid=3), shows=["f=mode:4755"])


def kinds():
    tar("device-block", "lands", head(b"disk", kind=b"4", dev=(8, 0), mode=0o660), options="root", shows=["disk=block"])
    tar("device-char", "lands", head(b"dev/mem", kind=b"3", dev=(1, 1)), options="root", shows=["dev/mem=char"])
    tar("device-huge", "lands EINVAL", head(b"d", kind=b"3", rest={329: b"7777777\0", 337: b"7777777\0"}), options="root")
    tar("device-with-size", "lands", head(b"d", kind=b"6", raw_size=octal(4096, 12)), file(b"f"), shows=["d=fifo", "f=file:x"])
    tar("device-replaced", "lands", head(b"d", kind=b"3", dev=(1, 3)), file(b"d", b"new"), options="root", shows=["d=file:new"])
    tar("fifo", "lands", head(b"p", kind=b"6"), shows=["p=fifo"])
    tar("directory-with-size", "lands EBADMSG", directory(b"d", raw_size=octal(512, 12)), file(b"f"))
    tar("kind-contiguous", "lands", head(b"f", 1, kind=b"7"), pad(b"x"), shows=["f=file:x"])
    tar("kind-unknown", "lands", head(b"f", 1, kind=b"Z"), pad(b"x"), shows=["f=file:x"])
    tar("kind-volume", "lands EBADMSG", head(b"label", kind=b"V", magic=b"ustar  \0"), file(b"f"))
    tar("kind-multivolume", "lands EINVAL EBADMSG", head(b"f", 1, kind=b"M", magic=b"ustar  \0"), pad(b"x"))
    tar("kind-dumpdir", "lands", head(b"d/", 5, kind=b"D", magic=b"ustar  \0"), pad(b"Yabc\0"), file(b"f"), shows=["d=dir", "f=file:x"])
    tar("v7", "lands", file(b"f", magic=bytes(8)), shows=["f=file:x"])
    tar("v7-directory", "lands", head(b"d/", magic=bytes(8), kind=b"\0"), shows=["d=dir"])
    tar("name-newline", "lands", file(b"a\nb\x1b[31m"), shows=["a%0ab%1b[31m=file:x"])
    tar("name-latin1", "lands", pax((b"path", b"\xe9t\xe9/\xff\xfe")), file(b"f"), shows=["%e9t%e9/%ff%fe=file:x"])
    tar("name-utf8", "lands", pax((b"path", "F\u0151tan\u00fas\u00edtv\u00e1ny".encode())), file(b"f"), shows=["F%c5%91tan%c3%bas%c3%adtv%c3%a1ny=file:x"])
    tar("name-surrogate", "lands", pax((b"path", b"\xed\xa0\x80\xed\xb0\x80")), file(b"f"), shows=["%ed%a0%80%ed%b0%80=file:x"])
    tar("name-latin1-links", "lands", pax((b"path", b"\xe9")), file(b"f"), pax((b"linkpath", b"\xe9")), hardlink(b"h", b"x"), pax((b"linkpath", b"\xe9\xff")),
        symlink(b"l", b"x"), symlink(b"\xe8", b"\xe7"), shows=["%e9=file:x", "h=file:x", "l=link:\udce9\udcff", "%e8=link:\udce7"])
    tar("name-newline-refused", "EINVAL", file(b"../\n\x1b[2J"))
    tar("name-255", "lands", pax((b"path", b"n" * 255)), file(b"f"), shows=["n" * 255 + "=file:x"])
    tar("name-trailing-slash", "lands", file(b"f/", b""), shows=["f=dir"])
    tar("name-backslash", "lands", file(b"..\\..\\x"), shows=["..\\..\\x=file:x"])
    tar("name-passing", "lands", file(b".unpack-0000000000000000"), shows=[".unpack-0000000000000000=file:x"])


def xattrs():
    def with_xattr(name, value):
        return pax((b"SCHILY.xattr." + name, value)), file(b"f")
    tar("xattr-overlay-redirect", "lands", pax((b"SCHILY.xattr.trusted.overlay.redirect", CANARY)), directory(b"d"), shows=["d=plain"])
    tar("xattr-overlay-opaque", "lands", pax((b"SCHILY.xattr.trusted.overlay.opaque", b"y"), (b"SCHILY.xattr.user.overlay.opaque", b"y")),
        directory(b"d"), shows=["d=plain"])
    tar("xattr-selinux", "lands", *with_xattr(b"security.selinux", b"system_u:object_r:shadow_t:s0\0"), shows=["f=plain"])
    tar("xattr-unknown", "lands", *with_xattr(b"nobody.knows", b"v"), shows=["f=plain"])
    tar("xattr-system", "lands", *with_xattr(b"system.nfs4_acl", b"v"), shows=["f=plain"])
    tar("xattr-empty-name", "lands EBADMSG", *with_xattr(b"", b"v"))
    tar("xattr-long-name", "ERANGE lands", *with_xattr(b"user." + b"n" * 300, b"v"))
    tar("xattr-too-large", "E2BIG ENOSPC lands", *with_xattr(b"user.big", b"v" * 70000))
    tar("xattr-bad-capability", "EINVAL", *with_xattr(b"security.capability", b"nonsense"), options="root")
    tar("xattr-bad-acl", "lands EINVAL EOPNOTSUPP", *with_xattr(b"system.posix_acl_access", b"nonsense"), options="root")
    tar("xattr-libarchive", "lands", pax((b"LIBARCHIVE.xattr.user.%41", b"dmFsdWU=")), file(b"f"), shows=["f=file:x"])
    tar("xattr-libarchive-noise", "lands EBADMSG", pax((b"LIBARCHIVE.xattr.user.%zz", b"\xff=\0")), file(b"f"))
    tar("acl-noise", "lands EBADMSG EINVAL", pax((b"SCHILY.acl.access", b"user:::rwx,,,,group:\xff:q")), file(b"f"))


for part in (traversals, links, roots, whiteouts, flips, bombs, sparse, broken, numbers, kinds, xattrs):
    part()
with open(f"{OUT}/index", "w", encoding="utf-8", errors="surrogateescape") as index:
    for one in cases:
        index.write("\t".join(str(column) for column in one) + "\n")
print(len(cases))
