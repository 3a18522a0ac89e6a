"""What readers fetched: how many objects, how large, how long each took."""

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
        waits_s: Of each request, from asking to the last byte.
        reading_s: In reads altogether, many requests at once, decoding included.
    """

    num_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)
    reading_s: float = 0.0

    def request(self, num_bytes: int, seconds: float) -> None:
        """Count one answer."""
        self.num_bytes += num_bytes
        self.waits_s.append(seconds)

    @contextmanager
    def read(self) -> Iterator[None]:
        """Count the time spent inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.reading_s += time.perf_counter() - started

    def figures(self) -> dict[str, float]:
        """Requests, bytes, bytes per second of reading, and what a usual and a slow request took; nothing before the first request."""
        if not self.waits_s:
            return {}
        usual, slow = np.percentile(self.waits_s, (50, 99))
        return {
            "requests": float(len(self.waits_s)),
            "bytes": float(self.num_bytes),
            "bytes_per_s": self.num_bytes / max(self.reading_s, 1e-9),
            "request_p50_s": float(usual),
            "request_p99_s": float(slow),
        }
