"""Fit a network to one section: windows in, the weights of the best validation out, resumable at any moment."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from s2s.errors import InputError
from s2s.imputation.reliability import hidden_error, proven_trust
from s2s.imputation.slide import Imputer, impute_section
from s2s.kriging.folds import Fold, Hidden, hide_in_turn
from s2s.lattice.measured import HeldOut, Measured, without
from s2s.lattice.sampling import lattice_folds, random_folds
from s2s.network import CDCIN
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.going_on import checkpoint_writer, go_on, save, together
from s2s.recipes.run import Run
from s2s.streaming.batches import BatchStream
from s2s.streaming.folds import FoldWindows
from s2s.streaming.photographs import load_pool
from s2s.streaming.prefetch import prefetched
from s2s.streaming.sections import DenseWindows, SampledWindows, WindowSource
from s2s.tracking.tracker import Tracker
from s2s.training.single import Callbacks, Crew, train
from s2s.training.state import TrainState
from s2s.training.step import Device, choose_device
from s2s.training.timing import Phases, Trace, Tracer
from s2s.training.world import World

VALIDATION_GENES = 48
"""Genes a validation looks at, spread evenly over those trained: enough to rank steps, cheap enough to do often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained network and how it came about.

    Attributes:
        imputer: The network with the weights of the best validation, and how far it is trusted.
        known: The section with its samples hidden in turn: the first part chose the step, the others taught.
        steps: Optimiser steps done.
        best_step: Step whose weights these are.
        validation_error: Of that step on hidden observed bins, log1p units, absolute or root mean squared as the loss; None without one.
        device: `cpu` or `cuda`, and the precision.
        losses: `(step, loss)` of the steps of this attempt.
        errors: `(step, validation_error)` of its validations.
        phases: What the time of the loop went to.
        trace: Some of its steps; None unless `profile` asked for it.
    """

    imputer: Imputer
    known: Hidden
    steps: int
    best_step: int
    validation_error: float | None
    device: str
    losses: tuple[tuple[int, float], ...]
    errors: tuple[tuple[int, float], ...]
    phases: Phases
    trace: Trace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a training leaves behind, before anyone asks how far it is to be trusted.

    Attributes:
        state: Its network holds the weights of the best validation; where several workers trained, on the first of them.
        known: As of `Fitted`.
        device: Where and how it computed.
        curves: Losses and errors by step.
        phases: What the time of the loop went to.
        trace: Some of its steps; None unless `profile` asked for it.
    """

    state: TrainState
    known: Hidden
    device: Device
    curves: "Curves"
    phases: Phases
    trace: Trace | None


def fit(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew = Crew()) -> Fitted:
    """Train the network of a run, and find out how far it is to be trusted; for the first worker.

    Args, errors and writes are those of `learn`.
    """
    learnt = learn(run, measured, truth, tracker, crew)
    state, curves = learnt.state, learnt.curves
    return Fitted(
        imputer=replace(_imputer(run, state.network), trust=_trust(run, state.network, measured, learnt.known.folds)),
        known=learnt.known,
        steps=state.step,
        best_step=state.best_step or state.step,
        validation_error=state.best_error if state.best_step else None,
        device=f"{learnt.device.name} {learnt.device.precision}",
        losses=tuple(curves.losses),
        errors=tuple(curves.errors),
        phases=learnt.phases,
        trace=learnt.trace,
    )


def learn(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew) -> Learnt:
    """Train the network of a run, from its checkpoint if there is one.

    Args:
        run: Configuration and inputs.
        measured: What the network may see.
        truth: Only for `sampling.mode: paper`, which leaks it.
        tracker: Gets the curves.
        crew: Who trains.

    Raises:
        InputError: no window fits, `paper` mode on a section without truth, or no checkpoint can be gone on from.
        TrainingError: the loss is not finite.

    Writes:
        Checkpoints of the run, every `training.checkpoint_every_s` seconds and at the end.
    """
    config, run = run.config, together(run, crew.world)
    torch.set_num_threads(max(1, round(config.resources.cpus)))
    device = choose_device(config.training.precision, config.resources.gpus)
    parts = random_folds(measured.observed, config.training.folds, np.random.default_rng([config.seed, 2]))
    known = hide_in_turn(measured, parts, config.network, lambda done, total: run.on_progress("hide samples", done, total))
    network = CDCIN(config.network, torch.Generator().manual_seed(config.seed))
    network.recompute = crew.recompute
    state = crew.start(network, config.training, device)
    go_on(state, run, crew.world)
    stream = BatchStream(
        source=_window_source(run, measured, truth, known.folds),
        photographs=load_pool(run.photographs, config.training.window, config.seed) if run.photographs else None,
        training=config.training,
        expression_scale=config.expression_scale,
        seed=config.seed,
    )
    curves, phases, tracer = Curves(tracker, crew.world, config.training.batch), Phases(), Tracer(device) if config.profile else None

    def told(done: int, total: int, loss: float) -> None:
        if tracer is not None:
            tracer.step()
        run.on_progress("train", done, total, f"loss {loss:.4f}")

    with checkpoint_writer(run) as writer:
        callbacks = Callbacks(
            validate=_validator(run, measured, known.folds[0]) if known.folds else None,
            save=lambda state: save(state, writer, crew.world),
            log=curves.log,
            progress=told,
            phases=phases,
            world=crew.world,
        )
        if crew.world.size > 1 and state.step == 0:
            save(state, writer, crew.world)  # whether there is room for it is found out before hours are spent
            writer.wait()
        with closing(prefetched(crew.world.share(batch) for batch in stream.batches(state.step))) as batches, tracer or nullcontext():
            train(state, batches, config.training, device, callbacks)
    return Learnt(state=state, known=known, device=device, curves=curves, phases=phases, trace=tracer.trace if tracer else None)


class Curves:
    """Passes metrics on to the tracker and keeps the two curves that the figure shows; with each validation also says how fast it goes."""

    def __init__(self, tracker: Tracker, world: World, batch: int) -> None:
        self._tracker, self._world, self._batch = tracker, world, batch
        self._at, self._step = time.monotonic(), 0
        self.losses: list[tuple[int, float]] = []
        self.errors: list[tuple[int, float]] = []

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Take down the metrics of a step; all workers do this."""
        if "validation/error" in metrics:
            metrics = {**metrics, **self._pace(step)}
        self._tracker.metrics(metrics, step)
        for name, curve in (("train/loss", self.losses), ("validation/error", self.errors)):
            if name in metrics:
                curve.append((step, metrics[name]))

    def _pace(self, step: int) -> dict[str, float]:
        now, done = time.monotonic(), step - (self._step or step)
        pace = {"train/windows_per_s": self._batch * done / (now - self._at)} if done else {}
        self._at, self._step = now, step
        if self._world.size == 1:
            return pace
        peaks = self._world.all(own_peak_memory_bytes() / 2**20)
        return pace | {f"workers/{rank}/peak_memory_mb": peak for rank, peak in enumerate(peaks)}


def _window_source(run: Run, measured: Measured, truth: HeldOut | None, folds: Sequence[Fold]) -> WindowSource | FoldWindows:
    """Windows of everything but the first fold, which chooses the best step."""
    config = run.config
    visible = without(measured, folds[0].hidden) if folds else measured
    if config.network.fill == "krige":
        if len(folds) < 2:
            raise InputError(
                f"expected at least 2 observed bins to learn one from the other, got {int(measured.observed.sum())} in {run.section.uri}; "
                "check pitch and phase"
            )
        return FoldWindows(measured, _folds_to_learn(run, visible, folds[1:]), config.expression_scale, config.training)
    if config.sampling.mode == "strict":
        return SampledWindows(visible, config.expression_scale)
    if truth is None:
        raise InputError(f"expected a fully measured section for sampling.mode paper, {run.section.uri} is sparse; use strict")
    return DenseWindows(visible, truth, config.expression_scale)


def _folds_to_learn(run: Run, visible: Measured, others: Sequence[Fold]) -> Sequence[Fold]:
    network = run.config.network
    if run.config.training.hidden == "lattice":
        return hide_in_turn(visible, lattice_folds(visible.observed, visible.stride, visible.phase, visible.lattice), network).folds
    return others


def _validator(run: Run, measured: Measured, fold: Fold) -> Callable[[CDCIN], float]:
    some = np.unique(np.linspace(0, len(measured.genes) - 1, VALIDATION_GENES).round().astype(int))
    asked = replace(measured, expression=measured.expression[some], genes=tuple(measured.genes[i] for i in some))
    seen, fill = without(asked, fold.hidden), None if fold.fill is None else fold.fill[some]

    def validate(network: CDCIN) -> float:
        guess = impute_section(_imputer(run, network), seen, run.config.imputation, fill=fill)
        return hidden_error(guess, asked, fold.hidden, run.config.training.loss)

    return validate


def _imputer(run: Run, network: CDCIN) -> Imputer:
    return Imputer(network=network, expression_scale=run.config.expression_scale)


def _trust(run: Run, network: CDCIN, measured: Measured, folds: Sequence[Fold]) -> float:
    """As configured, or what the fold proves that no step has learnt from."""
    config = run.config
    if config.training.trust is not None:
        return config.training.trust
    if config.network.fill != "krige":
        return 1.0
    fill, hidden = folds[0].fill, folds[0].hidden
    assert fill is not None, "with fill krige every fold was kriged"
    guess = impute_section(_imputer(run, network), without(measured, hidden), config.imputation, fill=fill)
    return proven_trust(guess, fill, measured, hidden)
