"""Fit a run to its section: train one network, or one for each gene, and find out how far what was learnt is to be trusted."""

from dataclasses import dataclass

import numpy as np

from s2s.imputation.slide import GeneImputers, Imputer
from s2s.kriging.folds import Hidden
from s2s.lattice.measured import HeldOut, Measured
from s2s.recipes.learning import learn, trusted
from s2s.recipes.per_gene import GeneNetwork, learn_each
from s2s.recipes.run import Run
from s2s.tracking.tracker import Tracker
from s2s.training.single import Crew
from s2s.training.timing import Phases, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What was trained and how it came about.

    Attributes:
        imputer: The network with the weights of the best validation, and how far it is trusted; or the network of each gene.
        known: The section with its samples hidden in turn: the first part chose the step, the others taught.
        steps: Optimiser steps done.
        best_step: Step whose weights these are; the latest of the networks of genes.
        validation_error: Of that step on hidden observed bins, log1p units, absolute or root mean squared as the loss; None without one.
        device: `cpu` or `cuda`, and the precision.
        losses: `(step, loss)` of the steps of this attempt; means over the networks of genes.
        errors: `(step, validation_error)` of its validations; likewise.
        phases: What the time of the loop went to.
        trace: Some of its steps; None unless `profile` asked for it.
        networks: Of scheme `per_gene`, what became of each.
    """

    imputer: Imputer | GeneImputers
    known: Hidden
    steps: int
    best_step: int
    validation_error: float | None
    device: str
    losses: tuple[tuple[int, float], ...]
    errors: tuple[tuple[int, float], ...]
    phases: Phases
    trace: Trace | None = None
    networks: tuple[GeneNetwork, ...] = ()


def fit(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew = Crew()) -> Fitted:
    """Train the network of a run, or that of each gene, and find out how far it is to be trusted; for the first worker.

    Args, errors and writes are those of `learn`.
    """
    if run.config.training.scheme == "per_gene":
        return _fit_each(run, measured, truth, tracker, crew)
    learnt = learn(run, measured, truth, tracker, crew)
    state, watch = learnt.state, learnt.watch
    return Fitted(
        imputer=trusted(run, state.network, measured, learnt.known.folds),
        known=learnt.known,
        steps=state.step,
        best_step=state.best_step or state.step,
        validation_error=state.best_error if state.best_step else None,
        device=f"{watch.device.name} {watch.device.precision}",
        losses=tuple(watch.curves.losses),
        errors=tuple(watch.curves.errors),
        phases=watch.phases,
        trace=watch.tracer.trace if watch.tracer else None,
    )


def _fit_each(run: Run, measured: Measured, truth: HeldOut | None, tracker: Tracker, crew: Crew) -> Fitted:
    learnt = learn_each(run, measured, truth, tracker, crew)
    watch = learnt.watch
    errors = [network.validation_error for network in learnt.networks if network.validation_error is not None]
    return Fitted(
        imputer=learnt.imputer,
        known=learnt.known,
        steps=learnt.steps,
        best_step=max(network.best_step for network in learnt.networks),
        validation_error=float(np.mean(errors)) if errors else None,
        device=f"{watch.device.name} {watch.device.precision}",
        losses=tuple(watch.curves.losses),
        errors=tuple(watch.curves.errors),
        phases=watch.phases,
        trace=watch.tracer.trace if watch.tracer else None,
        networks=learnt.networks,
    )
