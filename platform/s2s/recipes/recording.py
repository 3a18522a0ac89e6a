"""What a run leaves behind: settings, curves, figures and tables in MLflow and in its folder, and a release candidate."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from s2s import __version__
from s2s.contracts.release import Release
from s2s.evaluation.release_card import release_card
from s2s.evaluation.tables import aligned_table, gene_parquet, markdown_table
from s2s.imputation.predict import Imputation
from s2s.lattice.measured import HeldOut, Measured, on_axial_grid
from s2s.lattice.sampling import anchored
from s2s.recipes.fitting import Fitted
from s2s.recipes.judging import Judgement
from s2s.recipes.per_gene import GeneNetwork
from s2s.recipes.picturing import section_title
from s2s.recipes.profiling import profile_files
from s2s.recipes.release import make_release
from s2s.recipes.run import Run
from s2s.tracking.recording import MLflowTracker, RunTracker, closing, open_tracker
from s2s.tracking.registry import Candidate, register
from s2s.tracking.replay import replay
from s2s.tracking.tracker import Tracker

logger = logging.getLogger(__name__)
SERVED_MODEL = Path(__file__).with_name("served_model.py")
EXAMPLE_SIDE = 16


@contextmanager
def open_run_tracker(run: Run) -> Iterator[MLflowTracker]:
    """Open the MLflow run of a run, and close it with how the run ended.

    Records that an earlier outage left behind are sent first.

    Writes:
        Settings and tags, at once.
    """
    if (num_shipped := replay(run.settings).num_shipped) > 0:
        logger.info("sent the records of %d earlier run(s) to MLflow", num_shipped)
    config = run.config
    tracker = open_tracker(run.settings, experiment=config.tracking.experiment, run_name=config.name, tags=run_tags(run))
    record_settings(tracker, run)
    with closing(tracker):
        yield tracker


def run_tags(run: Run) -> dict[str, str]:
    """What an MLflow run is found by."""
    meta, config = run.section.meta, run.config
    return {
        "tissue": meta.tissue,
        "organism": meta.organism,
        "technology": meta.technology,
        "section": meta.id,
        "data_sha256": meta.data_sha256,
        "run_key": run.key,
        "code_version": __version__,
        "mode": config.sampling.mode,
        "is_leaky": str(config.sampling.mode == "paper").lower(),
        "is_synthetic": str(meta.is_synthetic).lower(),
        "seed": str(config.seed),
    }


def record_settings(tracker: Tracker, run: Run) -> None:
    """Record the resolved configuration, flat and as a file."""
    tracker.params(flatten(run.config.model_dump(mode="json")))
    tracker.artifact("config.json", run.config.model_dump_json(indent=2).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a run found out.

    Attributes:
        measured: What was known.
        truth: What was not, where there is one.
        imputed: What the network says of the section.
        fitted: The network and its curves.
        judgement: Scores of the run and the classical methods.
        stages: What the time of the run went to so far.
    """

    measured: Measured
    truth: HeldOut | None
    imputed: Imputation
    fitted: Fitted
    judgement: Judgement
    stages: Mapping[str, float]


def record(run: Run, tracker: RunTracker, outcome: Outcome) -> dict[str, str]:
    """Record figures, tables and final metrics.

    Args:
        run: Names and places.
        tracker: Of the run.
        outcome: What to record.

    Returns:
        Name -> URI of every file in the run's folder.

    Writes:
        The same files into the run's folder and into MLflow.
    """
    from s2s.evaluation.plots import curves_figure, methods_figure, section_figure

    run.on_progress("record", 0, 1)
    fitted, judgement = outcome.fitted, outcome.judgement
    title = figure_title(run, len(outcome.measured.pieces))
    files = {
        "section.png": section_figure(outcome.measured, outcome.imputed.prediction, held_out=outcome.truth, title=title),
        "curves.png": curves_figure(fitted.losses, fitted.errors, best_step=fitted.best_step),
    }
    tracker.metrics({"network/trust": fitted.imputer.trust}, 0)
    tracker.metrics({f"loop/{name}_s": seconds for name, seconds in fitted.phases.seconds.items()}, 0)
    tracker.metrics({f"section/{name}": value for name, value in run.section.traffic.figures().items()}, 0)
    tracker.metrics({f"coverage/of_{100 * level:g}": share for level, share in outcome.imputed.calibration.coverage.items()}, 0)
    if judgement.rows:
        files["methods.png"] = methods_figure(judgement.rows, highlight=judgement.rows[0].method)
        files["scores.md"] = markdown_table(judgement.rows).encode()
        files["genes.parquet"] = gene_parquet(judgement.genes)
        tracker.metrics(final_metrics(judgement), 0)
    if fitted.networks:
        files["networks.md"] = networks_table(fitted.networks).encode()
    if run.config.profile:
        files |= profile_files(run, fitted, outcome.stages)
    for name, data in files.items():
        tracker.artifact(name, data)
    return {name: run.write(name, data) for name, data in files.items()}


def networks_table(networks: Sequence[GeneNetwork]) -> str:
    """Say what became of the network of each gene."""
    rows = []
    for each in networks:
        error = "" if each.validation_error is None else f"{each.validation_error:.4f}"
        rows.append([each.gene, str(each.best_step), error, f"{each.imputer.trust:.2f}"])
    return aligned_table([["gene", "best step", "validation error", "trust"], *rows]) + "\n"


def publish(run: Run, tracker: RunTracker, outcome: Outcome) -> Release:
    """Hand the network in as a candidate of its tissue.

    Args:
        run: Where it came from.
        tracker: Of the run.
        outcome: The network, what it was trained on and how good it is.

    Writes:
        `release.json` and `weights.safetensors` into the run's folder; a version of the tissue's model in the registry.
    """
    release, weights = make_release(run, outcome.measured, outcome.fitted, outcome.imputed, outcome.judgement)
    run.write("release.json", release.model_dump_json(indent=2).encode())
    run.write("weights.safetensors", weights)
    example = _example(outcome.measured)
    register(
        tracker, Candidate(release=release, weights=weights, code_path=SERVED_MODEL, card=release_card(release), input_example=example)
    )
    return release


def figure_title(run: Run, num_tiles: int) -> str:
    """Name the section, and say so where it is synthetic, shown by tiles, or the run leaky."""
    said = {
        "synthetic": run.section.meta.is_synthetic,
        f"{num_tiles} tiles of it": num_tiles > 0,
        "LEAKY: paper mode": run.config.sampling.mode == "paper",
    }
    return section_title(run.section.meta.id, run.section.meta.pitch_um, said)


def final_metrics(judgement: Judgement) -> dict[str, float]:
    """Name the scores of the run, and those of the classical method with the best PCC beside them."""
    own, best = judgement.rows[0], max(judgement.rows[1:], key=lambda row: row.pcc)
    fields = ("pcc", "mae", "rmse", "ssim", "marker_pcc", "marker_mae", "marker_rmse", "moran_truth", "moran_imputed")
    named = {f"{prefix}/{name}": getattr(row, name) for prefix, row in (("test", own), ("best_classical", best)) for name in fields}
    return {name: float(value) for name, value in named.items() if value is not None}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn a nested configuration into `a.b.c` -> text, as MLflow stores parameters."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _example(measured: Measured) -> Float32[np.ndarray, "batch 2 y x"]:
    """Two genes of a corner, as the served model takes them: a hexagonal section on its axial grid."""
    measured = on_axial_grid(measured)
    corner = np.s_[..., :EXAMPLE_SIDE, : 2 * EXAMPLE_SIDE]
    values = anchored(measured.expression[:2], measured.phase, measured.stride, np.nan)[corner]
    tissue = anchored(measured.tissue, measured.phase, measured.stride, False)[corner].astype(np.float32)
    return np.stack([values, np.broadcast_to(tissue, values.shape)], axis=1).astype(np.float32)
