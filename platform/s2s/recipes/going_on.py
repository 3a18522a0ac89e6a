"""Where a training goes on: the workers of a run agree on its folder and on the checkpoint, and keep new ones there."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from s2s.contracts.ledger import Lease
from s2s.errors import InputError
from s2s.recipes.run import Run
from s2s.storage.parts import Checkpoint, CheckpointWriter, find_checkpoints
from s2s.training.state import Scalars, TrainState
from s2s.training.world import World

logger = logging.getLogger(__name__)


def together(run: Run, world: World) -> Run:
    """Let all workers work in the folder of the first."""
    told = world.tell(run.lease.model_dump_json() if run.lease else "")
    return replace(run, lease=Lease.model_validate_json(told)) if told else run


def checkpoint_writer(run: Run) -> CheckpointWriter:
    """Open the folder of a run's checkpoints."""
    return CheckpointWriter(run.checkpoints[0], run.settings, keep=run.config.training.keep_checkpoints)


def save(state: TrainState, writer: CheckpointWriter, world: World) -> str:
    """Write this worker's parts of a checkpoint; all workers do this.

    Returns:
        Where the first part lies.

    Raises:
        StorageError: a part could not be stored.
    """
    num_parts = len(state.parts())
    checkpoint = writer.at(state.step, num_parts)
    for part in range(num_parts):
        tensors = state.tensors(part)
        if part % world.size == world.rank:
            writer.write(checkpoint, part, tensors, state.scalars())
    return checkpoint.uri(0)


def go_on(state: TrainState, run: Run, world: World) -> None:
    """Put a training back where its newest checkpoint was, whatever number of workers wrote it; nothing where there is none.

    A damaged checkpoint is passed over for the one before it.

    Args:
        state: Fresh; changed in place.
        run: With its lease.
        world: The workers, who all do this.

    Raises:
        InputError: none of the checkpoints can be gone on from.
    """
    waiting = _checkpoints(run, world)
    while waiting:
        checkpoint = waiting.pop(0)
        try:
            state.restore(_tensors(checkpoint, run))
        except InputError as error:
            if not waiting:
                raise
            logger.warning("%s; the training goes on from the checkpoint before it, of step %d", error, waiting[0].step)
        else:
            return


def _checkpoints(run: Run, world: World) -> list[Checkpoint]:
    """All there are, this attempt's first; of several workers the first decides, for what they see may differ."""
    found = [checkpoint for folder in run.checkpoints for checkpoint in find_checkpoints(folder, run.settings)] if world.rank == 0 else []
    told = json.loads(world.tell(json.dumps([(each.step, each.num_parts, each.folder) for each in found])))
    return [Checkpoint(step=step, num_parts=num_parts, folder=folder) for step, num_parts, folder in told]


def _tensors(checkpoint: Checkpoint, run: Run) -> Iterator[tuple[Mapping[str, Tensor], Scalars]]:
    for arrays, scalars in checkpoint.parts(run.settings):
        yield {name: torch.from_numpy(array) for name, array in arrays.items()}, scalars
