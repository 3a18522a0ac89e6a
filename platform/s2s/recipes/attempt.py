"""One attempt at a run: its lease is kept while it works, its files lie in a folder of its own, its end is written down.

Decision: the lease is renewed by a thread and looked at where progress is told, so that a training that was taken over stops
within a step; code that tells no progress for long works on in vain, but can no longer commit.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import torch

from s2s.contracts.ledger import Cause, Lease
from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings
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
from s2s.recipes.interrupts import remembered_interrupts
from s2s.recipes.recording import open_run_tracker
from s2s.recipes.run import Progress, Run, ledger_of
from s2s.storage.ledger import RENEWALS, Ledger
from s2s.storage.location import join
from s2s.storage.objects import delete_prefix
from s2s.tracking.recording import RunTracker
from s2s.training.gpu import forget_peak, gpu_use
from s2s.training.single import Crew

logger = logging.getLogger(__name__)
DRAINING = "draining"
"""File in `$S2S_HOME` that tells the runs of a machine to save their state and stop; see `s2s node watch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a run is attempted; it changes no result.

    Attributes:
        lease_s: How long the run stays ours after we fall silent.
        takes_over: Take the run from whoever works on it, as a user's own command does; a fleet waits instead.
        open_tracker: Opens the records of a run.
        crew: Who trains; this process is alone or the first of several workers.
    """

    lease_s: float = 60.0
    takes_over: bool = True
    open_tracker: Callable[[Run], AbstractContextManager[RunTracker]] = field(default=open_run_tracker)
    crew: Crew = Crew()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a run of any kind.

    Attributes:
        place_uri: URI below which all attempts at the run lie.
        settings: Where its ledger and its files lie.
        on_progress: To be told of progress often: it stops an attempt that was taken over, or whose machine is.
        lease: Of this attempt.
    """

    place_uri: str
    settings: Settings
    on_progress: Progress
    lease: Lease

    @property
    def folder(self) -> str:
        """URI of the folder that this attempt writes to, and nobody else."""
        return join(self.place_uri, self.lease.attempt)

    def commit(self, figures: Mapping[str, float], peak_memory_bytes: int = 0) -> None:
        """Make this attempt the result of its run; what earlier attempts left behind is deleted.

        Args:
            figures: Main results.
            peak_memory_bytes: Main memory of this process.

        Raises:
            LeaseError: another was faster.

        Writes:
            The commit object.
        """
        ledger_of(self.settings).commit(self.lease, peak_memory_bytes=peak_memory_bytes, gpu=gpu_use(), figures=figures)
        for attempt in self.lease.predecessors:
            delete_prefix(join(self.place_uri, attempt), self.settings)


@contextmanager
def attempt_at(place_uri: str, settings: Settings, on_progress: Progress, launch: Launch) -> Iterator[Attempt]:
    """Take a run.

    Args:
        place_uri: URI below which all attempts at it lie; the last part is its key.
        settings: Where its ledger lies.
        on_progress: Told what is going on.
        launch: How.

    Raises:
        LeaseError: another works on it, has taken it over meanwhile, or has finished it.
        PreemptedError: the machine is being taken back.
        KeyboardInterrupt: told to stop.

    Writes:
        The lease, renewed in the background; where the block raises, why.
    """
    key, ledger = place_uri.rpartition("/")[2], ledger_of(settings)
    lease = ledger.take(key, lease_s=launch.lease_s, takes_over=launch.takes_over)
    if lease is None:
        last = ledger.last_lease(key)
        raise LeaseError(f"run {key} is at work or finished elsewhere ({last.holder if last else 'unknown'}); wait for it")
    try:
        with remembered_interrupts() as interrupted, _Keeper(ledger, lease, launch.lease_s) as keeper:
            forget_peak()
            watched = _watched(stopping_when_drained(on_progress, settings), keeper, interrupted)
            yield Attempt(place_uri=place_uri, settings=settings, on_progress=watched, lease=lease)
    except LeaseError:
        delete_prefix(join(place_uri, lease.attempt), settings)
        raise
    except BaseException as error:
        _write_down(ledger, lease, error)
        raise


@contextmanager
def attempting(run: Run, launch: Launch) -> Iterator[Run]:
    """Take a training run, and give it with a folder of this attempt's own; see `attempt_at`.

    Args:
        run: Not finished.
        launch: How.
    """
    with attempt_at(run.place_uri, run.settings, run.on_progress, launch) as attempt:
        yield replace(run, lease=attempt.lease, on_progress=attempt.on_progress)


def commit(run: Run, report: RunReport) -> RunReport:
    """Make this attempt the result of its run.

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
    attempt = Attempt(place_uri=run.place_uri, settings=run.settings, on_progress=run.on_progress, lease=run.lease)
    attempt.commit(_figures(report), report.peak_memory_bytes)
    return report


def _figures(report: RunReport) -> dict[str, float]:
    if not report.scores:
        return {}
    own, *classical = report.scores
    best = max((row.pcc for row in classical), default=0.0)
    return {"pcc": own.pcc, "mae": own.mae, "rmse": own.rmse, "best_classical_pcc": best}


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
    """Renews a lease until it is closed, each time with `note`; `is_lost` once another has taken the run over."""

    def __init__(self, ledger: Ledger, lease: Lease, lease_s: float) -> None:
        self._ledger, self._lease, self._lease_s = ledger, lease, lease_s
        self._stop, self.is_lost, self.note = threading.Event(), threading.Event(), ""
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
                self._ledger.renew(self._lease, lease_s=self._lease_s, note=self.note)
            except LeaseError as error:
                logger.warning("%s; this attempt stops", error)
                self.is_lost.set()
                return
            except S2SError as error:  # the next renewal may get through; if not, the commit will tell who won
                logger.warning("lease of run %s could not be renewed: %s", self._lease.key, error)


def stopping_when_drained(on_progress: Progress, settings: Settings) -> Progress:
    """Tell progress, and raise `PreemptedError` once this machine is being taken back."""
    draining = settings.home / DRAINING

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if draining.exists():
            raise PreemptedError(f"the machine is being taken back ({draining}); the run goes on elsewhere from its checkpoint")
        on_progress(stage, done, total, note)

    return report


def _watched(on_progress: Progress, keeper: _Keeper, interrupted: threading.Event) -> Progress:
    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        if keeper.is_lost.is_set():
            raise LeaseError("the run was taken over by another process; this attempt stops")
        keeper.note = " ".join(word for word in (stage, f"{done}/{total}" if total else "", note) if word)
        on_progress(stage, done, total, note)

    return report


def _write_down(ledger: Ledger, lease: Lease, error: BaseException) -> None:
    words = str(error) if isinstance(error, S2SError) else f"{type(error).__name__}: {error}"
    try:
        ledger.fail(lease, cause_of(error), words)
    except S2SError as problem:  # the lease then runs out by itself
        logger.warning("could not write down why run %s failed: %s", lease.key, problem)
