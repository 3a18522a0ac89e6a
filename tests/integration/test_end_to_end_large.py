"""One network on two workers of a real Ray: the result of one, whatever is killed on the way."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load

from integration.interrupted import Result, finish, workers_of
from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.network import CDCIN
from s2s.storage.location import join
from s2s.storage.objects import list_below, list_names
from s2s.storage.parts import find_checkpoints

NUM_STEPS = 90
WORKER = "ray::RayTrainWorker"
OFTEN = (
    "section=synthetic-large",
    "training.checkpoint_every_s=0.1",
    f"training.max_steps={NUM_STEPS}",
    "training.validate_every=10",
    "training.learning_rate=0.001",
)
"""At a rate three times higher, what one worker and two round differently had grown from 1e-7 to 3e-4 of the error at step 90."""
Train = Callable[..., "subprocess.Popen[str]"]
Begun = tuple["subprocess.Popen[str]", str]
TWO = ("sharding.workers=2", "sharding.strategy=zero2")


@pytest.fixture(scope="module")
def settings(stack_folder: Path) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(stack_folder))
        return load_settings()


@pytest.fixture
def section(stack: Path, door, small_section: tuple[str, ...]) -> None:
    assert door(*small_section, "--kind", "layers", "--id", "synthetic-large", "--replace").code == 0


@pytest.fixture
def train(start, section: None, job: Path, tmp_path: Path) -> Train:
    """Start a training of the section of layers."""

    def begin(*changes: str, again: bool = False) -> "subprocess.Popen[str]":
        words = (word for change in (*OFTEN, *changes) for word in ("--set", change))
        return start("train", job, *words, *(["--again"] if again else []), "--json", "--out", tmp_path / "out")

    return begin


def both_workers(home: Path) -> list[psutil.Process]:
    """The two of a group, once there are two: the rest of a group that lost one is not."""
    deadline = time.monotonic() + 120
    while len(found := workers_of(WORKER, home)) != 2:
        assert time.monotonic() < deadline, f"expected two workers, got {len(found)}"
        time.sleep(0.1)
    return found


def wait_for_step(run: str, step: int, settings: Settings) -> int:
    """Wait for a checkpoint of an attempt at a run that is past a step."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        for attempt in list_names(run, settings):
            newest = find_checkpoints(join(run, attempt, "checkpoint"), settings)[:1]
            if newest and newest[0].step > step:
                return newest[0].step
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint past step {step} in three minutes")


@pytest.fixture(scope="module")
def known() -> list[tuple[RunReport, Result]]:
    """What `undisturbed` has learnt before."""
    return []


@pytest.fixture
def undisturbed(train: Train, settings: Settings, known: list[tuple[RunReport, Result]]) -> tuple[RunReport, Result]:
    """What two workers learn that nobody disturbs."""
    if not known:
        report = RunReport.model_validate_json(finish(train(*TWO)))
        known.append((report, Result.of(report, settings)))
    return known[0]


@pytest.fixture
def begun(train: Train, settings: Settings, undisturbed: tuple[RunReport, Result]) -> Callable[..., Begun]:
    """Begin the same run anew, and give the process and the URI of the run once its attempts before are forgotten."""

    def begin(*changes: str) -> Begun:
        run = undisturbed[0].folder.rpartition("/")[0]
        attempts = list_names(run, settings)
        process, deadline = train(*changes, again=True), time.monotonic() + 120
        while any(list_below(join(run, attempt), settings) for attempt in attempts):
            assert time.monotonic() < deadline, f"--again left {attempts}"
            time.sleep(0.1)
        return process, run

    return begin


@pytest.mark.timeout(600)
def test_two_workers_that_are_killed_three_times_end_as_if_they_were_not(
    begun: Callable[..., Begun], stack: Path, settings: Settings, undisturbed: tuple[RunReport, Result]
) -> None:
    process, run = begun(*TWO)
    step = 1
    for victim in (1, 0, -1):
        step = wait_for_step(run, step, settings)
        both_workers(stack)[victim].kill()
    report = RunReport.model_validate_json(finish(process))
    assert (report.steps, report.config.sharding.workers) == (NUM_STEPS, 2)
    found = Result.of(report, settings)
    assert found == undisturbed[1]
    CDCIN(report.config.network).load_state_dict(load(found.weights))  # a plain network, and every weight of it
    left = list_below(join(settings.root, "ray_train"), settings)
    assert not any("." in name.rpartition("/")[2] for name in left), "what Ray Train remembered was swept away"


@pytest.mark.timeout(400)
def test_what_two_workers_began_one_ends(
    begun: Callable[..., Begun], train: Train, stack: Path, settings: Settings, undisturbed: tuple[RunReport, Result]
) -> None:
    process, run = begun(*TWO, "sharding.strategy=zero3")
    wait_for_step(run, 1, settings)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    for worker in workers_of(WORKER, stack):
        worker.wait(60)  # Ray ends the group of a command that is gone
    assert 0 < wait_for_step(run, 1, settings) < NUM_STEPS

    report, expected = RunReport.model_validate_json(finish(train())), undisturbed[0]
    assert (report.run_key, report.steps) == (expected.run_key, NUM_STEPS), "how the work is shared is no part of what a run is"
    assert report.config.sharding.workers is None
    assert report.best_step == expected.best_step
    assert report.validation_error == pytest.approx(expected.validation_error, rel=1e-5)
    assert (report.scores[0].pcc, report.scores[0].mae) == pytest.approx((expected.scores[0].pcc, expected.scores[0].mae), abs=1e-5)


def test_more_workers_than_the_cluster_has_room_for_are_refused_at_once(ray_door, section: None, job: Path) -> None:
    changes = ("section=synthetic-large", "sharding.workers=64", "training.batch=64")
    outcome = ray_door("train", job, *(word for change in changes for word in ("--set", change)))
    assert outcome.code == 2
    for words in (
        "CPU 64 of",
        "64 workers were asked for, there is room for",
        "--set sharding.min_workers=",
        "an autoscaler brings the others",
    ):
        assert words in outcome.err
    assert "Traceback" not in outcome.err
