"""Windows of a kriged section: what goes in, what is asked back, and sections smaller than a window."""

import numpy as np
import pytest

from s2s.contracts.run import NetworkConfig, TrainingConfig
from s2s.kriging.folds import hide_in_turn
from s2s.lattice.measured import Measured
from s2s.lattice.sampling import random_folds, sampled_positions
from s2s.streaming.folds import FoldWindows

SCALE = 10.0


def section(shape=(20, 24), lattice="square", tissue=None):
    tissue = np.ones(shape, bool) if tissue is None else tissue
    observed = tissue & sampled_positions(shape, 2, (0, 0), lattice)
    values = np.random.default_rng(0).gamma(2.0, 1.0, (3, *shape)).astype(np.float32)
    return Measured(
        expression=np.where(observed, values, np.float32(np.nan)), observed=observed, tissue=tissue, genes=("A", "B", "C"),
        stride=2, phase=(0, 0), pitch_um=25, lattice=lattice,
    )  # fmt: skip


def windows_of(measured, window=8):
    folds = random_folds(measured.observed, 3, np.random.default_rng(1))
    known = hide_in_turn(measured, folds, NetworkConfig(fill="krige"))
    return FoldWindows(measured, known.folds, SCALE, TrainingConfig(window=window)), known


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_hidden_samples_are_asked_back_and_not_given(lattice):
    measured = section(lattice=lattice)
    windows, _ = windows_of(measured)
    term = windows.term(np.random.default_rng(2), 32)
    assert term.sparse.shape == (32, 1, 8, 8)
    assert term.start is not None
    assert not (term.observed & term.scored).any()
    assert term.scored.any(dim=0).any()
    known = set(np.unique(measured.expression[:, measured.observed] / SCALE).tolist())
    assert set(np.unique(term.sparse[term.observed].numpy()).tolist()) <= known
    assert set(np.unique(term.target[term.scored].numpy()).tolist()) <= known
    assert not term.sparse[~term.observed].any()
    # The fill was kriged without the hidden samples: it does not hold them, and does hold those that were given.
    assert (term.start[term.observed] == term.sparse[term.observed]).all()
    assert (term.start[term.scored] != term.target[term.scored]).any()


def test_the_same_seed_draws_the_same_windows():
    windows, _ = windows_of(section())
    first, second = (windows.term(np.random.default_rng(5), 4) for _ in range(2))
    np.testing.assert_array_equal(first.target.numpy(), second.target.numpy())


def test_a_section_smaller_than_a_window_is_framed():
    windows, _ = windows_of(section(shape=(5, 6)), window=16)
    term = windows.term(np.random.default_rng(2), 8)
    assert term.sparse.shape == (8, 1, 16, 16)
    assert term.tissue.sum(dim=(1, 2, 3)).tolist() == [30] * 8
    assert not term.scored[~term.tissue].any()


def test_sparse_tissue_is_looked_at_where_there_is_most_of_it():
    tissue = np.zeros((40, 40), bool)
    tissue[2:7, 30:36] = True
    windows, _ = windows_of(section(shape=(40, 40), tissue=tissue), window=16)
    term = windows.term(np.random.default_rng(2), 16)
    assert term.tissue.sum(dim=(1, 2, 3)).min() >= 0.9 * tissue.sum()
