"""conex.run: like subprocess.run, and what it has beyond."""

import os
import subprocess
import sys

import pytest

import conex


def run(root, script, **options):
    return conex.run(["/bin/sh", "-c", script], rootfs=root, **options)


def test_output_and_status(root):
    r = run(root, "echo out; echo err >&2; exit 3", capture_output=True)
    assert (r.stdout, r.stderr, r.returncode) == (b"out\n", b"err\n", 3)
    assert (r.exit.cause, r.exit.code, r.exit.signal, bool(r.exit)) == ("code", 3, 0, False)
    assert r.exit.wall > 0 and "3" in str(r.exit)
    with pytest.raises(conex.CalledProcessError) as e:
        r.check_returncode()
    assert isinstance(e.value, subprocess.CalledProcessError) and isinstance(e.value, OSError)
    assert e.value.returncode == 3 and e.value.exit is r.exit


def test_text_and_input(root):
    assert run(root, "cat", input="gr\u00fc\u00dfe\n", capture_output=True, text=True).stdout == "gr\u00fc\u00dfe\n"
    assert run(root, "cat", input=b"\0\1\2", capture_output=True).stdout == b"\0\1\2"
    assert run(root, "cat", input=b"", capture_output=True).stdout == b""
    big = os.urandom(1 << 20) * 3
    assert run(root, "cat", input=big, capture_output=True).stdout == big
    assert run(root, "printf '\\344'", capture_output=True, encoding="latin-1").stdout == "\u00e4"
    assert run(root, "echo a; echo b >&2", stdout=conex.PIPE, stderr=conex.STDOUT, text=True).stdout in ("a\nb\n", "b\na\n")


def test_nothing_comes_in_by_itself(root):
    os.environ["CONEX_TEST_SECRET"] = "x"
    r = run(root, "env; cat; ls /proc/self/fd; ip link | wc -l", capture_output=True, text=True)
    assert "CONEX_TEST_SECRET" not in r.stdout
    assert r.stdout.split()[-5:-1] == ["0", "1", "2", "3"]      # 3 is ls's own
    assert r.stdout.split()[-1] == "2"                          # lo
    assert run(root, "echo $A$B", env={"A": "1", "B": "2"}, capture_output=True).stdout == b"12\n"
    assert run(root, "echo $A", env=["A=3"], capture_output=True).stdout == b"3\n"


def test_stdio_of_the_host(root, tmp_path):
    with open(tmp_path / "out", "wb") as out, open("/etc/hostname", "rb") as source:
        r = run(root, "cat; echo more", stdin=source, stdout=out, stderr=out.fileno())
    assert r.stdout is None
    assert (tmp_path / "out").read_bytes() == open("/etc/hostname", "rb").read() + b"more\n"
    script = "import conex, sys; conex.run(['/bin/sh', '-c', 'echo to the host'], rootfs=sys.argv[1], stdout=conex.HOST)"
    assert subprocess.run([sys.executable, "-c", script, root], capture_output=True, check=True).stdout == b"to the host\n"


def test_limits_and_time(root):
    r = run(root, "x=$(yes | head -c 100000000)", memory="16M", pids=32)
    assert r.exit.cause == "oom" and r.exit.oom_kills >= 1 and r.returncode == 137
    assert 8 << 20 < r.exit.memory_peak <= 16 << 20
    r = run(root, "sleep 100", timeout=1)                 # without check: look at the exit
    assert r.exit.cause == "timeout" and r.returncode == 137
    with pytest.raises(conex.TimeoutExpired) as e:
        run(root, "echo before; sleep 100", timeout=1, check=True, capture_output=True)
    assert isinstance(e.value, subprocess.TimeoutExpired) and e.value.timeout == 1
    assert e.value.exit.cause == "timeout" and e.value.output == b"before\n"
    assert run(root, "sleep 100 & sleep 100 & sleep 100 & wait", pids=3).returncode != 0


def test_check(root):
    with pytest.raises(conex.CalledProcessError) as e:
        run(root, "echo why >&2; exit 4", capture_output=True, check=True)
    assert e.value.stderr == b"why\n" and "ended with 4: why" in str(e.value)
    assert conex.run(["/bin/sh", "-c", "kill -9 $$"], rootfs=root, init=True).exit.signal in (0, 9)
    assert run(root, "true", check=True).exit


def test_max_output(root):
    r = run(root, "head -c 100000 /dev/zero", capture_output=True, max_output=1000)
    assert len(r.stdout) == 1000 and r.returncode == 0


def test_who_and_where(root):
    assert run(root, "id -u; id -g; pwd", user="guest", cwd="/etc", capture_output=True).stdout == b"77\n78\n/etc\n"
    assert run(root, "id -u; id -g", user="5:6", capture_output=True).stdout == b"5\n6\n"
    assert run(root, "hostname", hostname="box", capture_output=True).stdout == b"box\n"
    assert run(root, "touch /x", read_only=True).returncode == 1
    assert run(root, "cat /proc/self/uid_map", userns=True, capture_output=True).stdout.split()[:2] == [b"0", b"100000"]


def test_mounts(root, tmp_path):
    (tmp_path / "file").write_text("here")
    (tmp_path).chmod(0o755)
    assert run(root, "cat /tmp/file", mounts=[f"{tmp_path}:/tmp"], capture_output=True).stdout == b"here"
    assert run(root, "touch /tmp/x", mounts=[f"{tmp_path}:/tmp:ro"]).returncode == 1
    r = run(root, "head -c 3000000 /dev/zero >/tmp/x", mounts=["tmpfs:/tmp:size=1M"])
    assert r.returncode == 1
    assert run(root, "cat /tmp/file", mounts=[{"source": str(tmp_path), "target": "/tmp"}], capture_output=True).stdout == b"here"
    with pytest.raises(ValueError, match="mounts"):
        run(root, "true", mounts=["/nowhere"])
    with pytest.raises(TypeError, match="from"):
        run(root, "true", mounts=[{"from": "/x"}])


def test_pass_fds(root):
    r, w = os.pipe()
    run(root, "echo hello >&3", pass_fds=[w])
    os.close(w)
    assert os.read(r, 100) == b"hello\n"
    os.close(r)


def test_arguments():
    with pytest.raises(TypeError, match="imagee"):
        conex.run(["x"], imagee="y")
    with pytest.raises(ValueError, match="empty list"):
        conex.run([], rootfs="/")
    with pytest.raises(ValueError, match="capture_output"):
        conex.run(["x"], rootfs="/", capture_output=True, stdout=conex.PIPE)
    with pytest.raises(ValueError, match="STDOUT"):
        conex.run(["x"], rootfs="/", stdout=conex.STDOUT)
    with pytest.raises(ValueError, match="seconds"):
        conex.run(["x"], rootfs="/", timeout=-1)
    with pytest.raises(ValueError, match="null"):
        conex.run(["a\0b"], rootfs="/")
    with pytest.raises(ValueError, match="namespace"):
        conex.run(["x"], rootfs="/", share=["nut"])
    with pytest.raises(conex.InvalidError) as e:
        conex.run(["x"], rootfs="/", ports=["80:90:100:110"])
    assert e.value.hint or str(e.value)


def test_errors(root):
    with pytest.raises(conex.NotFoundError) as e:
        conex.run(["/bin/no-such"], rootfs=root)
    assert isinstance(e.value, FileNotFoundError) and isinstance(e.value, conex.Error)
    assert (e.value.errno, e.value.stage, e.value.call, e.value.operation) == (2, "exec", "execve", "execve")
    assert "no-such" in e.value.object and e.value.hint and e.value.hint in str(e.value)
    with pytest.raises(conex.InvalidError) as e:
        run(root, "true", id="no/slash")
    assert isinstance(e.value, ValueError) and "id" in e.value.object and e.value.stage == "spec"
    with pytest.raises(conex.InvalidError):
        conex.parse_size("12 parsecs")
    assert conex.parse_size("1.5G") == 3 << 29
    assert conex.has("broker") and not conex.has("teleport")


def test_ten_thousand_arguments(root):
    args = [str(n) for n in range(10000)]
    r = conex.run(["/bin/sh", "-c", "echo $#", *args], rootfs=root, capture_output=True)
    assert r.stdout == b"9999\n"
