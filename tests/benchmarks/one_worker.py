"""One of the workers of a training on random windows, as a process: what it takes at most, in bytes beyond what the libraries take.

    cd tests && python -m benchmarks.one_worker RANK SIZE PORT STRATEGY RECOMPUTE < network and training as JSON

Linux alone: the kernel's mark of the peak is set back once the libraries are loaded. The first worker says, as JSON, its peak, that of
writing a checkpoint, and the seconds of a step.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

from s2s.contracts.loading import read_deepspeed
from s2s.contracts.run import NetworkConfig, TrainingConfig
from s2s.contracts.settings import Settings
from s2s.network import CDCIN, TermBatch
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.going_on import save
from s2s.storage.parts import CheckpointWriter
from s2s.training.sharded import shard
from s2s.training.single import new_state
from s2s.training.state import TrainState
from s2s.training.step import Device
from s2s.training.world import World

CPU = Device(name="cpu", precision="float32")
STEPS = 2


def make_batch(training: TrainingConfig, step: int) -> dict[str, TermBatch]:
    generator = torch.Generator().manual_seed(step)
    values = torch.rand(training.batch, 1, training.window, training.window, generator=generator)
    observed = torch.zeros_like(values, dtype=torch.bool)
    observed[..., ::2, ::2] = True
    tissue = torch.ones_like(observed)
    return {
        "sparse_to_dense": TermBatch(
            sparse=values * observed, observed=observed, tissue=tissue, target=values, scored=tissue, loss_scale=10.0
        )
    }


def begin(network: CDCIN, training: TrainingConfig, strategy: str, world: World) -> TrainState:
    if strategy == "single":
        return new_state(network, training, CPU)
    return shard(network, training, CPU, options=read_deepspeed(strategy), world=world)  # type: ignore[arg-type]


def start_again() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main(rank: str, size: str, port: str, strategy: str, recompute: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=rank, WORLD_SIZE=size, LOCAL_RANK=rank)
    dist.init_process_group("gloo")
    world, given = World(rank=int(rank), size=int(size)), json.load(sys.stdin)
    network, training = NetworkConfig(**given["network"]), TrainingConfig(**given["training"])
    small = CDCIN(NetworkConfig(features=4, blocks=1, layers=1, growth=4, cascades=1, heads=2))
    warm = begin(small, training, strategy, world)
    warm.update(world.share(make_batch(training, 0)), training, CPU)
    del small, warm
    start_again()
    before = own_peak_memory_bytes()
    large = CDCIN(network, torch.Generator().manual_seed(0))
    large.recompute = recompute == "yes"
    state = begin(large, training, strategy, world)
    del large
    for step in range(STEPS):
        batch, started = world.share(make_batch(training, step)), time.perf_counter()
        state.update(batch, training, CPU)
        seconds = time.perf_counter() - started
        state.step += 1
        state.keep_best(1.0 / state.step)
    peak = own_peak_memory_bytes() - before
    start_again()
    with tempfile.TemporaryDirectory() as folder, CheckpointWriter(folder, Settings(), keep=1) as writer:
        save(state, writer, world)
    if world.rank == 0:
        said = {"peak": peak, "peak of a checkpoint": own_peak_memory_bytes() - before, "s": seconds}
        sys.stdout.write(json.dumps(said) + "\n")
    dist.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
