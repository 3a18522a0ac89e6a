"""Trying again while S3 does not answer: for steps between which hours of work lie, or that a user would only repeat."""

import time
from collections.abc import Callable
from typing import TypeVar

from s2s.errors import StorageError
from s2s.recipes.run import Progress

T = TypeVar("T")


def patiently(do: Callable[[], T], on_progress: Progress, *, attempts: int, pause_s: float) -> T:
    """Do something that may be done again, and do it again where the store broke off.

    Args:
        do: Leaves nothing half-done where it raises.
        on_progress: Told what is waited for.
        attempts: How often at most.
        pause_s: Seconds between two attempts.

    Raises:
        StorageError: the store refused or did not answer, each time.
    """
    for attempt in range(1, attempts):
        try:
            return do()
        except StorageError as error:
            on_progress("wait for S3", attempt, attempts, str(error))
            time.sleep(pause_s)
    return do()
