"""Many networks trained side by side in one process: stacked weights, one pass for all of them, one optimiser step.

Every member learns what it would learn alone: from its own windows, with its own losses, gradient norm, best step and patience. Nothing
of the step is written a second time: `torch.func.vmap` runs the losses of `network` over stacked weights, Adam works element by element.
Decision: stacked convolutions become grouped ones, whose sums are in another order, so a member equals its single run within rounding and
not to the bit; and they gain only where a single step is too small to keep the processor busy (`pack_size`).

Source:
    The recipe "model ensembling" of torch.func; measured in `packed_genes_2core_202611.md`.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from s2s.contracts.run import TrainingConfig
from s2s.network import CDCIN, Batch, TermBatch, forward_terms, total_loss
from s2s.network.cdcin import Stage
from s2s.training.state import Scalars, TrainState
from s2s.training.step import PASS_BINS, Device

LEAST_MEMBERS = 4
"""Fewer are trained one after the other: a step that leaves room for three at most keeps a processor busy by itself."""

Validate = Callable[[CDCIN], float]


@dataclass(slots=True, kw_only=True)
class Member:
    """One network of a pack.

    Attributes:
        gene: Its name.
        validate: Network -> error on held-out observed bins; None where nothing is held out.
        best_step: Step of its best validation; 0 before the first.
        best_error: Its error.
        stale: Validations since then; it learns no more once they reach `patience`.
    """

    gene: str
    validate: Validate | None = None
    best_step: int = 0
    best_error: float = math.inf
    stale: int = 0


@dataclass(slots=True, kw_only=True)
class PackedState(TrainState):
    """Networks in training, side by side: `network` holds stacked weights, a member each along the first axis.

    What is inherited speaks of the whole pack: `stale` is that of the member that improved last, `best_step` the latest, `best_error`
    the mean.

    Attributes:
        members: In the order of the first axis.
        single: A network of the same form, to put a member's weights into.
        patience: Of the training.
    """

    members: list[Member]
    single: CDCIN
    patience: int | None
    _errors: list[float] = field(default_factory=list)
    _diverged: list[str] = field(default_factory=list)

    def update(self, batch: Batch, training: TrainingConfig, device: Device) -> dict[str, Tensor]:
        """One optimiser step of every member.

        Args:
            batch: Loss term -> windows, those of each member along a first axis; without that axis where all have the same.
            training: Loss, weights, clipping.
            device: Precision of the forward pass.

        Returns:
            As of `train_step`: means over the members that still learn, and the largest of their gradient norms. Where loss or norm of
            one of them is not finite no weight is changed, and `whose` names it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        said = packed_losses(self.network, batch, training, device)
        said["loss"].sum().backward()  # type: ignore[no-untyped-call]
        norms = _gradient_norms(self.network)
        learning = torch.tensor([self._learns(member) for member in self.members], device=norms.device)
        is_finite = (said["loss"].detach().isfinite() & norms.isfinite()) | ~learning
        self._diverged = [member.gene for member, is_so in zip(self.members, is_finite.tolist(), strict=True) if not is_so]
        if not self._diverged:
            _clip(self.network, norms, training.clip_norm)
            self.optimizer.step()
        return {name: value.detach()[learning].mean() for name, value in said.items()} | {"gradient_norm": norms[learning].max()}

    def whose(self) -> str:
        """Say whose last update was not finite."""
        return f" of the network of {', '.join(self._diverged)}"

    def validate(self, network: CDCIN) -> float:
        """Validate every member, and give the mean error of those that still learn; `keep_best` then looks at each.

        Args:
            network: This state's.
        """
        assert network is self.network, "a pack validates its own members"
        pairs = zip(self.members, self.each(), strict=True)
        self._errors = [member.validate(one) if member.validate and self._learns(member) else math.nan for member, one in pairs]
        known = [error for error in self._errors if not math.isnan(error)]
        return sum(known) / len(known) if known else math.nan

    def keep_best(self, error: float) -> None:
        """Remember the weights of the members whose own error of the last validation is the smallest so far.

        Args:
            error: From `validate`, which knows what it is the mean of.
        """
        if not self.best_weights:
            self.best_weights = self.weights()
        weights = self.network.state_dict()
        for place, (member, own) in enumerate(zip(self.members, self._errors, strict=True)):
            if not self._learns(member):
                continue
            if own < member.best_error:
                member.best_step, member.best_error, member.stale = self.step, own, 0
                for name, best in self.best_weights.items():
                    best[place].copy_(weights[name][place])
            else:
                member.stale += 1
        self._sum_up()

    def finish(self) -> None:
        """Load the weights of each member's best validation, where there was one."""
        for name, weight in self.network.state_dict().items() if self.best_weights else ():
            for place, member in enumerate(self.members):
                if member.best_step:
                    weight[place].copy_(self.best_weights[name][place])

    def each(self) -> Iterator[CDCIN]:
        """Put the weights of one member after the other into `single`, and give it."""
        stacked = self.network.state_dict()
        for place in range(len(self.members)):
            self.single.load_state_dict({name: tensor[place] for name, tensor in stacked.items()})
            yield self.single

    def scalars(self) -> Scalars:
        """Name every number of the state, those of each member by its place."""
        own: dict[str, str | int | float | None] = {}
        for place, member in enumerate(self.members):
            error = member.best_error if member.best_step else None
            own |= {f"{place}/best_step": member.best_step, f"{place}/best_error": error, f"{place}/stale": member.stale}
        return {"step": self.step, "seconds": self.seconds, **own}

    def restore_scalars(self, scalars: Scalars) -> None:
        """Put the numbers of a saved state back."""
        self.step, self.seconds = int(scalars["step"] or 0), float(scalars["seconds"] or 0)
        for place, member in enumerate(self.members):
            member.best_step, member.stale = (int(scalars.get(f"{place}/{name}") or 0) for name in ("best_step", "stale"))
            error = scalars.get(f"{place}/best_error")
            member.best_error = math.inf if error is None else float(error)
        self._sum_up()

    def _learns(self, member: Member) -> bool:
        return self.patience is None or member.stale < self.patience

    def _sum_up(self) -> None:
        found = [member for member in self.members if member.best_step]
        self.stale = min(member.stale for member in self.members)
        self.best_step = max((member.best_step for member in found), default=0)
        self.best_error = sum(member.best_error for member in found) / len(found) if found else math.inf


def new_pack(network: CDCIN, training: TrainingConfig, device: Device, members: Sequence[Member]) -> PackedState:
    """Put as many copies of a fresh network as there are members on their device, stacked, beside one fresh Adam.

    Args:
        network: As a single run would begin with; becomes the pack's `single`.
        training: Rate of Adam, and patience.
        device: Where to compute.
        members: At least one.
    """
    single = network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]
    stacked = copy.deepcopy(single)
    for parameter in stacked.parameters():
        parameter.data = torch.stack([parameter.data.contiguous()] * len(members))
    for module in stacked.modules():
        if isinstance(module, Stage):
            module.layout = torch.contiguous_format
    optimizer = torch.optim.Adam(stacked.parameters(), lr=training.learning_rate, betas=training.betas)
    return PackedState(network=stacked, optimizer=optimizer, members=list(members), single=single, patience=training.patience)


def pack_size(training: TrainingConfig, device: Device, *, has_photographs: bool) -> int:
    """How many networks train side by side: as many as have a step within one pass, or one, where that is fewer than `LEAST_MEMBERS`.

    So a pack takes the memory of one pass of a single run, beside its weights.

    Args:
        training: Batch, window, terms, and the bins of a pass.
        device: Where to compute.
        has_photographs: Whether there are terms of photographs.
    """
    weights = training.weights
    photographs = (weights.photo_sparse_to_dense, weights.photo_sparser_to_sparse) if has_photographs else (0, 0)
    terms = ((weights.sparse_to_dense, 4), (weights.sparser_to_sparse, 1), (photographs[0], 4), (photographs[1], 1))
    bins = sum(quarters for weight, quarters in terms if weight) * training.batch * training.window**2 // 4
    room = (training.pass_bins or PASS_BINS[device.name]) // bins
    return room if room >= LEAST_MEMBERS else 1


def packed_batches(streams: Sequence[Iterable[Batch]]) -> Iterator[Batch]:
    """Stack what the members of a pack learn from in the same step.

    Args:
        streams: Of each member, in their order; what only the first has, such as photographs, all share.

    Yields:
        Term -> windows, those of each member along a first axis where each has its own.
    """
    for batches in zip(*streams, strict=True):
        first, *others = batches
        yield {name: _stacked([term, *(batch[name] for batch in others if name in batch)], len(streams)) for name, term in first.items()}


def packed_losses(network: CDCIN, batch: Batch, training: TrainingConfig, device: Device) -> dict[str, Tensor]:
    """Each term's loss and `loss`, their weighted sum with gradient, of every member: `(member,)`.

    Args:
        network: With stacked weights.
        batch: As of `PackedState.update`.
        training: Loss and weights.
        device: Precision of the forward pass.
    """
    losses = _Losses(network, training, device)
    own = {name: _tensors_of(term) for name, term in batch.items() if term.sparse.ndim == 5}

    def of_one(weights: dict[str, Tensor], tensors: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
        windows = {name: _with(term, tensors.get(name, {})) for name, term in batch.items()}
        found: dict[str, Tensor] = functional_call(losses, weights, (windows,))
        return found

    said: dict[str, Tensor] = vmap(of_one)(dict(losses.named_parameters()), own)
    return said


class _Losses(nn.Module):
    """A network and its losses as one module, so that `functional_call` gives it a member's weights."""

    def __init__(self, network: CDCIN, training: TrainingConfig, device: Device) -> None:
        super().__init__()
        self.network, self._training, self._device = network, training, device

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with self._device.autocast():
            outputs = forward_terms(self.network, batch)
        stages = {name: term.float() for name, term in outputs.items()}
        loss, terms = total_loss(stages, batch, self._training.weights, self._training.loss)
        return {**terms, "loss": loss}


def _tensors_of(term: TermBatch) -> dict[str, Tensor]:
    values = {each.name: getattr(term, each.name) for each in fields(term)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _with(term: TermBatch, tensors: Mapping[str, Tensor]) -> TermBatch:
    values: Mapping[str, Any] = tensors
    return replace(term, **values)


def _stacked(terms: Sequence[TermBatch], num_members: int) -> TermBatch:
    if len(terms) < num_members:
        return terms[0]
    each = [_tensors_of(term) for term in terms]
    return _with(terms[0], {name: torch.stack([tensors[name] for tensors in each]) for name in each[0]})


def _gradients(network: CDCIN) -> list[Tensor]:
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def _gradient_norms(network: CDCIN) -> Tensor:
    """Of every member, over all its weights: as `get_total_norm` sums up one network's."""
    norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in _gradients(network)]
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    return total


def _clip(network: CDCIN, norms: Tensor, most: float | None) -> None:
    """As `clip_grad_norm_`, each member by its own norm."""
    if most is None:
        return
    share = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in _gradients(network):
        gradient.mul_(share.view(-1, *[1] * (gradient.ndim - 1)))
