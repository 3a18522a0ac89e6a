"""Runs that are over before they are recorded: each goes to the spool whole, and `replay` sends them together.

Decision: no thread and no waiting per run, so that a benchmark's hundred rows cost one visit to the server; the price is
that they appear on it together, at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from s2s.contracts.settings import Settings
from s2s.tracking.records import CloseRecord, MetricsRecord, ParamsRecord
from s2s.tracking.spool import create_spool, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """All that is recorded of a run.

    Attributes:
        name: Of the run.
        tags: Of the run; those of `MLflowTracker.parent_tags` put it below another.
        params: Settings.
        metrics: Numbers, finite ones.
    """

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def spool_finished_run(settings: Settings, experiment: str, run: FinishedRun) -> None:
    """Put a finished run where `replay` finds it.

    Args:
        settings: `home` holds the spool.
        experiment: MLflow experiment, made if it is missing.
        run: What to record.

    Writes:
        `$S2S_HOME/spool/<id>/`.
    """
    spool = create_spool(settings.home, experiment=experiment, run_name=run.name, tags=run.tags, is_local=settings.is_local)
    try:
        if run.params:
            spool.append(ParamsRecord(values=dict(run.params)))
        if run.metrics:
            spool.append(MetricsRecord(at_ms=now_ms(), step=0, values=dict(run.metrics)))
        spool.append(CloseRecord(at_ms=now_ms(), status="finished"))
    finally:
        spool.release()
