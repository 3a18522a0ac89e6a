"""Every preset on sections that nobody would choose, and on one whose unsampled bins are poisoned."""

from dataclasses import replace

import numpy as np
import pytest

from s2s.contracts.loading import merge, read_preset
from s2s.errors import InputError
from s2s.imputation.predict import Imputation, predict_section
from s2s.lattice.measured import Measured
from s2s.recipes.fitting import fit
from s2s.recipes.run import Run, silent
from s2s.tracking.tracker import NullTracker

KRIGED = ("laptop", "atlas")
PRESETS = (*KRIGED, "paper")
SMALL = {
    "network": {"features": 4, "blocks": 1, "layers": 1, "growth": 4, "cascades": 2, "heads": 2, "window": 4},
    "training": {"max_steps": 3, "batch": 2, "window": 8, "validate_every": 1, "precision": "float32"},
    "resources": {"cpus": 1, "gpus": 0},
}
TRUSTED = {"training": {"trust": 1.0}}


@pytest.fixture
def impute(make_run, expression):
    """Train a preset's small sister on a section and let it impute."""

    def run_of(preset: str, name: str) -> Run:
        changes = merge(merge(read_preset(preset), SMALL), TRUSTED if preset in KRIGED else {})
        return make_run(expression, name, {**changes, "preset": preset})

    def imputed(preset: str, name: str, measured: Measured) -> Imputation:
        run = run_of(preset, name)
        fitted = fit(run, measured, None, NullTracker())
        return predict_section(fitted.imputer, measured, fitted.known, run.config.imputation, silent)

    return imputed


def assert_complete(imputed: Imputation, measured: Measured) -> None:
    prediction = imputed.prediction
    assert np.isfinite(prediction.mean).all()
    np.testing.assert_array_equal(prediction.mean[:, measured.observed], measured.expression[:, measured.observed])
    assert not prediction.mean[:, ~measured.tissue].any()
    for interval in prediction.intervals.values():
        assert (interval.lower <= interval.upper).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_of_unsampled_bins_reaches_a_result(impute, make_measured, expression, preset):
    # `Measured` holds NaN wherever nothing was sampled: were one read, it would poison what is compared here.
    measured, _ = make_measured(expression)
    assert np.isnan(measured.expression[:, ~measured.observed]).all()
    other = replace(measured, expression=np.where(measured.observed, measured.expression, np.float32(1e9)))
    clean, wild = (impute(preset, f"{preset}-{name}", part) for name, part in (("nan", measured), ("wild", other)))
    assert_complete(clean, measured)
    np.testing.assert_array_equal(clean.prediction.mean, wild.prediction.mean)
    for level, interval in clean.prediction.intervals.items():
        np.testing.assert_array_equal(interval.upper, wild.prediction.intervals[level].upper)


def _pieces(shape):
    """Islands of tissue so small that each holds a single sampled bin."""
    rows, columns = np.indices(shape)
    return (rows % 8 < 2) & (columns % 8 < 2)


def _holes(shape):
    rows, columns = np.indices(shape)
    return (rows // 5 + columns // 7) % 3 > 0


@pytest.mark.parametrize("preset", KRIGED)
@pytest.mark.parametrize("tissue_of", [pytest.param(_pieces, id="one-bin-per-piece"), pytest.param(_holes, id="holes")])
def test_tissue_in_pieces_and_with_holes(impute, make_measured, expression, preset, tissue_of):
    measured, _ = make_measured(expression, tissue=tissue_of(expression.shape[1:]))
    assert_complete(impute(preset, f"{preset}-{tissue_of.__name__}", measured), measured)


@pytest.mark.parametrize("side", [pytest.param(1, id="one-bin"), pytest.param(3, id="four-samples"), pytest.param(7, id="below-a-window")])
def test_a_section_too_small_for_a_window_is_imputed_all_the_same(impute, make_measured, expression, side):
    measured, _ = make_measured(expression[:, :side, :side])
    if side == 1:
        with pytest.raises(InputError, match="expected at least 2 observed bins"):
            impute("laptop", f"side-{side}", measured)
        return
    assert_complete(impute("laptop", f"side-{side}", measured), measured)


def test_one_gene_and_genes_that_are_zero_everywhere(impute, make_measured, expression):
    one, _ = make_measured(expression[:1])
    assert_complete(impute("laptop", "one-gene", one), one)
    silent_genes, _ = make_measured(np.concatenate([expression[:1], np.zeros_like(expression[:2])]))
    imputed = impute("laptop", "silent", silent_genes)
    assert_complete(imputed, silent_genes)
    assert imputed.prediction.mean[1:].max() < 0.1
    assert not imputed.reliability.is_reliable[1:].any()
    nothing, _ = make_measured(np.zeros_like(expression))
    assert impute("laptop", "nothing", nothing).prediction.mean.max() < 0.1


def test_a_hexagonal_section(impute, make_measured, expression):
    measured, _ = make_measured(expression, lattice="hexagonal")
    assert_complete(impute("laptop", "hexagonal", measured), measured)
