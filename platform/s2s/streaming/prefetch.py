"""Batches made ready while the network is at work on the one before."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from s2s.network.batch import Batch

AHEAD = 2
"""One to hand over and one in the making; more would only take memory."""


def prefetched(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """Make batches in a thread, a few ahead of whoever takes them.

    Args:
        batches: Without end; nobody else may take from it.

    Yields:
        The same in the same order; what making one raises is raised in its place.
    """
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = deque(pool.submit(next, batches) for _ in range(AHEAD))
        while True:
            yield waiting.popleft().result()
            waiting.append(pool.submit(next, batches))
