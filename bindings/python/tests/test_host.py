"""This process stays its own: threads go on, callbacks do no harm, forks and sub-interpreters have contexts of their own."""

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import conex


# ---- threads ----

def counted(work):
    """How often another thread has run while this one was at work."""
    n, over = 0, threading.Event()

    def count():
        nonlocal n
        while not over.is_set():
            n += 1
            time.sleep(0.0005)
    t = threading.Thread(target=count)
    t.start()
    try:
        work()
    finally:
        over.set()
        t.join()
    return n


def late(call):
    with pytest.raises(conex.TimeoutExpired):
        call()


STUBBORN = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
WAITS = {
    "run": lambda cx, c, o: cx.run(["/bin/sleep", "0.3"], **o),
    "run with output": lambda cx, c, o: cx.run(["/bin/sh", "-c", "sleep 0.3; echo x"], capture_output=True, **o),
    "a time-out": lambda cx, c, o: cx.run(["/bin/sleep", "1000"], timeout=0.3, **o),
    "wait": lambda cx, c, o: late(lambda: c.wait(0.3)),
    "communicate": lambda cx, c, o: late(lambda: c.communicate(timeout=0.3)),
    "exec": lambda cx, c, o: c.exec(["/bin/sleep", "0.3"]),
    "next_event": lambda cx, c, o: (list(cx.events(0)), cx.next_event(0.3)),
    "stop": lambda cx, c, o: cx.start(STUBBORN, grace=0.3, **o).stop(),
    "wait_for": lambda cx, c, o: late(lambda: c.wait_for(exec=["/bin/false"], timeout=0.3)),
    "a job": lambda cx, c, o: slow_job(cx),
}


def slow_job(cx):
    r, w = os.pipe()
    with cx.images.load(r, "never") as job:
        late(lambda: job.result(0.3))
        os.close(w)
    os.close(r)


@pytest.mark.parametrize("name", WAITS)
def test_others_go_on(root, tmp_path, name):
    if name == "a job" and not os.environ.get("CONEX_WORKER"):
        pytest.skip("conex-worker isn't built here")
    with conex.open(store=tmp_path / "store") as cx:
        with cx.start(["/bin/sleep", "1000"], rootfs=root, stdout=conex.PIPE) as c:
            assert counted(lambda: WAITS[name](cx, c, {"rootfs": root})) > 60   # some 500 in 0.3 s; a GIL that is held lets 3 through


def test_many_threads(cx, root):
    done = []

    def work(n):
        r = cx.run(["/bin/sh", "-c", f"echo {n}"], rootfs=root, capture_output=True, text=True)
        done.append((n, r.stdout))
    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(done) == [(n, f"{n}\n") for n in range(20)]


def test_close_beside_calls():
    """A call that begins just when another thread closes is refused; it never gets at freed memory."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            cx = conex.open()
            refused = []

            def look():
                try:
                    while True:
                        cx.containers.ids(), cx.next_event(0), cx.keeper_pid, cx.fileno()
                except conex.ClosedError as e:
                    refused.append(e)
            threads = [threading.Thread(target=look) for _ in range(3)]
            [t.start() for t in threads]
            time.sleep(0.001)
            cx.close()
            [t.join(30) for t in threads]
            assert len(refused) == 3
    finally:
        sys.setswitchinterval(interval)


def test_ctrl_c_while_waiting(sh):
    c = sh("sleep 1000")
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        c.wait()
    assert c.state == "running"


def test_nothing_of_the_process_changes(cx, root):
    def own():
        status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
        subreaper = ctypes.c_int()
        ctypes.CDLL(None).prctl(37, ctypes.byref(subreaper))        # PR_GET_CHILD_SUBREAPER
        return {k: status[k] for k in ("Threads", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "CapEff", "Seccomp", "Umask")} | {
            "cwd": os.getcwd(), "cgroup": open("/proc/self/cgroup").read(), "subreaper": subreaper.value, "env": dict(os.environ),
            "namespaces": [os.readlink(f"/proc/self/ns/{n}") for n in sorted(os.listdir("/proc/self/ns"))]}
    before = own()
    for _ in range(5):
        cx.run(["/bin/true"], rootfs=root, capture_output=True)
    assert own() == before


# ---- callbacks ----

def test_log(root, monkeypatch):
    """Lines come to the callback; an exception in it goes to sys.unraisablehook, and nowhere else."""
    failing = {"hooks": {"poststop": [{"path": "/bin/false"}]}}
    lines = []
    with conex.open(log=lambda level, line: lines.append((level, line))) as cx:
        cx.run(["/bin/true"], rootfs=root, oci=failing)
    assert any("/bin/false" in line for _, line in lines) and all(0 <= level <= 7 for level, _ in lines)
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: seen.append(info.exc_type))

    def wrong(level, line):
        raise LookupError
    with conex.open(log=wrong) as cx:
        assert cx.run(["/bin/true"], rootfs=root, oci=failing).returncode == 0
    assert seen and set(seen) == {LookupError}


def test_log_of_many_threads(root):
    lines = []
    with conex.open(log=lambda level, line: lines.append(line)) as cx:
        def work():
            for _ in range(5):
                cx.run(["/bin/true"], rootfs=root, oci={"hooks": {"poststop": [{"path": "/bin/false"}]}})
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert len([line for line in lines if "/bin/false" in line]) >= 20


# ---- fork ----

def in_child(work):
    """What a forked copy says of itself."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(w, json.dumps(work()).encode())
        except BaseException as e:
            os.write(w, json.dumps(f"{type(e).__name__}: {e}").encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        said = json.load(f)
    os.waitpid(pid, 0)
    return said


def test_forked_copy(cx, sh):
    """It can do nothing with what it has inherited, dropping that harms nobody, and it may open a context of its own."""
    c = sh("sleep 1000")

    def work():
        said = []
        for call in (lambda: c.wait(0), lambda: cx.next_event(0), lambda: c.exec(["/bin/true"]), c.delete, cx.containers.ids):
            try:
                call()
                said.append("no error")
            except conex.Error as e:
                said.append(type(e).__name__)
        cx.close()
        with conex.open() as own:
            said.append(own.keeper_pid)
        return said
    assert in_child(work) == ["ForkedError"] * 5 + [0]
    assert c.state == "running" and c.exec(["/bin/true"]).exit


def test_default_context_in_a_fork(root):
    conex.run(["/bin/true"], rootfs=root)

    def work():
        status = conex.run(["/bin/true"], rootfs=root).returncode
        conex.default().close()
        return status
    assert in_child(work) == 0
    assert conex.run(["/bin/true"], rootfs=root).exit


def run_in_pool(n):
    root, script = n
    return conex.run(["/bin/sh", "-c", script], rootfs=root, capture_output=True, text=True).stdout


def test_multiprocessing(cx, sh, root):
    """Its forked workers have the parent's context, and run containers of their own; the parent's are as they were."""
    c = sh("sleep 1000")
    conex.run(["/bin/true"], rootfs=root)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(run_in_pool, [(root, f"echo {n}") for n in range(9)]) == [f"{n}\n" for n in range(9)]
        pool.close()
        pool.join()
    assert c.state == "running"
    assert subprocess.run(["/bin/true"], preexec_fn=lambda: cx.close()).returncode == 0     # between fork and exec
    assert c.exec(["/bin/true"]).exit and conex.run(["/bin/true"], rootfs=root).exit


# ---- interpreters ----

def test_interpreters(root):
    """In a process of its own, since an interpreter that is destroyed takes module state along. They share the main one's GIL."""
    r = subprocess.run([sys.executable, "-B", "-c", textwrap.dedent('''
        import sys
        try:
            import _interpreters as all
            new = lambda: all.create("legacy")              # Python 3.13
        except ImportError:
            import _xxsubinterpreters as all
            new = lambda: all.create(isolated=False) if sys.version_info >= (3, 9) else all.create()
        import conex
        root = sys.argv[1]
        work = f"""
        import conex, os
        cx = conex.open()
        assert cx.run(["/bin/sh", "-c", "echo x"], rootfs={root!r}, capture_output=True).stdout == b"x\\\\n"
        try:
            cx.run(["/bin/nope"], rootfs={root!r})
            raise SystemExit("no error")
        except conex.NotFoundError as e:
            assert e.stage == "exec"
        lines = []
        with conex.open(log=lambda level, line: lines.append(line)) as other:
            other.run(["/bin/true"], rootfs={root!r}, oci={{"hooks": {{"poststop": [{{"path": "/bin/false"}}]}}}})
        assert lines
        assert conex.run(["/bin/true"], rootfs={root!r}).exit
        os.write(1, b"fine\\\\n")
        cx.close()
        """
        import textwrap
        work = textwrap.dedent(work)
        for _ in range(3):
            one = new()
            failed = all.run_string(one, work)
            assert failed is None, failed
            all.destroy(one)
        assert conex.run(["/bin/sh", "-c", "echo main"], rootfs=root, capture_output=True).stdout == b"main\\n"
        print("main is fine")
        ''').replace("\\\\\\\\n", "\\\\n"), root], capture_output=True, text=True)
    assert (r.returncode, r.stdout) == (0, "fine\n" * 3 + "main is fine\n"), r.stderr
