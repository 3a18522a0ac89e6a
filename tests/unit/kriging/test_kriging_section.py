"""A whole section kriged, and kriged without some of its samples."""

from dataclasses import replace

import numpy as np
import pytest

from s2s.contracts.run import KrigingConfig, NetworkConfig
from s2s.kriging.folds import hide_in_turn
from s2s.kriging.section import USUAL_SHARES, krige_in_turn, krige_section
from s2s.lattice.measured import Measured, without
from s2s.lattice.sampling import random_folds, sampled_positions

CONFIG = KrigingConfig(rank=4)


def _measured(shape=(16, 18), num_genes=6, lattice="square", seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    programs = np.stack([np.sin(x / 5), np.cos(y / 4)])
    values = np.exp(np.tensordot(rng.normal(size=(num_genes, 2)), programs, axes=1))
    counts = rng.poisson(2 * values).astype(np.float32)
    tissue = np.hypot(y - shape[0] / 2, x - shape[1] / 2) < max(shape) / 2
    observed = tissue & sampled_positions(shape, 2, (0, 0), lattice)
    return Measured(
        expression=np.where(observed, np.log1p(counts), np.float32(np.nan)).astype(np.float32), observed=observed, tissue=tissue,
        genes=tuple(f"G{i}" for i in range(num_genes)), stride=2, phase=(0, 0), pitch_um=25.0, lattice=lattice,
    )  # fmt: skip


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_measured_values_stay_and_all_of_the_tissue_is_filled(lattice):
    measured = _measured(lattice=lattice)
    filled = krige_section(measured, CONFIG)
    np.testing.assert_array_equal(filled[:, measured.observed], measured.expression[:, measured.observed])
    assert np.isfinite(filled).all()
    assert (filled >= 0).all()
    assert filled[0, measured.tissue & ~measured.observed].std() > 0


def test_what_a_fold_hides_is_not_used():
    measured = _measured()
    folds = random_folds(measured.observed, 3, np.random.default_rng(0))
    config = CONFIG.model_copy(update={"own_share": 0.2})
    kriged = krige_in_turn(measured, folds, config)
    for hidden, fill in zip(folds, kriged.without, strict=True):
        np.testing.assert_array_equal(fill, krige_in_turn(without(measured, hidden), (), config).fill)
    assert kriged.shares == (0.8, 0.2)


def test_shares_follow_what_hidden_samples_say():
    # One gene alone has no factors to lean on, and noise has neither.
    measured = _measured(num_genes=8)
    told = krige_section(measured, CONFIG)
    noise = replace(measured, expression=np.random.default_rng(3).permutation(measured.expression.ravel()).reshape(told.shape))
    noise = replace(noise, expression=np.where(measured.observed, np.nan_to_num(noise.expression, nan=1.0), np.float32(np.nan)))
    folds = random_folds(measured.observed, 5, np.random.default_rng(0))
    structured, random = (sum(krige_in_turn(section, folds, CONFIG).shares) for section in (measured, noise))
    assert 0.7 < structured < 1.3
    assert random < structured


def test_without_anything_to_hide_the_shares_are_the_usual():
    measured = _measured()
    only = np.zeros_like(measured.observed)
    only[tuple(np.argwhere(measured.observed)[0])] = True
    single = without(measured, measured.observed & ~only)
    kriged = krige_in_turn(single, random_folds(single.observed, 5, np.random.default_rng(0)), CONFIG)
    assert kriged.shares == USUAL_SHARES
    value = single.expression[:, only]
    np.testing.assert_allclose(kriged.fill[:, single.tissue], np.broadcast_to(value, (len(value), single.tissue.sum())), rtol=1e-6)


@pytest.mark.parametrize("genes", [pytest.param(1, id="one-gene"), pytest.param(3, id="with-an-all-zero-gene")])
def test_few_and_silent_genes(genes):
    measured = _measured(num_genes=genes)
    measured.expression[-1, measured.observed] = 0 if genes > 1 else measured.expression[-1, measured.observed]
    filled = krige_section(measured, CONFIG)
    assert np.isfinite(filled).all()
    assert genes == 1 or not filled[-1, measured.tissue].any()


def test_a_section_cut_into_regions_is_nearly_the_same():
    measured = _measured(shape=(40, 40))
    config = CONFIG.model_copy(update={"own_share": 0.2})
    whole, cut = (krige_section(measured, config.model_copy(update={"max_bins": most})) for most in (2500, 150))
    assert np.abs(whole - cut)[:, measured.tissue].mean() < 0.1 * whole[:, measured.tissue].std()


def test_networks_that_fill_for_themselves_get_no_fill():
    measured = _measured()
    folds = random_folds(measured.observed, 2, np.random.default_rng(0))
    known = hide_in_turn(measured, folds, NetworkConfig(fill="smooth"))
    assert known.fill is None
    assert [fold.fill for fold in known.folds] == [None, None]
    np.testing.assert_array_equal(known.folds[1].hidden, folds[1])


def test_pieces_know_nothing_of_each_other_but_what_their_genes_share():
    one, other = _measured(), _measured(seed=0)
    gap = np.zeros((*one.expression.shape[:2], 2), np.float32)
    beside = replace(
        one,
        expression=np.concatenate([one.expression, gap + np.float32(np.nan), other.expression], axis=2),
        observed=np.concatenate([one.observed, gap[0] > 0, other.observed], axis=1),
        tissue=np.concatenate([one.tissue, gap[0] > 0, other.tissue], axis=1),
        pieces=((slice(0, 16), slice(0, 18)), (slice(0, 16), slice(20, 38))),
    )
    config = CONFIG.model_copy(update={"own_share": 0.2, "noise_exponent": 0})
    filled = krige_section(beside, config)
    np.testing.assert_allclose(filled[:, :, :18], filled[:, :, 20:], rtol=1e-6)
    alone = krige_section(one, config)
    np.testing.assert_allclose(filled[:, :, :18], alone, rtol=1e-4, atol=1e-4)
    joined = krige_section(replace(beside, pieces=()), config)
    assert np.abs(joined[:, :, :18] - alone).max() > 1e-2


def test_a_piece_without_samples_gets_the_mean():
    measured = _measured()
    left = np.zeros_like(measured.observed)
    left[:, :8] = True
    halved = replace(without(measured, measured.observed & ~left), pieces=((slice(0, 16), slice(0, 8)), (slice(0, 16), slice(8, 18))))
    filled = krige_section(halved, CONFIG.model_copy(update={"own_share": 0.2}))
    mean = halved.expression[:, halved.observed].mean(axis=1)
    np.testing.assert_allclose(
        filled[:, measured.tissue & ~left], np.broadcast_to(mean[:, None], (len(mean), (measured.tissue & ~left).sum())), rtol=1e-5
    )
