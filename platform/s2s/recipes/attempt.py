"""One attempt at a run: its lease is kept while it works, its files lie in a folder of its own, its end is written down.

Decision: the lease is renewed by a thread and looked at where progress is told, so that a training that was taken over stops
within a step; code that tells no progress for long works on in vain, but can no longer commit.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from s2s.contracts.ledger import Cause, Lease
from s2s.contracts.run import RunReport
from s2s.errors import (
    ConfigError,
    ExistsError,
    InputError,
    LeaseError,
    MissingError,
    PreemptedError,
    S2SError,
    ShapeError,
    StorageError,
    TrainingError,
)
from s2s.recipes.recording import open_run_tracker
from s2s.recipes.run import Progress, Run, ledger_of
from s2s.storage.ledger import Ledger
from s2s.storage.location import join
from s2s.storage.objects import delete_prefix
from s2s.tracking.recording import RunTracker

logger = logging.getLogger(__name__)
RENEWALS = 3
"""Renewals per duration of a lease."""

DRAINING = "draining"
"""File in `$S2S_HOME` that tells the runs of a machine to save their state and stop; see `s2s node watch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a run is attempted; it changes no result.

    Attributes:
        lease_s: How long the run stays ours after we fall silent.
        takes_over: Take the run from whoever works on it, as a user's own command does; a fleet waits instead.
        open_tracker: Opens the records of a run.
    """

    lease_s: float = 60.0
    takes_over: bool = True
    open_tracker: Callable[[Run], AbstractContextManager[RunTracker]] = field(default=open_run_tracker)


@contextmanager
def attempting(run: Run, launch: Launch) -> Iterator[Run]:
    """Take a run, and give it with a folder of this attempt's own.

    Args:
        run: Not finished.
        launch: How.

    Raises:
        LeaseError: another works on it, has taken it over meanwhile, or has finished it.
        PreemptedError: the machine is being taken back.

    Writes:
        The lease, renewed in the background; where the block raises, why.
    """
    ledger = ledger_of(run.settings)
    lease = ledger.take(run.key, lease_s=launch.lease_s, takes_over=launch.takes_over)
    if lease is None:
        last = ledger.last_lease(run.key)
        raise LeaseError(f"run {run.key} is at work or finished elsewhere ({last.holder if last else 'unknown'}); wait for it")
    keeper = _Keeper(ledger, lease, launch.lease_s)
    try:
        with keeper:
            yield replace(run, lease=lease, on_progress=_watched(run.on_progress, keeper, run.settings.home / DRAINING))
    except LeaseError:
        delete_prefix(join(run.folder, lease.attempt), run.settings)
        raise
    except BaseException as error:
        _write_down(ledger, lease, error)
        raise


def commit(run: Run, report: RunReport) -> RunReport:
    """Make this attempt the result of its run; what earlier attempts left behind is deleted.

    Args:
        run: From `attempting`, with everything else written.
        report: Of the run.

    Raises:
        LeaseError: another was faster.

    Writes:
        `report.json`, then the commit object.
    """
    assert run.lease is not None, "a run is committed by an attempt"
    run.write("report.json", report.model_dump_json(indent=2).encode())
    row = report.scores[0] if report.scores else None
    figures = {"pcc": row.pcc, "mae": row.mae, "rmse": row.rmse} if row else {}
    ledger_of(run.settings).commit(run.lease, peak_memory_bytes=report.peak_memory_bytes, figures=figures)
    for attempt in run.lease.predecessors:
        delete_prefix(join(run.place_uri, attempt), run.settings)
    return report


def cause_of(error: BaseException) -> Cause:
    """Name why an attempt failed, which decides whether it is tried again and how."""
    causes: tuple[tuple[tuple[type[BaseException], ...], Cause], ...] = (
        ((PreemptedError,), "preempted"),
        ((KeyboardInterrupt, SystemExit), "stopped"),
        ((MemoryError, torch.OutOfMemoryError), "out-of-memory"),
        ((TrainingError,), "diverged"),
        ((StorageError,), "storage"),
        ((InputError, ConfigError, MissingError, ExistsError, ShapeError), "bad-input"),
    )
    named: Cause = next((cause for types, cause in causes if isinstance(error, types)), "defect")
    # torch's CPU allocator has no error of its own.
    return "out-of-memory" if named == "defect" and "can't allocate memory" in str(error) else named


class _Keeper:
    """Renews a lease until it is closed; `is_lost` once another has taken the run over."""

    def __init__(self, ledger: Ledger, lease: Lease, lease_s: float) -> None:
        self._ledger, self._lease, self._lease_s = ledger, lease, lease_s
        self._stop, self.is_lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"s2s-lease-{lease.key[:8]}", daemon=True)

    def __enter__(self) -> "_Keeper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._lease_s / RENEWALS):
            try:
                self._ledger.renew(self._lease, lease_s=self._lease_s)
            except LeaseError as error:
                logger.warning("%s; this attempt stops", error)
                self.is_lost.set()
                return
            except S2SError as error:  # the next renewal may get through; if not, the commit will tell who won
                logger.warning("lease of run %s could not be renewed: %s", self._lease.key, error)


def _watched(on_progress: Progress, keeper: _Keeper, draining: Path) -> Progress:
    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if keeper.is_lost.is_set():
            raise LeaseError("the run was taken over by another process; this attempt stops")
        if draining.exists():
            raise PreemptedError(f"the machine is being taken back ({draining}); the run goes on elsewhere from its checkpoint")
        on_progress(stage, done, total, note)

    return report


def _write_down(ledger: Ledger, lease: Lease, error: BaseException) -> None:
    words = str(error) if isinstance(error, S2SError) else f"{type(error).__name__}: {error}"
    try:
        ledger.fail(lease, cause_of(error), words)
    except S2SError as problem:  # the lease then runs out by itself
        logger.warning("could not write down why run %s failed: %s", lease.key, problem)
