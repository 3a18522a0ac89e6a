"""A network as a release and back, and the planes that MLflow hands to it."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from s2s import __version__
from s2s.contracts.release import GeneReliability
from s2s.contracts.section import Lattice
from s2s.errors import InputError
from s2s.imputation.slide import impute_section
from s2s.lattice.geometry import from_axial
from s2s.lattice.measured import on_axial_grid
from s2s.network import predict
from s2s.recipes.judging import Judgement
from s2s.recipes.recording import _example
from s2s.recipes.release import build_network, impute_planes, make_release


@pytest.fixture
def made(make_run, make_measured, make_fitted, make_imputed, judgement):
    """A run, its stand-in for a training, and the release made of them."""
    run = make_run(expression_scale=5.0)
    fitted = make_fitted(run)
    release, weights = make_release(run, make_measured(run), fitted, make_imputed(), judgement)
    return run, fitted, release, weights


def test_the_contract_says_where_it_came_from(made, judgement, make_measured):
    run, _, release, weights = made
    said = release.model_dump(exclude={"kind", "version", "network", "scores", "reliability", "seen"})
    assert said == {
        "name": "s2s-human-breast",
        "tissue": "breast",
        "organism": "human",
        "technology": "synthetic",
        "pitch_um": 25,
        "stride": 2,
        "normalisation": "log1p_median_total",
        "expression_scale": 5.0,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "is_leaky": False,
        "is_synthetic": False,
        "run_key": run.key,
        "section_id": "tiny",
        "data_sha256": run.section.meta.data_sha256,
        "photographs": None,
        "code_version": __version__,
        "validation_error": 0.125,
        "coverage": ({"level": 0.9, "measured": 0.875},),
        "trust": 1.0,
        "donor": None,
        "trial": None,
        "lattice": "square",
        "licence": "CC-BY-4.0",
    }
    assert release.network == run.config.network
    assert release.scores == judgement.rows
    measured = make_measured(run)
    known = measured.expression[:, measured.observed]
    assert release.seen is not None
    assert (release.seen.mean, release.seen.largest) == pytest.approx((known.mean(), known.max()))
    assert release.reliability == (GeneReliability(gene="A", pcc=0.5), GeneReliability(gene="B", pcc=-0.25)), "unknown ones are left out"


def test_leaky_synthetic_and_unscored_are_said(make_run, make_section, make_measured, make_fitted, make_imputed):
    run = make_run(make_section(is_synthetic=True), sampling={"mode": "paper"})
    release, _ = make_release(run, make_measured(run), make_fitted(run), make_imputed(), Judgement())
    assert (release.is_leaky, release.is_synthetic, release.scores) == (True, True, ())


def test_the_network_comes_back_bit_for_bit(made):
    _, fitted, release, weights = made
    network = build_network(release, weights)
    assert not network.training
    for name, tensor in fitted.imputer.network.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def renamed(weights: bytes) -> bytes:
    return save({f"other.{name}": tensor for name, tensor in load(weights).items()})


def widened(weights: bytes) -> bytes:
    return save({name: torch.cat([tensor, tensor]) for name, tensor in load(weights).items()})


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda weights: b"", id="empty"),
        pytest.param(lambda weights: weights[:-1], id="cut-short"),
        pytest.param(lambda weights: b"\xff" * 8 + weights[8:], id="header-damaged"),
        pytest.param(renamed, id="weights-of-other-names"),
        pytest.param(widened, id="weights-of-other-shapes"),
    ],
)
def test_damaged_weights_are_said(made, damage):
    run, _, release, weights = made
    with pytest.raises(InputError, match=rf"expected the weights of s2s-human-breast \(run {run.key}\), the file does not hold them"):
        build_network(release, damage(weights))


def planes_of(values: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    return np.stack([values, np.broadcast_to(tissue, values.shape)], axis=1).astype(np.float32)


@pytest.fixture
def planes():
    """Two planes of 7 x 9 bins, sampled at even places, with two holes in the tissue: (2, 2) a sample, (3, 3) none."""
    tissue = np.ones((7, 9), np.float32)
    tissue[2, 2] = tissue[3, 3] = 0
    values = np.full((2, 7, 9), np.nan, np.float32)
    values[:, ::2, ::2] = np.random.default_rng(0).uniform(0, 5, (2, 4, 5))
    values[:, 2, 2] = np.nan
    return planes_of(values, tissue)


def test_planes_come_back_measured_to_the_bit_and_zero_off_tissue(made, planes):
    _, fitted, release, _ = made
    given = planes.copy()
    imputed = impute_planes(fitted.imputer.network, release, planes)
    assert imputed.shape == (2, 1, 7, 9)
    assert imputed.dtype == np.float32
    is_measured = np.isfinite(planes[:, :1])
    np.testing.assert_array_equal(imputed[is_measured], planes[:, :1][is_measured])
    assert not imputed[:, 0, [2, 3], [2, 3]].any()
    assert np.isfinite(imputed).all()
    assert (imputed >= 0).all()
    np.testing.assert_array_equal(planes, given)


def test_planes_equal_predict(made, planes):
    _, fitted, release, _ = made
    values, tissue = (torch.from_numpy(planes[:, index : index + 1].copy()) for index in (0, 1))
    observed = ~values.isnan()
    expected = predict(fitted.imputer.network, values / 5.0, observed, tissue > 0) * 5.0
    imputed = torch.from_numpy(impute_planes(fitted.imputer.network, release, planes))
    filled = (tissue > 0) & ~observed
    assert torch.equal(imputed[filled], expected[filled].clamp(min=0))
    assert (imputed[filled] > 0).any()


def test_a_measured_value_off_tissue_is_not_believed(made, planes):
    _, fitted, release, _ = made
    before = impute_planes(fitted.imputer.network, release, planes)
    planes[:, 0, 2, 2] = 1e6
    np.testing.assert_array_equal(impute_planes(fitted.imputer.network, release, planes), before)


def test_planes_and_a_whole_section_agree(made, make_measured):
    run, fitted, release, _ = made
    measured = make_measured(run)
    imputed = impute_planes(fitted.imputer.network, release, planes_of(measured.expression, measured.tissue))
    section = impute_section(fitted.imputer, measured, run.config.imputation)
    np.testing.assert_allclose(imputed[:, 0], section, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("phase", [pytest.param((y, x), id=f"phase-{y}{x}") for y in (0, 1) for x in (0, 1)])
def test_the_example_that_is_logged_is_what_the_model_takes(made, make_run, make_measured, phase):
    _, fitted, release, _ = made
    example = _example(make_measured(make_run(sampling={"phase": phase})))
    assert example.shape == (2, 2, 11 + phase[0], 13 + phase[1])
    known = np.isfinite(example[:, 0])
    assert known[:, ::2, ::2][:, phase[0] :, phase[1] :].all(), "the sampled lattice starts at (0, 0) or one sample further"
    known[:, ::2, ::2] = False
    assert not known.any()
    assert np.isfinite(impute_planes(fitted.imputer.network, release, example)).all()


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, id="x".join(map(str, shape))) for shape in ((2, 4, 4), (1, 1, 4, 4), (1, 3, 4, 4), (0, 2, 4, 4))]
)
def test_planes_of_another_shape_are_said(made, shape):
    _, fitted, release, _ = made
    with pytest.raises(InputError, match=r"expected planes of shape \(batch, 2, y, x\), at least one, values and tissue mask, got \("):
        impute_planes(fitted.imputer.network, release, np.zeros(shape, np.float32))


def test_a_perfect_gene_makes_a_release(make_run, make_measured, make_fitted, make_imputed):
    run = make_run()
    release, _ = make_release(run, make_measured(run), make_fitted(run), make_imputed((1.0, -1.0, 0.0)), Judgement())
    assert [gene.pcc for gene in release.reliability] == [1, -1, 0]


@pytest.mark.parametrize("shape", ["square", "hexagonal"])
def test_planes_of_a_network_that_starts_from_kriging(make_run, make_section, make_measured, make_fitted, make_imputed, shape):
    network = {"features": 2, "blocks": 1, "layers": 1, "growth": 2, "has_attention": False, "fill": "krige", "symmetries": 2}
    training = {"weights": {"sparser_to_sparse": 0}}
    run = make_run(make_section(lattice=Lattice(shape=shape)), network=network, training=training)
    measured, fitted = make_measured(run), make_fitted(run)
    fitted = replace(fitted, imputer=replace(fitted.imputer, trust=0.5))
    release, _ = make_release(run, measured, fitted, make_imputed(), Judgement())
    assert (release.trust, release.lattice) == (0.5, shape)
    expected = impute_section(fitted.imputer, measured, run.config.imputation)
    axial = on_axial_grid(measured)
    imputed = impute_planes(fitted.imputer.network, release, planes_of(axial.expression, axial.tissue))[:, 0]
    if shape == "hexagonal":
        imputed = from_axial(imputed, measured.tissue.shape)
    np.testing.assert_allclose(imputed, expected, rtol=1e-4, atol=1e-4)
    # Planes of two sections with other masks are imputed one by one.
    other = planes_of(axial.expression[:1], axial.tissue)
    other[0, 0, 0] = np.nan
    both = impute_planes(fitted.imputer.network, release, np.concatenate([planes_of(axial.expression[:1], axial.tissue), other]))
    np.testing.assert_array_equal(both[1:], impute_planes(fitted.imputer.network, release, other))
