"""A whole section, tile by tile: measured values to the bit, every bin covered, and tiles that leave no trace."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from s2s.contracts.run import ImputationConfig, NetworkConfig
from s2s.imputation.slide import Imputer, impute_section
from s2s.lattice.measured import HeldOut, Measured
from s2s.network import CDCIN

pytestmark = pytest.mark.usefixtures("one_thread")
Make = Callable[..., tuple[Measured, HeldOut]]
SCALE = 10.0
SMALL = NetworkConfig(features=4, blocks=1, layers=1, growth=4, window=4, heads=2, cascades=2, has_mask_inputs=True, fill="smooth")
LOCAL = NetworkConfig(features=4, blocks=1, layers=1, growth=4, has_attention=False, cascades=1, fill="copy")
REACH = 6
"""Bins that `LOCAL` looks: five 3 x 3 convolutions, and the copy of a sample to the bin beside it."""
TILES = ImputationConfig(tile=32, overlap=8)
PHASES = [pytest.param((y, x), id=f"phase-{y}{x}") for y in (0, 1) for x in (0, 1)]


def build(config: NetworkConfig) -> CDCIN:
    """A network that changes what it is given, as a trained one would."""
    generator = torch.Generator().manual_seed(1)
    network = CDCIN(config, generator)
    for stage in network.stages:
        nn.init.normal_(stage.last.weight, std=0.1, generator=generator)
    return network


def imputer(network: CDCIN) -> Imputer:
    return Imputer(network=network, expression_scale=SCALE)


def field(shape: tuple[int, int], num_genes: int = 2) -> np.ndarray:
    return np.random.default_rng(0).gamma(1.0, 1.0, (num_genes, *shape)).astype(np.float32)


def some_tissue(shape: tuple[int, int]) -> np.ndarray:
    mask: np.ndarray = np.random.default_rng(1).random(shape) < 0.8
    return mask


def assert_complete(imputed: np.ndarray, measured: Measured) -> None:
    assert imputed.dtype == np.float32
    assert imputed.shape == measured.expression.shape
    np.testing.assert_array_equal(imputed[:, measured.observed], measured.expression[:, measured.observed])
    assert np.isfinite(imputed).all()
    assert (imputed >= 0).all()
    assert not imputed[:, ~measured.tissue].any()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1), id="one-bin"),
        pytest.param((5, 7), id="below-a-tile"),
        pytest.param((33, 35), id="just-above-a-tile"),
        pytest.param((70, 45), id="several-tiles"),
    ],
)
def test_measured_values_stay_to_the_bit(make_measured: Make, shape: tuple[int, int], phase: tuple[int, int]) -> None:
    measured, _ = make_measured(field(shape), phase, some_tissue(shape) if min(shape) > 1 else None)
    assert_complete(impute_section(imputer(build(SMALL)), measured, TILES), measured)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("shape", "overlap"),
    [
        pytest.param((5, 7), 8, id="below-a-tile"),
        pytest.param((70, 45), 8, id="several-tiles"),
        pytest.param((70, 45), 7, id="odd-overlap"),
        pytest.param((70, 45), 512, id="overlap-above-a-tile"),
    ],
)
def test_every_bin_is_covered_once(make_measured: Make, shape: tuple[int, int], overlap: int, phase: tuple[int, int]) -> None:
    # A network that corrects nothing averages values from 1 to 2: a bin that no tile covers would be 0, one counted twice above 2.
    network = build(SMALL)
    for stage in network.stages:
        nn.init.zeros_(stage.last.weight)
        nn.init.zeros_(stage.last.bias)
    tissue = some_tissue(shape)
    measured, _ = make_measured(1 + np.random.default_rng(0).random((2, *shape), np.float32), phase, tissue)
    for insets in (1, 4):
        imputed = impute_section(imputer(network), measured, ImputationConfig(tile=32, overlap=overlap, insets=insets))
        assert imputed[:, tissue].min() > 1 - 1e-5
        assert imputed[:, tissue].max() < 2 + 1e-5


@pytest.mark.parametrize("shape", [pytest.param((48, 44), id="large-enough"), pytest.param((35, 60), id="too-small")])
def test_insets_are_sections_without_their_border_averaged(make_measured: Make, shape: tuple[int, int]) -> None:
    values, inner = 5 + field(shape), np.s_[:, 2:-2, 2:-2]
    whole, within = (impute_section(imputer(build(LOCAL)), make_measured(each, (0, 0), None)[0], TILES) for each in (values, values[inner]))
    assert np.abs(whole[inner] - within).max() > 0.01
    expected = whole.copy()
    if min(shape) >= 36:
        expected[inner] = (whole[inner] + within) / 2
    averaged = impute_section(imputer(build(LOCAL)), make_measured(values, (0, 0), None)[0], TILES.model_copy(update={"insets": 2}))
    np.testing.assert_allclose(averaged, expected, rtol=1e-5)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("shape", [pytest.param((5, 7), id="below-a-tile"), pytest.param((45, 40), id="several-tiles")])
def test_hexagons_keep_measured_values_to_the_bit(make_measured: Make, shape: tuple[int, int], phase: tuple[int, int]) -> None:
    measured, _ = make_measured(field(shape), phase, some_tissue(shape), "hexagonal")
    assert_complete(impute_section(imputer(build(SMALL)), measured, TILES), measured)


def test_hexagons_one_row_further_are_imputed_alike(make_measured: Make) -> None:
    # One row down the diagonal: even rows become odd and lie half a bin to the right, so offset columns move in odd rows only.
    here, there = field((30, 32)), np.zeros((2, 30, 32), np.float32)
    there[:, 1::2], there[:, 2::2, 1:] = here[:, :-1:2], here[:, 1:-1:2, :-1]
    whole = ImputationConfig(tile=64, overlap=0)
    first, second = (
        impute_section(imputer(build(LOCAL)), make_measured(values, phase, None, "hexagonal")[0], whole)
        for values, phase in ((here, (0, 0)), (there, (1, 0)))
    )
    # Far from the edges, where both see the same.
    rows, columns = np.arange(REACH, 30 - 2 * REACH, 2), slice(2 * REACH, 32 - 2 * REACH)
    np.testing.assert_allclose(second[:, rows + 1, columns], first[:, rows, columns], rtol=1e-5, atol=1e-5)
    shifted = slice(columns.start + 1, columns.stop + 1)
    np.testing.assert_allclose(second[:, rows + 2, shifted], first[:, rows + 1, columns], rtol=1e-5, atol=1e-5)


def test_the_scale_alone_would_not_keep_the_bits(make_measured: Make) -> None:
    values = field((33, 35))
    assert (values / np.float32(SCALE) * np.float32(SCALE) != values).any()


@pytest.mark.parametrize("config", [pytest.param(SMALL, id="attention-smooth"), pytest.param(LOCAL, id="local-copy")])
def test_what_was_not_observed_is_never_read(make_measured: Make, config: NetworkConfig) -> None:
    shape = (37, 41)
    measured, _ = make_measured(field(shape), (1, 0), some_tissue(shape))
    other = replace(measured, expression=np.where(measured.observed, measured.expression, np.float32(1e9)))
    assert np.isnan(measured.expression).any()
    clean, poisoned = (impute_section(imputer(build(config)), part, TILES) for part in (measured, other))
    np.testing.assert_array_equal(clean, poisoned)


@pytest.mark.parametrize(("overlap", "seams"), [pytest.param(0, [32], id="side-by-side"), pytest.param(16, [16, 32, 48], id="blended")])
def test_tiles_agree_with_one_picture_away_from_their_seams(make_measured: Make, overlap: int, seams: list[int]) -> None:
    measured, _ = make_measured(field((64, 64)))
    network = build(LOCAL)
    whole = impute_section(imputer(network), measured, ImputationConfig(tile=64, overlap=0))
    tiled = impute_section(imputer(network), measured, ImputationConfig(tile=32, overlap=overlap))
    place = np.arange(64)
    is_far = np.all([(place < seam - REACH) | (place >= seam + REACH) for seam in seams], axis=0)
    assert is_far.sum() >= 24
    inside = np.ix_(range(2), is_far, is_far)
    np.testing.assert_allclose(tiled[inside], whole[inside], rtol=1e-5, atol=1e-5)
    assert not np.allclose(tiled, whole, rtol=1e-5, atol=1e-5), "at the seams a tile sees less"


def test_blending_softens_the_seam(make_measured: Make) -> None:
    measured, _ = make_measured(field((64, 64)))
    network = build(LOCAL)
    whole = impute_section(imputer(network), measured, ImputationConfig(tile=64, overlap=0))
    hard, soft = (impute_section(imputer(network), measured, ImputationConfig(tile=32, overlap=overlap)) for overlap in (0, 16))
    assert np.abs(soft - whole).max() < np.abs(hard - whole).max()


@pytest.mark.parametrize(
    ("batch_bins", "progress"),
    [
        pytest.param(1024, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)], id="gene-by-gene"),
        pytest.param(2048, [(2, 5), (4, 5), (5, 5)], id="two-at-once"),
        pytest.param(1_000_000, [(5, 5)], id="all-at-once"),
    ],
)
def test_how_many_genes_at_once_changes_nothing(make_measured: Make, batch_bins: int, progress: list[tuple[int, int]]) -> None:
    measured, _ = make_measured(field((40, 40), num_genes=5), tissue=some_tissue((40, 40)))
    network = build(SMALL)
    said: list[tuple[int, int]] = []
    config = ImputationConfig(tile=32, overlap=8, batch_bins=batch_bins)
    imputed = impute_section(imputer(network), measured, config, lambda done, total: said.append((done, total)))
    one_by_one = [
        impute_section(imputer(network), replace(measured, expression=measured.expression[gene : gene + 1]), TILES)[0] for gene in range(5)
    ]
    np.testing.assert_allclose(imputed, one_by_one, rtol=1e-5, atol=1e-5)
    assert said == progress


def test_tiles_without_tissue_are_not_computed(make_measured: Make) -> None:
    tissue = np.zeros((96, 64), np.bool_)
    tissue[:20, :20] = tissue[70:, 40:] = True
    measured, _ = make_measured(field(tissue.shape), (1, 1), tissue)
    network = build(LOCAL)
    seen: list[torch.Size] = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    imputed = impute_section(imputer(network), measured, ImputationConfig(tile=32, overlap=0))
    # One bin of padding puts phase (1, 1) on the lattice: 97 x 65 bins, tiles 32 32 32 1 by 32 32 1; tissue touches
    # the first, and four at the other end.
    assert [tuple(shape[2:]) for shape in seen] == [(32, 32), (32, 32), (32, 1), (1, 32), (1, 1)]
    assert_complete(imputed, measured)


def test_an_empty_tile_beside_a_full_one_takes_nothing_from_it(make_measured: Make) -> None:
    tissue = np.zeros((32, 96), np.bool_)
    tissue[:, :16] = True
    measured, _ = make_measured(field(tissue.shape), tissue=tissue)
    network = build(LOCAL)
    # The second tile starts at column 16, where tissue ends: the first alone decides.
    tiled = impute_section(imputer(network), measured, ImputationConfig(tile=32, overlap=16))
    left = replace(measured, expression=measured.expression[..., :32], observed=measured.observed[:, :32], tissue=measured.tissue[:, :32])
    np.testing.assert_allclose(tiled[..., :32], impute_section(imputer(network), left, TILES), rtol=1e-5, atol=1e-5)
    assert not tiled[..., 32:].any()


def test_a_section_without_an_observed_bin_in_a_tile_is_still_finite(make_measured: Make) -> None:
    measured, _ = make_measured(field((64, 64)))
    observed = measured.observed.copy()
    observed[:, 30:] = False
    hollow = replace(measured, observed=observed, expression=np.where(observed, measured.expression, np.float32(np.nan)))
    for config in (SMALL, LOCAL):
        assert_complete(impute_section(imputer(build(config)), hollow, ImputationConfig(tile=32, overlap=0)), hollow)
