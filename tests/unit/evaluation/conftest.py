"""Small sections for the tests of evaluation."""

from collections.abc import Callable

import numpy as np
import pytest

from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.normalise import log1p_normalise, median_total
from s2s.lattice.sampling import sampled_positions

NAN = np.float32(np.nan)
Split = Callable[..., tuple[Measured, HeldOut]]


def _split(expression, *, tissue=None, stride=2, phase=(0, 0), observed=None, genes=None, lattice="square"):
    """Split a fully known map `(gene, y, x)` into what is measured and what is held out."""
    expression = np.asarray(expression, np.float32)
    tissue = np.ones(expression.shape[1:], bool) if tissue is None else np.asarray(tissue, bool)
    observed = tissue & (sampled_positions(tissue.shape, stride, phase, lattice) if observed is None else np.asarray(observed, bool))
    held = tissue & ~observed
    measured = Measured(
        expression=np.where(observed, expression, NAN),
        observed=observed,
        tissue=tissue,
        genes=tuple(genes or (f"G{i}" for i in range(len(expression)))),
        stride=stride,
        phase=phase,
        pitch_um=25.0,
        lattice=lattice,
    )
    return measured, HeldOut(expression=np.where(held, expression, NAN), positions=held)


def _split_counts(counts, *, pitch_um=25.0, phase=(0, 0), genes=None, min_detected=0.05, lattice="square"):
    """The protocol's steps 1 to 4 from binned counts."""
    totals = counts.sum(axis=0)
    tissue = totals >= 1
    observed = tissue & sampled_positions(totals.shape, 2, phase, lattice)
    kept = (counts[:, observed] > 0).mean(axis=1) >= min_detected
    expression = log1p_normalise(counts, totals, median_total(totals, observed))[kept]
    names = genes if genes is not None else [f"G{i}" for i in range(len(counts))]
    chosen = [name for name, keep in zip(names, kept, strict=True) if keep]
    return _split(expression, tissue=tissue, phase=phase, genes=chosen, lattice=lattice)


@pytest.fixture
def split() -> Split:
    return _split


@pytest.fixture
def split_counts() -> Split:
    return _split_counts


@pytest.fixture
def counts() -> np.ndarray:
    """Three spatial genes and one that is nowhere, on a disc of tissue."""
    y, x = np.mgrid[:17, :23]
    rate = np.stack([4 + y / 2, 6 + 3 * np.sin(x / 3), 1 + 5.0 * ((y - 8) ** 2 + (x - 8) ** 2 < 20), 0 * x])
    return np.random.default_rng(5).poisson(rate) * ((y - 8) ** 2 + (x - 11) ** 2 < 95)
