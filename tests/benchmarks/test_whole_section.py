"""A whole section by tiles against the authors' scheme, every window anchored on the lattice and the mean of all: seconds and error.

The network has the form of the paper's, smaller, and is trained here for a minute on the sampled bins of a synthetic section; both
schemes use it in float32. Both impute the small section in full, where the error against the truth is taken. On the large one tiles
do everything and the authors' scheme some of its windows, whose number is known: all of them would take hours.
"""

import json
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from s2s.contracts.run import ImputationConfig, NetworkConfig, TrainingConfig
from s2s.contracts.synthetic import SyntheticTissue
from s2s.imputation.slide import Imputer, impute_section
from s2s.ingest.synthetic import make_synthetic
from s2s.lattice.measured import Measured
from s2s.lattice.sampling import sampled_positions
from s2s.network import CDCIN, predict
from s2s.streaming.batches import BatchStream
from s2s.streaming.sections import SampledWindows
from s2s.training.single import new_state
from s2s.training.step import Device, train_step

SIDE, SCALE = 64, 10.0
NETWORK = NetworkConfig(features=16, blocks=2, layers=4, growth=16, window=8, heads=4, cascades=3, fill="copy")
TRAINING = TrainingConfig(window=SIDE, batch=8, max_steps=150, learning_rate=1e-3)
TILES = ImputationConfig(insets=4)
SMALL, LARGE, NUM_GENES = 144, 512, 4
SOME_WINDOWS = 64
"""Of the large section, per gene: enough to time one."""


def section(side: int) -> tuple[Measured, np.ndarray]:
    """What is measured of a synthetic section, and all of it, log1p counts."""
    made, _ = make_synthetic(SyntheticTissue(kind="layers", height=side, width=side, num_genes=NUM_GENES, median_total=20 * NUM_GENES))
    values = np.log1p(made.counts.toarray()).reshape(NUM_GENES, side, side).astype(np.float32)
    observed = made.tissue & sampled_positions((side, side), 2, (0, 0), "square")
    seen = np.where(observed, values, np.float32(np.nan))
    measured = Measured(
        expression=seen, observed=observed, tissue=made.tissue, genes=made.genes, stride=2, phase=(0, 0), pitch_um=25, lattice="square"
    )
    return measured, values


def trained(measured: Measured) -> Imputer:
    """A network that has learnt something from the sampled bins."""
    state = new_state(CDCIN(NETWORK, torch.Generator().manual_seed(0)), TRAINING, Device(name="cpu", precision="float32"))
    stream = BatchStream(source=SampledWindows(measured, SCALE), photographs=None, training=TRAINING, expression_scale=SCALE, seed=0)
    batches = stream.batches(0)
    for _ in range(TRAINING.max_steps):
        train_step(state.network, state.optimizer, next(batches), TRAINING, Device(name="cpu", precision="float32"))
    return Imputer(network=state.network.eval(), expression_scale=SCALE)


def anchors(side: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, side - SIDE + 1, 2) for x in range(0, side - SIDE + 1, 2)]


def by_every_window(imputer: Imputer, measured: Measured, places: list[tuple[int, int]]) -> np.ndarray:
    """The mean over windows of what the network makes of each, gene by gene."""
    values = torch.from_numpy(np.where(measured.observed, measured.expression, np.float32(0)) / np.float32(SCALE))
    observed, tissue = torch.from_numpy(measured.observed), torch.from_numpy(measured.tissue)
    total, count = torch.zeros_like(values), torch.zeros(values.shape[1:])
    shape = (len(values), 1, SIDE, SIDE)
    with torch.inference_mode():
        for y, x in places:
            cut = (slice(y, y + SIDE), slice(x, x + SIDE))
            given, on_tissue = (mask[cut].expand(shape) for mask in (observed, tissue))
            total[:, cut[0], cut[1]] += predict(imputer.network, values[:, None, cut[0], cut[1]], given, on_tissue)[:, 0]
            count[cut] += 1
    mean = (total / count.clamp(min=1)).clamp(min=0).numpy() * np.float32(SCALE)
    return np.where(measured.observed, measured.expression, mean)


def seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


@pytest.mark.timeout(3600)
def test_tiles_against_every_window(benchmark) -> None:
    measured, truth = section(SMALL)
    imputer, hidden = trained(measured), measured.tissue & ~measured.observed
    found: dict[str, float] = {}

    def measure() -> None:
        found["exhaustive, s"], theirs = seconds(lambda: by_every_window(imputer, measured, anchors(SMALL)))
        found["tiles, s"], ours = seconds(lambda: impute_section(imputer, measured, TILES))
        found["exhaustive, MAE"], found["tiles, MAE"] = (float(np.abs(each - truth)[:, hidden].mean()) for each in (theirs, ours))
        copied = np.nan_to_num(measured.expression)[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
        found["copied, MAE"] = float(np.abs(copied - truth)[:, hidden].mean())
        wide, _ = section(LARGE)
        places = anchors(LARGE)
        some = [places[number] for number in np.linspace(0, len(places) - 1, SOME_WINDOWS).astype(int)]
        found["large: exhaustive, s by its windows"] = seconds(lambda: by_every_window(imputer, wide, some))[0] * len(places) / len(some)
        found["large: tiles, s"], _ = seconds(lambda: impute_section(imputer, wide, TILES))

    benchmark.pedantic(measure, rounds=1, iterations=1)
    found["MAE, x exhaustive"] = found["tiles, MAE"] / found["exhaustive, MAE"]
    found["large: x faster"] = found["large: exhaustive, s by its windows"] / found["large: tiles, s"]
    benchmark.extra_info |= {name: round(value, 5) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201
