"""A way to a server whose answers come later: bytes are passed on as they are, the server's after a while.

    python slow_s3.py http://127.0.0.1:PORT SECONDS      says on which port it listens

Every piece of an answer is held back as long, in order: latency, not a narrower line.
"""

import asyncio
import sys
from urllib.parse import urlsplit

PIECE = 2**18


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float) -> None:
    """Copy until the source ends."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def read() -> None:
        while piece := await source.read(PIECE):
            waiting.put_nowait((loop.time() + delay_s, piece))
        waiting.put_nowait((0, b""))

    reading = asyncio.create_task(read())
    while (item := await waiting.get())[1]:
        await asyncio.sleep(max(0, item[0] - loop.time()))
        target.write(item[1])
        await target.drain()
    await reading
    target.close()


async def main(upstream: str, delay_s: float) -> None:
    """Serve until killed."""
    server_at = urlsplit(upstream)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(server_at.hostname, server_at.port)
        await asyncio.gather(pass_on(reader, questions, 0), pass_on(answers, writer, delay_s), return_exceptions=True)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
