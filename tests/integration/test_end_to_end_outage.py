"""MLflow is killed in the middle of a training: the training ends well, and its records arrive, once, when the server is back."""

import json
import time
from pathlib import Path

import pytest

from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.stack import local
from s2s.stack.folder import StackFolder
from s2s.stack.processes import stop
from s2s.storage.location import join
from s2s.storage.objects import list_below, list_names
from s2s.tracking.server import connect
from s2s.tracking.spool import left_over

OFTEN = ("--set", "training.checkpoint_every_s=0.1", "--set", "name=survivor", "--set", "seed=7")


@pytest.fixture
def mlflow_comes_back(stack: Path):
    """Whatever happens, the next test finds the whole stack."""
    yield
    local.up(stack, lambda what: None)


def has_checkpoint(run: str, settings: Settings) -> bool:
    return any("/checkpoint/" in path for path in list_below(run, settings))


def test_a_training_outlives_mlflow_and_its_records_arrive_once(
    start, door, stack: Path, job: Path, small_section: tuple[str, ...], tmp_path: Path, mlflow_comes_back: None
) -> None:
    settings, runs = load_settings(), "s3://atlas/runs"
    assert door(*small_section, "--kind", "layers", "--id", "synthetic-outage", "--seed", 7).code == 0
    known = set(list_names(runs, settings))
    process = start("train", job, *OFTEN, "--set", "section=synthetic-outage", "--out", tmp_path / "out")
    deadline = time.monotonic() + 120
    while not any(has_checkpoint(join(runs, name), settings) for name in set(list_names(runs, settings)) - known):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    record = StackFolder(stack).record("mlflow")
    assert record is not None
    stop(record, grace_s=0)

    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "model    waits for MLflow; `s2s doctor` sends it" in printed
    report = RunReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert (report.steps, report.model_version) == (120, None)
    assert len(report.scores) > 1
    assert len(left_over(stack)) == 1

    parts = local.up(stack, lambda what: None)
    assert {part.state for part in parts} == {"running"}
    assert load_settings() == settings
    for num_sent in (1, 0):
        checks = {check["name"]: check for check in json.loads(door("doctor", "--json").out)}
        assert checks["spool"]["state"] == "ok"
        assert ("1 runs were sent now" in checks["spool"]["detail"]) == bool(num_sent)
    assert left_over(stack) == []

    client = connect(settings).client
    experiment = client.get_experiment_by_name("end to end").experiment_id
    (run,) = client.search_runs([experiment], f"tags.run_key = '{report.run_key}'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/pcc"] == report.scores[0].pcc
    assert max(point.step for point in client.get_metric_history(run.info.run_id, "train/loss")) == 120
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {*report.artifacts, "config.json"}
    versions = client.search_model_versions("name = 's2s-synthetic-layers'")
    assert [version.run_id for version in versions].count(run.info.run_id) == 1
    assert "challenger" in client.get_model_version("s2s-synthetic-layers", versions[0].version).aliases
