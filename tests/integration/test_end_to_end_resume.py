"""A training that is killed outright in the middle ends, when it goes on, with the very result of one that nobody disturbed."""

import signal
from pathlib import Path

import pytest

from integration.interrupted import Result, finish, kill_worker, wait_for_checkpoint
from s2s.contracts.loading import load_run_config
from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.ingest.store import store_section
from s2s.ingest.synthetic import make_synthetic
from s2s.recipes.run import ledger_of
from s2s.recipes.single_shot import single_shot
from s2s.storage.location import join
from s2s.storage.objects import exists, list_names
from s2s.storage.parts import find_checkpoints
from s2s.tracking.server import connect

NUM_STEPS = 120
OFTEN = ("section=synthetic-layers", "training.checkpoint_every_s=0.1", "name=disturbed", f"training.max_steps={NUM_STEPS}")
"""Some seconds of training with a checkpoint early on, so that there is a middle to be killed in."""
WORDS = tuple(word for change in OFTEN for word in ("--set", change))


@pytest.fixture(scope="module")
def undisturbed(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The result of the same run of the same section, in a home of its own and in one go."""
    home = tmp_path_factory.mktemp("undisturbed")
    job = home / "job.yaml"
    job.write_text(tiny, encoding="utf-8")
    settings = Settings(home=home, is_local=True)
    section, _ = make_synthetic(SyntheticTissue(kind="layers", height=48, width=48, num_genes=12))
    store_section(section, join(settings.root, "sections", section.meta.id), settings)
    return Result.of(single_shot(load_run_config(job, OFTEN), settings), settings)


def step_when_killed(run: str, settings: Settings) -> int:
    """The step of the checkpoint that a killed training left, which must be one in the middle."""
    step = find_checkpoints(join(run, "checkpoint"), settings)[0].step
    assert 0 < step < NUM_STEPS
    assert not exists(join(run, "report.json"), settings)
    return step


def recorded(settings: Settings, run: str) -> list[tuple[str, int]]:
    """Status and first step of every MLflow run of a training, in the order of their start."""
    client = connect(settings).client
    experiment = client.get_experiment_by_name("end to end").experiment_id
    runs = client.search_runs([experiment], f"tags.run_key = '{run.split('/')[-2]}'", order_by=["attributes.start_time ASC"])
    curves = [(run.info.status, client.get_metric_history(run.info.run_id, "train/loss")) for run in runs]
    return [(status, min(point.step for point in curve)) for status, curve in curves]


def test_a_killed_local_training_goes_on_where_it_was(
    start, door, s2s_home: Path, job: Path, small_section: tuple[str, ...], undisturbed: Result
) -> None:
    settings = load_settings(is_local=True)
    assert door(*small_section, "--kind", "layers", "--local").code == 0
    process = start("train", job, *WORDS, "--local", "--json")
    run = wait_for_checkpoint(settings, set(), process)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    step = step_when_killed(run, settings)

    report = RunReport.model_validate_json(finish(start("train", job, *WORDS, "--local", "--json", "--out", s2s_home / "out")))
    assert Result.of(report, settings) == undisturbed
    assert report.steps == NUM_STEPS
    assert recorded(settings, run) == [("KILLED", 1), ("FINISHED", step + 1)]
    assert list_names(run.rpartition("/")[0], settings) == [report.folder.rpartition("/")[2]], "the dead attempt was swept away"


@pytest.fixture
def stack_with_section(stack: Path, door, small_section: tuple[str, ...]) -> Path:
    assert door(*small_section, "--kind", "layers", "--replace").code == 0
    return stack


def test_a_killed_ray_worker_is_started_again_and_goes_on(
    start, stack_with_section: Path, job: Path, tmp_path: Path, undisturbed: Result
) -> None:
    settings = load_settings()
    known = set(list_names(join(settings.root, "runs"), settings))
    process = start("train", job, *WORDS, "--json", "--out", tmp_path / "out")
    run = wait_for_checkpoint(settings, known, process)
    kill_worker("ray::s2s train disturbed", stack_with_section)
    step = step_when_killed(run, settings)

    report = RunReport.model_validate_json(finish(process))
    assert Result.of(report, settings) == undisturbed
    assert recorded(settings, run) == [("KILLED", 1), ("FINISHED", step + 1)]


def test_ctrl_c_ends_a_run_on_ray_in_order_and_the_same_command_goes_on(start, stack_with_section: Path, job: Path, tmp_path: Path) -> None:
    settings, words = load_settings(), ("train", job, *WORDS, "--set", "seed=7", "--json", "--out", tmp_path / "out")
    known = set(list_names(join(settings.root, "runs"), settings))
    process = start(*words)
    run = wait_for_checkpoint(settings, known, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "the same command goes on" in err
    step, key = step_when_killed(run, settings), run.split("/")[-2]
    assert [failure.cause for failure in ledger_of(settings).read_failures([(key, 1)])] == ["stopped"]
    assert recorded(settings, run) == [("KILLED", 1)]

    assert RunReport.model_validate_json(finish(start(*words))).steps == NUM_STEPS
    assert recorded(settings, run) == [("KILLED", 1), ("FINISHED", step + 1)]
