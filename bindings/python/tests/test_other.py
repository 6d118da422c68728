"""Networks, cgroups, namespaces, specifications, the broker."""

import gc
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

import conex


def test_networks(cx, root):
    with cx.networks.create("pynet", subnets=["10.211.3.0/24"]) as net:
        assert net.inspect()["subnets"] == ["10.211.3.0/24"] and "pynet" in [n.name for n in cx.networks]
        with cx.start(["/bin/sleep", "1000"], rootfs=root, id="a", network=net) as a, \
             cx.start(["/bin/nc", "-ll", "-p", "80", "-e", "/bin/echo", "hello"], rootfs=root, id="b", network="pynet",
                      ports=["127.0.0.1::80"]) as b:
            assert a.address().startswith("10.211.3.") and a.address(family=socket.AF_INET6) is None
            b.wait_for(port=80, timeout=10)
            host, port = b.port(80)
            with socket.create_connection((host, port)) as s:
                assert s.recv(10) == b"hello\n"
            assert a.exec(["/bin/nc", "b", "80"], capture_output=True, input=b"").stdout == b"hello\n"
            a.check_networks()
            with pytest.raises(KeyError):
                b.port(81)
            with pytest.raises(conex.BusyError):
                net.delete()
            net.policy({"default": "deny", "rules": []})
            assert net.inspect()["policy"]["default"] == "deny"
            net.policy(None)
    with pytest.raises(conex.NotFoundError):
        cx.networks.get("pynet")


def test_networks_go_with_the_context(root):
    with conex.open() as cx:
        cx.networks.create("pygone")
        cx.networks.create("pykept", keep=True)
    with conex.open() as cx:
        names = [n.name for n in cx.networks]
        assert "pygone" not in names and "pykept" in names
        cx.networks.get("pykept").delete()


def test_what_nobody_closed_goes_with_the_process(cx):
    for end in ("pass", "sys.exit(3)", "raise ValueError"):
        p = subprocess.run([sys.executable, "-c", f"import conex, os, sys; kept = conex.open(); kept.networks.create('pyleft');"
                            f"print(*[n for n in os.listdir('/run/conex') if n.startswith(f'{{os.getpid()}}-')]); {end}"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        assert p.stdout.strip() and not os.path.exists("/run/conex/" + p.stdout.strip())
        assert "pyleft" not in [n.name for n in cx.networks]
    with pytest.warns(ResourceWarning, match="was not closed"):
        other = conex.open()
        other.networks.create("pyleft")
        del other
        gc.collect()
    assert "pyleft" not in [n.name for n in cx.networks]


def test_a_forked_copy_leaves_networks_alone(cx):
    with cx.networks.create("pyfork"):
        pid = os.fork()
        if pid == 0:
            try:
                cx.close()
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert "pyfork" in [n.name for n in cx.networks]


def test_cgroups(cx):
    with cx.cgroups.create("py-group", memory="32M", pids=10) as g:
        p = subprocess.Popen(["/bin/sleep", "1000"])
        g.add(p.pid)
        assert g.pids() == [p.pid] and g.stats().memory_limit == 32 << 20
        g.set(pids=20)
        assert cx.cgroups.get("py-group").stats().pids_limit == 20
        assert cx.cgroups.sample([g])[0].pids == 1
        assert g.freeze(5)
        g.thaw()
        try:
            g.watch("empty")
        except conex.NotSupportedError:         # v1 alone
            watched = False
        else:
            watched = True
        g.kill()
        assert p.wait() == -9
        if watched:
            event = next(e for e in cx.events(10) if e.type == "empty")
            assert event.cgroup is g and event.container is None
    with pytest.raises(conex.NotFoundError):
        cx.cgroups.get("py-group")
    kind, limits, score = conex.classify(cpu_request=0.5, cpu_limit=1, memory_request="64M", memory_limit="128M", capacity="1G")
    assert kind == "burstable" and limits["memory"] == 128 << 20 and limits["cpus"] == 1 and 3 <= score <= 999


def test_namespaces(cx, root):
    net = cx.namespaces.create("net")
    assert os.readlink(f"/proc/self/fd/{net.fileno()}").startswith("net:")
    server = net.socket()
    server.bind(("127.0.0.1", 7777))
    server.listen()
    r = cx.start(["/bin/nc", "127.0.0.1", "7777"], rootfs=root, join=[net], stdout=conex.PIPE)
    s, _ = server.accept()
    s.sendall(b"from outside\n")
    s.close()
    assert r.communicate()[0] == b"from outside\n"
    server.close()
    with cx.start(["/bin/sleep", "9"], rootfs=root) as c:
        opened = cx.namespaces.open(f"/proc/{c.pid}/ns/net")
        assert os.fstat(opened.fileno()).st_ino == os.stat(f"/proc/{c.pid}/ns/net").st_ino


def test_spec(cx, root, tmp_path):
    spec = conex.Spec()
    assert spec.as_dict()["process"]["args"] == ["sh"]
    spec.merge({"process": {"env": ["A=b"]}, "hostname": "merged"})
    assert spec.get("/hostname") == "merged" and spec["/hostname"] == "merged"
    with pytest.raises(conex.NotFoundError):
        spec.get("/nope")
    with pytest.raises(conex.InvalidError) as e:
        conex.Spec({"ociVersion": "1.0.2", "process": {"args": "x"}})
    assert "process.args" in e.value.object
    (tmp_path / "config.json").write_text(str(spec.merge({"root": {"path": root}, "process": {"args": ["/bin/hostname"]}})))
    loaded = conex.Spec.load(tmp_path)
    assert cx.run(None, spec=loaded, capture_output=True).stdout == b"merged\n"
    assert cx.run(["/bin/sh", "-c", "echo $A"], spec=json.loads(str(spec)), capture_output=True).stdout == b"b\n"
    r = cx.run(["/bin/hostname"], rootfs=root, oci={"hostname": "by-oci"}, capture_output=True)
    assert r.stdout == b"by-oci\n"


# ---- the broker ----

def test_broker_decides(cx, root):
    asked = []

    def mkdir(call):
        path = call.string(call.args[0])
        asked.append((call.name, path, call.pid > 0))
        call.proceed() if path == "/tmp/good" else call.fail("EACCES") if path == "/tmp/bad" else call.ret(0)

    r = cx.run(["/bin/sh", "-c", "mkdir /tmp/good && test -d /tmp/good && ! mkdir /tmp/bad && mkdir /tmp/lie && ! test -d /tmp/lie"],
               rootfs=root, mounts=["tmpfs:/tmp"], ask={"mkdir": mkdir}, capture_output=True, text=True)
    assert r.returncode == 0, r
    assert asked == [("mkdir", p, True) for p in ("/tmp/good", "/tmp/bad", "/tmp/lie")]


def test_broker_gives_a_connection(cx, root):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def serve():
        s, _ = server.accept()
        s.sendall(b"through the broker\n")
        s.close()
    threading.Thread(target=serve, daemon=True).start()
    refused = []

    def connect(call):
        fd, address, size = call.args[:3]
        raw = call.read(address, min(size, 128))
        if socket.ntohs(int.from_bytes(raw[2:4], "little")) != 7:
            refused.append(raw)
            return call.fail("EACCES")
        with socket.create_connection(("127.0.0.1", port)) as s:
            return call.inject(s, at=fd)

    r = cx.run(["/bin/sh", "-c", "nc 10.1.2.3 8; nc 10.1.2.3 7 </dev/null"], rootfs=root, ask={"connect": connect}, capture_output=True, text=True)
    assert r.stdout == "through the broker\n" and len(refused) == 1, r
    server.close()


def test_broker_mistakes(cx, root):
    r = cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": lambda call: None}, capture_output=True, text=True)
    assert "not permitted" in r.stderr               # unanswered: EPERM

    def wrong(call):
        raise LookupError("a handler's own")
    with pytest.raises(LookupError, match="own"):
        cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": wrong})
    with pytest.raises(conex.Error):
        cx.run(["/bin/true"], rootfs=root, ask={"execve": wrong})

    def twice(call):
        call.fail("EPERM")
        with pytest.raises(ValueError, match="answered"):
            call.proceed()
        with pytest.raises(ValueError, match="answered"):
            call.read(0, 1)
        assert call.answered and "mkdir" in repr(call)
    cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": twice})

    def fault(call):
        with pytest.raises(conex.Error) as e:
            call.read(8, 8)
        assert e.value.errno == 14
        call.ret()
    assert cx.run(["/bin/mkdir", "/tmp/x"], rootfs=root, ask={"mkdir": fault}).returncode == 0


def test_broker_of_an_exec(cx, root):
    with cx.start(["/bin/sleep", "1000"], rootfs=root, ask={"mkdir": lambda call: call.fail("ENOSPC")}) as c:
        assert "No space" in c.exec(["/bin/mkdir", "/tmp/x"], capture_output=True, text=True).stderr


def test_calls_as_events(cx, root):
    with cx.start(["/bin/mkdir", "/tmp/x"], rootfs=root, ask=["mkdir"]) as c:
        call = next(e.syscall for e in cx.events(5) if e.type == "syscall")
        call.ret(0)
        assert c.wait().code == 0
