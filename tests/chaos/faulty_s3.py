"""An S3 server with faults: an HTTP proxy in front of the real one that refuses some calls and breaks off others in the middle.

    python faulty_s3.py ADDRESS PORT UPSTREAM     calls on PORT; orders and counts on PORT + 1

Signatures stay valid because a call is passed on as it came, its Host header included. Decision: whether a call fails depends
on the seed and on how often this very call was made, not on when it came, so that a test gets the same faults every time.
"""

import asyncio
import json
import random
import sys
from collections import Counter

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection", "expect")
KINDS = ("refuse", "break_request", "break_response")
SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


class Proxy:
    """Passes calls on, or not.

    Attributes:
        shares: Fault to share of calls. `refuse`: 503 SlowDown; `break_request`: the caller's body is taken half, and nothing
            reaches S3; `break_response`: S3 does it, and the answer breaks off.
        counts: Calls, those of each kind by S3's own names, their bytes, and faults by kind, since the last order.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: ClientSession | None = None
        self._seed = 0
        self._seen: Counter[tuple[str, str]] = Counter()
        self.shares = dict.fromkeys(KINDS, 0.0)
        self.counts: Counter[str] = Counter()

    async def order(self, request: web.Request) -> web.Response:
        """Set the shares and the seed; counting starts anew."""
        wanted = await request.json()
        self._seed = wanted.pop("seed")
        self.shares = {kind: float(wanted.pop(kind, 0.0)) for kind in KINDS}
        assert not wanted, f"unknown: {sorted(wanted)}"
        self._seen.clear()
        self.counts.clear()
        return web.json_response(self.shares)

    async def tell(self, _: web.Request) -> web.Response:
        """Answer with the counts."""
        return web.json_response(dict(self.counts))

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Take one call of S3."""
        self.counts["calls"] += 1
        fault = self._fault(request)
        self.counts[fault] += fault != ""
        self.counts[_operation(request)] += 1
        if fault == "break_request":
            await request.content.read(max((request.content_length or 0) // 2, 1))
            return _hang_up(request)
        body = await request.read()
        self.counts["bytes_written"] += len(body)
        if fault == "refuse":
            return web.Response(status=503, body=b"" if request.method == "HEAD" else SLOW_DOWN, content_type="application/xml")
        return await self._pass_on(request, body, is_broken=fault == "break_response")

    async def _pass_on(self, request: web.Request, body: bytes, *, is_broken: bool) -> web.StreamResponse:
        if self._session is None:
            patience = ClientTimeout(total=300)
            self._session = ClientSession(
                connector=TCPConnector(limit=0), timeout=patience, auto_decompress=False, skip_auto_headers=("Accept", "User-Agent")
            )
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        url = URL(self._upstream + request.raw_path, encoded=True)
        try:
            async with self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
                content = await answer.read()
                self.counts["bytes_read"] += len(content)
                kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
                status = answer.status
        except OSError:
            return _hang_up(request)
        if not is_broken:
            return web.Response(status=status, headers=kept, body=content)
        return await _break_off(request, web.StreamResponse(status=status, headers=kept), content)

    def _fault(self, request: web.Request) -> str:
        call = (request.method, request.raw_path.split("/", 2)[-1])  # without the bucket: its name differs from test to test
        self._seen[call] += 1
        draw = random.Random(f"{self._seed} {call} {self._seen[call]}").random()  # noqa: S311
        for kind, share in self.shares.items():
            if draw < share:
                return kind
            draw -= share
        return ""


def _operation(request: web.Request) -> str:
    if request.method == "GET" and "list-type" in request.query:
        return "LIST"
    return "DELETE" if request.method == "POST" and "delete" in request.query else request.method


async def _break_off(request: web.Request, answer: web.StreamResponse, content: bytes) -> web.StreamResponse:
    if len(content) > 1:
        await answer.prepare(request)
        await answer.write(content[: len(content) // 2])
        await asyncio.sleep(0.01)  # lets the first half leave
    return _hang_up(request, answer)


def _hang_up(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return answer or web.Response()


async def serve(address: str, port: int, upstream: str) -> None:
    """Serve until killed."""
    proxy = Proxy(upstream)
    calls, orders = web.Application(client_max_size=2**31), web.Application()
    calls.router.add_route("*", "/{path:.*}", proxy.call)
    orders.router.add_put("/faults", proxy.order)
    orders.router.add_get("/counts", proxy.tell)
    for application, number in ((calls, port), (orders, port + 1)):
        runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, address, number).start()
    print(json.dumps({"calls": port, "orders": port + 1}), flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
