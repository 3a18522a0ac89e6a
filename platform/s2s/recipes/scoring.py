"""Score the classical methods on a section, over one phase of the sampled lattice or all four."""

import io
from dataclasses import dataclass

import pandas as pd

from s2s.contracts.run import GeneConfig, SamplingConfig, ScoreRow, SectionSource
from s2s.contracts.settings import Settings
from s2s.errors import ConfigError, InputError
from s2s.evaluation.baselines import Baseline, classical_baselines
from s2s.evaluation.panel import Panel, review
from s2s.evaluation.protocol import GeneScores, mean_over_phases
from s2s.ingest.readers import read_section
from s2s.ingest.store import store_section
from s2s.recipes.judging import judge_classical
from s2s.recipes.run import Progress, silent
from s2s.recipes.sources import open_source
from s2s.storage.sections import Section, open_section
from s2s.streaming.sections import measure_with_truth

Phase = tuple[int, int]
ALL_PHASES: tuple[Phase, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """What to score.

    Attributes:
        section: Id or URI of a section, or an AnnData file of cells.
        pitch_um: Side of a bin, only for a file.
        phases: Of the sampled lattice; the rows are averaged over them.
        genes: Which genes.
        panel: Methods whose reviewers' panel is made too, on the first phase.
    """

    section: str
    pitch_um: float | None = None
    phases: tuple[Phase, ...] = ALL_PHASES
    genes: GeneConfig = GeneConfig()
    panel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult:
    """Mean rows, and every gene of every method and phase.

    Attributes:
        rows: One per method, mean over the phases.
        genes: Phase and scores.
        num_bins: Held-out bins of the first phase.
        panels: As asked for, in that order.
    """

    rows: tuple[ScoreRow, ...]
    genes: tuple[tuple[Phase, GeneScores], ...]
    num_bins: int
    panels: tuple[Panel, ...] = ()

    def parquet(self) -> bytes:
        """Encode the per-gene scores: columns `phase_y, phase_x, method` before those of the protocol."""
        tables = [
            scores.table.assign(phase_y=phase[0], phase_x=phase[1], method=scores.name)
            .set_index(["phase_y", "phase_x", "method"])
            .reset_index()
            for phase, scores in self.genes
        ]
        buffer = io.BytesIO()
        pd.concat(tables, ignore_index=True).to_parquet(buffer, index=False)
        return buffer.getvalue()


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Read `all` or `y,x`.

    Raises:
        ConfigError: anything else.
    """
    if text == "all":
        return ALL_PHASES
    known = {f"{y},{x}": (y, x) for y, x in ALL_PHASES}
    if text not in known:
        raise ConfigError(f"expected --phase all or one of {' '.join(known)}, got {text!r}")
    return (known[text],)


def score_classical(request: ScoreRequest, settings: Settings, on_progress: Progress = silent) -> ScoreResult:
    """Score every classical method.

    Args:
        request: What to score.
        settings: Where sections lie.
        on_progress: Told which method is at work.

    Raises:
        InputError: the section was measured sparsely, so nothing is held out.
        ConfigError: a file without a pitch, or a panel of an unknown method.
        MissingError: a panel was asked for and scanpy is not installed.
    """
    reviewed = _chosen(request.panel)
    section = _open(request, settings, on_progress)
    rows, genes, panels, num_bins = [], [], [], 0
    for phase in request.phases:
        measured, truth = measure_with_truth(section, SamplingConfig(phase=phase), request.genes)
        if truth is None:
            raise InputError(
                f"expected a fully measured section to hold bins out of, {section.uri} was measured at stride {measured.stride}"
            )
        judgement = judge_classical(measured, truth, on_progress)
        rows.append(judgement.rows)
        genes += [(phase, scores) for scores in judgement.genes]
        if phase == request.phases[0]:
            num_bins = int(truth.positions.sum())
            for place, baseline in enumerate(reviewed):
                on_progress("panel", place, len(reviewed), baseline.name)
                panels.append(review(baseline.name, baseline.impute(measured), measured, truth))
    return ScoreResult(rows=mean_over_phases(rows), genes=tuple(genes), num_bins=num_bins, panels=tuple(panels))


def _chosen(names: tuple[str, ...]) -> tuple[Baseline, ...]:
    known = {baseline.name: baseline for baseline in classical_baselines()}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"expected --panel with methods among {', '.join(known)}, got {', '.join(unknown)}")
    return tuple(known[name] for name in names)


def _open(request: ScoreRequest, settings: Settings, on_progress: Progress) -> Section:
    if not request.section.endswith(".h5ad"):
        return open_source(request.section, settings, on_progress)
    if request.pitch_um is None:
        raise ConfigError(f"expected --pitch-um with a file, got {request.section} alone; for instance --pitch-um 25")
    source = SectionSource(
        file=request.section,
        reader="cells",
        id="scored",
        tissue="unknown",
        organism="unknown",
        technology="unknown",
        pitch_um=request.pitch_um,
    )
    # A file to score is looked at once: it passes through memory, not through the atlas.
    uri = f"memory://score/{request.pitch_um:g}"
    store_section(read_section(source, on_progress), uri, settings, replace=True, on_progress=on_progress)
    return open_section(uri, settings)
