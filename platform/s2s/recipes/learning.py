"""Learn from one section: windows in, the weights of the best validation out, resumable at any moment.

What is taught (`Lessons`) is apart from who learns it, so that one network, workers that share one, and many networks side by side go
through the same loop.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from s2s.errors import InputError
from s2s.imputation.reliability import hidden_error, proven_trust
from s2s.imputation.slide import Imputer, impute_section
from s2s.kriging.folds import Fold, Hidden, hide_in_turn
from s2s.lattice.measured import HeldOut, Measured, without
from s2s.lattice.sampling import lattice_folds, random_folds
from s2s.network import CDCIN, Batch
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.going_on import checkpoint_writer, go_on, save, together
from s2s.recipes.run import Run
from s2s.streaming.batches import BatchStream
from s2s.streaming.folds import FoldWindows
from s2s.streaming.photographs import PhotographPool, load_pool
from s2s.streaming.prefetch import prefetched
from s2s.streaming.sections import DenseWindows, SampledWindows, WindowSource
from s2s.tracking.tracker import Tracker
from s2s.training.single import Callbacks, Crew, train
from s2s.training.state import TrainState
from s2s.training.step import Device, choose_device
from s2s.training.timing import Phases, Tracer
from s2s.training.world import ALONE, World

VALIDATION_GENES = 48
"""Genes a validation looks at, spread evenly over those trained: enough to rank steps, cheap enough to do often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What a network is taught of a section.

    Attributes:
        known: The section with its samples hidden in turn: the first part chooses the step, the others teach.
        batches: First step -> batches of that step and the next, without end.
        validate: Network -> error on the first part, log1p units; None where no part could be hidden.
    """

    known: Hidden
    batches: Callable[[int], Iterator[Batch]]
    validate: Callable[[CDCIN], float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Where a training is, and what is written down of it while it goes on.

    Attributes:
        device: Where and how it computes.
        curves: Losses and errors by step.
        tracer: Of some steps, where `profile` asked for it.
        phases: What the time of the loop goes to.
    """

    device: Device
    curves: "Curves"
    tracer: Tracer | None
    phases: Phases = field(default_factory=Phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a training leaves behind, before anyone asks how far it is to be trusted.

    Attributes:
        state: Its network holds the weights of the best validation; where several workers trained, on the first of them.
        known: As of `Lessons`.
        watch: What was written down.
    """

    state: TrainState
    known: Hidden
    watch: Watch


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
    device = take_device(run)
    lessons = lessons_of(run, measured, truth, load_photographs(run))
    network = new_network(run)
    network.recompute = crew.recompute
    state = crew.start(network, config.training, device)
    curves = Curves(tracker, crew.world, config.training.batch)
    watch = Watch(device=device, curves=curves, tracer=Tracer(device) if config.profile else None)
    study(run, state, lessons, watch, crew.world)
    return Learnt(state=state, known=lessons.known, watch=watch)


def take_device(run: Run) -> Device:
    """Choose where a run computes, on as many threads as it asked for."""
    torch.set_num_threads(max(1, round(run.config.resources.cpus)))
    return choose_device(run.config.training.precision, run.config.resources.gpus)


def new_network(run: Run) -> CDCIN:
    """Draw the network that every training of a run begins with."""
    return CDCIN(run.config.network, torch.Generator().manual_seed(run.config.seed))


def load_photographs(run: Run) -> PhotographPool | None:
    """Draw the photographs of a run, where it has any."""
    return load_pool(run.photographs, run.config.training.window, run.config.seed) if run.photographs else None


def lessons_of(run: Run, measured: Measured, truth: HeldOut | None, photographs: PhotographPool | None) -> Lessons:
    """Hide samples of a section in turn, and say what is to be learnt from that.

    Args:
        run: Configuration.
        measured: What may be seen; all its genes are taught to one network.
        truth: As of `learn`.
        photographs: Beside the section.

    Raises:
        InputError: as of `learn`.
    """
    config = run.config
    parts = random_folds(measured.observed, config.training.folds, np.random.default_rng([config.seed, 2]))
    known = hide_in_turn(measured, parts, config.network, lambda done, total: run.on_progress("hide samples", done, total))
    stream = BatchStream(
        source=_window_source(run, measured, truth, known.folds),
        photographs=photographs,
        training=config.training,
        expression_scale=config.expression_scale,
        seed=config.seed,
    )
    return Lessons(known=known, batches=stream.batches, validate=_validator(run, measured, known.folds[0]) if known.folds else None)


def study(run: Run, state: TrainState, lessons: Lessons, watch: Watch, world: World = ALONE) -> None:
    """Go on from the newest checkpoint, if there is one, to the end of the training.

    Args:
        run: Says how long, and where checkpoints lie.
        state: Fresh, on its device; changed in place.
        lessons: What is taught.
        watch: Told of every step.
        world: Who trains together.

    Raises:
        InputError, TrainingError: as of `learn`.
    """
    training, tracer = run.config.training, watch.tracer
    go_on(state, run, world)

    def told(done: int, total: int, loss: float) -> None:
        if tracer is not None:
            tracer.step()
        run.on_progress("train", done, total, f"loss {loss:.4f}")

    with checkpoint_writer(run) as writer:
        callbacks = Callbacks(
            validate=lessons.validate,
            save=lambda state: save(state, writer, world),
            log=watch.curves.log,
            progress=told,
            phases=watch.phases,
            world=world,
        )
        if world.size > 1 and state.step == 0:
            save(state, writer, world)  # whether there is room for it is found out before hours are spent
            writer.wait()
        with closing(prefetched(world.share(batch) for batch in lessons.batches(state.step))) as batches, tracer or nullcontext():
            train(state, batches, training, watch.device, callbacks)


class Curves:
    """Passes metrics on to the tracker and keeps the two curves that the figure shows; with each validation also says how fast it goes."""

    def __init__(self, tracker: Tracker, world: World, batch: int, before: int = 0) -> None:
        """Take nothing down yet.

        Args:
            tracker: Counts the steps of all trainings of a run.
            world: Who trains together.
            batch: Windows of a step.
            before: Steps of the trainings before this one.
        """
        self._tracker, self._world, self._batch, self._before = tracker, world, batch, before
        self._at, self._step = time.monotonic(), 0
        self.losses: list[tuple[int, float]] = []
        self.errors: list[tuple[int, float]] = []

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Take down the metrics of a step; all workers do this."""
        if "validation/error" in metrics:
            metrics = {**metrics, **self._pace(step)}
        self._tracker.metrics(metrics, self._before + step)
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
        guess = impute_section(imputer_of(run, network), seen, run.config.imputation, fill=fill)
        return hidden_error(guess, asked, fold.hidden, run.config.training.loss)

    return validate


def imputer_of(run: Run, network: CDCIN) -> Imputer:
    """What imputes with a network that is trusted fully."""
    return Imputer(network=network, expression_scale=run.config.expression_scale)


def trusted(run: Run, network: CDCIN, measured: Measured, folds: Sequence[Fold]) -> Imputer:
    """What imputes with a network that is trusted as configured, or as far as the fold proves that no step has learnt from."""
    config, imputer = run.config, imputer_of(run, network)
    if config.training.trust is not None:
        return replace(imputer, trust=config.training.trust)
    if config.network.fill != "krige":
        return imputer
    fill, hidden = folds[0].fill, folds[0].hidden
    assert fill is not None, "with fill krige every fold was kriged"
    guess = impute_section(imputer, without(measured, hidden), config.imputation, fill=fill)
    return replace(imputer, trust=proven_trust(guess, fill, measured, hidden))
