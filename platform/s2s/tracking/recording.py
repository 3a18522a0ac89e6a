"""The tracker that keeps its promise when MLflow does not: records go to a spool on disk, a daemon thread ships them.

Decision: the training's thread touches only the disk, so an outage costs it nothing; the price is that numbers reach the
server about a second late, and that a run on a server which is gone has no MLflow id until `replay` gives it one.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Protocol

import psutil

from s2s.contracts.document import Part
from s2s.contracts.settings import Settings
from s2s.errors import S2SError
from s2s.tracking.background import Background, Pace
from s2s.tracking.records import ArtifactRecord, CloseRecord, MetricsRecord, ModelRecord, ParamsRecord, Record, SpoolHeader
from s2s.tracking.server import PARENT_TAG, connect
from s2s.tracking.shipping import Shipper
from s2s.tracking.spool import create_spool, now_ms
from s2s.tracking.thinning import Curve, Point
from s2s.tracking.tracker import Status, Tracker

logger = logging.getLogger(__name__)
_NAME = re.compile(r"[\w\-./: ]{1,250}", re.ASCII)


class Receipt(Part):
    """What the server has confirmed so far; what is absent waits in the spool."""

    run_id: str | None
    model_name: str | None
    model_version: str | None
    is_complete: bool


class RunTracker(Tracker, Protocol):
    """A tracker of a training run, which also takes the model, and tells what a server has confirmed."""

    @property
    def receipt(self) -> Receipt:
        """What the server has confirmed."""

    def model(self, name: str, write: Callable[[Path], None]) -> None:
        """Record a model; `write` makes its folder."""


class MLflowTracker:
    """A `Tracker` that spools, and ships in the background. Made by `open_tracker`; belongs to the process that made it."""

    def __init__(self, shipper: Shipper, pace: Pace) -> None:
        self._spool, self._shipper = shipper.spool, shipper
        self._curves: dict[str, Curve] = {}
        self._mutex = threading.Lock()
        self._is_closed = self._is_lossy = False
        self._started = time.monotonic()
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only starts its clock
        self._background = Background(shipper, pace, self._sample)

    def params(self, values: Mapping[str, str]) -> None:
        """Record settings, once each."""
        self._check(values)
        if values:
            self._append(ParamsRecord(values=dict(values)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step; what is not finite is left out, and a curve keeps at most 100 points."""
        self._check(values)
        self._add_points(values, step)

    def artifact(self, name: str, data: bytes) -> None:
        """Record a file under its relative POSIX path."""
        self._check([name])
        try:
            file = self._spool.reserve(name)
            (self._spool.folder / file).write_bytes(data)
        except OSError as error:
            self._lose(error)
        else:
            self._append(ArtifactRecord(name=name, file=file))

    def model(self, name: str, write: Callable[[Path], None]) -> None:
        """Record a model to be registered; `registry.register` is the way to call it.

        Args:
            name: Registered name.
            write: Makes the model's folder at the path it is given.
        """
        self._check([name])
        try:
            folder = self._spool.reserve("model")
            write(self._spool.folder / folder)
        except S2SError:
            raise
        except OSError as error:
            self._lose(error)
        else:
            self._append(ModelRecord(name=name, folder=folder))

    def flush(self) -> Receipt:
        """Wait until the server has everything so far, or stops making progress, and say what it confirmed."""
        self._background.flush()
        return self.receipt

    def close(self, status: Status) -> None:
        """Say how the run ended and wait as `flush` does.

        What could not be sent stays in the spool, and one warning says what to do. Closing again does nothing.
        """
        if self._is_closed:
            return
        self._sample()
        with self._mutex:
            self._is_closed = True
            for name, curve in self._curves.items():
                for point in curve.rest():
                    self._append(MetricsRecord(at_ms=point.at_ms, step=point.step, values={name: point.value}))
        self._append(CloseRecord(at_ms=now_ms(), status=status))
        self._background.flush()
        self._background.stop()
        if not self.receipt.is_complete:
            logger.warning(
                "records of run %s could not be sent to MLflow at %s and wait in %s; the results of the run are safe. Bring the "
                "server back (`s2s stack up` starts the local one); the next training or `s2s doctor` then sends them",
                self._spool.header.run_name, self._shipper.server.uri, self._spool.folder,
            )  # fmt: skip

    @property
    def receipt(self) -> Receipt:
        """What the server has confirmed."""
        state = self._shipper.state
        return Receipt(run_id=state.run_id, model_name=state.model_name, model_version=state.model_version, is_complete=state.is_closed)

    @property
    def parent_tags(self) -> dict[str, str]:
        """Tags that put another run of the same experiment below this one, whether a server knows it yet or not."""
        return {PARENT_TAG: self._spool.header.id}

    def _check(self, names: Iterable[str]) -> None:
        assert not self._is_closed, "the tracker is closed"
        wrong = [name for name in names if not _NAME.fullmatch(name)]
        assert not wrong, f"MLflow takes letters, digits, spaces and _-./: in names, got {wrong}"

    def _add_points(self, values: Mapping[str, float], step: int) -> None:
        at_ms, now = now_ms(), {}
        with self._mutex:
            if self._is_closed:  # a sample of the machine that came late
                return
            for name, value in values.items():
                point = Point(at_ms=at_ms, step=step, value=float(value))
                if isfinite(point.value) and self._curves.setdefault(name, Curve()).offer(point):
                    now[name] = point.value
            if now:
                self._append(MetricsRecord(at_ms=at_ms, step=step, values=now))

    def _sample(self) -> None:
        memory = self._process.memory_info().rss
        values = {
            "system/cpu_percent": self._process.cpu_percent(),
            "system/memory_mb": memory / 2**20,
            "system/memory_percent_of_machine": psutil.virtual_memory().percent,
        }
        self._add_points(values, step=round(time.monotonic() - self._started))

    def _append(self, record: Record) -> None:
        try:
            self._spool.append(record)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if not self._is_lossy:
            self._is_lossy = True
            run_name, folder = self._spool.header.run_name, self._spool.folder
            logger.warning("records of run %s are lost, %s cannot be written: %s; free some space", run_name, folder, error)


def open_tracker(settings: Settings, *, experiment: str, run_name: str, tags: Mapping[str, str], pace: Pace | None = None) -> MLflowTracker:
    """Begin a run on the MLflow that the settings name; a server that does not answer is no error.

    Args:
        settings: The server, or `--local`; `home` holds the spool.
        experiment: MLflow experiment, made if it is missing.
        run_name: Name of the run.
        tags: Of the run.
        pace: Of the background thread.

    Raises:
        StackError: neither a server nor `--local` is set.
        TrackingError: in `--local` mode, the SQLite file cannot be opened.

    Writes:
        `$S2S_HOME/spool/<id>/`; then, in the background, the run in MLflow.
    """
    server = connect(settings)
    header = SpoolHeader(experiment=experiment, run_name=run_name, tags=dict(tags), is_local=settings.is_local)
    return MLflowTracker(Shipper(server, create_spool(settings.home, header)), pace or Pace())


@contextmanager
def closing(tracker: Tracker) -> Iterator[None]:
    """Close a run with how the block ended: finished, killed where the user broke it off, else failed.

    Args:
        tracker: Of the run; open.

    Raises:
        BaseException: whatever the block raised, once the run is closed.
    """
    try:
        yield
    except KeyboardInterrupt:
        tracker.close("killed")
        raise
    except BaseException:
        tracker.close("failed")
        raise
    tracker.close("finished")
