"""How several workers train one network together, and what DeepSpeed is told; nothing here changes a result."""

from typing import Literal

from pydantic import Field, model_validator

from s2s.contracts.document import Document, Part

Strategy = Literal["single", "data_parallel", "zero1", "zero2", "zero3"]
STAGES: dict[Strategy, int] = {"data_parallel": 0, "zero1": 1, "zero2": 2, "zero3": 3}
"""What of ZeRO a strategy asks for: 1 spreads Adam's moments over the workers, 2 gradients as well, 3 weights as well."""


class Offload(Part):
    """Adam's moments and its step in main memory instead of the graphics processor's."""

    device: Literal["cpu"] = "cpu"
    pin_memory: bool = Field(True, description="page-locked main memory: copies are faster, the machine has less to lend")


class ZeroOptimization(Part):
    """DeepSpeed's section of this name, as far as it is meant to be set; what is left out has DeepSpeed's default."""

    stage: Literal[0, 1, 2, 3] = Field(description="0 shares work only; 1 Adam's moments too, 2 gradients too, 3 weights too")
    reduce_bucket_size: int = Field(5_000_000, ge=1, description="gradients reduced at once, in numbers; a buffer of as many is kept")
    allgather_bucket_size: int | None = Field(None, ge=1, description="weights gathered at once, in numbers; stages 1 and 2")
    overlap_comm: bool = Field(False, description="reduce while the backward pass goes on; for GPUs, with a second buffer")
    contiguous_gradients: bool = Field(True, description="gradients in one buffer")
    stage3_prefetch_bucket_size: int | None = Field(None, ge=0, description="weights fetched ahead, in numbers; stage 3")
    stage3_max_live_parameters: int | None = Field(None, ge=0, description="weights held whole at once, in numbers; stage 3")
    stage3_max_reuse_distance: int | None = Field(
        None, ge=0, description="weights stay whole that are used again within as many numbers; DeepSpeed's billion keeps all; stage 3"
    )
    stage3_param_persistence_threshold: int | None = Field(None, ge=0, description="smaller tensors stay whole; stage 3")
    sub_group_size: int | None = Field(None, ge=1, description="weights updated at once, in numbers; stage 3")
    offload_optimizer: Offload | None = Field(None, description="stages 1 to 3, on GPUs")

    @model_validator(mode="after")
    def _options_fit_the_stage(self) -> "ZeroOptimization":
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        stages = {"allgather_bucket_size": (1, 2), "offload_optimizer": (1, 2, 3), "sub_group_size": (3,)}
        stages |= {name: (3,) for name in given if name.startswith("stage3_")}
        if wrong := [name for name in given if self.stage not in stages.get(name, (self.stage,))]:
            raise ValueError(
                f"expected only options that stage {self.stage} has, got {', '.join(sorted(wrong))}; leave it out or change the stage"
            )
        return self


class DeepSpeedConfig(Document):
    """What DeepSpeed is told beside what the run says itself: batch, precision, clipping and Adam are the run's."""

    kind: Literal["deepspeed"] = "deepspeed"
    version: Literal[1] = 1
    zero_optimization: ZeroOptimization

    @property
    def strategy(self) -> Strategy:
        """What these options are for."""
        return next(strategy for strategy, stage in STAGES.items() if stage == self.zero_optimization.stage)


class ShardingConfig(Part):
    """Several workers for one network. None of it changes a result, so a run goes on with other workers where it was."""

    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="processes that train together, each with all that `resources` says; null: as few as the network fits on",
    )
    min_workers: int | None = Field(
        None, ge=1, description="go on with as few when machines are lost or not there yet; null: with all or not at all"
    )
    strategy: Strategy | None = Field(None, description="what workers share; null: the least that fits, see `s2s plan-memory`")
    recompute: bool | None = Field(
        None,
        description="activation checkpointing: keep each stage's input, compute the rest anew going back; null: where memory asks for it",
    )
    deepspeed: DeepSpeedConfig | None = Field(
        None, description="options, or in a YAML the path of a file of them; null: those of the strategy"
    )
    max_failures: int = Field(3, ge=0, description="workers lost after which the run is given up; machines taken back are not counted")

    @model_validator(mode="after")
    def _fits_together(self) -> "ShardingConfig":
        if self.min_workers is not None and self.min_workers > (self.workers or 0):
            raise ValueError(f"expected min_workers of at most workers, got {self.min_workers} of {self.workers}")
        if self.strategy == "single" and (self.workers or 1) > 1:
            raise ValueError(f"expected one worker with strategy single, got workers {self.workers}")
        if self.deepspeed is not None and self.deepspeed.strategy != self.strategy:
            raise ValueError(f"expected the strategy that the deepspeed options are for, {self.deepspeed.strategy}, got {self.strategy}")
        return self


class MemoryEstimate(Part):
    """What one worker is expected to take at most, beyond what the libraries and the section take; bytes."""

    strategy: Strategy
    workers: int = Field(ge=1)
    recompute: bool = Field(description="activation checkpointing")
    weights: int = Field(ge=0)
    gradients: int = Field(ge=0)
    moments: int = Field(ge=0, description="Adam's two, and the copy of the weights that ZeRO updates")
    best_weights: int = Field(ge=0, description="of the best validation so far")
    buffers: int = Field(ge=0, description="of DeepSpeed, while gradients are reduced and weights gathered")
    activations: int = Field(ge=0, description="of one pass")
    total: int = Field(ge=0, description="the largest sum of what is there at the same time")

    @property
    def stage(self) -> int:
        """Of ZeRO."""
        return STAGES.get(self.strategy, 0)


class MemoryPlan(Document):
    """How a network is trained, and why: what each way takes of a worker."""

    kind: Literal["memory_plan"] = "memory_plan"
    version: Literal[1] = 1
    num_parameters: int = Field(ge=1)
    pass_bins: int = Field(ge=1, description="bins that go through the network at once, on one worker")
    budget: int = Field(ge=0, description="bytes that a worker may take")
    of: Literal["main memory", "graphics memory"] = Field(description="what the estimates are of")
    options: tuple[MemoryEstimate, ...] = Field(description="in the order in which they are considered")
    chosen: MemoryEstimate
    reason: str
