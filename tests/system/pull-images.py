#!/usr/bin/python3
"""What tests/system/pull*.c pull: pull-images.py BUSYBOX LAYOUT. Tags: 1 (two large layers, and twice an equal small one);
index (1 among others); other (another machine's); and what is wrong with their bytes though every digest is right."""
import gzip
import hashlib
import io
import json
import os
import platform
import random
import sys
import tarfile

busybox, top = sys.argv[1:]
random.seed(11)
OCI = "application/vnd.oci.image."
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
other = "arm64" if machine == "amd64" else "amd64"
os.makedirs(top + "/blobs/sha256")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def put(data, kind, **more):
    with open(f"{top}/blobs/sha256/{digest(data)[7:]}", "wb") as file:
        file.write(data)
    return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data), **more}


def tar(files):
    """name -> bytes, a link's target (str), or None: a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = 0o755, 1000000000
            if data is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return buffer.getvalue()


with open(busybox, "rb") as program:
    base = {"bin": None, "dev": None, "etc": None, "proc": None, "sys": None, "tmp": None, "bin/busybox": program.read()}
base.update({f"bin/{name}": "busybox" for name in ("sh", "echo", "cat", "ls", "sleep", "true", "wc")})
noise = {f"noise/{i}": random.randbytes(30000) for i in range(30)}
small = tar({"small": b"x"})
layers = [tar(base), tar({"noise": None, **noise}), small, small]


def pack(data):
    return gzip.compress(data, 1, mtime=0)


def image(tag, plain, packed, arch=machine, diff_ids=None, kind="layer.v1.tar+gzip", size=None):
    config = {"architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/echo", tag], "Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(layer) for layer in plain]}}
    blobs = [put(layer, kind) for layer in packed]
    if size is not None:
        blobs[-1]["size"] = size
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                "config": put(json.dumps(config).encode(), "config.v1+json"), "layers": blobs}
    return put(json.dumps(manifest).encode(), "manifest.v1+json", platform={"architecture": arch, "os": "linux"})


def index(*manifests):
    return put(json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": manifests}).encode(), "index.v1+json")


tags = {"1": image("1", layers, [pack(layer) for layer in layers])}
tags["other"] = image("other", [small], [pack(small)], arch=other)
tags["index"] = index(tags["other"], tags["1"])
tags["index-size"] = index({**tags["1"], "size": tags["1"]["size"] + 1})
large = tar({"large": bytes(300 << 20)})
tags["bomb"] = image("bomb", [large], [pack(large)])
tags["diff-id"] = image("diff-id", layers[:2], [pack(layer) for layer in layers[:2]], diff_ids=[digest(layers[0]), digest(b"")])
tags["no-tar"] = image("no-tar", [b"?" * 5000], [pack(b"?" * 5000)])
tags["no-gzip"] = image("no-gzip", [b"?" * 5000], [b"?" * 5000])
tags["upwards"] = image("upwards", [tar({"../../escaped": b"x"})], [pack(tar({"../../escaped": b"x"}))])
tags["fewer"] = image("fewer", layers[:1], [pack(layer) for layer in layers[:2]])
tags["size"] = image("size", [small], [pack(small)], size=5)
with open(top + "/index.json", "w", encoding="utf-8") as file:
    lines = [{**line, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag, line in tags.items()]
    json.dump({"schemaVersion": 2, "manifests": lines}, file)
with open(top + "/digest", "w", encoding="utf-8") as file:
    file.write(tags["1"]["digest"] + "\n" + tags["index"]["digest"] + "\n")
