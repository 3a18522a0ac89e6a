"""Fit a network to one section: windows in, the weights of the best validation out, resumable at any moment."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64

from s2s.errors import InputError
from s2s.imputation.reliability import gene_reliability, hidden_error
from s2s.imputation.slide import impute_section
from s2s.lattice.measured import HeldOut, Measured, without
from s2s.lattice.sampling import choose_positions
from s2s.network import CDCIN
from s2s.recipes.run import Run
from s2s.storage.checkpoints import read_checkpoint, write_checkpoint
from s2s.streaming.batches import BatchStream
from s2s.streaming.photographs import load_pool
from s2s.streaming.sections import DenseWindows, SampledWindows, WindowSource
from s2s.tracking.tracker import Tracker
from s2s.training.single import Callbacks, new_state, train
from s2s.training.state import TrainState
from s2s.training.step import choose_device

VALIDATION_GENES = 48
"""Genes a validation looks at, spread evenly over those trained: enough to rank steps, cheap enough to do often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained network and how it came about.

    Attributes:
        network: With the weights of the best validation.
        steps: Optimiser steps done.
        best_step: Step whose weights these are.
        validation_mae: On hidden observed bins, log1p units; None without validation.
        reliability: Pearson correlation per gene on the same bins; NaN without validation.
        peak_memory_bytes: Of this process so far.
        device: `cpu` or `cuda`, and the precision.
        losses: `(step, loss)` of the steps of this attempt.
        errors: `(step, validation_mae)` of its validations.
    """

    network: CDCIN
    steps: int
    best_step: int
    validation_mae: float | None
    reliability: Float64[np.ndarray, " gene"]
    peak_memory_bytes: int
    device: str
    losses: tuple[tuple[int, float], ...]
    errors: tuple[tuple[int, float], ...]


def fit(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker) -> Fitted:
    """Train the network of a run, from its checkpoint if there is one.

    Args:
        run: Configuration and inputs.
        measured: What the network may see.
        truth: Only for `sampling.mode: paper`, which leaks it.
        tracker: Gets the curves.

    Raises:
        InputError: no window fits, or `paper` mode on a section without truth.
        TrainingError: the loss is not finite.

    Writes:
        The checkpoint of the run, every `training.checkpoint_every_s` seconds and at the end.
    """
    config = run.config
    torch.set_num_threads(max(1, round(config.resources.cpus)))
    device = choose_device(config.training.precision, config.resources.gpus)
    hidden = choose_positions(measured.observed, config.training.validation_fraction, np.random.default_rng([config.seed, 2]))
    visible = without(measured, hidden)
    state = new_state(CDCIN(config.network, torch.Generator().manual_seed(config.seed)), config.training, device)
    if (saved := read_checkpoint(run.checkpoint, run.settings)) is not None:
        tensors, scalars = saved
        state.restore({name: torch.from_numpy(array) for name, array in tensors.items()}, scalars)
    stream = BatchStream(
        source=_window_source(run, visible, truth),
        photographs=load_pool(run.photographs, config.training.window, config.seed) if run.photographs else None,
        training=config.training,
        expression_scale=config.expression_scale,
        seed=config.seed,
    )
    curves = _Curves(tracker)
    callbacks = Callbacks(
        validate=_validator(run, measured, visible, hidden) if hidden.any() else None,
        save=lambda state: _save(run, state),
        log=curves.log,
        progress=lambda done, total, loss: run.on_progress("train", done, total, f"loss {loss:.4f}"),
    )
    train(state, stream.batches(state.step), config.training, device, callbacks)
    guess = impute_section(state.network, visible, config.expression_scale, config.imputation)
    return Fitted(
        network=state.network,
        steps=state.step,
        best_step=state.best_step or state.step,
        validation_mae=hidden_error(guess, measured, hidden) if hidden.any() else None,
        reliability=gene_reliability(guess, measured, hidden),
        peak_memory_bytes=peak_memory_bytes(),
        device=f"{device.name} {device.precision}",
        losses=tuple(curves.losses),
        errors=tuple(curves.errors),
    )


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class _Curves:
    """Passes metrics on to the tracker and keeps the two curves that the figure shows."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.losses: list[tuple[int, float]] = []
        self.errors: list[tuple[int, float]] = []

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._tracker.metrics(metrics, step)
        for name, curve in (("train/loss", self.losses), ("validation/mae", self.errors)):
            if name in metrics:
                curve.append((step, metrics[name]))


def _window_source(run: Run, visible: Measured, truth: HeldOut | None) -> WindowSource:
    if run.config.sampling.mode == "strict":
        return SampledWindows(visible, run.config.expression_scale)
    if truth is None:
        raise InputError(f"expected a fully measured section for sampling.mode paper, {run.section.uri} is sparse; use strict")
    return DenseWindows(visible, truth, run.config.expression_scale)


def _validator(run: Run, measured: Measured, visible: Measured, hidden: np.ndarray) -> Callable[[CDCIN], float]:
    some = np.unique(np.linspace(0, len(measured.genes) - 1, VALIDATION_GENES).round().astype(int))
    seen, asked = (
        replace(part, expression=part.expression[some], genes=tuple(part.genes[i] for i in some)) for part in (visible, measured)
    )

    def validate(network: CDCIN) -> float:
        guess = impute_section(network, seen, run.config.expression_scale, run.config.imputation)
        return hidden_error(guess, asked, hidden)

    return validate


def _save(run: Run, state: TrainState) -> str:
    write_checkpoint(run.checkpoint, state.tensors(), state.scalars(), run.settings)
    return run.checkpoint
