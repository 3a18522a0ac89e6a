"""Ctrl-C that is not lost: Python drops an interrupt that falls into a callback of the garbage collector, and goes on working.

Training makes many such callbacks, so an interrupt that counts, because the fleet stops its workers with one, is remembered too.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def remembered_interrupts() -> Iterator[threading.Event]:
    """Set an event with every interrupt (SIGINT), which is also raised at once, as before.

    Outside the main thread, to which alone interrupts are delivered, the event is never set.
    """
    heard = threading.Event()
    raise_it = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(raise_it):
        yield heard
        return

    def hear(number: int, frame: object) -> None:
        heard.set()
        raise_it(number, frame)  # type: ignore[arg-type]

    signal.signal(signal.SIGINT, hear)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, raise_it)
