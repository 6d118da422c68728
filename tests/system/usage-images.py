#!/usr/bin/python3
"""The images that the programs of tests/usage name, of what this machine has, as `docker save` archives: usage-images.py DIRECTORY IMAGE...

alpine.tar is busybox; python.tar Debian's Python 3 and its library; curl.tar curl, for its own user; db.tar and web.tar two servers
of an afternoon; legacy.tar a program that wants too much; app.tar one that works in shards; debian.tar something to be pulled.
"""
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile

out = sys.argv[1]
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
LEFT_OUT = {"__pycache__", "test", "idlelib", "lib2to3", "ensurepip", "pydoc_data", "distutils", "turtledemo", "tkinter"}


def here(path):
    with open(path, "rb") as file:
        return file.read()


def program(path, name=None):
    """It, with the libraries that it is linked to, each where the loader looks for it."""
    files = {(name or path).lstrip("/"): here(path)}
    for word in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split():
        if word.startswith("/"):
            files[word.lstrip("/")] = here(word)
    return files


def python():
    files = program(os.path.realpath("/usr/bin/python3"), "usr/bin/python3")
    files["usr/bin/python"] = "python3"
    top = sysconfig.get_path("stdlib")
    for directory, inside, names in os.walk(top):
        inside[:] = [name for name in inside if name not in LEFT_OUT and not name.startswith("config-")]
        for name in names:
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                files[path.lstrip("/")] = here(path)
                if path.endswith(".so"):
                    files.update({k: v for k, v in program(path).items() if k not in files})
    return files


def layer(files):
    """files: name -> bytes or a link's target; the directories come of themselves."""
    done, buffer = set(), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        def add(name, kind, data=b"", target="", mode=0o755):
            up = os.path.dirname(name)
            if up and up not in done:
                add(up, tarfile.DIRTYPE)
            done.add(name)
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, target, mode, len(data)
            archive.addfile(info, io.BytesIO(data))
        for name in ("dev", "etc", "proc", "root", "sys"):
            add(name, tarfile.DIRTYPE)
        add("tmp", tarfile.DIRTYPE, mode=0o1777)
        for name, data in files.items():
            if isinstance(data, str):
                add(name, tarfile.SYMTYPE, target=data)
            else:
                add(name, tarfile.REGTYPE, data)
    return buffer.getvalue()


def save(name, *contents, **config):
    layers = [layer(files) for files in contents]
    config.setdefault("Env", ["PATH=/usr/local/bin:/usr/bin:/bin"])
    described = {"architecture": machine, "os": "linux", "config": config, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(one).hexdigest() for one in layers]}}
    parts = {f"{n}/layer.tar": one for n, one in enumerate(layers)}
    manifest = [{"Config": "config.json", "RepoTags": [], "Layers": list(parts)}]
    parts.update({"config.json": json.dumps(described).encode(), "manifest.json": json.dumps(manifest).encode()})
    with tarfile.open(os.path.join(out, name + ".tar"), "w") as archive:
        for part, data in parts.items():
            info = tarfile.TarInfo(part)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


base = {"bin/busybox": here(shutil.which("busybox")), "etc/group": b"root:x:0:\ncurl:x:101:\n",
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\ncurl:x:100:101::/:/bin/sh\n"}
base.update({f"bin/{name}": "busybox" for name in subprocess.run(
    ["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split() if name != "busybox"})

DB = b"""#!/bin/sh
printf '#!/bin/sh\\necho "a row for who knows %s"\\n' "$PASSWORD" >/tmp/row
chmod 755 /tmp/row
exec nc -ll -p 5432 -e /tmp/row
"""
WEB = b"""#!/bin/sh
cat >/tmp/page <<END
#!/bin/sh
while read -r line && [ "\\${#line}" -gt 1 ]; do :; done
row=\\$(nc ${DB%:*} ${DB#*:} </dev/null)
printf 'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' "\\${#row}" "\\$row"
END
chmod 755 /tmp/page
exec nc -ll -p 80 -e /tmp/page
"""
APP = b"""#!/bin/sh
for i in 1 2 3; do echo "shard $2, part $i"; sleep 0.3; done
exit "$2"
"""

IMAGES = {
    "alpine": lambda: save("alpine", base, Cmd=["/bin/sh"]),
    "app": lambda: save("app", base, {"usr/bin/app": APP}, Cmd=["app"]),
    "curl": lambda: save("curl", {**base, **program(shutil.which("curl"), "usr/bin/curl")}, User="100:101", Cmd=["curl", "--help"]),
    "db": lambda: save("db", base, {"usr/bin/db": DB}, Cmd=["db"]),
    "debian": lambda: save("debian", base, {"usr/share/random": os.urandom(12 << 20)}, Cmd=["sh"]),
    "legacy": lambda: save("legacy", {**base, **python()}, {"usr/bin/legacy-tool": here(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "usage-legacy.py"))}, Cmd=["legacy-tool"]),
    "python": lambda: save("python", {**base, **python()}, Cmd=["python3"]),
    "web": lambda: save("web", base, {"usr/bin/web": WEB}, Cmd=["web"]),
}
for one in sys.argv[2:]:
    IMAGES[one]()
