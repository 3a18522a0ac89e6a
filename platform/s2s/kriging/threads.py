"""Small linear algebra on several cores: pieces of work side by side, each on one core.

BLAS's own threads slow small matrices down: 24 eigenproblems of 576 bins take 1.6 times as long on two threads as on one.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")


def side_by_side(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Do pieces of work at once, as many as BLAS may have threads; a single one keeps them all.

    Args:
        work: Writes where no other piece does.
        items: What to work on.
    """
    if len(items) == 1:
        work(items[0])
        return
    blas = ThreadpoolController().select(user_api="blas")
    pool = ThreadPoolExecutor(max((library.num_threads for library in blas.lib_controllers), default=1), "kriging")
    try:
        with blas.limit(limits=1):
            for _ in pool.map(work, items):
                pass
    finally:
        pool.shutdown(cancel_futures=True)
