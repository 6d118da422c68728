#!/usr/bin/python3
"""A build farm: many jobs, few at a time, one line of progress; what failed is shown with its output.

python3 farm.py [JOBS [SIDE_BY_SIDE]]
"""

import asyncio
import sys
import time

import conex
from conex import aio

SCRIPT = """
i=0
while [ $i -lt 20 ]; do i=$((i + 1)); echo "step $i of 20"; sleep 0.02; done
[ $JOB != 7 ] || { echo "job 7 can't be built" >&2; exit 1; }
"""


class Farm:
    def __init__(self, cx: aio.Context, side_by_side: int) -> None:
        self.cx, self.places = cx, asyncio.Semaphore(side_by_side)
        self.steps = self.done = self.failed = 0

    async def build(self, job: int) -> None:
        async with self.places:
            async with await self.cx.start(["sh", "-c", SCRIPT], image="busybox", env={"JOB": str(job)}, memory="64M", cpus=0.5,
                                           stdout=conex.PIPE, stderr=conex.PIPE, text=True) as c:
                assert c.stdout and c.stderr
                async for _ in c.stdout:
                    self.steps += 1
                exit = await c.wait()
                self.done += 1
                if not exit:
                    self.failed += 1
                    print(f"\rjob {job}: {exit}: {(await c.stderr.read()).strip()}")


async def show(farm: Farm, jobs: int) -> None:
    while farm.done < jobs:
        print(f"\r{farm.done}/{jobs} done, {farm.steps} steps", end="", flush=True)
        await asyncio.sleep(0.1)


async def main(jobs: int, side_by_side: int) -> int:
    begun = time.monotonic()
    async with aio.open() as cx:
        farm = Farm(cx, side_by_side)
        await asyncio.gather(show(farm, jobs), *(farm.build(n) for n in range(1, jobs + 1)))
    print(f"\r{jobs} jobs in {time.monotonic() - begun:.1f} s, {farm.failed} failed")
    return 1 if farm.failed else 0


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:3]] + [24, 8][len(sys.argv) - 1:]
    sys.exit(asyncio.run(main(*numbers)))
