"""Training in bfloat16 goes where training in float32 goes: the loss, mean of 20 steps, within one per cent over 200 steps.

At the paper's learning rate, that is. At three times that rate rounding sends so small a network another way: 1.8 % here.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from s2s.contracts.run import NetworkConfig, TrainingConfig
from s2s.network import CDCIN
from s2s.streaming.batches import BatchStream
from s2s.streaming.sections import SampledWindows
from s2s.training.single import new_state
from s2s.training.step import Device, Precision, train_step

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS, SMOOTHED = 200, 20
NETWORK = NetworkConfig(features=8, blocks=1, layers=2, growth=8, window=4, heads=2, cascades=2, fill="copy")
TRAINING = TrainingConfig(window=32, batch=4, learning_rate=1e-4)


def losses(make_measured: Callable, expression: np.ndarray, precision: Precision) -> np.ndarray:
    """Of the same batches, from the same weights."""
    device = Device(name="cpu", precision=precision)
    measured, _ = make_measured(expression)
    state = new_state(CDCIN(NETWORK, torch.Generator().manual_seed(0)), TRAINING, device)
    stream = BatchStream(source=SampledWindows(measured, 10.0), photographs=None, training=TRAINING, expression_scale=10.0, seed=0)
    batches = stream.batches(0)
    return np.array([float(train_step(state.network, state.optimizer, next(batches), TRAINING, device)["loss"]) for _ in range(STEPS)])


def test_the_loss_curve_is_that_of_float32(make_measured: Callable, expression: np.ndarray) -> None:
    exact, rounded = (losses(make_measured, expression, precision) for precision in ("float32", "bfloat16"))
    window = np.ones(SMOOTHED) / SMOOTHED
    smooth_exact, smooth_rounded = (np.convolve(curve, window, "valid") for curve in (exact, rounded))
    assert smooth_exact[-1] < 0.8 * smooth_exact[0], "something was learnt"
    assert np.abs(exact - rounded).max() > 0, "two precisions were compared"
    np.testing.assert_allclose(smooth_rounded, smooth_exact, rtol=0.01)
