"""What readers fetched: how many objects, how large, how long each took, and what the node had already."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Traffic:
    """Requests of one reader so far.

    Attributes:
        num_bytes: Of all answers.
        num_found: Objects that the node's cache had, so that nobody was asked.
        found_bytes: Of those.
        waits_s: Of each request, from asking to the last byte.
        reading_s: In reads altogether, many requests at once, decoding included.
    """

    num_bytes: int = 0
    num_found: int = 0
    found_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)
    reading_s: float = 0.0

    def request(self, num_bytes: int, seconds: float) -> None:
        """Count one answer."""
        self.num_bytes += num_bytes
        self.waits_s.append(seconds)

    def found(self, num_bytes: int) -> None:
        """Count one object of the node's cache."""
        self.num_found += 1
        self.found_bytes += num_bytes

    @contextmanager
    def read(self) -> Iterator[None]:
        """Count the time spent inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.reading_s += time.perf_counter() - started

    def figures(self) -> dict[str, float]:
        """Requests, bytes, what a usual and a slow one took, hits of the cache, bytes per second; nothing before the first request."""
        if not self.waits_s:
            return {}
        usual, slow = np.percentile(self.waits_s, (50, 99))
        return {
            "requests": float(len(self.waits_s)),
            "bytes": float(self.num_bytes),
            "bytes_per_s": (self.num_bytes + self.found_bytes) / max(self.reading_s, 1e-9),
            "request_p50_s": float(usual),
            "request_p99_s": float(slow),
            "cache_hits": float(self.num_found),
            "cache_bytes": float(self.found_bytes),
        }
