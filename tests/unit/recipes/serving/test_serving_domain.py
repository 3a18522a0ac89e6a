"""Out of domain is said in sentences: pitch, lattice, technology, genes, expression."""

from dataclasses import replace

import numpy as np
import pytest

from s2s.contracts.release import GeneReliability, Release, Seen
from s2s.lattice.measured import Measured
from s2s.recipes.serving.domain import domain_of


@pytest.fixture
def release(make_release) -> Release:
    genes = tuple(GeneReliability(gene=gene, pcc=0.5) for gene in ("A", "B"))
    return make_release(reliability=genes, seen=Seen(mean=1.0, largest=4.0))


@pytest.fixture
def measured() -> Measured:
    observed = np.array([[True, False], [False, False]])
    expression = np.where(observed, np.array([0.5, 1.5], np.float32)[:, None, None], np.float32(np.nan))
    return Measured(
        expression=expression,
        observed=observed,
        tissue=np.ones((2, 2), bool),
        genes=("A", "B"),
        stride=2,
        phase=(0, 0),
        pitch_um=25,
    )


def test_a_section_like_the_models_own_is_at_home(release: Release, measured: Measured) -> None:
    found = domain_of(release, measured, "xenium")
    assert (found.is_out_of_domain, found.warnings, found.gene_overlap) == (False, (), 1.0)


@pytest.mark.parametrize(
    ("changes", "technology", "words"),
    [
        pytest.param({"pitch_um": 55.0}, "xenium", "pitch is 55 um, the model was trained at 25 um", id="pitch"),
        pytest.param({"lattice": "hexagonal"}, "xenium", "lattice is hexagonal", id="lattice"),
        pytest.param({}, "visium", "technology is visium, the model was trained on xenium", id="technology"),
        pytest.param({"genes": ("C", "D")}, "xenium", "0% of the genes", id="genes"),
    ],
)
def test_each_difference_is_said(release: Release, measured: Measured, changes: dict, technology: str, words: str) -> None:
    found = domain_of(release, replace(measured, **changes), technology)
    assert found.is_out_of_domain
    assert len(found.warnings) == 1
    assert words in found.warnings[0]


@pytest.mark.parametrize(
    ("factor", "words"),
    [(5.0, "mean expression is 5 in log1p units, the model was trained where it was 1"), (0.2, "mean expression is 0.2")],
)
def test_other_values_are_said(release: Release, measured: Measured, factor: float, words: str) -> None:
    found = domain_of(release, replace(measured, expression=measured.expression * np.float32(factor)), None)
    assert words in found.warnings[0]


def test_what_is_not_known_is_no_difference(make_release, measured: Measured) -> None:
    found = domain_of(make_release(), measured, None)
    assert (found.is_out_of_domain, found.gene_overlap) == (False, None)
