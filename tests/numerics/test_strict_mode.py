"""Strict mode never touches an unsampled bin: poison them all with NaN, and every bit of the result stays the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from s2s.contracts.section import SectionMeta
from s2s.errors import TrainingError
from s2s.lattice.sampling import sampled_positions
from s2s.recipes.fitting import Fitted, fit
from s2s.recipes.run import Run
from s2s.storage.sections import Masks, Section, Window
from s2s.streaming.sections import measure, measure_with_truth
from s2s.tracking.tracker import NullTracker

MakeRun = Callable[..., Run]


def fitted(run: Run) -> Fitted:
    measured, truth = measure_with_truth(run.section, run.config.sampling, run.config.genes)
    return fit(run, measured, truth, NullTracker())


def weights(result: Fitted) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in result.imputer.network.state_dict().items()}


@dataclass(frozen=True)
class PoisonedSection:
    """A section whose unsampled bins read as NaN."""

    section: Section
    phase: tuple[int, int]

    @property
    def uri(self) -> str:
        return self.section.uri

    @property
    def meta(self) -> SectionMeta:
        return self.section.meta

    @property
    def genes(self) -> Sequence[str]:
        return self.section.genes

    @property
    def chunks(self) -> tuple[int, int, int]:
        return self.section.chunks

    def masks(self) -> Masks:
        return self.section.masks()

    def read(self, genes: slice | Sequence[int], window: Window | None = None) -> np.ndarray:
        values = self.section.read(genes, window)
        sampled = sampled_positions(self.meta.shape, 2, self.phase)
        if window is not None:
            sampled = sampled[window.y : window.y + window.height, window.x : window.x + window.width]
        return np.where(sampled, values, np.float32(np.nan))


def poisoned(run: Run) -> Run:
    return replace(run, section=PoisonedSection(run.section, run.config.sampling.phase))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "phase", [pytest.param((0, 0), id="phase-00"), pytest.param((1, 0), id="phase-10"), pytest.param((1, 1), id="phase-11")]
)
def test_strict_training_is_blind_to_unsampled_bins(make_run: MakeRun, expression: np.ndarray, phase: tuple[int, int]) -> None:
    changes = {"sampling": {"phase": phase}}
    clean = fitted(make_run(expression, f"clean{phase}", changes))
    blind = fitted(poisoned(make_run(expression, f"poisoned{phase}", changes)))
    for name, array in weights(clean).items():
        np.testing.assert_array_equal(array, weights(blind)[name], err_msg=name)
    assert clean.validation_error == blind.validation_error


def test_paper_mode_is_not_blind_so_the_test_above_can_fail(make_run: MakeRun, expression: np.ndarray) -> None:
    changes = {"sampling": {"mode": "paper"}, "network": {"features": 4, "blocks": 1, "layers": 1, "growth": 4, "heads": 2, "cascades": 2}}
    fitted(make_run(expression, "leaky-clean", changes))
    with pytest.raises(TrainingError, match="finite loss"):
        fitted(poisoned(make_run(expression, "leaky-poisoned", changes)))


def test_held_out_counts_do_not_reach_normalisation_or_gene_choice(make_run: MakeRun, expression: np.ndarray) -> None:
    run = make_run(expression, "other-truth")
    other = np.where(sampled_positions(expression.shape[1:], 2, (0, 0)), expression, expression + 5)
    measured, changed = (measure(r.section, run.config.sampling, run.config.genes) for r in (run, make_run(other, "changed-truth")))
    np.testing.assert_array_equal(measured.expression, changed.expression)
    assert measured.genes == changed.genes
