"""A training that is killed outright in the middle ends, when it goes on, with the very result of one that nobody disturbed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.storage.checkpoints import read_checkpoint
from s2s.storage.location import join
from s2s.storage.objects import exists, list_names, read_bytes
from s2s.tracking.server import connect

LONG = ("--set", "training.max_steps=240", "--set", "training.checkpoint_every_s=0.2", "--set", "name=disturbed")
"""Some seconds of training, so that there is a middle to be killed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that a run found out, less what a clock or a name server says."""

    weights: bytes
    best_step: int
    validation_mae: float | None
    scores: tuple[tuple[object, ...], ...]

    @staticmethod
    def of(report: RunReport, settings: Settings) -> "Result":
        scores = tuple(tuple(row.model_dump(exclude={"seconds"}).values()) for row in report.scores)
        weights = read_bytes(join(settings.root, "runs", report.run_key, "weights.safetensors"), settings)
        return Result(weights=weights, best_step=report.best_step, validation_mae=report.validation_mae, scores=scores)


@pytest.fixture(scope="module")
def undisturbed(start, tiny: str, small_section: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The result of the same run, in a home of its own."""
    home = tmp_path_factory.mktemp("undisturbed")
    job = home / "job.yaml"
    job.write_text(tiny, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(home))
        for command in (small_section, ("train", job, *LONG, "--json", "--out", home / "out")):
            out = finish(start(*command, "--local"))
        return Result.of(RunReport.model_validate_json(out), load_settings(is_local=True))


def finish(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def wait_for_checkpoint(settings: Settings, known: set[str], process: "subprocess.Popen[str]") -> str:
    """The folder of a run that is not among those known, as soon as it has a checkpoint."""
    runs, deadline = join(settings.root, "runs"), time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the training ended before anyone disturbed it"
        for name in set(list_names(runs, settings)) - known:
            if exists(join(runs, name, "checkpoint.safetensors"), settings):
                return join(runs, name)
        time.sleep(0.02)
    raise AssertionError("no checkpoint in two minutes")


def step_when_killed(run: str, settings: Settings) -> int:
    """The step of the checkpoint that a killed training left, which must be one in the middle."""
    saved = read_checkpoint(join(run, "checkpoint.safetensors"), settings)
    assert saved is not None
    step = int(saved[1]["step"] or 0)
    assert 0 < step < 240
    assert not exists(join(run, "report.json"), settings)
    return step


def recorded(settings: Settings, run: str) -> list[tuple[str, int]]:
    """Status and first step of every MLflow run of a training, in the order of their start."""
    client = connect(settings).client
    experiment = client.get_experiment_by_name("end to end").experiment_id
    runs = client.search_runs([experiment], f"tags.run_key = '{run.rpartition('/')[2]}'", order_by=["attributes.start_time ASC"])
    curves = [(run.info.status, client.get_metric_history(run.info.run_id, "train/loss")) for run in runs]
    return [(status, min(point.step for point in curve)) for status, curve in curves]


def test_a_killed_local_training_goes_on_where_it_was(
    start, door, s2s_home: Path, job: Path, small_section: tuple[str, ...], undisturbed: Result
) -> None:
    settings = load_settings(is_local=True)
    assert door(*small_section, "--local").code == 0
    process = start("train", job, *LONG, "--local", "--json")
    run = wait_for_checkpoint(settings, set(), process)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    step = step_when_killed(run, settings)

    report = RunReport.model_validate_json(finish(start("train", job, *LONG, "--local", "--json", "--out", s2s_home / "out")))
    assert Result.of(report, settings) == undisturbed
    assert report.steps == 240
    assert recorded(settings, run) == [("KILLED", 1), ("FINISHED", step + 1)]


def test_a_killed_ray_worker_is_started_again_and_goes_on(
    start, stack: Path, job: Path, tmp_path: Path, small_section: tuple[str, ...], undisturbed: Result, kill_task: Callable[[str], None]
) -> None:
    settings = load_settings()
    finish(start(*small_section, "--replace"))
    known = set(list_names(join(settings.root, "runs"), settings))
    process = start("train", job, *LONG, "--json", "--out", tmp_path / "out")
    run = wait_for_checkpoint(settings, known, process)
    kill_task("ray::s2s train disturbed")
    step = step_when_killed(run, settings)

    report = RunReport.model_validate_json(finish(process))
    assert Result.of(report, settings) == undisturbed
    assert recorded(settings, run) == [("KILLED", 1), ("FINISHED", step + 1)]


@pytest.fixture
def kill_task(stack: Path) -> Callable[[str], None]:
    """Kill -9 the worker process of the shared stack that runs the task of this title."""

    def kill(title: str) -> None:
        (victim,) = [process for process in psutil.process_iter(["cmdline"]) if is_worker(process, title, stack)]
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait(timeout=30)

    return kill


def is_worker(process: psutil.Process, title: str, home: Path) -> bool:
    try:
        return " ".join(process.info["cmdline"] or ()).startswith(title) and process.environ().get("S2S_HOME") == str(home)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
