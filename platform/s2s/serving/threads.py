"""What blocks, off the loop that answers: calls of the store and the registry, each with a limit to its patience."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from s2s.errors import StorageError

P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """Threads for one kind of call.

    Decision: a call that takes too long is left to itself, for nothing can end it; its thread is missed until it ends. So every kind of
    call has threads of its own, and tokens are still looked at while all calls for jobs hang.
    """

    def __init__(self, name: str, number: int, patience_s: float) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=f"s2s-{name}")
        self._patience_s = patience_s

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in a thread.

        Raises:
            StorageError: it takes too long.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience_s):
                return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))
        except TimeoutError:
            raise StorageError(f"expected an answer of the store or the registry within {self._patience_s:g} s, there was none") from None
