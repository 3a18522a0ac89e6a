"""Options of DeepSpeed: the files shipped are valid, and what a stage does not have is refused."""

from importlib import resources

import pytest
import yaml
from pydantic import ValidationError

from s2s.contracts.sharding import DeepSpeedConfig, ZeroOptimization


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_files_shipped_are_valid(stage: int) -> None:
    text = (resources.files("s2s.contracts") / "deepspeed" / f"zero{stage}.yaml").read_text("utf-8")
    assert DeepSpeedConfig.model_validate(yaml.safe_load(text)).zero_optimization.stage == stage


@pytest.mark.parametrize(
    ("stage", "option"),
    [
        (0, {"offload_optimizer": {}}),
        (0, {"allgather_bucket_size": 1}),
        (2, {"stage3_prefetch_bucket_size": 1}),
        (3, {"allgather_bucket_size": 1}),
    ],
)
def test_an_option_of_another_stage_is_refused(stage: int, option: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=f"expected only options that stage {stage} has, got {next(iter(option))}"):
        ZeroOptimization.model_validate({"stage": stage, **option})
