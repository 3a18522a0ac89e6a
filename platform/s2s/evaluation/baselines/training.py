"""How trained rivals are trained: early stopping on hidden observed bins, then once more on all of them.

Decision: the hidden bins only tell how many steps serve best; then the rival starts anew and takes that many steps on every
observed bin, because a tenth of the bins of a sparse section is worth more than the time. The estimate is that of an exponential
average of the weights, which is steadier than the last step. The price is a training that costs up to twice as much.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2s.lattice.measured import Measured, without
from s2s.lattice.sampling import choose_positions

FLAT = 1e-6
"""A gene whose standard deviation over observed bins is below this, in log1p units, is constant."""

Field = Float32[np.ndarray, "gene y x"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a rival learns.

    Attributes:
        max_steps: Most optimiser steps.
        check_every: Steps between two looks at the hidden bins.
        patience: Looks without progress after which training ends.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        averaging: Share of the averaged weights that a step keeps.
        hidden: Share of observed bins that tells when to stop.
    """

    max_steps: int
    check_every: int
    patience: int = 5
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    averaging: float = 0.97
    hidden: float = 0.1


class Task(Protocol):
    """A rival on one section: its untrained network, and what that network is to learn."""

    @property
    def network(self) -> nn.Module:
        """Trained in place."""
        ...

    def loss(self) -> Tensor:
        """Loss of one step, a scalar; may draw from torch's random stream."""
        ...

    def error(self, network: nn.Module, truth: Field, hidden: Bool[np.ndarray, "y x"]) -> float:
        """Mean squared error of a network at positions the task did not see.

        Args:
            network: Of the kind of this task's.
            truth: Standardised; read at `hidden` only.
            hidden: Positions to judge.
        """
        ...


class FillingTask(Task, Protocol):
    """A task whose network knows every position of the grid, not only those it was asked about."""

    def estimate(self, network: nn.Module) -> Field:
        """Standardised expression at every position, by a network of the kind of this task's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardised:
    """Deviations of each gene from its mean over observed bins, in a unit that suits a network.

    Attributes:
        deviations: Standardised; 0 where not observed.
        mean: Of each gene, log1p units.
        scale: log1p units per standardised unit, 0 for a constant gene.
    """

    deviations: Field
    mean: Float32[np.ndarray, " gene"]
    scale: Float32[np.ndarray, " gene"]

    def restore(self, deviations: Field) -> Field:
        """Turn a network's estimate into expression, log1p units, clipped at 0; a constant gene is its mean."""
        expression: np.ndarray = np.maximum(self.mean[:, None, None] + self.scale[:, None, None] * deviations, 0)
        return expression


def standardise(measured: Measured, *, power: float) -> Standardised:
    """Take each gene's mean away and divide by its spread.

    Args:
        measured: At least one observed bin.
        power: 1 makes all genes equally spread, 0 keeps the spreads they have.
    """
    values = measured.expression[:, measured.observed].astype(np.float64)
    mean, spread = values.mean(axis=1), values.std(axis=1)
    varies = spread > FLAT
    common = np.sqrt(np.square(spread[varies]).mean()) if varies.any() else 1.0
    scale = np.where(varies, common * (np.where(varies, spread, common) / common) ** power, 0)
    deviations = np.zeros(measured.expression.shape, np.float32)
    deviations[:, measured.observed] = (values - mean[:, None]) * np.divide(1, scale, out=np.zeros_like(scale), where=varies)[:, None]
    return Standardised(deviations=deviations, mean=mean.astype(np.float32), scale=scale.astype(np.float32))


T = TypeVar("T", bound=Task)
L = TypeVar("L", bound=nn.Module)
Maker = Callable[[Measured, Standardised], T]


def fit(make: Maker[T], measured: Measured, standard: Standardised, schedule: Schedule, seed: int) -> tuple[T, nn.Module]:
    """Find the number of steps on hidden observed bins, then train on all observed bins for as many.

    Args:
        make: Builds the task of a section; called twice, from the same random stream.
        measured: All that may be seen.
        standard: Of `measured`.
        schedule: How long and how fast.
        seed: Of weights, order and hidden bins; torch's global generator is left as it was.

    Returns:
        The task of the whole section and the averaged network; an untrained one where a single bin leaves nothing to hide.
    """
    hidden = choose_positions(measured.observed, schedule.hidden, np.random.default_rng(seed))
    num_steps = 0
    if hidden.any():
        kept = replace(standard, deviations=np.where(hidden, np.float32(0), standard.deviations))
        with _random_stream(seed):
            num_steps = _best_step(make(without(measured, hidden), kept), standard.deviations, hidden, schedule)
    with _random_stream(seed):
        task = make(measured, standard)
        network = next(islice(_train(task, schedule), num_steps, None))
    return task, network.eval()


def fit_and_fill(make: Maker[FillingTask], measured: Measured, *, power: float, schedule: Schedule, seed: int) -> Field:
    """Train as `fit` does, then let the network fill the grid.

    Args:
        make: Builds the task of a section.
        measured: All that may be seen; at least one observed bin.
        power: How equal spreads become, as of `standardise`.
        schedule: How long and how fast.
        seed: As of `fit`.

    Returns:
        log1p units, clipped at 0.
    """
    standard = standardise(measured, power=power)
    task, network = fit(make, measured, standard, schedule, seed)
    return standard.restore(task.estimate(network))


def zeroed(layer: L) -> L:
    """Set the weights and the bias of a last layer to 0 in place, so that an untrained network changes nothing, and return it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _best_step(task: Task, truth: Field, hidden: Bool[np.ndarray, "y x"], schedule: Schedule) -> int:
    """Step with the smallest error at hidden bins."""
    best_step, best_error = 0, np.inf
    for step, network in enumerate(_train(task, schedule)):
        if step % schedule.check_every == 0:
            network.eval()
            with torch.inference_mode():
                error = task.error(network, truth, hidden)
            if error < best_error:
                best_step, best_error = step, error
        if step == schedule.max_steps or step - best_step >= schedule.patience * schedule.check_every:
            break
    return best_step


def _train(task: Task, schedule: Schedule) -> Iterator[nn.Module]:
    """Yield the averaged network before the first step and after every one."""
    average = AveragedModel(task.network, multi_avg_fn=get_ema_multi_avg_fn(schedule.averaging))  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    yield average
    while True:
        optimizer.zero_grad(set_to_none=True)
        task.loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update_parameters(task.network)
        yield average


@contextmanager
def _random_stream(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
