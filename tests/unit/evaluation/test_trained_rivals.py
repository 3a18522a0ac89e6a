"""What holds for rivals that are trained: they learn, they stop in time, and a section that teaches nothing leaves them untrained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from s2s.evaluation.baselines.constant import Mean
from s2s.evaluation.baselines.coordinate_network import CoordinateNetwork
from s2s.evaluation.baselines.deep_image_prior import DeepImagePrior
from s2s.evaluation.baselines.dist_cnn import DistCNN
from s2s.evaluation.baselines.training import Schedule, fit, standardise

QUICK = Schedule(max_steps=80, check_every=10, patience=8, learning_rate=2e-3, averaging=0.8)
RIVALS = [
    pytest.param(CoordinateNetwork(num_features=16, width=32, schedule=QUICK), 0.4, id="coordinate_network"),
    # Untrained it is a Gaussian average already, so there is less to gain.
    pytest.param(DistCNN(width=8, layers=3, schedule=replace(QUICK, learning_rate=5e-3)), 0.9, id="dist_cnn"),
    pytest.param(DeepImagePrior(width=16, levels=2, schedule=QUICK), 0.4, id="deep_image_prior"),
]


class Slope:
    """A task of one number, whose error at hidden bins is smallest once that number has passed `best`."""

    def __init__(self, best):
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.best = best

    def loss(self):
        return -self.network.weight.sum()

    def error(self, network, truth, hidden):
        return abs(float(next(network.parameters())) - self.best)


def fit_slope(measured, best, **schedule):
    steps = Schedule(**{"max_steps": 100, "check_every": 1, "learning_rate": 0.01, "weight_decay": 0.0, "averaging": 0.0, **schedule})
    _, network = fit(lambda seen, standard: Slope(best), measured, standardise(measured, power=0), steps, seed=0)
    return float(next(network.parameters()).detach())


@pytest.mark.parametrize(("rival", "share"), RIVALS)
def test_it_learns_straight_edges(split, rival, share):
    # An edge looks alike at every scale, which is what a network trained on the sparser lattice relies on.
    y, x = np.mgrid[:32, :34]
    truth = 2.0 + 3 * np.stack([y > 14, x > 18, x + y > 30, x - y > 3])
    measured, held_out = split(truth + 0.1 * np.random.default_rng(1).normal(size=truth.shape))
    held = held_out.positions
    untrained = replace(rival, schedule=replace(QUICK, max_steps=0))
    error, floor = (np.square(method.impute(measured) - truth)[:, held].mean() for method in (rival, untrained))
    assert error < share * floor


def test_training_stops_where_hidden_bins_are_best(split):
    measured, _ = split(np.random.default_rng(2).random((1, 12, 12)))
    # AdamW moves by its learning rate while the gradient is constant: 0.01 a step, so step 20 is the best of 100.
    assert fit_slope(measured, best=0.2) == pytest.approx(0.2, abs=1e-4)
    assert fit_slope(measured, best=9.0, max_steps=30) == pytest.approx(0.3, abs=1e-4)
    assert fit_slope(measured, best=-1.0) == 0


def test_a_single_bin_trains_nothing(split):
    measured, _ = split(np.ones((1, 2, 2)))
    assert fit_slope(measured, best=0.2) == 0


def test_training_sees_no_hidden_bin_but_ends_on_all(split):
    seen_bins = []

    def make(seen, standard):
        seen_bins.append((seen.observed, standard.deviations))
        return Slope(0.05)

    measured, _ = split(np.random.default_rng(3).random((2, 20, 20)))
    fit(make, measured, standardise(measured, power=0), QUICK, seed=0)
    (first, values), (last, _) = seen_bins
    assert first.sum() == 90
    assert not values[:, ~first].any()
    assert np.array_equal(last, measured.observed)


@pytest.mark.parametrize(("power", "scales"), [pytest.param(1, (1, 7), id="equal-spreads"), pytest.param(0, (5, 5), id="spreads-kept")])
def test_standardised_by_hand(split, power, scales):
    # Spreads 1 and 7, whose root mean square is 5; the third gene is constant.
    measured, _ = split([[[1, 0, 3]], [[7, 0, 21]], [[4, 0, 4]]])
    standard = standardise(measured, power=power)
    assert standard.scale == pytest.approx([*scales, 0])
    assert standard.deviations[:, 0, 0] == pytest.approx([-1 / scales[0], -7 / scales[1], 0])
    assert not standard.deviations[:, 0, 1].any()
    restored = standard.restore(standard.deviations + np.float32(1))
    assert restored[:, 0, 0] == pytest.approx([1 + scales[0], 7 + scales[1], 4])
    assert not standard.restore(np.full_like(standard.deviations, -9))[:2].any()


def test_an_untrained_rival_is_the_mean_or_a_smoother(split):
    measured, _ = split(np.random.default_rng(4).random((2, 16, 16)))
    still = Schedule(max_steps=0, check_every=1)
    mean = Mean().impute(measured)
    for rival in (CoordinateNetwork(schedule=still), DeepImagePrior(schedule=still)):
        assert rival.impute(measured) == pytest.approx(mean, abs=1e-6)
    smoothed = DistCNN(schedule=still).impute(measured)
    assert 0 < np.abs(smoothed - mean).max() < 0.5
    assert torch.is_grad_enabled()
