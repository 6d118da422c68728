import asyncio, conex
from conex import aio                   # the same names, awaitable

async def work(cx, n):
    async with await cx.start(["sh", "-c", f"for i in 1 2 3; do echo {n}.$i; sleep 1; done"],
                              image="alpine", stdout=conex.PIPE, stderr=conex.STDOUT, text=True) as c:
        async for line in c.stdout:     # one line at a time
            print(n, line.rstrip())
        return (await c.wait()).status

async def main():
    async with aio.open() as cx:
        print(await asyncio.gather(*(work(cx, n) for n in range(20))))

asyncio.run(main())
