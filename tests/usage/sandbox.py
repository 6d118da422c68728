import conex

class Sandbox:
    def __init__(self):
        self.cx = conex.open()
        self.plan = self.cx.plan("python:3-slim", read_only=True, user="65534:65534", userns=True, mounts=["tmpfs:/tmp:size=16M"],
                                 memory="128M", cpus=1, pids=16)        # no network unless one is named

    def run(self, code, stdin=b""):
        r = self.plan.run(["python", "-I", "-c", code], input=stdin, capture_output=True,
                          timeout=2, max_output=64 << 10)               # check=False: look at the exit instead
        return {"ok": r.exit.cause == "code" and r.exit.code == 0, "why": str(r.exit), "stdout": r.stdout,
                "stderr": r.stderr, "peak": r.exit.memory_peak, "cpu": r.exit.cpu}

box = Sandbox()
print(box.run("print(sum(map(int, input().split())))", b"1 2 3\n"))
print(box.run("while True: pass")["why"])                                # "time-out: killed after 2.0 s"
