"""A busybox root file system for all, contexts that must leave nothing, and TAP for the project's runner."""

import ctypes
import gc
import os
import shutil
import sys

import pytest

import conex

APPLETS = "sh cat echo sleep true false env id ls mkdir hostname head yes test stty touch wc nc ip kill printf pwd dd seq".split()


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    top = tmp_path_factory.mktemp("conex") / "root"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "run"):
        (top / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", top / "bin/busybox")
    for name in APPLETS:
        (top / "bin" / name).symlink_to("busybox")
    (top / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nguest:x:77:78::/:/bin/sh\n")
    (top / "etc/group").write_text("root:x:0:\nguests:x:78:\n")
    for path in [top, *top.parents][:3]:
        os.chmod(path, 0o755)
    return str(top)


@pytest.fixture
def cx():
    with conex.open() as context:
        yield context


@pytest.fixture
def sh(cx, root):
    """Starts a shell's text in a container."""
    started = []

    def start(script, **options):
        c = cx.start(["/bin/sh", "-c", script], rootfs=root, **options)
        started.append(c)
        return c
    yield start
    for c in started:
        c.delete()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


# ---- TAP: conftest alone knows all results ----

_results = []


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        _results.append(report)


def pytest_sessionfinish(session):
    if not os.environ.get("CONEX_TAP"):
        return
    with open(os.environ["CONEX_TAP"], "w", encoding="utf-8") as tap:
        for n, r in enumerate(_results, 1):
            name = r.nodeid.replace("#", "")
            if r.outcome == "skipped":
                reason = r.longrepr[2] if isinstance(r.longrepr, tuple) else ""
                print(f"ok {n} - {name} # SKIP {reason}", file=tap)
            else:
                print(f"{'ok' if r.outcome == 'passed' else 'not ok'} {n} - {name}", file=tap)
            if r.outcome == "failed":
                print("".join(f"# {line}\n" for line in str(r.longrepr).splitlines()), end="", file=tap)
        print(f"1..{len(_results)}", file=tap)


def pytest_unconfigure(config):
    """Under ASan: what nobody has any more, now that all is closed. It goes to ASan's log: tests/system/sanitized.sh."""
    if os.environ.get("CONEX_LEAK_CHECK") and os.environ.get("CONEX_TAP"):
        conex.default().close()
        gc.collect()
        ctypes.CDLL(None)["__lsan_do_recoverable_leak_check"]()


sys.dont_write_bytecode = True
