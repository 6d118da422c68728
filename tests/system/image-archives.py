#!/usr/bin/python3
"""Archives of images for tests/system/image.c: image-archives.py BUSYBOX DIRECTORY."""
import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

busybox, out = sys.argv[1:]
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
other = "arm64" if machine == "amd64" else "amd64"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files):
    """files: name -> bytes, a link's target (str), or None: a directory; a tuple has a mode, perhaps an owner, a time
    and xattrs, too."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(data, tuple):
                data, info.mode, *more = data
                info.uid = info.gid = more[0] if more else 0
                info.mtime = more[1] if len(more) > 1 else 0
                info.pax_headers = {"SCHILY.xattr." + key: value for key, value in (more[2] if len(more) > 2 else {}).items()}
            if data is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return buffer.getvalue()


with open(busybox, "rb") as file:
    program = file.read()
names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
base = {name: None for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "srv")}
base["bin/busybox"] = program
base.update({f"bin/{name}": "busybox" for name in names if name != "busybox"})
base["etc/passwd"] = b"root:x:0:0::/root:/bin/sh\nserver:x:77:78::/srv:/bin/sh\n"
base["etc/group"] = b"root:x:0:\nserver:x:78:\n"
base["srv/gone"] = b"gone"
base["srv/kept"] = b"kept"
layers = [tar(base), tar({"srv": (None, 0o775), "srv/.wh.gone": b"", "srv/new": b"new\n"})]


def image(arch=machine, layers=tuple(layers), **more):
    """Blobs by digest, and the manifest's descriptor."""
    blobs = {}

    def put(data, media):
        blobs[digest(data)] = data
        return {"mediaType": media, "digest": digest(data), "size": len(data)}

    packed = [put(gzip.compress(layer, mtime=0, compresslevel=1), "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers]
    config = {"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]},
              "config": {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id -u; id -g; pwd; echo $HELLO; cat new; ls"],
                         "Env": ["PATH=/bin", "HELLO=from the image"], "WorkingDir": "/srv", "User": "server",
                         "Labels": {"org.example.x": "y"}}}
    config.update(more)
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"), "layers": packed}
    line = put(json.dumps(manifest).encode(), manifest["mediaType"])
    line["platform"] = {"os": "linux", "architecture": arch}
    return blobs, line


def layout(lines, blobs):
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": lines}).encode(), "blobs": None, "blobs/sha256": None}
    files.update({"blobs/" + d.replace(":", "/"): data for d, data in blobs.items()})
    return files


def write(name, data):
    with open(os.path.join(out, name), "wb") as file:
        file.write(data)


def unpack(name, files):
    for path, data in files.items():
        whole = os.path.join(out, name, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        if data is not None:
            with open(whole, "wb") as file:
                file.write(data)


blobs, line = image()
files = layout([line], blobs)
whole = tar(files)
write("layout.tar", whole)
write("layout.tar.gz", gzip.compress(whole, compresslevel=1))
unpack("layout", files)
write("digest", line["digest"].encode())

# One layer alone; and one whose config says more.
single = tar({**base, "srv/new": b"new\n"})


def alone(**config):
    blobs, line = image(layers=[single], config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], **config})
    return tar(layout([line], blobs))


write("single.tar", alone())
write("usr1.tar", alone(StopSignal="SIGUSR1"))

# What belongs to others than root, and what hides: files, and all that a directory had.
theirs = tar({"srv/theirs": (None, 0o700, 1000), "srv/theirs/file": (b"theirs", 0o600, 1000), "srv/open": (None, 0o777, 0),
              "etc/.wh.gone": b"", "opt": None, "opt/.wh..wh..opq": b"", "opt/new": b"new"})
below = tar({**base, "etc/gone": b"gone", "opt": None, "opt/old": b"old"})


def of(*layers):
    blobs, line = image(layers=layers, config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})
    return tar(layout([line], blobs))


data = tar({"srv/data": (None, 0o2750, 77), "srv/data/first": (b"first", 0o640, 77)})
blobs_of_data, line_of_data = image(layers=[single, data], config={
    "Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Volumes": {"/srv/data": {}, "/srv/more": {}, "/tmp": {}},
    "Labels": {"org.example.x": "y"}, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000}})
# Nothing but a program: no place for /proc, /dev and the like.
bare_blobs, bare_line = image(layers=[tar({"sh": program})], config={"Cmd": ["/sh"]})
write("bare.tar", tar(layout([bare_line], bare_blobs)))
write("volumes.tar", tar(layout([line_of_data], blobs_of_data)))
write("owned.tar", of(below, theirs))
write("far.tar", of(single, tar({"srv/far": (b"far", 0o644, 300000)})))

# Directories that upper layers have no entries for. What hides comes before, or behind, what it doesn't hide.
def theirs_at(mode, time=1200000000.5):
    return (None, mode, 77, time)


told = {**base, ".": theirs_at(0o751), "tmp": (None, 0o1777, 0, 1111111111.25), "file": b"",
        "srv/data": (None, 0o750, 77, 1222222222.5, {"user.note": "below", "trusted.note": "below"}), "srv/data/sub": theirs_at(0o700),
        "link": "srv", "one": theirs_at(0o770), "srv/gone": theirs_at(0o700), "opt": theirs_at(0o711), "opt/deep": theirs_at(0o700)}
for name in ("before", "behind"):
    told.update({name: theirs_at(0o711), f"{name}/opaque": theirs_at(0o710), f"{name}/opaque/in": theirs_at(0o700),
                 f"{name}/old": theirs_at(0o700), f"{name}/old/in": theirs_at(0o700)})
untold = {name: b"" for name in ("tmp/x", "srv/data/x", "srv/gone/x", "opt/deep/x", "one/y")}
untold.update({"way": "srv/data", "way/sub/x": b"", "before/opaque/.wh..wh..opq": b"", "before/.wh.old": b""})
for name in ("before", "behind"):
    untold.update({f"{name}/opaque/x": b"", f"{name}/opaque/in/x": b"", f"{name}/old/x": b"", f"{name}/old/in/x": b""})
untold.update({"behind/opaque/.wh..wh..opq": b"", "behind/.wh.old": b""})
write("implied.tar", of(tar(told), tar({"srv/.wh.gone": b"", "opt/.wh..wh..opq": b"", "one/x": b""}), tar(untold)))
# One tree of these is another, or none: there links are followed, and files in the way refused.
write("in-the-way.tar", of(tar(told), tar({"link/data/x": b"", "file/x": b""})))
write("hidden-root.tar", of(tar(told), tar({".wh..wh..opq": b"", "one/x": b""}), tar({"one/y": b"", "tmp/y": b""})))

other_blobs, other_line = image(other)
write("platforms.tar", tar(layout([other_line, line], {**other_blobs, **blobs})))
write("foreign.tar", tar(layout([other_line], other_blobs)))
# The index that platforms.tar is of, as a blob.
index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [other_line, line]}).encode()
write("index", index)
write("index.digest", digest(index).encode())
write("other.digest", other_line["digest"].encode())
second_blobs, second = image(config={"Cmd": ["echo", "second"]})
second["annotations"] = {"org.opencontainers.image.ref.name": "second"}
first = {**line, "annotations": {"io.containerd.image.name": "docker.io/library/both:first"}}
write("both.tar", tar(layout([first, second], {**blobs, **second_blobs})))

# Enough to be interrupted in: 3,000 files, a third of which the second layer hides.
many = {**base, **{f"many{i // 100}": None for i in range(0, 3000, 100)},
        **{f"many{i // 100}/{i}": (b"%d " % i) * 200 for i in range(3000)}, "big": os.urandom(8 << 20)}
many_blobs, many_line = image(layers=[tar(many), tar({f"many{i}/.wh..wh..opq": b"" for i in range(10)})])
write("many.tar", tar(layout([many_line], many_blobs)))

# What docker save wrote before it wrote layouts: names say nothing, a layer that is there twice is a link.
config = next(data for data in blobs.values() if data.startswith(b'{"architecture"'))
old = {"one/layer.tar": layers[0], "two/layer.tar": layers[1], "three/layer.tar": "../two/layer.tar", "abc.json": config,
       "repositories": b"{}", "manifest.json": json.dumps([{"Config": "abc.json", "RepoTags": ["old:1"],
                                                          "Layers": ["one/layer.tar", "three/layer.tar"]}]).encode()}
write("docker.tar", tar(old))

# ---- what must be refused -----------------------------------------------------------------------------
layer = next(d for d, data in blobs.items() if data[:2] == b"\x1f\x8b" and len(data) < 10000)
write("bad-digest.tar", tar(layout([line], {**blobs, layer: blobs[layer] + b"x"})))
write("missing-layer.tar", tar(layout([line], {d: data for d, data in blobs.items() if d != layer})))
wrong_blobs, wrong = image(rootfs={"type": "layers", "diff_ids": [digest(layers[0]), digest(b"other")]})
write("bad-diff-id.tar", tar(layout([wrong], wrong_blobs)))
write("cut.tar", whole[:len(whole) // 2])
write("junk.tar", os.urandom(100000))
write("empty.tar", tar({"readme": b"hello"}))
write("no-config.tar", tar({**old, "manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'}))
write("escaping.tar", tar({"../../../escaped": b"x", "/escaped": b"x", **files}))
write("twice.tar", tar({**files, "index.json": b'{"schemaVersion":2,"manifests":[],"manifests":[]}'}))
