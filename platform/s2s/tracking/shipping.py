"""How a spool reaches a server: in order, each record once, from wherever the last attempt stopped.

Not here: when that happens (`recording`, `replay`). Decision: after each group of records the state is saved; a crash
between the two sends one group again, which changes nothing, because runs and models are looked up by the spool's id,
points carry the time of their recording, and files replace themselves. The price is one look-up per run and model.
Settings and points travel together, so that a finished run costs four requests: look-up, run, batch, end.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from s2s.tracking.records import ArtifactRecord, CloseRecord, MetricsRecord, ModelRecord, ParamsRecord, Record, SpoolState
from s2s.tracking.registration import Registration, register_version
from s2s.tracking.server import MAX_PER_BATCH, Server
from s2s.tracking.spool import Spool
from s2s.tracking.thinning import Point
from s2s.tracking.vendor import RefusedError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """Records that are sent in one call; `end` is the byte behind them."""

    records: tuple[Record, ...]
    end: int

    def apart(self, start: int) -> list["Group"]:
        """Its settings and its points, each a group, where it has both; only the last is behind `start`, the byte before them."""
        kinds = [tuple(record for record in self.records if isinstance(record, kind)) for kind in (ParamsRecord, MetricsRecord)]
        if not all(kinds):
            return [self]
        return [Group(kinds[0], start), Group(kinds[1], self.end)]


class Shipper:
    """Sends one spool to one server."""

    def __init__(self, server: Server, spool: Spool) -> None:
        self.server = server
        self.spool = spool
        self.state = spool.load_state()
        self.num_sent = 0
        self._is_open = False

    def ship(self) -> bool:
        """Send every record there is.

        Returns:
            True when the closing record was among them: nothing will follow.

        Raises:
            TrackingError: the server is gone; what it has is known, so another call goes on from there.
            InputError: the spool holds what is no record.

        Writes:
            `state.json` of the spool, after each group.
        """
        if not self._is_open:
            self._open_run()
        while records := self.spool.read(self.state.offset):
            for group in group_records(records):
                self._send_or_drop(group)
        return self.state.is_closed

    def _open_run(self) -> None:
        header, state = self.spool.header, self.state
        experiment_id = self.server.ensure_experiment(header.experiment)
        if state.run_id is None or not self.server.has_run(state.run_id):
            # Also when the run is no longer there, for instance on a new server: all is sent again from the start.
            run_id = self.server.find_run(experiment_id, header.id) or self.server.create_run(experiment_id, header)
            self._save(SpoolState(experiment_id=experiment_id, run_id=run_id))
        self._is_open = True

    def _send_or_drop(self, group: Group) -> None:
        num_refused = 0
        try:
            changes = self._send(group)
        except RefusedError as error:
            if len(parts := group.apart(self.state.offset)) > 1:  # what is at fault must not take the rest with it
                for part in parts:
                    self._send_or_drop(part)
                return
            num_refused, changes = len(group.records), {}
            logger.warning("%d %s record(s) of run %s: %s", num_refused, group.records[0].kind, self.spool.header.run_name, error)
        total = self.state.num_refused + num_refused
        self._save(self.state.model_copy(update={**changes, "offset": group.end, "num_refused": total}))
        self.num_sent += len(group.records)

    def _send(self, group: Group) -> dict[str, str | bool]:
        run_id = self.state.run_id
        assert run_id is not None
        match group.records[0]:
            case MetricsRecord() | ParamsRecord():
                self.server.log_batch(run_id, _params(group.records), list(_points(group.records)))
            case ArtifactRecord() as record:
                self.server.log_artifact(run_id, record.name, self.spool.folder / record.file)
            case ModelRecord() as record:
                return self._register(run_id, record)
            case CloseRecord() as record:
                self.server.terminate(run_id, record.status, record.at_ms)
                return {"is_closed": True}
        return {}

    def _register(self, run_id: str, record: ModelRecord) -> dict[str, str | bool]:
        assert self.state.experiment_id is not None
        registration = Registration(
            experiment_id=self.state.experiment_id,
            run_id=run_id,
            folder=self.spool.folder / record.folder,
            record_id=f"{self.spool.header.id}/{record.folder}",
        )
        return {"model_name": record.name, "model_version": register_version(self.server, registration)}

    def _save(self, state: SpoolState) -> None:
        self.spool.save_state(state)
        self.state = state


def group_records(records: Iterable[tuple[Record, int]]) -> Iterator[Group]:
    """Put settings and metrics that follow each other into groups of at most 1,000; every other record is a group of its own."""
    pending: list[Record] = []
    num_values = end = 0
    for record, record_end in records:
        size = len(record.values) if isinstance(record, ParamsRecord | MetricsRecord) else 0
        if pending and not (_fit_together(pending[0], record) and num_values + size <= MAX_PER_BATCH):
            yield Group(tuple(pending), end)
            pending, num_values = [], 0
        pending.append(record)
        num_values += size
        end = record_end
    if pending:
        yield Group(tuple(pending), end)


def _params(records: Iterable[Record]) -> dict[str, str]:
    return {key: value for record in records if isinstance(record, ParamsRecord) for key, value in record.values.items()}


def _points(records: Iterable[Record]) -> Iterator[tuple[str, Point]]:
    for record in records:
        if isinstance(record, MetricsRecord):
            yield from ((name, Point(at_ms=record.at_ms, step=record.step, value=value)) for name, value in record.values.items())


def _fit_together(*records: Record) -> bool:
    return all(isinstance(record, ParamsRecord | MetricsRecord) for record in records)
