"""From finished cells to the rows of the table: means, spread over seeds, and the difference to the reference.

Decision: a row with a failed cell has no means, because a mean over fewer phases compares with nothing; the cells that
did work stay in the table of cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from s2s.contracts.benchmark import BenchmarkRow, BootstrapConfig, CellResult, Coverage, Difference, Phase
from s2s.contracts.run import SamplingConfig, ScoreRow
from s2s.contracts.settings import Settings
from s2s.evaluation.bootstrap import Comparison, Resampling, block_bootstrap_mean_difference
from s2s.evaluation.protocol import mean_over_phases
from s2s.lattice.measured import HeldOut, Measured
from s2s.recipes.benchmark.cell import read_estimate
from s2s.recipes.benchmark.plan import Plan
from s2s.streaming.sections import measure_with_truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """The cells of one row.

    Attributes:
        section: Label.
        method: Label.
        results: Of the cells that have one, in the order of the plan.
        lost: Why each of the others has none.
    """

    section: str
    method: str
    results: tuple[CellResult, ...]
    lost: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[str, ...]:
        """Why cells have no score, those that are tried again last."""
        return (*(result.failure for result in self.results if result.failure is not None), *self.lost)

    @property
    def scores(self) -> tuple[ScoreRow, ...]:
        """Scores of the cells under the label of this benchmark; another may have called the same cell otherwise."""
        return tuple(result.score.model_copy(update={"method": self.method}) for result in self.results if result.score is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One phase of a section with what is held out of it."""

    measured: Measured
    held_out: HeldOut

    @property
    def values(self) -> Float32[np.ndarray, "gene position"]:
        """The truth at held-out bins, log1p units."""
        return self.held_out.expression[:, self.held_out.positions]

    @property
    def places(self) -> Int[np.ndarray, "position 2"]:
        """`(y, x)` of the held-out bins."""
        return np.argwhere(self.held_out.positions)


def gather(plan: Plan, results: Mapping[str, CellResult], lost: Mapping[str, str]) -> tuple[Outcomes, ...]:
    """Sort results into rows.

    Args:
        plan: Names every cell.
        results: By key.
        lost: Key -> why a cell has no result.
    """
    return tuple(
        Outcomes(
            section=section,
            method=method,
            results=tuple(results[cell.key] for cell in cells if cell.key in results),
            lost=tuple(lost.get(cell.key, "it was not run") for cell in cells if cell.key not in results),
        )
        for (section, method), cells in plan.cells.items()
    )


def read_truths(plan: Plan, section: str) -> dict[Phase, Truth]:
    """Read every phase of a section again, as its cells saw it.

    Reads:
        The section, once per phase.
    """
    genes = next(wanted.genes for wanted in plan.config.sections if wanted.label == section)
    truths = {}
    for phase in plan.config.phases:
        measured, truth = measure_with_truth(plan.sections[section], SamplingConfig(phase=phase), genes)
        assert truth is not None, "a plan has fully measured sections alone"
        truths[phase] = Truth(measured=measured, held_out=truth)
    return truths


def make_row(outcomes: Outcomes, *, is_reference: bool) -> BenchmarkRow:
    """Average the cells of a row; a row with a failed cell has no averages."""
    scores, failures = outcomes.scores, outcomes.failures
    row = BenchmarkRow(
        section=outcomes.section,
        method=outcomes.method,
        is_reference=is_reference,
        num_cells=len(outcomes.results) + len(outcomes.lost),
        num_failed=len(failures),
        failure=failures[0] if failures else None,
    )
    if failures:
        return row
    changes = {
        "score": mean_over_phases([[score] for score in scores])[0],
        "pcc_spread": _spread(outcomes, "pcc"),
        "rmse_spread": _spread(outcomes, "rmse"),
        "coverage": _mean_coverage(outcomes.results),
        "peak_memory_bytes": max(result.peak_memory_bytes for result in outcomes.results),
        "device": ", ".join(sorted({result.device for result in outcomes.results})),
    }
    return row.model_copy(update=changes)


def pair_cells(a: Sequence[CellResult], b: Sequence[CellResult]) -> list[tuple[CellResult, CellResult]]:
    """Pair two methods' cells by phase and seed; a method that has one seed alone is paired with every seed of the other."""
    pairs = []
    for phase in dict.fromkeys(result.cell.phase for result in a):
        of_a, of_b = ({result.cell.seed: result for result in some if result.cell.phase == phase} for some in (a, b))
        seeds = of_a if len(of_a) >= len(of_b) else of_b
        for seed in seeds:
            first, second = (some.get(seed) or (next(iter(some.values())) if len(some) == 1 else None) for some in (of_a, of_b))
            if first is not None and second is not None:
                pairs.append((first, second))
    return pairs


def compare(
    row: Sequence[CellResult], reference: Sequence[CellResult], truths: Mapping[Phase, Truth], config: BootstrapConfig, settings: Settings
) -> tuple[Difference, Difference]:
    """Give the difference of a row to the reference, of PCC and of RMSE.

    Reads:
        The predictions of all their cells.
    """
    comparisons = [
        Comparison(
            truth=truths[a.cell.phase].values,
            first=read_estimate(a, settings),
            second=read_estimate(b, settings),
            places=truths[a.cell.phase].places,
        )
        for a, b in pair_cells(row, reference)
    ]
    found = block_bootstrap_mean_difference(comparisons, Resampling(block=config.block, num_resamples=config.resamples))
    return (
        Difference(value=found.pcc_difference, lower=found.pcc_lower, upper=found.pcc_upper),
        Difference(value=found.rmse_difference, lower=found.rmse_lower, upper=found.rmse_upper),
    )


def _spread(outcomes: Outcomes, field: str) -> float | None:
    by_seed: dict[int, list[float]] = {}
    for result, score in zip(outcomes.results, outcomes.scores, strict=True):
        by_seed.setdefault(result.cell.seed, []).append(getattr(score, field))
    means = [np.mean(values) for values in by_seed.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _mean_coverage(results: Sequence[CellResult]) -> tuple[Coverage, ...]:
    levels = {
        item.level: [other for result in results for other in result.coverage if other.level == item.level] for item in results[0].coverage
    }
    return tuple(
        Coverage(level=level, measured=float(np.mean([i.measured for i in items])), width=float(np.mean([i.width for i in items])))
        for level, items in levels.items()
    )
