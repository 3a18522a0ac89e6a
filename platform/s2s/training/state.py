"""The state of a training as named tensors and numbers, so that a checkpoint is plain safetensors and never a pickle.

Batches depend on the seed and the step alone, so weights, Adam's moments, the best weights so far and a few numbers
are the whole state: a resumed training continues bit for bit on a CPU.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from s2s.contracts.run import TrainingConfig
from s2s.errors import InputError
from s2s.network import CDCIN, Batch
from s2s.training.step import Device, train_step

Scalars = Mapping[str, str | int | float | None]
MOMENTS = ("exp_avg", "exp_avg_sq")
PART_BYTES = 2**28
"""Of a part of a saved state: as much again is held while it is taken down, and twice that while it is sent."""

_BYTES = 16
"""Of a weight, its best value so far and its two moments."""


@dataclass(slots=True, kw_only=True)
class TrainState:
    """A network in training.

    Attributes:
        network: The weights now.
        optimizer: Adam over them.
        step: Optimiser steps done.
        best_step: Step of the best validation; 0 before the first.
        best_error: Its mean absolute error, log1p units.
        best_weights: Its weights.
        stale: Validations since then.
        seconds: Training time so far, over all attempts.
        gene: The only one that it learns from, where each gene has a network of its own.
    """

    network: CDCIN
    optimizer: torch.optim.Adam
    step: int = 0
    best_step: int = 0
    best_error: float = float("inf")
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0
    seconds: float = 0.0
    gene: str = ""

    def update(self, batch: Batch, training: TrainingConfig, device: Device) -> dict[str, Tensor]:
        """One optimiser step on a batch, see `train_step`; `step` is for the loop to count."""
        return train_step(self.network, self.optimizer, batch, training, device)

    def weights(self) -> dict[str, Tensor]:
        """Copy every weight as it is now."""
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def finish(self) -> None:
        """Load the weights of the best validation, where there was one."""
        if self.best_weights:
            self.network.load_state_dict(self.best_weights)

    def keep_best(self, error: float) -> None:
        """Remember the weights if `error` is the smallest so far."""
        if error < self.best_error:
            self.best_step, self.best_error, self.stale = self.step, error, 0
            self.best_weights = {}  # the old ones make room for the new
            self.best_weights = self.weights()
        else:
            self.stale += 1

    def whose(self) -> str:
        """Say of which gene's network the last update was not finite, where each gene has its own."""
        return f" of the network of {self.gene}" if self.gene else ""

    def parts(self) -> list[list[str]]:
        """Names of the weights, in parts whose states are saved one by one; the same whoever trains the network."""
        found, room = list[list[str]](), 0
        for name, parameter in self.network.named_parameters():
            size = _BYTES * getattr(parameter, "ds_numel", parameter.numel())
            if not found or size > room:
                found.append([])
                room = PART_BYTES
            found[-1].append(name)
            room -= size
        return found

    def tensors(self, part: int = 0) -> dict[str, Tensor]:
        """Name every tensor of a part of the state; on the CPU, contiguous."""
        named, moments = dict[str, Tensor](), self.optimizer.state
        for name in self.parts()[part]:
            parameter = self.network.get_parameter(name)
            named[f"weights/{name}"] = parameter
            named |= {f"best/{name}": self.best_weights[name]} if name in self.best_weights else {}
            named |= {f"{moment}/{name}": moments[parameter][moment] for moment in MOMENTS if parameter in moments}
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}

    def scalars(self) -> Scalars:
        """Name every number of the state."""
        error = self.best_error if self.best_step else None
        return {"step": self.step, "best_step": self.best_step, "best_error": error, "stale": self.stale, "seconds": self.seconds}

    def restore(self, parts: Iterable[tuple[Mapping[str, Tensor], Scalars]]) -> None:
        """Put a saved state back.

        Args:
            parts: Of every part its `tensors` and the `scalars`, in any order.

        Raises:
            InputError: it is the state of another network.
        """
        tensors: dict[str, Tensor] = {}
        for some, scalars in parts:
            tensors |= some
            self.restore_scalars(scalars)
        require_weights_of(self.network, shapes_of("weights", tensors))
        self.network.load_state_dict(under("weights", tensors))
        device = next(self.network.parameters()).device
        self.best_weights = {name: tensor.to(device) for name, tensor in under("best", tensors).items()}
        moments = {moment: under(moment, tensors) for moment in MOMENTS}
        for name, parameter in self.network.named_parameters():
            if name in moments["exp_avg"]:
                saved = {moment: moments[moment][name].to(device) for moment in MOMENTS}
                self.optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **saved}

    def restore_scalars(self, scalars: Scalars) -> None:
        """Put the numbers of a saved state back."""
        self.step, self.best_step, self.stale = (int(scalars[name] or 0) for name in ("step", "best_step", "stale"))
        error = scalars["best_error"]
        self.best_error = float("inf") if error is None else float(error)
        self.seconds = float(scalars["seconds"] or 0)


def require_weights_of(network: CDCIN, found: Mapping[str, torch.Size], *, are_all: bool = True) -> None:
    """Refuse weights of another network.

    Args:
        network: Whose they should be; spread over workers or not.
        found: Name -> shape.
        are_all: None may be missing.

    Raises:
        InputError: a name or a shape differs.
    """
    expected = {name: torch.Size(getattr(parameter, "ds_shape", parameter.shape)) for name, parameter in network.named_parameters()}
    for name in sorted(found.keys() | (expected.keys() if are_all else ())):
        if expected.get(name) != found.get(name):
            wanted, got = (tuple(where[name]) if name in where else "none" for where in (expected, found))
            raise InputError(
                f"expected a checkpoint of this network, {name} of shape {wanted}, got {got}: it is of another architecture; "
                "--again trains anew"
            )


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors of a saved state that are of one kind, by the names of the weights."""
    return {name.removeprefix(prefix + "/"): tensor for name, tensor in tensors.items() if name.startswith(prefix + "/")}


def shapes_of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Say the shapes of the tensors of one kind."""
    return {name: tensor.shape for name, tensor in under(prefix, tensors).items()}
