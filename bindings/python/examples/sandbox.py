#!/usr/bin/python3
"""Runs somebody's Python with limits and a time-out, and says what it did and used: a tutoring site, an agent.

python3 sandbox.py 'print(6 * 7)'
"""

import sys

import conex


class Sandbox:
    """One plan, launched for each piece of code: nothing is compiled twice, nothing is left between two."""

    def __init__(self, cx: conex.Context) -> None:
        # The host's Python, read-only, over an image that has no more than a shell. No network unless one is named.
        host = [f"{d}:{d}:ro" for d in ("/usr", "/lib", "/lib64")]
        self.plan = cx.plan(image="busybox", user="65534:65534", read_only=True, mounts=[*host, "tmpfs:/tmp:size=16M"],
                            memory="128M", cpus=1, pids=16)

    def run(self, code: str, stdin: bytes = b"") -> "dict[str, object]":
        r = self.plan.run(["/usr/bin/python3", "-I", "-c", code], input=stdin, capture_output=True, timeout=2,
                          max_output=64 << 10)
        return {"ok": bool(r.exit), "why": str(r.exit), "stdout": r.stdout.decode(errors="replace"),
                "stderr": r.stderr.decode(errors="replace")[-500:], "peak": r.exit.memory_peak, "cpu": r.exit.cpu}


CODES = [
    ("print(sum(map(int, input().split())))", b"1 2 3\n"),
    ("while True: pass", b""),
    ("x = bytearray(1 << 30)", b""),
    ("import os\nwhile True: os.fork()", b""),
    ("open('/etc/passwd', 'a')", b""),
    ("import urllib.request as u; u.urlopen('http://10.0.0.1/', timeout=1)", b""),
    ("raise SystemExit(3)", b""),
]

if __name__ == "__main__":
    with conex.open() as cx:
        box = Sandbox(cx)
        for code, stdin in [(sys.argv[1], b"")] if len(sys.argv) > 1 else CODES:
            r = box.run(code, stdin)
            last = (str(r["stdout"]) or str(r["stderr"])).strip().splitlines()[-1:]
            print(f"{code[:40]!r:45} {'ok' if r['ok'] else 'no'}: {r['why']}; {last[0] if last else '-'}")
