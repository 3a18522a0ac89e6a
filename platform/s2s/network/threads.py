"""Networks on several cores: one network each, for two threads of one small operation wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def libraries_on(threads: int) -> Iterator[None]:
    """Let torch, and BLAS for kriging, use so many threads in each thread that begins inside.

    Args:
        threads: At least one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
