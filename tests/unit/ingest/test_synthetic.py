import numpy as np
import pytest

from s2s.contracts.loading import validate
from s2s.contracts.synthetic import SyntheticTissue
from s2s.errors import ConfigError
from s2s.ingest.synthetic import make_synthetic

KINDS = pytest.mark.parametrize("kind", [pytest.param("layers", id="layers"), pytest.param("glands", id="glands")])


@KINDS
def test_the_same_seed_makes_the_same_section(kind):
    tissue = SyntheticTissue(kind=kind, height=24, width=20, num_genes=8, seed=3)
    (first, field), (second, again) = make_synthetic(tissue), make_synthetic(tissue)
    assert first.meta == second.meta
    assert (first.counts != second.counts).nnz == 0
    np.testing.assert_array_equal(field, again)
    other, _ = make_synthetic(tissue.model_copy(update={"seed": 4}))
    assert (first.counts != other.counts).nnz > 0
    assert first.meta.input_sha256 != other.meta.input_sha256


@KINDS
def test_it_is_labelled_synthetic_everywhere(kind):
    meta = make_synthetic(SyntheticTissue(kind=kind))[0].meta
    assert meta.is_synthetic
    assert meta.id == f"synthetic-{kind}"
    assert (meta.organism, meta.technology, meta.tissue) == ("synthetic", "synthetic", kind)
    assert "synthetic" in meta.source
    assert meta.licence == "synthetic data, no restrictions"


def test_an_id_must_say_synthetic():
    with pytest.raises(ConfigError, match="starts with synthetic-"):
        validate(SyntheticTissue, {"id": "breast-1"}, where="test")


@KINDS
def test_counts_scatter_around_the_true_field(kind):
    section, field = make_synthetic(SyntheticTissue(kind=kind))
    counts = next(section.blocks(60))
    assert counts.shape == field.shape == (60, 64, 64)
    assert field.dtype == np.float32
    assert not counts[:, ~section.tissue].any()
    assert 0.6 < section.tissue.mean() < 0.95
    # The field sums to the depth asked for; log-normal depths of sigma 0.3 have mean exp(0.045), negative binomial noise has mean 1.
    np.testing.assert_allclose(field[:, section.tissue].sum(axis=0), 300, rtol=1e-4)
    per_gene = counts[:, section.tissue].mean(axis=1) / field[:, section.tissue].mean(axis=1)
    assert np.median(per_gene) == pytest.approx(np.exp(0.045), rel=0.05)
    correlations = [np.corrcoef(c[section.tissue], f[section.tissue])[0, 1] for c, f in zip(counts, field, strict=True)]
    assert np.median(correlations) > 0.3


def test_counts_vary_more_than_poisson():
    section, field = make_synthetic(SyntheticTissue(num_genes=10, median_total=1000))
    counts, truth = next(section.blocks(10))[:, section.tissue].astype(float), field[:, section.tissue].astype(float)
    # Poisson counts would have a mean squared residual of the mean itself.
    assert np.all(((counts - truth) ** 2).mean(axis=1) > 2 * truth.mean(axis=1))


def test_genes_mark_domains():
    _, field = make_synthetic(SyntheticTissue(kind="layers"))
    tissue = field.sum(axis=0) > 0
    variation = field[:, tissue].std(axis=1) / field[:, tissue].mean(axis=1)
    assert (variation > 0.8).sum() > 15, "at least a quarter of the genes mark a layer"
    top, bottom = field[:, 8:20, 20:44].mean(axis=(1, 2)), field[:, -20:-8, 20:44].mean(axis=(1, 2))
    assert (top > 3 * bottom).any()
    assert (bottom > 3 * top).any()
