"""Judge an imputation beside the classical methods, on the same held-out positions."""

from dataclasses import dataclass

from s2s.contracts.run import RunConfig, ScoreRow
from s2s.evaluation.baselines import classical_baselines
from s2s.evaluation.protocol import GeneScores, compare, score, summarise
from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.prediction import Prediction
from s2s.recipes.run import Progress, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Scores of a run; empty where a section has no truth.

    Attributes:
        rows: The run first, then the classical methods.
        genes: The same per gene.
    """

    rows: tuple[ScoreRow, ...] = ()
    genes: tuple[GeneScores, ...] = ()


def judge(run: Run, measured: Measured, truth: HeldOut, imputed: Prediction, seconds: float) -> Judgement:
    """Score a run and every classical baseline.

    Args:
        run: Names the method.
        measured: What all of them saw.
        truth: What none of them saw.
        imputed: What the run says.
        seconds: What training and imputing took.
    """
    own = score(method_name(run.config), imputed, measured, truth, seconds)
    rivals = judge_classical(measured, truth, run.on_progress)
    return Judgement(rows=(summarise(own), *rivals.rows), genes=(own, *rivals.genes))


def method_name(config: RunConfig) -> str:
    """Name a run's method for tables: CDCIN, its preset, and a warning where held-out bins leaked into training."""
    leak = ", LEAKY" if config.sampling.mode == "paper" else ""
    return f"CDCIN ({config.preset or 'custom'}{leak})"


def judge_classical(measured: Measured, truth: HeldOut, on_progress: Progress) -> Judgement:
    """Score the classical baselines alone.

    Args:
        measured: What they see.
        truth: What they do not.
        on_progress: Told which method is at work.
    """
    baselines = classical_baselines()
    names = [baseline.name for baseline in baselines]
    scores = compare(measured, truth, baselines, lambda name: on_progress("score", names.index(name), len(names), name))
    return Judgement(rows=tuple(summarise(item) for item in scores), genes=tuple(scores))
