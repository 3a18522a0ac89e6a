"""Options of DeepSpeed: the files shipped are valid, and what a stage does not have is refused."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from s2s.contracts.loading import load_run_config, read_deepspeed
from s2s.contracts.run import RunConfig
from s2s.contracts.sharding import STAGES, ShardingConfig, Strategy, ZeroOptimization
from s2s.errors import ConfigError, MissingError

RUN = {"name": "x", "section": "y"}


@pytest.mark.parametrize("strategy", STAGES)
def test_the_files_shipped_are_those_of_their_strategy(strategy: Strategy) -> None:
    assert read_deepspeed(strategy).strategy == strategy


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


@pytest.mark.parametrize(
    ("sharding", "words"),
    [
        pytest.param({"workers": 2, "min_workers": 4}, "min_workers of at most workers, got 4 of 2", id="min-above-max"),
        pytest.param({"min_workers": 1}, "min_workers of at most workers, got 1 of None", id="min-of-nothing"),
        pytest.param({"workers": 2, "strategy": "single"}, "one worker with strategy single, got workers 2", id="single-of-two"),
        pytest.param(
            {"strategy": "zero1", "deepspeed": {"zero_optimization": {"stage": 3}}}, "options are for, zero3, got zero1", id="other-options"
        ),
    ],
)
def test_what_contradicts_itself_is_refused(sharding: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        ShardingConfig.model_validate(sharding)


def test_more_workers_than_windows_are_refused() -> None:
    with pytest.raises(ValidationError, match=re.escape("at most training.batch=16 in sharding.workers, a window each, got 17")):
        RunConfig.model_validate({**RUN, "sharding": {"workers": 17}})


def write_job(folder: Path, deepspeed: str, strategy: str = "") -> Path:
    job = folder / "job.yaml"
    job.write_text(f"kind: run\nname: x\nsection: y\nsharding: {{workers: 2, deepspeed: {deepspeed}{strategy}}}\n", encoding="utf-8")
    return job


def test_options_are_read_from_the_file_that_a_job_names(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("zero_optimization: {stage: 2, reduce_bucket_size: 7}\n", encoding="utf-8")
    sharding = load_run_config(write_job(tmp_path, "mine.yaml")).sharding
    assert sharding.strategy == "zero2"
    assert sharding.deepspeed is not None
    assert sharding.deepspeed.zero_optimization.reduce_bucket_size == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "zero_optimization: {stage: 2, offload_param: {}}", "zero_optimization.offload_param: no such key", id="unknown-option"
        ),
        pytest.param(
            "zero_optimization: {stage: 0, offload_optimizer: {}}", "only options that stage 0 has, got offload_optimizer", id="stage"
        ),
        pytest.param("- 1", "expected a mapping", id="no-mapping"),
        pytest.param("", "expected a mapping", id="empty"),
    ],
)
def test_a_faulty_file_of_options_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"mine.yaml(.|\n)*{re.escape(words)}|{re.escape(words)}.*mine.yaml"):
        load_run_config(write_job(tmp_path, "mine.yaml"))


def test_a_file_of_options_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.yaml"):
        load_run_config(write_job(tmp_path, "none.yaml"))
