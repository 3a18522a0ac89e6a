"""One of the workers of a training by DeepSpeed, as a process: `python -m numerics.sharded_worker RANK SIZE PORT ANSWER`, jobs on stdin.

A job is JSON: `stage` of ZeRO (null: the plain loop's state), `steps` to go to, folders to `resume` from and to `save` to at MIDDLE, and
`recompute`. The first worker writes, as JSON, for each job the losses of its steps and the error on a further batch of the network that is
left, evaluated plainly.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from s2s.contracts.run import NetworkConfig, TrainingConfig
from s2s.contracts.settings import Settings
from s2s.contracts.sharding import DeepSpeedConfig
from s2s.network import CDCIN, TermBatch
from s2s.recipes.going_on import save
from s2s.storage.parts import CheckpointWriter, find_checkpoints
from s2s.training import state as saved
from s2s.training.single import new_state
from s2s.training.state import TrainState
from s2s.training.step import Device
from s2s.training.world import World

NETWORK = NetworkConfig(features=4, blocks=1, layers=1, growth=4, cascades=2, heads=2)
TRAINING = TrainingConfig(batch=4, window=16, pass_bins=512, clip_norm=0.5)
"""Two passes a step on one worker; nearly every step is clipped."""

BEST, MIDDLE = 2, 40
"""Steps of the only validation, and of the checkpoint."""

CPU = Device(name="cpu", precision="float32")
SETTINGS = Settings()


def make_batch(step: int) -> dict[str, TermBatch]:
    generator = torch.Generator().manual_seed(step)
    values = torch.rand(4, 1, 16, 16, generator=generator)
    observed = torch.zeros(4, 1, 16, 16, dtype=torch.bool)
    observed[..., ::2, ::2] = True
    tissue = torch.ones_like(observed)
    term = TermBatch(sparse=values * observed, observed=observed, tissue=tissue, target=values, scored=tissue, loss_scale=10.0)
    return {"sparse_to_dense": term, "photo_sparse_to_dense": replace(term, loss_scale=1.0)}


def start(job: dict[str, object], world: World) -> TrainState:
    network = CDCIN(NETWORK, torch.Generator().manual_seed(0))
    network.recompute = bool(job.get("recompute"))
    if job["stage"] is None:
        return new_state(network, TRAINING, CPU)
    from s2s.training.sharded import shard  # noqa: PLC0415 - it takes seconds

    options = DeepSpeedConfig.model_validate({"zero_optimization": {"stage": job["stage"]}})
    return shard(network, TRAINING, CPU, options=options, world=world)


def restore(state: TrainState, folder: str) -> None:
    found = find_checkpoints(folder, SETTINGS)[0]
    state.restore(({name: torch.from_numpy(array) for name, array in arrays.items()}, scalars) for arrays, scalars in found.parts(SETTINGS))


def work(job: dict[str, object], world: World) -> dict[str, object]:
    state, losses, norms = start(job, world), [], []
    if job.get("resume"):
        restore(state, str(job["resume"]))
    while state.step < int(job["steps"]):
        state.network.train()
        said = state.update(world.share(make_batch(state.step)), TRAINING, CPU)
        losses.append(float(said["loss"]))
        norms.append(float(said["gradient_norm"]))
        state.step += 1
        if state.step == BEST:
            state.keep_best(0.5)
        if job.get("save") and state.step == MIDDLE:
            with CheckpointWriter(str(job["save"]), SETTINGS, keep=1) as writer:
                save(state, writer, world)
    state.finish()
    if world.rank:
        return {}
    term = make_batch(1000)["sparse_to_dense"]
    with torch.no_grad():
        left = state.network.eval()(term.sparse, term.observed, term.tissue)[-1]
    return {
        "losses": losses,
        "norms": norms,
        "left": float((left - term.target).abs().mean()),
        "plain": type(state.network) is CDCIN,
    }


def main(rank: str, size: str, port: str, answer: str) -> None:
    torch.set_num_threads(1)
    saved.PART_BYTES = 4096  # so that every worker writes some parts
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=rank, WORLD_SIZE=size, LOCAL_RANK=rank)
    dist.init_process_group("gloo")
    world = World(rank=int(rank), size=int(size))
    said = [work(job, world) for job in json.load(sys.stdin)]
    if rank == "0":
        Path(answer).write_text(json.dumps(said), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
