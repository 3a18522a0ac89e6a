"""A progress bar for whatever says `(stage, done, total, note)`; on stderr, and silent for machines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType

LONG = 100
"""Parts from which a stage without a terminal tells of its tenths."""


class Report(Protocol):
    """What verbs hand down as `on_progress`."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` parts of `stage` are done; further lines of the note stand below the bars."""
        ...


@contextmanager
def progress_bar(*, is_quiet: bool) -> Iterator[Report]:
    """Show one bar per stage, the running one with rate, time left and a note.

    Args:
        is_quiet: Show nothing.
    """
    if is_quiet or not sys.stderr.isatty():
        with _lines(is_quiet=is_quiet) as report:
            yield report
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    below = Text(no_wrap=True, overflow="ellipsis", style="dim")

    class Bars(Progress):
        """The bars, and a few lines below them."""

        def get_renderables(self) -> "Iterator[RenderableType]":
            yield self.make_tasks_table(self.tasks)
            if below:
                yield below

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int, note: str = "") -> None:
            note, _, below.plain = note.partition("\n")
            if stage not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=bars.tasks[task].total)
                tasks[stage] = bars.add_task(stage, total=None, note=note)
            bars.update(tasks[stage], completed=done, total=total or None, note=note)

        yield report


@contextmanager
def _lines(*, is_quiet: bool) -> Iterator[Report]:
    """Without a terminal: a line per stage, and one per tenth of a long one, so that a log stays readable."""
    shown: dict[str, int] = {}

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        tenth = 10 * done // total if total >= LONG else 0
        if is_quiet or tenth <= shown.get(stage, -1):
            return
        shown[stage] = tenth
        amount = f" {10 * tenth} % {note.partition(chr(10))[0]}" if tenth else " ..."
        sys.stderr.write(f"  {stage}{amount}\n")
        sys.stderr.flush()

    yield report
