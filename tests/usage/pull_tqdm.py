import conex
from tqdm import tqdm

with conex.open() as cx, tqdm(unit="B", unit_scale=True) as bar:
    job = cx.images.pull("debian:13")
    for p in job:                       # at most ten times a second; leaving the loop early doesn't cancel
        bar.total = p.total_bytes or None
        bar.n = p.done_bytes
        bar.set_description(p.step)
        bar.refresh()
    print(job.result())                 # the digest, or raises what went wrong
