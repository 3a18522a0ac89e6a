"""Which runs of an atlas are at work, what each is doing and since when: below the bar of a launch, and in `s2s atlas status`.

The ledger says it (a worker writes what it does into its lease, each time it renews it), so the view needs nothing of the
launcher and also shows what other launchers have at work. It is asked in a thread: a store that is slow holds up no run.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s2s.errors import S2SError

if TYPE_CHECKING:
    from s2s.contracts.atlas import RunState

logger = logging.getLogger(__name__)
MOST_LINES = 8
EVERY_S = 5.0
"""Seconds between two questions to the ledger: four LIST requests per thousand entries, and a read per run at work."""

REST = 20
"""Times what an answer took that is waited before the next question: a large ledger is not listed all the time."""

Ask = Callable[[], "Sequence[RunState]"]


@contextmanager
def asking(ask: Ask | None, *, every_s: float = EVERY_S) -> "Iterator[Ask]":
    """Ask again and again in the background; what is given answers at once, with what was heard last.

    Args:
        ask: Which runs are at work; None where nobody looks: then nobody asks.
        every_s: Shortest pause between two questions.
    """
    if ask is None:
        yield tuple
        return
    latest: list[Sequence[RunState]] = [()]
    is_over = threading.Event()

    def work() -> None:
        pause = every_s
        while not is_over.wait(pause):
            began = time.monotonic()
            try:
                latest[0] = ask()
            except S2SError as error:  # the store does not answer: next time
                logger.debug("who is at work is not known: %s", error)
            pause = max(every_s, REST * (time.monotonic() - began))

    thread = threading.Thread(target=work, name="s2s-at-work", daemon=True)
    thread.start()
    try:
        yield lambda: latest[0]
    finally:
        is_over.set()  # not waited for: a question under way may take as long as the store likes


def lines_at_work(states: "Sequence[RunState]", now: float) -> list[str]:
    """Say in a line per run what it does, where, and for how long; the oldest come first, and no more than `MOST_LINES`.

    Args:
        states: Of runs at work.
        now: Seconds since 1970.
    """
    rows = rows_at_work(states, now)
    shown = rows if len(rows) <= MOST_LINES else rows[: MOST_LINES - 1]
    widths = [max((len(row[column]) for row in shown), default=0) for column in range(3)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=False)) + f"  {row[3]}" for row in shown]
    return lines if len(shown) == len(rows) else [*lines, f"and {len(rows) - len(shown)} more"]


def rows_at_work(states: "Sequence[RunState]", now: float) -> list[tuple[str, str, str, str]]:
    """Name per run at work section, host, age and what it does, the oldest first."""
    oldest = sorted((state for state in states if state.taken_at is not None), key=lambda state: state.taken_at or 0)
    return [
        (state.section_id, state.holder.rpartition(":")[0] or state.holder, age(now - (state.taken_at or 0)), state.note or "begun")
        for state in oldest
    ]


def age(seconds: float) -> str:
    """Say how long something takes already; clocks that differ make it no less than nothing."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"
