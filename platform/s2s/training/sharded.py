"""Weights, gradients and Adam's moments spread over workers by DeepSpeed (ZeRO); loop, losses and checkpoints are the usual ones.

Decision: DeepSpeed writes no files. Its checkpoints are pickles that belong to one number of workers; ours are named whole tensors in
safetensors, each worker writing some of them, so any number of workers goes on from them, one included, and reading runs no code. The
price is that every tensor is gathered once per checkpoint. Weights stay float32 and the forward pass is autocast, as on one device.

Source:
    Rajbhandari et al. 2020 (ZeRO).
"""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from s2s.contracts.run import TrainingConfig
from s2s.contracts.sharding import DeepSpeedConfig
from s2s.errors import TrainingError
from s2s.network import CDCIN, Batch
from s2s.training.heap import give_back_memory
from s2s.training.state import MOMENTS, Scalars, TrainState, require_weights_of, shapes_of, under
from s2s.training.step import Device, accumulate
from s2s.training.world import World

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read when DeepSpeed is imported

import deepspeed
import deepspeed.ops
from deepspeed.utils import (
    safe_get_full_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)

# Compiled on first use, for collectives within a machine without GPU: it needs a compiler and a minute, and gloo does the same.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

UNCLIPPED = 1e30
"""A bound that no gradient reaches: DeepSpeed says the norm only where it is to be clipped."""


@dataclass(slots=True, kw_only=True)
class ShardedState(TrainState):
    """A network in training of which this worker holds a part; every method is called by all workers.

    Attributes:
        engine: DeepSpeed's, around `network`.
        world: The workers.
        stage: Of ZeRO; 0 shares the work and nothing else.
    """

    engine: Any
    world: World
    stage: int

    def update(self, batch: Batch, training: TrainingConfig, device: Device) -> dict[str, Tensor]:
        """One optimiser step on this worker's share of a batch.

        Returns:
            As of `train_step`, over the windows of all workers.
        """

        def backward(loss: Tensor, is_last: bool) -> None:
            self.engine.set_gradient_accumulation_boundary(is_last)
            self.engine.backward(loss * self.world.size)  # gradients are averaged, the losses of shares add up
            if not is_last:
                self.engine.step()  # counts the pass, updates nothing

        said = accumulate(cast(CDCIN, self.engine), batch, training, device, backward)
        for value in said.values():
            self.world.sum(value)
        norm = None if self.stage else nn.utils.get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        self.engine.step()
        norm = self.engine.get_global_grad_norm() if norm is None else norm
        return {**said, "gradient_norm": torch.as_tensor(norm).detach()}

    def weights(self) -> dict[str, Tensor]:
        """Copy the weights that are this worker's to keep, as they are now."""
        found = {}
        for keeper, name in self._keepers():
            parameter = self.network.get_parameter(name)
            with self._whole(parameter):
                if keeper == self.world.rank:
                    found[name] = parameter.detach().cpu().clone()
        return found

    def tensors(self, part: int = 0) -> dict[str, Tensor]:
        """Name every tensor of a part of the state, for the worker whose part it is; none for the others."""
        named, is_ours = dict[str, Tensor](), part % self.world.size == self.world.rank
        for name in self.parts()[part]:
            parameter = self.network.get_parameter(name)
            gathered = {f"{moment}/{name}": self._moment(parameter, moment) for moment in MOMENTS}
            with self._whole(parameter):
                if is_ours:
                    kept = {f"best/{name}": self.best_weights[name]} if name in self.best_weights else {}
                    tensors = {f"weights/{name}": parameter.detach(), **kept, **gathered}
                    named |= {key: tensor.cpu().contiguous().clone() for key, tensor in tensors.items()}
        return named

    def restore(self, parts: Iterable[tuple[Mapping[str, Tensor], Scalars]]) -> None:
        """Put a saved state back part by part, whatever number of workers it is of; no worker ever holds all of it."""
        parameters, seen = dict(self.network.named_parameters()), dict[str, torch.Size]()
        for tensors, scalars in parts:
            shapes = shapes_of("weights", tensors)
            require_weights_of(self.network, shapes, are_all=False)
            for name in sorted(shapes):  # the same order on all workers
                self._set_weight(parameters[name], tensors[f"weights/{name}"])
                for moment in MOMENTS:
                    self._set_moment(parameters[name], tensors[f"{moment}/{name}"], moment)
            best = under("best", tensors)
            self.best_weights |= {name: best[name] for keeper, name in self._keepers() if keeper == self.world.rank and name in best}
            self.restore_scalars(scalars)
            seen |= shapes
        require_weights_of(self.network, seen)
        self._count_steps()

    def finish(self) -> None:
        """Make `network`, on the first worker, a plain one with the weights of the best validation, or else the last.

        Raises:
            TrainingError: the gathered weights do not compute what the spread ones do.
        """
        last, best, probe = self._gathered(self.weights()), self._gathered(self.best_weights), _probe(self.network)
        self.network.eval()
        with torch.no_grad():
            seen = self.network(*probe)[-1].cpu()
        if self.world.rank:
            return
        plain = CDCIN(self.network.config)
        plain.load_state_dict(last)
        with torch.no_grad():
            expected = plain.eval()(*(tensor.cpu() for tensor in probe))[-1]
        if not torch.allclose(seen, expected, rtol=1e-3, atol=1e-4):
            raise TrainingError(
                f"expected the weights gathered from {self.world.size} workers to predict what these do, got predictions up to "
                f"{float((seen - expected).abs().max()):.2g} apart; train again with sharding.strategy data_parallel"
            )
        plain.load_state_dict(best or last)
        self.network = plain.to(probe[0].device)

    def _keepers(self) -> Iterator[tuple[int, str]]:
        """Of every weight, in order: which worker keeps its best value and writes it down."""
        for part, names in enumerate(self.parts()):
            for name in names:
                yield part % self.world.size, name

    def _gathered(self, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Bring what every worker keeps to the first; empty where nobody keeps anything."""
        found = dict[str, Tensor]()
        if not self.world.any(bool(kept)):
            return found
        for keeper, name in self._keepers():
            shape = getattr(self.network.get_parameter(name), "ds_shape", self.network.get_parameter(name).shape)
            whole = self.world.give(kept[name] if keeper == self.world.rank else torch.empty(shape), keeper)
            if self.world.rank == 0:
                found[name] = whole
        return found

    def _whole(self, parameter: nn.Parameter) -> AbstractContextManager[object]:
        return deepspeed.zero.GatheredParameters([parameter]) if self.stage == 3 else nullcontext()

    def _moment(self, parameter: nn.Parameter, moment: str) -> Tensor:
        found: Tensor = safe_get_full_optimizer_state(parameter, moment) if self.stage else self.optimizer.state[parameter][moment]
        return found

    def allocate(self) -> None:
        """Let Adam make its state: by a step whose gradient is 0, which leaves every weight as it is."""
        self.engine.backward(0 * self.engine(*_probe(self.network)).sum())
        self.engine.step()
        self._count_steps()

    def _count_steps(self) -> None:
        """Tell Adam how many steps it has done."""
        for state in getattr(self.optimizer, "optimizer", self.optimizer).state.values():
            state["step"] = torch.tensor(float(self.step))

    def _set_weight(self, parameter: nn.Parameter, value: Tensor) -> None:
        if self.stage == 3:
            safe_set_local_fp32_param(parameter, self._local(parameter, value))
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                if self.world.rank == 0:
                    parameter.data.copy_(value)
        else:
            if self.stage:
                safe_set_full_fp32_param(parameter, value.to(parameter.device))
            parameter.data.copy_(value)

    def _set_moment(self, parameter: nn.Parameter, value: Tensor, moment: str) -> None:
        if self.stage == 3:
            safe_set_local_optimizer_state(parameter, self._local(parameter, value), moment)
        elif self.stage == 0:
            self.optimizer.state[parameter][moment].copy_(value)
        else:
            safe_set_full_optimizer_state(parameter, value.to(parameter.device), moment)

    def _local(self, parameter: nn.Parameter, value: Tensor) -> Tensor:
        """This worker's part of a whole tensor; the last worker's is filled up with zeros."""
        size: int = parameter.ds_tensor.ds_numel  # type: ignore[attr-defined]
        padded = nn.functional.pad(value.flatten(), (0, size * self.world.size - value.numel()))
        return padded[self.world.rank * size :][:size].to(parameter.device)


def shard(network: CDCIN, training: TrainingConfig, device: Device, *, options: DeepSpeedConfig, world: World) -> ShardedState:
    """Spread a network over the workers; torch's process group must be there, even of one.

    Args:
        network: The same on every worker.
        training: Learning rate, betas and clipping.
        device: Where to compute.
        options: Of DeepSpeed.
        world: The workers.
    """
    network = network.to(device.name)  # weights in channels-last order cannot be spread
    adam = torch.optim.Adam(network.parameters(), lr=training.learning_rate, betas=training.betas, fused=True)
    config = {
        "train_micro_batch_size_per_gpu": 1,  # of bookkeeping alone: what a pass holds is the run's
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.clip_norm or UNCLIPPED,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
        "zero_optimization": options.zero_optimization.model_dump(exclude_none=True),
    }
    engine, optimizer, _, _ = deepspeed.initialize(model=network, optimizer=adam, config=config, dist_init_required=False)
    state = ShardedState(network=network, optimizer=optimizer, engine=engine, world=world, stage=options.zero_optimization.stage)
    gc.collect()
    give_back_memory()
    state.allocate()
    gc.collect()
    give_back_memory()
    return state


def _probe(network: CDCIN) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A small window: values, observed, tissue, start."""
    device = next(network.parameters()).device
    values = torch.linspace(0, 1, 256, device=device).reshape(1, 1, 16, 16)
    observed = torch.zeros_like(values, dtype=torch.bool)
    observed[..., ::2, ::2] = True
    return values * observed, observed, torch.ones_like(observed), values.flip(-1)
