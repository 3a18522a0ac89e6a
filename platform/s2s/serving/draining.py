"""The end of a service: what is being answered is answered first, and whoever comes meanwhile is asked to try again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SETTLE_S = 1.0
"""How long a last answer has to leave the proxy, which Serve does not ask."""


class Drain:
    """Counts the requests that are being answered, in one event loop."""

    def __init__(self) -> None:
        self.is_on = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as long as it is being answered."""
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def finish(self, patience_s: float) -> None:
        """Let nobody in any more, and wait until nothing is being answered.

        Args:
            patience_s: How long at most.
        """
        self.is_on = True
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        await asyncio.sleep(SETTLE_S)
