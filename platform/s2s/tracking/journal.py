"""A tracker without a server: it keeps what a run says in memory and gives it as one file, which lies beside the result.

For fleets: a worker then needs no MLflow, a machine that is lost takes no records with it, and only a run that was finished
is ever recorded, once. Whoever follows the fleet sends the journals on (`finished`). Decision: the price is that curves reach
MLflow when the run is finished; files are not copied there at all, they lie beside the journal.
"""

import threading
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path

from s2s.tracking.recording import Receipt
from s2s.tracking.records import CloseRecord, MetricsRecord, ParamsRecord, Record
from s2s.tracking.spool import now_ms
from s2s.tracking.thinning import Curve, Point
from s2s.tracking.tracker import Status

NOTHING_CONFIRMED = Receipt(run_id=None, model_name=None, model_version=None, is_complete=False)


class Journal:
    """A `RunTracker` in memory. Curves keep at most 100 points."""

    receipt = NOTHING_CONFIRMED

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._curves: dict[str, tuple[Curve, list[Point]]] = {}
        self._mutex = threading.Lock()

    def params(self, values: Mapping[str, str]) -> None:
        """Record settings, once each."""
        self._records.append(ParamsRecord(values=dict(values)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step; what is not finite is left out."""
        points = [(name, Point(at_ms=now_ms(), step=step, value=float(value))) for name, value in values.items() if isfinite(value)]
        with self._mutex:
            for name, point in points:
                curve, live = self._curves.setdefault(name, (Curve(), []))
                if curve.offer(point):
                    live.append(point)

    def artifact(self, name: str, data: bytes) -> None:
        """Leave the file where it lies, in the folder of the run."""

    def model(self, name: str, write: Callable[[Path], None]) -> None:
        """Leave the model where it lies: a fleet registers the best of a tissue's candidates, not every one."""

    def close(self, status: Status) -> None:
        """Say how the run ended."""
        for name, (curve, live) in self._curves.items():
            self._records += [
                MetricsRecord(at_ms=point.at_ms, step=point.step, values={name: point.value}) for point in (*live, *curve.rest())
            ]
        self._curves.clear()
        self._records.append(CloseRecord(at_ms=now_ms(), status=status))

    def data(self) -> bytes:
        """All records, a line of JSON each."""
        return b"".join(record.model_dump_json().encode() + b"\n" for record in self._records)
