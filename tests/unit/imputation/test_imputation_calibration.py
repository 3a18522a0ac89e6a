"""Ends of intervals by hand on few bins, coverage on many."""

import numpy as np
import pytest

from s2s.imputation.calibration import BINS_PER_GROUP, LEVELS, Calibration, calibrate
from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Prediction


def section(expression: np.ndarray, observed: np.ndarray, tissue: np.ndarray | None = None) -> Measured:
    tissue = np.ones_like(observed) if tissue is None else tissue
    genes = tuple(f"G{index}" for index in range(len(expression)))
    values = np.where(observed, expression, np.nan).astype(np.float32)
    return Measured(expression=values, observed=observed, tissue=tissue, genes=genes, stride=2, phase=(0, 0), pitch_um=25)


def at(calibration: Calibration, levels: list[float]) -> Prediction:
    """Predict one row of bins of every gene, none of them observed."""
    mean = np.tile(np.array(levels, np.float32), (len(calibration.curves), 1, 1))
    return calibration.predict(mean, section(mean, np.zeros((1, len(levels)), np.bool_)))


def drawn(generator: np.random.Generator, num_genes: int, num_bins: int, is_sparse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Levels of bins and values around them whose spread grows with the level; sparse ones are often exactly 0."""
    level = generator.uniform(0.2, 3, (num_genes, num_bins))
    values = np.maximum(level + 0.3 * level * generator.standard_normal(level.shape), 0)
    if is_sparse:
        values *= generator.random(level.shape) < level / 3
    return level.astype(np.float32), values.astype(np.float32)


def test_ends_are_order_statistics_of_the_residuals() -> None:
    # 39 bins, one group, residuals -1.9 ... 1.9: of 40 places 2, 4 and 10 lie below the ends of 90, 80 and 50 %.
    values = 5 + np.arange(-19, 20)[None] / 10
    found = at(calibrate(np.full((1, 39), 5.0, np.float32), values), [5.0])
    for level, reach in zip(LEVELS, (1.0, 1.6, 1.8), strict=True):
        np.testing.assert_allclose(found.intervals[level].lower, 5 - reach, rtol=1e-6)
        np.testing.assert_allclose(found.intervals[level].upper, 5 + reach, rtol=1e-6)
    assert found.std is not None
    # Mean square of -19 ... 19, in tenths: 19 * 20 / 3.
    np.testing.assert_allclose(found.std, np.sqrt(380 / 3) / 10, rtol=1e-6)


def test_where_nothing_can_lie_below_the_whole_miss_lies_above() -> None:
    # 39 bins predicted at 2, 12 of them 0 and the others 1 ... 27: each lower end is 0, and of 40 places 20, 32 and 36 lie up to the ends.
    values = np.array([[0] * 12 + list(range(1, 28))], np.float32)
    found = at(calibrate(np.full((1, 39), 2.0, np.float32), values), [2.0])
    for level, upper in zip(LEVELS, (20 - 12, 32 - 12, 36 - 12), strict=True):
        assert found.intervals[level].lower.item() == 0
        assert found.intervals[level].upper.item() == upper


def test_groups_have_ends_of_their_own_and_are_joined_by_straight_lines() -> None:
    # Two groups of 60: predicted at 4 with residuals of +-1, predicted at 8 with residuals of +-3.
    sign = np.tile([-1.0, 1.0], 60)
    level = np.repeat([4.0, 8.0], 60)
    found = at(calibrate(level[None], (level + sign * np.where(level == 4, 1, 3))[None]), [1, 4, 6, 7, 8, 20])
    assert found.std is not None
    np.testing.assert_allclose(found.std[0, 0], [1, 1, 2, 2.5, 3, 3])
    np.testing.assert_allclose(found.intervals[0.9].lower[0, 0], [0, 3, 4, 4.5, 5, 17])
    np.testing.assert_allclose(found.intervals[0.9].upper[0, 0], [2, 5, 8, 9.5, 11, 23])


@pytest.mark.parametrize("is_sparse", [pytest.param(False, id="dense"), pytest.param(True, id="often-zero")])
@pytest.mark.parametrize("num_bins", [pytest.param(90, id="one-group"), pytest.param(1500, id="twenty-groups")])
def test_coverage_is_what_was_asked(num_bins: int, is_sparse: bool) -> None:
    generator = np.random.default_rng(1)
    calibration = calibrate(*drawn(generator, 60, num_bins, is_sparse))
    mean, truth = drawn(generator, 60, 1600, is_sparse)
    grid = (60, 40, 40)
    found = calibration.predict(mean.reshape(grid), section(mean.reshape(grid), np.zeros(grid[1:], np.bool_)))
    for level, interval in found.intervals.items():
        inside = (interval.lower <= truth.reshape(grid)) & (truth.reshape(grid) <= interval.upper)
        # Four standard errors of 60 genes, calibrated on n bins and tested on 1,600.
        noise = 4 * np.sqrt(level * (1 - level) / 60 * (1 / num_bins + 1 / 1600))
        # Ranks are whole numbers, rounded outwards at both ends.
        step = 2 / (min(num_bins, 75) + 1)
        # Half of the values are exactly 0: an interval that ends there holds all of them, more than its level where they are more.
        surplus = {0.5: 0.1, 0.8: 0.03, 0.9: 0.01}[level] if is_sparse else 0.0
        assert level - noise < inside.mean() < level + noise + step + surplus
        assert abs(calibration.coverage[level] - inside.mean()) < noise + step


def test_where_errors_grow_with_the_level_so_do_intervals() -> None:
    found = at(calibrate(*drawn(np.random.default_rng(2), 1, 1500, False)), [0.5, 1.5, 2.5])
    assert found.std is not None
    np.testing.assert_allclose(found.std[0, 0], [0.15, 0.45, 0.75], rtol=0.15)
    # 1.645 deviations on either side.
    width = found.intervals[0.9].upper - found.intervals[0.9].lower
    np.testing.assert_allclose(width[0, 0], 3.29 * np.array([0.15, 0.45, 0.75]), rtol=0.2)


@pytest.mark.parametrize("num_bins", [pytest.param(number, id=str(number)) for number in (3, 4, 19, 20, 90, 400)])
def test_wider_intervals_hold_narrower_ones_and_none_is_negative(num_bins: int) -> None:
    generator = np.random.default_rng(num_bins)
    found = at(calibrate(*drawn(generator, 5, num_bins, True)), list(np.linspace(0, 4, 50)))
    outer = found.intervals[0.9]
    assert (outer.lower >= 0).all()
    for level in (0.8, 0.5):
        inner = found.intervals[level]
        assert (outer.lower <= inner.lower).all()
        assert (inner.lower <= inner.upper).all()
        assert (inner.upper <= outer.upper).all()
        outer = inner


def test_measured_bins_keep_their_value_and_off_tissue_is_nothing() -> None:
    calibration = calibrate(*drawn(np.random.default_rng(3), 1, 90, False))
    expression = np.array([[[1.25, 0, 0]]])
    here = section(expression, np.array([[True, False, False]]), np.array([[True, True, False]]))
    found = calibration.predict(np.array([[[9, 2, np.nan]]], np.float32), here)
    assert found.std is not None
    np.testing.assert_array_equal(found.mean, np.array([[[1.25, 2, 0]]], np.float32))
    assert found.std[0, 0, [0, 2]].tolist() == [0, 0]
    assert found.std[0, 0, 1] > 0
    for interval in found.intervals.values():
        for end in (interval.lower, interval.upper):
            assert end.dtype == np.float32
            assert end[0, 0, [0, 2]].tolist() == [1.25, 0]


def test_equal_predictions_share_a_group() -> None:
    # 200 bins, three groups if levels differed; all of one level, in whatever order of values, are one.
    values = np.sort(np.random.default_rng(4).random((1, 200)))
    curve = calibrate(np.full((1, 200), 0.5), values).curves[0]
    np.testing.assert_allclose(curve.centres, [0.5])
    np.testing.assert_allclose(curve.std, np.sqrt(((values - 0.5) ** 2).mean()))


def test_a_run_of_equal_predictions_never_makes_a_tiny_group() -> None:
    level = np.concatenate([np.linspace(0, 1, 5), np.full(115, 2.0), np.linspace(3, 4, 60)])
    curve = calibrate(level[None], np.zeros((1, 180))).curves[0]
    np.testing.assert_allclose(curve.centres, [(2.5 + 115 * 2) / BINS_PER_GROUP / 2, 3.5])


@pytest.mark.parametrize("num_bins", [pytest.param(10, id="pooled"), pytest.param(100, id="on-its-own")])
def test_a_gene_that_is_nowhere_is_certain_to_be_nowhere(num_bins: int) -> None:
    found = at(calibrate(np.zeros((2, num_bins), np.float32), np.zeros((2, num_bins), np.float32)), [0.0])
    assert found.std is not None
    assert found.std.max() == 0
    assert max(interval.upper.max() for interval in found.intervals.values()) == 0


def test_few_bins_pool_genes_over_their_spread() -> None:
    # Two genes alike but for a factor of 3: pooled, their intervals differ by that factor at levels that do.
    level, values = drawn(np.random.default_rng(5), 1, 12, False)
    calibration = calibrate(np.concatenate([level, 3 * level]), np.concatenate([values, 3 * values]))
    spread = np.sqrt((12 * values.var() * np.array([1, 9]) + 5 * values.var()) / 13)
    one, three = calibration.curves
    np.testing.assert_allclose(three.upper, one.upper * spread[1] / spread[0], rtol=1e-5)
    np.testing.assert_allclose(three.std, one.std * spread[1] / spread[0], rtol=1e-5)
    assert len(one.centres) == 1


def test_a_gene_seen_nowhere_in_few_bins_still_has_a_width() -> None:
    level, values = drawn(np.random.default_rng(6), 1, 12, False)
    calibration = calibrate(np.concatenate([level, 0 * level]), np.concatenate([values, 0 * values]))
    assert at(calibration, [0.0]).intervals[0.9].upper[1].item() > 0


@pytest.mark.parametrize("num_bins", [pytest.param(number, id=str(number)) for number in range(3)])
def test_two_bins_say_nothing(num_bins: int) -> None:
    calibration = calibrate(np.ones((2, num_bins), np.float32), np.ones((2, num_bins), np.float32))
    assert calibration == Calibration()
    found = calibration.predict(np.full((2, 1, 2), 3, np.float32), section(np.ones((2, 1, 2)), np.array([[True, False]])))
    assert (found.std, found.intervals) == (None, {})
    np.testing.assert_array_equal(found.mean, np.tile(np.array([[1, 3]], np.float32), (2, 1, 1)))


def test_coverage_is_that_of_bands_of_rows_the_others_did_not_see() -> None:
    # In the last of four bands values are far off: calibrated on the other three, no interval holds one; those three stay inside.
    values = np.full((1, 400), 5.0)
    values[0, 300:] = 50
    coverage = calibrate(np.full((1, 400), 5.0), values).coverage
    # With it, two thirds of the bins that calibrate lie at 5, so that every lower end is 5.
    assert coverage == {0.5: 0.75, 0.8: 0.75, 0.9: 0.75}


def test_the_median_of_skewed_values_lies_below_their_mean():
    rng = np.random.default_rng(0)
    level = rng.uniform(0.5, 2.0, (40, 3000))
    values = level * rng.exponential(1.0, level.shape)
    calibration = calibrate(level.astype(np.float32), values.astype(np.float32))
    assert calibration.medians is not None
    centres, medians = calibration.medians
    np.testing.assert_allclose(medians, np.log(2) * centres, rtol=0.15)
