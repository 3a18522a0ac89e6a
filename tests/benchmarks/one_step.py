"""In a process of its own: what one training step of preset `paper` takes, ours or the paper's written out plainly.

    cd tests && python -m benchmarks.one_step ours 16 cpu
    cd tests && python -m benchmarks.one_step reference 2 cpu

Says seconds of a step, after a smaller one that warmed everything up, and the most memory that network and steps took; JSON.
"""

import json
import sys
import time

import numpy as np
import torch

from numerics.reference_step import reference_step
from s2s.contracts.loading import read_preset
from s2s.contracts.run import NetworkConfig, TrainingConfig
from s2s.lattice.measured import Measured
from s2s.lattice.sampling import sampled_positions
from s2s.network import CDCIN, Batch
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.streaming.batches import BatchStream
from s2s.streaming.photographs import PhotographPool
from s2s.streaming.sections import SampledWindows
from s2s.training.single import new_state
from s2s.training.step import choose_device, to_device, train_step

SHAPE, NUM_GENES = (192, 192), 8


def batch_of(training: TrainingConfig) -> Batch:
    """All four terms of a synthetic section and photographs of noise."""
    rng = np.random.default_rng(0)
    tissue = np.ones(SHAPE, np.bool_)
    observed = sampled_positions(SHAPE, 2, (0, 0), "square")
    values = rng.gamma(2.0, 0.5, (NUM_GENES, *SHAPE)).astype(np.float32)
    measured = Measured(
        expression=np.where(observed, values, np.float32(np.nan)),
        observed=observed,
        tissue=tissue,
        genes=tuple(map(str, range(NUM_GENES))),
        stride=2,
        phase=(0, 0),
        pitch_um=25,
        lattice="square",
    )
    pool = PhotographPool(tiles=rng.random((4, 128, 128), np.float32))
    stream = BatchStream(source=SampledWindows(measured, 10.0), photographs=pool, training=training, expression_scale=10.0, seed=0)
    return next(stream.batches(0))


def main(which: str, num_windows: int, device_name: str) -> None:
    """Time one step."""
    preset = read_preset("paper")
    training = TrainingConfig.model_validate(preset["training"])
    device = choose_device("float32" if which == "reference" else "auto", float(device_name == "cuda"))
    large, small = (to_device(batch_of(training.model_copy(update={"batch": size})), device) for size in (num_windows, 1))
    before = own_peak_memory_bytes()
    state = new_state(CDCIN(NetworkConfig.model_validate(preset["network"]), torch.Generator().manual_seed(0)), training, device)
    if which == "reference":
        state.network.to(memory_format=torch.contiguous_format)

    def step(batch: Batch) -> None:
        if which == "reference":
            with torch.device(device.name):
                reference_step(state.network, state.optimizer, batch, training)
        else:
            train_step(state.network, state.optimizer, batch, training, device)
        if device.name == "cuda":
            torch.cuda.synchronize()

    step(small)
    started = time.perf_counter()
    step(large)
    said = {"s": time.perf_counter() - started, "precision": device.precision, "threads": torch.get_num_threads()}
    if device.name == "cuda":
        said["peak"] = torch.cuda.max_memory_allocated()
    else:
        said["peak"] = own_peak_memory_bytes() - before
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
