"""What DeepSpeed is told; nothing here changes a result."""

from typing import Literal

from pydantic import Field, model_validator

from s2s.contracts.document import Document, Part


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
    stage3_param_persistence_threshold: int | None = Field(None, ge=0, description="smaller tensors stay whole; stage 3")
    offload_optimizer: Offload | None = Field(None, description="stages 1 to 3, on GPUs")

    @model_validator(mode="after")
    def _options_fit_the_stage(self) -> "ZeroOptimization":
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        stages = {"allgather_bucket_size": (1, 2), "offload_optimizer": (1, 2, 3)}
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
