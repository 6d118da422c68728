import conex

r = conex.run(["python", "-c", "print(6 * 7)"], image="python:3",
              capture_output=True, text=True, timeout=5, memory="64M", cpus=0.5, pids=32)
print(r.stdout, r.returncode, r.exit.memory_peak, r.exit.cpu)      # bytes, seconds

try:
    conex.run(["sleep", "60"], image="alpine", timeout=0.2, check=True)
except conex.TimeoutExpired as e:       # also a subprocess.TimeoutExpired; everything in it is killed
    print(e.exit)                       # Exit(cause='timeout', status=137, wall=0.2…)
except conex.Error as e:                # also OSError: errno, stage, object, call, hint
    print(e, e.hint)
