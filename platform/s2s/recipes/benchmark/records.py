"""What a benchmark leaves in MLflow: one run with the table and the figures, and below it one per section and method."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from s2s import __version__
from s2s.contracts.benchmark import BenchmarkRow
from s2s.contracts.settings import Settings
from s2s.recipes.benchmark.plan import Plan
from s2s.tracking.finished import FinishedRun, spool_finished_run
from s2s.tracking.recording import MLflowTracker, closing, open_tracker
from s2s.tracking.replay import replay

METRICS = ("pcc", "mae", "rmse", "marker_pcc", "marker_mae", "marker_rmse", "ssim", "moran_truth", "moran_imputed", "seconds", "num_genes")
MAX_PARAM = 500
"""Longest text that MLflow stores as a parameter."""


@contextmanager
def open_benchmark_tracker(plan: Plan, settings: Settings) -> Iterator[MLflowTracker]:
    """Open the MLflow run of a benchmark, and close it with how the benchmark ended.

    Records that an earlier outage left behind are sent first.
    """
    replay(settings)
    config = plan.config
    tags = {"kind": "benchmark", "benchmark_key": plan.key, "code_version": __version__}
    tracker = open_tracker(settings, experiment=config.tracking.experiment, run_name=config.name, tags=tags)
    params = {
        "sections": " ".join(plan.sections),
        "methods": ", ".join(config.labels),
        "phases": " ".join(f"{y},{x}" for y, x in config.phases),
        "seeds": " ".join(map(str, config.seeds)),
        "reference": config.reference_label,
        "bootstrap": f"{config.bootstrap.resamples} resamples, blocks of {config.bootstrap.block} bins",
    }
    tracker.params({name: text[:MAX_PARAM] for name, text in params.items()})
    tracker.artifact("config.json", config.model_dump_json(indent=2).encode())
    with closing(tracker):
        yield tracker


def record_table(tracker: MLflowTracker, rows: Sequence[BenchmarkRow], files: Mapping[str, bytes]) -> None:
    """Record the files, and the accuracy of the reference on every section."""
    for name, data in files.items():
        tracker.artifact(name, data)
    own = [row for row in rows if row.is_reference and row.score is not None]
    tracker.metrics({f"{name}/{row.section}": getattr(row.score, name) for row in own for name in ("pcc", "mae", "rmse")}, 0)


def record_rows(plan: Plan, tracker: MLflowTracker, rows: Sequence[BenchmarkRow], settings: Settings) -> None:
    """Record every row as a run of its own below the benchmark's, which must be closed.

    Replay sends the oldest first: the parent, which is closed, is on the server before its rows are, after an outage too.

    Writes:
        One spool per row; then, if the server answers, the runs.
    """
    for row in rows:
        tags = {"kind": "benchmark row", "benchmark_key": plan.key, "section": row.section, "method": row.method}
        params = {"section": row.section, "method": row.method, "num_cells": str(row.num_cells)}
        if row.failure is not None:
            params["failure"] = row.failure[:MAX_PARAM]
        run = FinishedRun(name=f"{row.section} {row.method}", tags={**tags, **tracker.parent_tags}, params=params, metrics=row_metrics(row))
        spool_finished_run(settings, plan.config.tracking.experiment, run)
    replay(settings)


def row_metrics(row: BenchmarkRow) -> dict[str, float]:
    """Name the numbers of a row as MLflow shows them; none for a row that failed."""
    if row.score is None:
        return {}
    named: dict[str, float | None] = {name: getattr(row.score, name) for name in METRICS}
    named |= {"pcc_spread": row.pcc_spread, "rmse_spread": row.rmse_spread}
    named |= {f"coverage_{item.level:g}": item.measured for item in row.coverage}
    if row.peak_memory_bytes is not None:
        named["peak_memory_mb"] = row.peak_memory_bytes / 1e6
    for name, difference in (("pcc_difference", row.pcc_difference), ("rmse_difference", row.rmse_difference)):
        if difference is not None:
            named |= {name: difference.value, f"{name}_lower": difference.lower, f"{name}_upper": difference.upper}
    return {name: float(value) for name, value in named.items() if value is not None}
