"""Containers that run beside us: their life, stdio, programs in them, events."""

import os
import select
import signal
import time

import pytest

import conex


def test_life(sh):
    c = sh("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done", stdout=conex.PIPE, text=True)
    assert next(c.stdout) == "up\n"
    assert c.state == "running" and c.poll() is None and c.returncode is None
    assert os.path.exists(f"/proc/{c.pid}") and c.pid in c.pids()
    assert select.select([c.pidfd], [], [], 0)[0] == []
    with pytest.raises(conex.BusyError):
        c.exit
    with pytest.raises(conex.TimeoutExpired) as e:
        c.wait(0.05)
    assert e.value.exit is None and c.state == "running"
    assert c.pause() and c.state == "paused"
    c.resume()
    c.stop()
    assert c.exit.cause == "stopped" and c.wait().code == 5 and c.poll() == 5
    c.kill(), c.terminate()             # nothing happens
    with pytest.raises(ProcessLookupError):
        c.send_signal(signal.SIGUSR1)
    assert c.delete() and c.state == "deleted" and c.wait().code == 5
    assert c.delete()


def test_block_deletes(cx, root):
    with cx.start(["/bin/sleep", "1000"], rootfs=root) as c:
        pid = c.pid
    assert c.state == "deleted" and not os.path.exists(f"/proc/{pid}")
    with pytest.raises(RuntimeError):
        with cx.start(["/bin/sleep", "1000"], rootfs=root) as c:
            raise RuntimeError
    assert c.state == "deleted"


def test_streams(sh):
    c = sh("while read line; do echo \"<$line>\"; done; echo end >&2", stdin=conex.PIPE, stdout=conex.PIPE, stderr=conex.PIPE,
           text=True)
    c.stdin.write("one\n")
    assert c.stdout.readline() == "<one>\n"
    assert c.communicate("two\nthree\n") == ("<two>\n<three>\n", "end\n")
    c = sh("cat", stdin=conex.PIPE, stdout=conex.PIPE)
    data = os.urandom(1 << 20)
    assert c.communicate(data) == (data, None)
    c = sh("sleep 1000", stdin=conex.PIPE, stdout=conex.PIPE)
    with pytest.raises(conex.TimeoutExpired):
        c.communicate(b"x" * (1 << 20), timeout=0.1)
    c = sh("exit 0", stdin=conex.PIPE)
    assert c.communicate(b"x" * (1 << 20)) == (None, None)      # nobody reads: no SIGPIPE, no error
    assert sh("true").stdin is None and sh("true").stdout is None


def test_lines_while_it_runs(sh):
    c = sh("for i in 1 2 3; do echo $i; sleep 0.02; done; sleep 1000", stdout=conex.PIPE, text=True)
    lines = iter(c.stdout)
    assert [next(lines) for _ in range(3)] == ["1\n", "2\n", "3\n"]
    assert c.poll() is None


def test_terminal(sh):
    c = sh("stty size; read x; echo got $x", tty=True)
    c.resize(33, 77)
    fd = c.stdio(0)
    os.set_blocking(fd, True)
    os.write(fd, b"word\n")
    seen = b""
    try:
        while True:
            seen += os.read(fd, 1000)
    except OSError:         # EIO: its end
        pass
    assert b"got word" in seen


def test_exec(sh):
    c = sh("sleep 1000", env={"OUTER": "o"})
    r = c.exec(["/bin/sh", "-c", "echo $OUTER$INNER; pwd; exit 2"], env={"INNER": "i"}, cwd="/tmp", capture_output=True, text=True)
    assert (r.stdout, r.returncode) == ("oi\n/tmp\n", 2)
    with pytest.raises(conex.CalledProcessError):
        c.exec(["/bin/false"], check=True)
    with pytest.raises(conex.NotFoundError):
        c.exec(["/bin/nope"])
    p = c.popen(["/bin/cat"], stdin=conex.PIPE, stdout=conex.PIPE, text=True)
    assert p.container is c and p.poll() is None and os.path.exists(f"/proc/{p.pid}")
    assert p.communicate("hi") == ("hi", None) and p.exit
    with pytest.raises(conex.TimeoutExpired):
        c.exec(["/bin/sleep", "100"], timeout=1, check=True)
    assert c.exec("/bin/true", user="77:78").exit
    c.kill()
    c.wait()
    with pytest.raises(conex.EndedError):
        c.exec(["/bin/true"])


def test_hold(cx, root):
    with cx.start(["/bin/echo", "now"], rootfs=root, hold=True, stdout=conex.PIPE, text=True) as c:
        assert c.state == "held"
        c.start()
        assert c.communicate() == ("now\n", None)
        with pytest.raises(conex.Error):
            c.start()


def test_limits_change(sh):
    c = sh("sleep 1000", memory="64M", pids=50)
    assert c.stats().memory_limit == 64 << 20 and c.stats().pids_limit == 50
    c.update(memory="32M", cpus=0.5)
    s = c.stats()
    assert s.memory_limit == 32 << 20 and s.pids == 1 and s.cpu is not None and "memory=" in repr(s)
    assert s.as_dict()["pids_limit"] == 50
    assert "memory" in c.details()
    with pytest.raises(TypeError, match="memry"):
        c.update(memry=1)


def test_found_by_id_and_label(cx, sh):
    c = sh("sleep 1000", id="py-found", labels={"role": "db", "x": "1"})
    assert c.id == "py-found" and cx.containers.get("py-found") is c
    assert "py-found" in cx.containers.ids() and cx.containers.ids("role=db") == ["py-found"] and cx.containers.ids("role=no") == []
    assert c in cx.containers.list() and c.label("role") == "db" and c.label("nope") is None
    assert c.inspect()["status"] == "running" and c.spec().get("/process/args/0") == "/bin/sh"
    with pytest.raises(conex.NotFoundError):
        cx.containers.get("nobody")
    with pytest.raises(conex.ExistsError):
        sh("true", id="py-found")
    assert cx.containers.sample([c])[0].pids == 1


def test_another_process_finds_it(tmp_path, root):
    state = str(tmp_path / "state")
    with conex.open(state=state) as cx, conex.open(state=state, read_only=True) as other:
        with cx.start(["/bin/sleep", "1000"], rootfs=root, id="shared") as c:
            assert other.containers.get("shared").pid == c.pid
            with pytest.raises(conex.Error):
                other.start(["/bin/true"], rootfs=root)


def test_plan(cx, root):
    plan = cx.plan(["/bin/sh", "-c", "echo $0$1", "a", "b"], rootfs=root, memory="32M", env={"X": "y"})
    assert "exec" in str(plan)
    assert plan.run(capture_output=True, text=True).stdout == "ab\n"
    assert plan.run(["/bin/sh", "-c", "echo $X$Z"], env={"Z": "z"}, capture_output=True).stdout == b"yz\n"
    assert plan.run(["/bin/cat"], input="in", capture_output=True, text=True).stdout == "in"
    with plan.start(["/bin/sleep", "1000"], id="of-a-plan") as c:
        assert c.stats().memory_limit == 32 << 20
    assert plan.run(["/bin/sleep", "9"], timeout=1).exit.cause == "timeout"
    with pytest.raises(conex.Error, match="memory|limits"):
        plan.run(memory="1G")


def test_events(cx, root):
    with cx.start(["/bin/sh", "-c", "exit 3"], rootfs=root) as c:
        c.wait()
        c.delete()
        seen = [(e.type, e.container) for e in cx.events(0)]
    assert seen == [("started", c), ("exited", c), ("deleted", c)]
    assert cx.next_event(0) is None
    with cx.start(["/bin/sleep", "1000"], rootfs=root) as c:
        assert cx.next_event(5).type == "started"
        p = c.popen(["/bin/true"])
        found = []
        while not found or found[-1].type != "exited":
            found.append(cx.next_event(5))
        assert found[-1].process is p
    assert select.select([cx], [], [], 5)[0] == [cx]


def test_oom_event(cx, root):
    with cx.start(["/bin/sh", "-c", "x=$(yes | head -c 100000000)"], rootfs=root, memory="16M", pids=32) as c:
        c.wait()
        assert next(e for e in cx.events(30) if e.type == "oom").container is c and c.exit.oom_kills


def test_use_after_close(root):
    cx = conex.open()
    c = cx.start(["/bin/sleep", "1000"], rootfs=root)
    pid = c.pid
    cx.close()
    cx.close()
    assert not os.path.exists(f"/proc/{pid}") and c.exit.status == 137
    for call in (lambda: cx.start(["/bin/true"], rootfs=root), cx.fileno, cx.next_event, lambda: c.exec(["/bin/true"])):
        with pytest.raises(conex.ClosedError):
            call()
    assert c.delete()
