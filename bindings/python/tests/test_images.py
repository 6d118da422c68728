"""Images: in, out, run, committed; with a store of our own and the image that ./bootstrap makes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import conex
from conex import aio

TOP = Path(__file__).resolve().parents[3]
EXAMPLES = TOP / "bindings/python/examples"
pytestmark = pytest.mark.skipif(not os.environ.get("CONEX_WORKER"), reason="conex-worker isn't built here")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that has the image "busybox"."""
    where = tmp_path_factory.mktemp("images")
    subprocess.run([str(TOP / "examples/busybox.sh"), str(where / "busybox.tar")], check=True)
    with conex.open(store=where / "store") as cx:
        job = cx.images.load(where / "busybox.tar", "busybox")
        assert job.result().startswith("sha256:") and job.done
    return where / "store"


@pytest.fixture
def cx(store):
    with conex.open(store=store) as context:
        yield context


def test_run(cx):
    assert cx.images.list() == ["busybox:latest"] and "busybox" in cx.images and "nobody" not in cx.images
    found = cx.images.inspect("busybox")
    assert found["digest"].startswith("sha256:") and found["layers"] == 1
    r = cx.run(["sh", "-c", "echo $PATH; id -u"], image="busybox", capture_output=True, text=True)
    assert "/bin" in r.stdout and r.stdout.endswith("0\n")
    plan = cx.plan("busybox", ["true"], read_only=True)
    assert plan.run().exit
    with pytest.raises(conex.InvalidError):
        cx.run(["true"], image="NOT A NAME")
    assert cx.images.usage()["images"] == 1 and cx.images.verify().result() == ""


def test_progress_and_errors(cx, tmp_path):
    (tmp_path / "junk").write_bytes(os.urandom(10000))
    job = cx.images.load(tmp_path / "junk", "junk")
    steps = [p.step for p in job]           # ends, also where it fails
    assert steps
    with pytest.raises(conex.DataError):
        job.result()
    with pytest.raises(conex.Error) as e:
        cx.images.pull("127.0.0.1:1/nobody", plain_http=True).result()
    assert e.value.stage == "image" and "127.0.0.1:1" in str(e.value)
    with pytest.raises(conex.Error):
        cx.run(["true"], image="127.0.0.1:1/nobody")
    with pytest.raises(TypeError, match="platfor'"):
        cx.images.pull("x", platfor="y")
    with pytest.raises(TypeError, match="ratoi"):
        cx.images.load(tmp_path / "junk", "junk", limits={"ratoi": 3})
    with pytest.raises(conex.Error):
        cx.images.load(tmp_path / "junk", "junk", limits={"bytes": "1K"}, user="only").result()
    cx.images.pull("127.0.0.1:1/nobody", plain_http=True).cancel()


def test_out_and_in_again(cx, tmp_path):
    job = cx.images.save("busybox", tmp_path / "a.tar")
    last = list(job)[-1]                    # a bar that shows it is full in the end
    assert last.done_bytes == last.total_bytes > 500000
    digest = job.result()
    assert cx.images.load(tmp_path / "a.tar", "again:1").result() == digest
    (tmp_path / "layout").mkdir()
    cx.images.save("busybox", tmp_path / "layout").result()
    assert (tmp_path / "layout/index.json").exists()
    cx.images.unpack("again:1", tmp_path / "tree").result()
    assert (tmp_path / "tree/bin/sh").exists()
    with pytest.raises(conex.ExistsError):
        cx.images.unpack("again:1", tmp_path / "tree")
    cx.images.delete("again:1")
    with pytest.raises(conex.NotFoundError):
        cx.images.inspect("again:1")


def test_commit(cx):
    with cx.start(["sh", "-c", "echo hello >/made"], image="busybox") as c:
        c.wait()
        cx.images.commit(c, "made:1", {"Cmd": ["cat", "/made"]}).result()
    assert cx.run("made:1", capture_output=True, text=True).stdout == "hello\n"
    cx.images.delete("made:1")


def test_awaitable(store, tmp_path):
    async def main():
        async with aio.open(store=store) as cx:
            job = cx.images.save("busybox", tmp_path / "b.tar")
            seen = [p async for p in job]
            assert seen and (await job.result()).startswith("sha256:")
            await cx.images.load(tmp_path / "b.tar", "awaited:1").result()
            r = await cx.run(["cat"], image="awaited:1", input=b"x", capture_output=True)
            assert r.stdout == b"x"
            async with await cx.start(["sh", "-c", "echo y >/y"], image="awaited:1") as c:
                await c.wait()
                await cx.images.commit(c, "awaited:2").result()
            cx.images.delete("awaited:1")
            cx.images.delete("awaited:2")
            with pytest.raises(conex.Error):
                await cx.run(["true"], image="127.0.0.1:1/nobody")
    asyncio.run(main())


# ---- the examples say what they do ----

def example(store, name, *args, code=0, **more):
    r = subprocess.run([sys.executable, "-B", str(EXAMPLES / name), *args], capture_output=True, text=True, timeout=200,
                       env={**os.environ, "CONEX_STORE": str(store)}, **more)
    assert r.returncode == code, r.stdout + r.stderr
    return r.stdout


def test_sandbox(store):
    lines = example(store, "sandbox.py").splitlines()
    assert "ok: ended with 0; 6" in lines[0]
    assert "no: time-out" in lines[1]
    assert "no: " in lines[2] and "no: " in lines[3]
    assert "Read-only" in lines[4] or "ermission" in lines[4]
    assert "no: " in lines[5] and "ended with 3" in lines[6]
    assert example(store, "sandbox.py", "print(6 * 7)").strip().endswith("; 42")


def test_farm(store):
    out = example(store, "farm.py", "12", "4", code=1)
    assert "job 7: ended with 1: job 7 can't be built" in out and "12 jobs in" in out and "1 failed" in out
    assert "6 jobs in" in example(store, "farm.py", "6", "6")


def test_broker(store):
    import socket
    import threading

    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        s, _ = server.accept()
        s.sendall(b"from outside\n")
        s.close()
    threading.Thread(target=serve, daemon=True).start()
    out = example(store, "broker.py", f"127.0.0.1:{server.getsockname()[1]}", code=1)
    assert "from outside" in out and "eth0" not in out
    server.close()


@pytest.mark.skipif(not os.path.exists("/usr/bin/redis-server"), reason="needs redis-server")
def test_harness(store, tmp_path):
    env = {**os.environ, "CONEX_STORE": str(store)}
    env.pop("CONEX_TAP", None)
    with conex.open() as cx:
        before = "bridge" in [n.name for n in cx.networks]
        r = subprocess.run([sys.executable, "-B", "-m", "pytest", "-q", "-p", "conex.pytest_plugin", "-p", "no:cacheprovider",
                            "--rootdir", str(tmp_path), str(EXAMPLES / "test_harness.py")], capture_output=True, text=True, env=env)
        assert r.returncode == 0 and "4 passed" in r.stdout, r.stdout + r.stderr
        if not before:
            cx.networks.get("bridge").delete()


def test_examples_are_short():
    for path in EXAMPLES.rglob("*.py"):
        assert len(path.read_text().splitlines()) < 60, path
