#!/usr/bin/python3
"""conex in Python against what a Python program does otherwise: tests/bench/README.md, "python".

python.py [--n N] [--tests N] [--only NAME,NAME] [--output DIRECTORY] ROOTFS      (as root; conex on PYTHONPATH)
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import conex

HERE = Path(__file__).resolve().parent
GIB = 1 << 30


class Subject:
    """Starts `true` in a container and waits for its end, n times; None: it isn't here."""

    def __init__(self, box, rootfs):
        self.box, self.rootfs, self.notes = box, rootfs, ""

    def prepare(self):
        pass

    def finish(self):
        pass


class Conex(Subject):
    name = "conex"

    def prepare(self):
        self.cx = conex.open()

    def run(self):
        assert self.cx.run(["/bin/true"], rootfs=self.rootfs).returncode == 0

    def finish(self):
        self.cx.close()


class ConexPlan(Conex):
    name = "conex-plan"

    def prepare(self):
        super().prepare()
        self.plan = self.cx.plan(["/bin/true"], rootfs=self.rootfs)

    def run(self):
        assert self.plan.run().returncode == 0


class Crun(Subject):
    name = "subprocess-crun"

    def prepare(self):
        bundle = self.box / "bundle"
        bundle.mkdir()
        spec = conex.Spec().merge({"ociVersion": "1.0.2", "root": {"path": self.rootfs}, "process": {"args": ["/bin/true"], "terminal": False}})
        (bundle / "config.json").write_text(str(spec))
        self.command = ["crun", "--root", str(self.box / "crun"), "run", "-b", str(bundle), "bench"]

    def run(self):
        subprocess.run(self.command, check=True, stdin=subprocess.DEVNULL)


class Bwrap(Subject):
    name = "subprocess-bwrap"

    def prepare(self):
        self.command = ["bwrap", "--unshare-all", "--ro-bind", self.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]

    def run(self):
        subprocess.run(self.command, check=True, stdin=subprocess.DEVNULL)


class Podman(Subject):
    name = "podman"

    def prepare(self):
        self.podman = ["podman", "--root", str(self.box / "podman"), "--runroot", str(self.box / "podman-run"), "--cgroup-manager",
                       "cgroupfs", "--events-backend", "none", "--storage-driver", "overlay"]
        subprocess.run([*self.podman, "import", "-", "bench"], input=tar_of(self.rootfs), check=True, capture_output=True)
        self.command = [*self.podman, "run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--network", "none", "bench", "/bin/true"]

    def run(self):
        subprocess.run(self.command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Docker(Subject):
    name = "docker"

    def prepare(self):
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{self.box}/docker.sock", "DOCKER_CONFIG": str(self.box / "docker-config")}
        self.log = open(self.box / "dockerd.log", "wb")
        self.daemon = subprocess.Popen(
            ["dockerd", "--data-root", str(self.box / "docker"), "--exec-root", str(self.box / "docker-exec"), "--pidfile",
             str(self.box / "dockerd.pid"), "--host", self.env["DOCKER_HOST"], "--exec-opt", "native.cgroupdriver=cgroupfs",
             "--iptables=false", "--ip6tables=false", "--bridge=none"], stdout=self.log, stderr=subprocess.STDOUT)
        for _ in range(150):
            if subprocess.run(["docker", "version"], env=self.env, capture_output=True).returncode == 0:
                break
            if self.daemon.poll() is not None:
                raise OSError("dockerd doesn't start: " + (self.box / "dockerd.log").read_text(errors="replace")[-300:])
            time.sleep(0.2)
        subprocess.run(["docker", "import", "-", "bench"], input=tar_of(self.rootfs), env=self.env, check=True, capture_output=True)
        self.command = ["docker", "run", "--rm", "--network", "none", "bench", "/bin/true"]

    def run(self):
        subprocess.run(self.command, env=self.env, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def finish(self):
        self.daemon.terminate()
        self.daemon.wait(60)
        self.log.close()


def tar_of(directory):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(directory, arcname=".")
    return out.getvalue()


# ---- a suite of 100 tests, each with a Redis of its own ----

SUITE = '''
import os, socket, subprocess, time, pytest
PODMAN = os.environ.get("BENCH_PODMAN")

def ask(address):
    end = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(address, timeout=1) as s:
                s.sendall(b"SET a 1\\r\\nGET a\\r\\n")
                got = b""
                while got.count(b"\\r\\n") < 3:
                    piece = s.recv(100)
                    if not piece:
                        raise OSError("closed")
                    got += piece
                return got
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.005)

COMMAND = ["/usr/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]

@pytest.fixture
def redis(request):
    if PODMAN:
        podman = PODMAN.split()
        name = "redis-" + request.node.name.strip("[]").replace("[", "-")
        subprocess.run([*podman, "run", "-d", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--name", name, "-p", "127.0.0.1::6379", "redis", *COMMAND], check=True, capture_output=True)
        out = subprocess.run([*podman, "port", name, "6379/tcp"], check=True, capture_output=True, text=True).stdout
        yield ("127.0.0.1", int(out.strip().rsplit(":", 1)[1]))
        subprocess.run([*podman, "rm", "-f", "-t", "0", name], check=True, capture_output=True)
    else:
        service = request.getfixturevalue("conex_service_test")(COMMAND, rootfs=os.environ["BENCH_REDIS"], network="bridge",
                                                                ports=["127.0.0.1::6379"])
        yield service.port(6379)

@pytest.mark.parametrize("n", range(int(os.environ["BENCH_TESTS"])))
def test_fresh(redis, n):
    assert ask(redis) == b"+OK\\r\\n$1\\r\\n1\\r\\n"
'''


def redis_tree(box):
    """Debian's redis-server with its libraries: the root file system of both."""
    top = box / "redis-root"
    for name in ("usr/bin", "etc", "proc", "sys", "dev", "tmp", "run"):
        (top / name).mkdir(parents=True)
    out = subprocess.run(["ldd", "/usr/bin/redis-server"], check=True, capture_output=True, text=True).stdout
    for word in ["/usr/bin/redis-server", *(w for line in out.splitlines() for w in line.split() if w.startswith("/"))]:
        to = top / word.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(word, to)
    return top


def suite(box, tests, podman):
    where = box / ("suite-podman" if podman else "suite-conex")
    where.mkdir(exist_ok=True)
    (where / "test_redis.py").write_text(SUITE)
    env = {**os.environ, "BENCH_TESTS": str(tests), "BENCH_REDIS": str(box / "redis-root"), "PYTHONDONTWRITEBYTECODE": "1"}
    if podman:
        env["BENCH_PODMAN"] = " ".join(podman)
    begun = time.monotonic_ns()
    r = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "conex.pytest_plugin", "-p", "no:cacheprovider", str(where)],
                       env=env, capture_output=True, text=True)
    if r.returncode:
        raise OSError(f"the suite fails: {r.stdout[-1500:]}")
    return time.monotonic_ns() - begun


# ---- the report ----

class Report:
    def __init__(self):
        self.rows, self.notes = [], []

    def add(self, name, case, times):
        times = sorted(times)
        self.rows.append({"name": name, "case": case, "n": len(times), "median": int(statistics.median(times)),
                          "p90": times[int(len(times) * 0.9) - 1], "p99": times[-1], "unit": "ns"})

    def median(self, name, case):
        return next((r["median"] for r in self.rows if (r["name"], r["case"]) == (name, case)), None)

    def write(self, directory):
        ratios = [{"of": r["name"], "to": "conex", "case": r["case"], "value": round(r["median"] / base, 2)}
                  for r in self.rows if r["name"] != "conex" and (base := self.median("conex", r["case"]))]
        machine = {"kernel": os.uname().release, "cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": sys.version.split()[0]}
        report = {"bench": "python", "machine": machine, "rows": self.rows, "ratios": ratios, "notes": self.notes}
        lines = ["| case | subject | n | median ms | p90 ms | to conex |", "|---|---|---|---|---|---|"]
        for r in self.rows:
            ratio = next((x["value"] for x in ratios if (x["of"], x["case"]) == (r["name"], r["case"])), "")
            lines.append(f"| {r['case']} | {r['name']} | {r['n']} | {r['median'] / 1e6:.2f} | {r['p90'] / 1e6:.2f} | {ratio} |")
        text = "\n".join([*lines, "", *(f"- {n}" for n in self.notes)]) + "\n"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "python.json").write_text(json.dumps(report, indent=1) + "\n")
        (directory / "python.md").write_text(text)
        print(text, end="")


def measure(report, subjects, case, n):
    times = {s.name: [] for s in subjects}
    for round_ in range(n + 1):                     # in turns; the first round warms up
        for s in subjects:
            begun = time.monotonic_ns()
            s.run()
            if round_:
                times[s.name].append(time.monotonic_ns() - begun)
    for name, found in times.items():
        report.add(name, case, found)


def prepared(report, box, rootfs, only):
    found = []
    for kind in (Conex, ConexPlan, Crun, Bwrap, Podman, Docker):
        if only and kind.name not in only:
            continue
        s = kind(box, rootfs)
        try:
            s.prepare()
            s.run()
            found.append(s)
        except (OSError, subprocess.CalledProcessError, AssertionError) as e:
            why = getattr(e, "stderr", None) or str(e)
            report.notes.append(f"{kind.name} is missing: {(why.decode() if isinstance(why, bytes) else why).strip()[-300:]}")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rootfs")
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--tests", type=int, default=100)
    parser.add_argument("--only", default="")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    given = parser.parse_args()
    if os.environ.get("CONFORMANCE_PRIVATE") != "yes":     # crun 1.8 insists on all of cgroup v1: in mounts of our own
        inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        os.execv(HERE / "../conformance/private.sh", ["private.sh", *inside])
    report, only = Report(), set(filter(None, given.only.split(",")))
    with tempfile.TemporaryDirectory(prefix="conex-bench-", dir="/tmp") as name:
        box, rootfs = Path(name), os.path.abspath(given.rootfs)
        box.chmod(0o755)
        subjects = prepared(report, box, rootfs, only)
        try:
            measure(report, subjects, "small", given.n)
            ballast = bytearray(GIB)
            ballast[::4096] = b"x" * (GIB // 4096)
            measure(report, subjects, "1GiB", given.n)
            del ballast
            if given.tests:
                redis_tree(box)
                report.add("conex", "pytest", [suite(box, given.tests, None)])
                podman = next((s for s in subjects if s.name == "podman"), None)
                if podman:
                    try:
                        subprocess.run([*podman.podman, "import", "-", "redis"], input=tar_of(box / "redis-root"), check=True,
                                       capture_output=True)
                        report.add("podman", "pytest", [suite(box, given.tests, podman.podman)])
                    except (OSError, subprocess.CalledProcessError) as e:
                        report.notes.append(f"podman's suite: {getattr(e, 'stderr', None) or e}")
                    subprocess.run([*podman.podman, "rm", "-fa"], capture_output=True)
        finally:
            for s in subjects:
                s.finish()
            subprocess.run(["umount", "-q", str(box / "podman/overlay"), str(box / "podman")], capture_output=True)
    report.write(given.output)


if __name__ == "__main__":
    main()
