"""Runs that are over before they are recorded: each goes to the spool whole, and `replay` sends them together.

Decision: no thread and no waiting per run, so that a benchmark's hundred rows cost one visit to the server; the price is
that they appear on it together, at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from pydantic import ValidationError

from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError
from s2s.tracking.packaging import Candidate, write_model
from s2s.tracking.records import RECORD, ArtifactRecord, CloseRecord, MetricsRecord, ModelRecord, ParamsRecord, Record, SpoolHeader
from s2s.tracking.spool import create_spool, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """All that is recorded of a run.

    Attributes:
        name: Of the run.
        tags: Of the run; those of `MLflowTracker.parent_tags` put it below another.
        params: Settings.
        metrics: Numbers, finite ones.
        files: Name -> bytes, beside them.
        candidate: A model that the run hands in.
        journal: What a `Journal` gave, its end included; after `params` and `metrics`.
        id: 32 hexadecimal digits; the same id again becomes the same MLflow run. A new one when absent.
    """

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    candidate: Candidate | None = None
    journal: bytes = b""
    id: str = field(default_factory=lambda: uuid4().hex)


def spool_finished_run(settings: Settings, experiment: str, run: FinishedRun) -> None:
    """Put a finished run where `replay` finds it.

    Args:
        settings: `home` holds the spool.
        experiment: MLflow experiment, made if it is missing.
        run: What to record.

    Raises:
        InputError: the journal is not one of this version.

    Writes:
        `$S2S_HOME/spool/<id>/`, unless it waits there already.
    """
    told = _read(run)
    header = SpoolHeader(id=run.id, experiment=experiment, run_name=run.name, tags=dict(run.tags), is_local=settings.is_local)
    try:
        spool = create_spool(settings.home, header)
    except ExistsError:
        return
    try:
        if run.params:
            spool.append(ParamsRecord(values=dict(run.params)))
        if run.metrics:
            spool.append(MetricsRecord(at_ms=now_ms(), step=0, values=dict(run.metrics)))
        for name, data in run.files.items():
            file = spool.reserve(name)
            (spool.folder / file).write_bytes(data)
            spool.append(ArtifactRecord(name=name, file=file))
        if run.candidate is not None:
            folder = spool.reserve("model")
            write_model(spool.folder / folder, run.candidate)
            spool.append(ModelRecord(name=run.candidate.release.name, folder=folder))
        for record in told or [CloseRecord(at_ms=now_ms(), status="finished")]:
            spool.append(record)
    finally:
        spool.release()


def _read(run: FinishedRun) -> list[Record]:
    try:
        return [RECORD.validate_json(line) for line in run.journal.splitlines()]
    except ValidationError as error:
        raise InputError(f"expected the journal of run {run.name}, a record of this version per line: {error}") from None
