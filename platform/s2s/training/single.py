"""The loop, on one device or as one of several workers: steps, validations, checkpoints, and the reasons to stop."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from s2s.contracts.run import TrainingConfig
from s2s.errors import PreemptedError, TrainingError
from s2s.network import CDCIN, Batch
from s2s.training.heap import give_back_memory
from s2s.training.state import TrainState
from s2s.training.step import Device, to_device
from s2s.training.timing import Phases
from s2s.training.world import ALONE, World

WARM_UP = 0.05
FINAL_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What a training tells the world, and asks of it.

    Attributes:
        validate: Network -> mean absolute error on held-out observed bins (log1p units); None keeps the last step.
        save: Store the state; called every `checkpoint_every_s` seconds and at the end.
        log: Metrics of a step.
        progress: Steps done, steps at most, and the last loss.
        phases: Learns what the time goes to: `data`, `step`, `validation`, `checkpoint`.
        world: The workers that train together; all are told the same, and all validate and save.
    """

    validate: Callable[[CDCIN], float] | None
    save: Callable[[TrainState], str]
    log: Callable[[dict[str, float], int], None]
    progress: Callable[[int, int, float], None]
    phases: Phases = field(default_factory=Phases)
    world: World = ALONE


def new_state(network: CDCIN, training: TrainingConfig, device: Device) -> TrainState:
    """Put a fresh network on its device beside a fresh Adam."""
    network = network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]
    give_back_memory()
    return TrainState(network=network, optimizer=torch.optim.Adam(network.parameters(), lr=training.learning_rate, betas=training.betas))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who trains a network: this process alone, or as one of several workers.

    Attributes:
        world: Which of them this is.
        start: A fresh network -> its state on a device.
        recompute: See `CDCIN`.
    """

    world: World = ALONE
    start: Callable[[CDCIN, TrainingConfig, Device], TrainState] = new_state
    recompute: bool = False


def train(state: TrainState, batches: Iterator[Batch], training: TrainingConfig, device: Device, callbacks: Callbacks) -> TrainState:
    """Optimise until the last step, the time limit, or until validations stop improving; then load the best weights.

    Args:
        state: Fresh, or restored from a checkpoint.
        batches: Those of steps `state.step`, `state.step + 1`, ...
        training: How long, how fast, when to stop.
        device: Where to compute.
        callbacks: See there.

    Returns:
        `state`, its network holding the weights of the best validation.

    Raises:
        TrainingError: the loss is not finite; names the step and the last good checkpoint.
        PreemptedError: whoever is told the progress asks to stop; the state is saved.
    """
    world, phases = callbacks.world, callbacks.phases
    clock = _Clock(world, spent=state.seconds)
    checkpoint, saved_at = f"the one it continued from, of step {state.step}" if state.step else "none", clock.seconds()
    while state.step < training.max_steps and not _is_over(state, training, clock):
        _set_rate(state, training)
        state.network.train()
        with phases.of("data"):
            batch = to_device(next(batches), device)
        with phases.of("step"):
            losses = {name: float(value) for name, value in state.update(batch, training, device).items()}
        if not all(math.isfinite(losses[name]) for name in ("loss", "gradient_norm")):
            raise TrainingError(
                f"expected a finite loss and gradient, got {losses['loss']} and {losses['gradient_norm']} at step {state.step + 1}"
                f"{state.whose()}; last good checkpoint: {checkpoint}. "
                "Lower training.learning_rate, set training.clip_norm, or set training.precision to float32, then train again: "
                "with other settings it is another run and starts anew"
            )
        state.step += 1
        callbacks.log({f"train/{name}": value for name, value in losses.items()}, state.step)
        if callbacks.validate is not None and (state.step % training.validate_every == 0 or state.step == training.max_steps):
            with phases.of("validation"):
                error = world.agree(callbacks.validate(state.network))
                state.keep_best(error)
            callbacks.log({"validation/error": error}, state.step)
        state.seconds = clock.seconds()
        if (preempted := _told(callbacks, state, training, losses["loss"])) is not None:
            callbacks.save(state)
            raise preempted
        if state.seconds - saved_at >= training.checkpoint_every_s:
            with phases.of("checkpoint"):
                checkpoint, saved_at = callbacks.save(state), clock.seconds()
    with phases.of("checkpoint"):
        callbacks.save(state)
    state.finish()
    return state


def _told(callbacks: Callbacks, state: TrainState, training: TrainingConfig, loss: float) -> PreemptedError | None:
    """Tell the progress; give why to stop, where one of the workers has a reason."""
    found: PreemptedError | None = None
    try:
        callbacks.progress(state.step, training.max_steps, loss)
    except PreemptedError as error:
        found = error
    if callbacks.world.any(found is not None):
        return found or PreemptedError("the machine of another worker is being taken back")
    return None


class _Clock:
    def __init__(self, world: World, *, spent: float) -> None:
        self._world = world
        self._start = time.monotonic() - spent

    def seconds(self) -> float:
        return self._world.agree(time.monotonic() - self._start)


def _is_over(state: TrainState, training: TrainingConfig, clock: _Clock) -> bool:
    is_late = training.max_minutes is not None and clock.seconds() > 60 * training.max_minutes
    is_stale = training.patience is not None and state.stale >= training.patience
    return is_late or is_stale


def _set_rate(state: TrainState, training: TrainingConfig) -> None:
    rate = training.learning_rate
    if training.schedule == "cosine":
        warm_up = max(1, round(WARM_UP * training.max_steps))
        done = max(0.0, (state.step - warm_up) / max(1, training.max_steps - warm_up))
        cosine = FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        rate *= min(1.0, (state.step + 1) / warm_up) * cosine
    for group in state.optimizer.param_groups:
        group["lr"] = rate
