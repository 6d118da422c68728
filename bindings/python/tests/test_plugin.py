"""The pytest plugin, as a suite of somebody else's would use it."""

import os
import subprocess
import sys

import pytest

import conex

SUITE = '''
import os, socket
import pytest, conex
root = os.environ["CONEX_TEST_ROOT"]
name = os.environ["CONEX_TEST_ID"]

@pytest.fixture(scope="session")
def server(conex_service):
    return conex_service(["/bin/sh", "-c", "echo a server begins; exec nc -ll -p 80 -e /bin/echo hello"], rootfs=root, id=name,
                         network="bridge", ports=["127.0.0.1::80"], health={"port": 80, "log": "begins", "exec": ["/bin/true"], "interval": "10ms"})

@pytest.mark.parametrize("n", range(4))
def test_answers(server, n):
    with socket.create_connection(server.port(80)) as s:
        assert s.recv(10) == b"hello\\n"

def test_one_server(server, request):
    assert "a server begins" in server.logs() and server.state == "running"

def test_id(server):
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    assert server.id == (name + "-" + worker if worker else name)

def test_own(conex_service_test, conex_context):
    s = conex_service_test(["/bin/sleep", "1000"], rootfs=root)
    assert len(conex_context.containers.ids()) >= 1
    open(os.environ["CONEX_TEST_NOTE"], "w").write(s.id)

def test_own_is_gone(conex_context):
    assert open(os.environ["CONEX_TEST_NOTE"]).read() not in conex_context.containers.ids()
'''
FAILING = '''
import os
import conex, pytest
root = os.environ["CONEX_TEST_ROOT"]

def test_fails(conex_service_test):
    conex_service_test(["/bin/sh", "-c", "echo words of the service; echo errors >&2; sleep 1000"], rootfs=root,
                       health={"log": "errors"})
    assert False

def test_dies(conex_service_test):
    with pytest.raises(conex.CalledProcessError) as e:
        conex_service_test(["/bin/sh", "-c", "echo last words; exit 3"], rootfs=root, health={"log": "never"})
    assert "last words" in e.value.output and e.value.exit.code == 3

def test_never_ready(conex_service_test):
    with pytest.raises(conex.TimeoutExpired):
        conex_service_test(["/bin/sleep", "1000"], rootfs=root, health={"exec": ["/bin/false"]}, ready=0.3)

def test_words(conex_service_test):
    with pytest.raises(TypeError, match="exce"):
        conex_service_test(["/bin/sleep", "1000"], rootfs=root, health={"exce": ["/bin/false"]})
'''

MEANWHILE = '''
import os, time
import conex, pytest
root = os.environ["CONEX_TEST_ROOT"]

@pytest.fixture(scope="module")
def chat(conex_service_module):
    return conex_service_module(["/bin/sh", "-c", "while read word; do echo heard $word; test $word != die || exit 7; done"],
                                rootfs=root, stdin=conex.PIPE, text=True)

def say(chat, word):
    chat.stdin.write(word + "\\n")
    chat.stdin.flush()
    while "heard " + word not in chat.logs():
        time.sleep(0.01)

def test_good(chat):
    say(chat, "one")

def test_bad(chat):
    say(chat, "two")
    assert False

def test_ends(chat):
    say(chat, "die")
    chat.wait()
    assert False

def test_silent(conex_service_test):
    conex_service_test(["/bin/sleep", "1000"], rootfs=root)     # isn't shown
    gone = conex_service_test(["/bin/false"], rootfs=root)
    gone.wait()
    gone.delete()
    assert False
'''
SCOPES = '''
import os
import pytest
root = os.environ["CONEX_TEST_ROOT"]
sleep = ["/bin/sleep", "1000"]

@pytest.fixture(scope="session")
def of_session(conex_service):
    return conex_service(sleep, rootfs=root)

@pytest.fixture(scope="module")
def of_module(conex_service_module):
    return conex_service_module(sleep, rootfs=root)

@pytest.fixture
def of_test(conex_service_test):
    return conex_service_test(sleep, rootfs=root)

@pytest.fixture(scope="session")
def seen():
    return []
'''
SCOPED = '''
import pytest

@pytest.mark.parametrize("n", range(2))
def test_how_long(of_session, of_module, of_test, conex_context, seen, n):
    mine = [of_session.id, of_module.id, of_test.id]
    assert sorted(conex_context.containers.ids()) == sorted(mine)
    seen.append(mine)
    if len(seen) == 4:
        assert [len(set(kind)) for kind in zip(*seen)] == [1, 2, 4]
        print("all", "seen")
'''


@pytest.fixture(autouse=True, scope="module")
def no_bridge_is_left():
    """Networks outlive their makers; the one by the name "bridge" was made by being asked for."""
    with conex.open() as cx:
        before = "bridge" in [n.name for n in cx.networks]
        yield
        if not before:
            cx.networks.get("bridge").delete()


def run_suite(tmp_path, root, text, *args):
    (tmp_path / "test_suite.py").write_text(text)
    env = {**os.environ, "CONEX_TEST_ROOT": root, "CONEX_TEST_NOTE": str(tmp_path / "note"), "CONEX_TEST_ID": f"plugin-{os.getpid()}"}
    env.pop("PYTEST_XDIST_WORKER", None)
    env.pop("CONEX_TAP", None)
    return subprocess.run([sys.executable, "-B", "-m", "pytest", "-p", "conex.pytest_plugin", "-p", "no:cacheprovider",
                           "--rootdir", str(tmp_path), str(tmp_path), *args], env=env, capture_output=True, text=True)


def test_services(tmp_path, root):
    r = run_suite(tmp_path, root, SUITE)
    assert r.returncode == 0 and "8 passed" in r.stdout, r.stdout + r.stderr


def test_side_by_side(tmp_path, root):
    pytest.importorskip("xdist")
    r = run_suite(tmp_path, root, SUITE, "-n", "3", "--deselect", "test_suite.py::test_own_is_gone")
    assert r.returncode == 0 and "7 passed" in r.stdout, r.stdout + r.stderr


def test_logs_are_shown(tmp_path, root):
    r = run_suite(tmp_path, root, FAILING)
    assert "1 failed, 3 passed" in r.stdout, r.stdout + r.stderr
    assert "words of the service\nerrors" in r.stdout and "conex: log of" in r.stdout


def test_logs_of_workers_are_shown(tmp_path, root):
    pytest.importorskip("xdist")
    r = run_suite(tmp_path, root, FAILING, "-n", "2")
    assert "1 failed, 3 passed" in r.stdout and "words of the service\nerrors" in r.stdout, r.stdout + r.stderr


def test_logs_say_when_and_how_it_ended(tmp_path, root):
    r = run_suite(tmp_path, root, MEANWHILE)
    assert "3 failed, 1 passed" in r.stdout, r.stdout + r.stderr
    bad, ends, _, silent = r.stdout.split("- conex: log of ")[1:]
    assert "), ended" not in bad and "\nheard one\n---- since this test began ----\nheard two\n" in bad, bad
    assert "), ended with 7 -" in ends and "\nheard two\n---- since this test began ----\nheard die\n" in ends, ends
    assert silent.startswith("/bin/false (") and "), ended with 1 -" in silent, silent


def test_scopes(tmp_path, root):
    (tmp_path / "conftest.py").write_text(SCOPES)
    (tmp_path / "test_again.py").write_text(SCOPED)
    r = run_suite(tmp_path, root, SCOPED, "-s")
    assert r.returncode == 0 and "all seen" in r.stdout and "4 passed" in r.stdout, r.stdout + r.stderr
