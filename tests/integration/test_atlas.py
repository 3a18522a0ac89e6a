"""An atlas on a real stack: done once, recorded once, resumed after a kill, shared by two launchers, its failures explained."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from s2s.contracts.atlas import AtlasStatus
from s2s.contracts.loading import atlas_run_config, load_atlas_config
from s2s.contracts.settings import Settings, load_settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.atlas.status import find_plan, survey_atlas
from s2s.recipes.run import ledger_of, silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source
from s2s.storage.location import join
from s2s.storage.objects import list_names, read_bytes
from s2s.tracking.server import MLFLOW_PARENT_TAG, connect

RUN = {
    "photographs": None,
    "network": {"features": 8, "blocks": 1, "layers": 2, "growth": 4, "window": 4, "heads": 2, "cascades": 2, "fill": "smooth"},
    "training": {"max_steps": 40, "batch": 4, "window": 16, "validate_every": 20, "precision": "float32"},
    "imputation": {"tile": 32, "overlap": 8},
}
SECTIONS = [
    {"kind": kind, "id": f"synthetic-atlas-{name}", "tissue": tissue, "height": 32, "width": 32, "num_genes": 8, "seed": seed}
    for seed, (kind, name, tissue) in enumerate([("layers", "a", "cortex"), ("layers", "b", "cortex"), ("glands", "c", "breast")])
]


def write_job(folder: Path, name: str, **changes: object) -> Path:
    atlas = {"kind": "atlas", "version": 1, "name": name, "sections": SECTIONS, "preset": None, "set": RUN, "releases": None}
    atlas |= {"resources": {"cpus": 1, "memory_gb": 0.5}, "tracking": {"experiment": name}, **changes}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(atlas), encoding="utf-8")
    return path


def attempts(name: str, settings: Settings) -> dict[str, tuple[str, str]]:
    """Section -> attempt that is the result, and the hash of its weights as the release says."""
    found = {}
    for run in find_plan(name, settings).runs:
        commit = ledger_of(settings).find_commit(run.key)
        assert commit is not None
        folder = join(settings.root, "runs", run.key, commit.attempt)
        release = json.loads(read_bytes(join(folder, "release.json"), settings))
        found[run.section_id] = (commit.attempt, release["weights_sha256"])
    return found


def test_an_atlas_is_done_once_recorded_once_and_like_single_runs(ray_door, tmp_path: Path) -> None:
    job, settings = write_job(tmp_path, "once"), load_settings()
    first = ray_door("atlas", "run", job, "--out", tmp_path / "out")
    assert first.code == 0, first.err
    assert "once: 3 done" in first.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"map.png", "map.html", "status.json"}
    done = attempts("once", settings)
    again = ray_door("atlas", "run", job, "--out", tmp_path / "out", "--json")
    assert again.code == 0
    assert AtlasStatus.model_validate_json(again.out).count("done") == 3
    assert attempts("once", settings) == done

    # The same run by itself, elsewhere: the same weights, bit for bit.
    alone = Settings(home=tmp_path / "home", is_local=True)
    plan = find_plan("once", settings)
    source = plan.config.sections[0]
    assert isinstance(source, SyntheticTissue)
    uri = open_source(source, alone, silent).uri
    report = single_shot(atlas_run_config(plan.config, uri, 0), alone)
    assert report.run_key == plan.runs[0].key
    release = json.loads(read_bytes(join(report.folder, "release.json"), alone))
    assert release["weights_sha256"] == done["synthetic-atlas-a"][1]

    client = connect(settings).client
    runs = client.search_runs([client.get_experiment_by_name("once").experiment_id])
    (mother,) = (run for run in runs if run.data.tags.get("kind") == "atlas")
    children = {run.data.tags["section"]: run for run in runs if run.data.tags.get(MLFLOW_PARENT_TAG) == mother.info.run_id}
    assert set(children) == {item["id"] for item in SECTIONS}
    assert mother.data.metrics["runs/done"] == 3
    child = children["synthetic-atlas-a"]
    assert child.info.status == "FINISHED"
    assert child.data.tags["tissue"] == "cortex"
    assert child.data.params["training.max_steps"] == "40"
    assert len(client.get_metric_history(child.info.run_id, "train/loss")) == 40
    assert {"test/pcc", "seconds"} <= child.data.metrics.keys()

    # An atlas may change: the same name with other seeds is the same MLflow run, which refuses nothing.
    grown = ray_door("atlas", "run", write_job(tmp_path, "once", seeds=[0, 1], sections=SECTIONS[:1]), "--out", tmp_path / "out")
    assert grown.code == 0, grown.err
    assert "refused" not in grown.err
    assert client.get_run(mother.info.run_id).data.metrics["runs/done"] == 2
    assert not list((settings.home / "spool").glob("*.refused*"))


def wait_for_lease(name: str, settings: Settings, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the launch ended before anyone disturbed it"
        if name in list_names(join(settings.root, "atlases"), settings):
            survey, keys = ledger_of(settings).survey(), {run.key for run in find_plan(name, settings).runs}
            if keys & survey.leases.keys():
                return
        time.sleep(0.05)
    raise AssertionError("nothing was begun in two minutes")


def test_a_killed_launcher_is_started_again_and_two_at_once_share_the_work(start, stack: Path, tmp_path: Path) -> None:
    settings = load_settings()
    job = write_job(tmp_path, "killed", seeds=[5], fleet={"lease_s": 5})
    victim = start("atlas", "run", job, "--out", tmp_path / "victim")
    wait_for_lease("killed", settings, victim)
    victim.kill()
    victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    both = [start("atlas", "run", job, "--json", "--out", tmp_path / str(number)) for number in range(2)]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert AtlasStatus.model_validate_json(out).count("done") == 3
    for run in find_plan("killed", settings).runs:
        commit = ledger_of(settings).find_commit(run.key)
        assert commit is not None
        assert commit.attempt in list_names(join(settings.root, "runs", run.key), settings)


def test_ctrl_c_stops_the_workers_which_say_so_and_the_same_command_goes_on(start, ray_door, tmp_path: Path) -> None:
    settings = load_settings()
    job = write_job(
        tmp_path, "stopped", seeds=[6], set={**RUN, "training": {**RUN["training"], "max_steps": 100, "checkpoint_every_s": 0.2}}
    )
    process = start("atlas", "run", job, "--out", tmp_path / "out")
    wait_for_lease("stopped", settings, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from what is kept" in err
    assert "Traceback" not in err
    states = survey_atlas(find_plan("stopped", settings), settings).runs
    assert {state.state for state in states} <= {"waiting", "done"}, "no lease is left to be waited for"
    assert {state.cause for state in states} <= {"stopped", None}
    assert ray_door("atlas", "run", job, "--out", tmp_path / "out").code == 0
    assert survey_atlas(find_plan("stopped", settings), settings).count("done") == 3


def test_a_run_that_cannot_work_is_given_up_explained_and_tried_again_when_asked(ray_door, tmp_path: Path) -> None:
    job = write_job(tmp_path, "faulty", set={**RUN, "genes": {"names": ["NOPE"]}}, sections=SECTIONS[:1])
    first = ray_door("atlas", "run", job, "--out", tmp_path / "out")
    assert first.code == 1
    assert "1 failed" in first.out
    assert "bad-input" in first.out
    assert "Traceback" not in first.err
    (state,) = AtlasStatus.model_validate_json(ray_door("atlas", "status", "faulty", "--json", "--out", tmp_path / "out").out).runs
    assert (state.state, state.num_failures) == ("failed", 1)
    assert "NOPE" in state.message
    assert ray_door("atlas", "run", job, "--out", tmp_path / "out").code == 1
    (state,) = AtlasStatus.model_validate_json(ray_door("atlas", "status", job, "--json", "--out", tmp_path / "out").out).runs
    assert state.num_failures == 1, "what is given up is not tried again"
    assert "open again: synthetic-atlas-a" in ray_door("atlas", "retry", "faulty", "--cause", "bad-input").out
    assert "no run was given up" in ray_door("atlas", "retry", "faulty").out
    assert ray_door("atlas", "run", job, "--out", tmp_path / "out").code == 1
    assert len(ledger_of(load_settings()).survey().failures[state.key]) == 2


def test_a_budget_stops_the_start_of_runs(ray_door, tmp_path: Path) -> None:
    job = write_job(tmp_path, "poor", seeds=[7, 8], budget_usd=1e-9, prices={"cpu_hour_usd": 1000})
    outcome = ray_door("atlas", "run", job, "--json", "--out", tmp_path / "out")
    assert outcome.code == 0
    status = AtlasStatus.model_validate_json(outcome.out)
    assert 1 <= status.count("done") < 6
    assert status.count("waiting") == 6 - status.count("done")
    again = ray_door("atlas", "run", job, "--out", tmp_path / "out")
    assert f"{status.count('done')} done" in again.out, "what earlier launches spent counts"
    assert "the budget of 1e-09 USD is spent" in again.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("status", "nowhere"), "there is no 'nowhere'", id="unknown-atlas"),
        pytest.param(("retry", "nowhere", "--cause", "bad-luck"), "there is no 'nowhere'", id="retry-unknown-atlas"),
        pytest.param(("plan", "nowhere.yaml"), "expected a YAML file, found none", id="no-file"),
    ],
)
def test_a_mistake_gets_one_message(ray_door, words: tuple[str, ...], message: str) -> None:
    outcome = ray_door("atlas", *words)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_plan_says_what_it_takes_before_and_after_a_pilot(ray_door, tmp_path: Path) -> None:
    job = write_job(tmp_path, "planned", seeds=[11, 12])
    before = ray_door("atlas", "plan", job)
    assert "6 runs to do" in before.out
    assert "--pilot" in before.out
    assert ray_door("atlas", "run", job, "--pilot", "--out", tmp_path / "out").code == 0
    after = json.loads(ray_door("atlas", "plan", job, "--json").out)
    assert (after["estimate"]["num_runs"], after["estimate"]["num_pilot_runs"]) == (3, 3)
    assert 0 < after["estimate"]["usd"]["low"] <= after["estimate"]["usd"]["high"]
    assert load_atlas_config(job).name == after["plan"]["config"]["name"]
