"""Runs and releases in a real MLflow: the same tests against a server and against SQLite in process."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import typer
from safetensors.numpy import save
from typer.testing import CliRunner

from s2s.cli.models import models
from s2s.contracts.run import ScoreRow
from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError, StackError, TrackingError
from s2s.tracking.background import Pace
from s2s.tracking.links import ReleaseLink, release_links
from s2s.tracking.promotion import Promotion, promote, rollback
from s2s.tracking.recording import MLflowTracker, Receipt, open_tracker
from s2s.tracking.registry import Candidate, ModelSummary, list_models, register
from s2s.tracking.releases import load_release
from s2s.tracking.replay import ReplayReport, replay
from s2s.tracking.server import connect
from s2s.tracking.spool import claim_spool, left_over

SCRIPT = '''
"""The tiniest model: the value channel times one weight."""
import numpy as np
from safetensors.numpy import load_file
from s2s.tracking.pyfunc import INPUT, WEIGHTS, PythonModel, set_model


class Times(PythonModel):
    def load_context(self, context):
        self.factor = load_file(context.artifacts[WEIGHTS])["factor"]

    def predict(self, context, model_input: np.ndarray, params=None):
        values = model_input[INPUT] if isinstance(model_input, dict) else model_input
        return values[:, :1] * self.factor


set_model(Times())
'''
RELOAD = """
import sys, numpy as np, mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
values = np.arange(2 * 2 * 3 * 5, dtype="float32").reshape(2, 2, 3, 5)
np.save(sys.argv[2], model.predict(values))
np.save(sys.argv[3], model.predict({"input": values}))
(given,), (made,) = model.metadata.signature.inputs, model.metadata.signature.outputs
assert (given.name, given.shape, str(given.type)) == ("input", (-1, 2, -1, -1), "float32")
assert (made.name, made.shape, str(made.type)) == ("output", (-1, 1, -1, -1), "float32")
assert "torch" not in sys.modules
"""
KILLED = """
import time
from s2s.contracts.settings import load_settings
from s2s.tracking.recording import open_tracker
tracker = open_tracker(load_settings(), experiment="test tracking", run_name="killed", tags={})
tracker.params({"seed": "7"})
print(tracker.flush().run_id, flush=True)
time.sleep(600)
"""
PACE = Pace(ship_every_s=0.05, sample_every_s=0.2, flush_timeout_s=30)
MakeCandidate = Callable[..., Candidate]


@pytest.fixture(scope="module")
def local_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), is_local=True)


@pytest.fixture(params=[pytest.param("server", id="server"), pytest.param("local", id="sqlite in process")])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "local":
        return request.getfixturevalue("local_settings")
    return Settings(home=tmp_path / "home", mlflow_uri=request.getfixturevalue("mlflow_server"))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "times.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture
def tissue() -> str:
    return f"t{uuid4().hex[:8]}"


def begin(settings: Settings, tags: Mapping[str, str] | None = None) -> MLflowTracker:
    return open_tracker(settings, experiment="test tracking", run_name="run", tags=tags or {}, pace=PACE)


@pytest.fixture
def make_candidate(offer: MakeCandidate) -> MakeCandidate:
    """Build a candidate whose network multiplies by `factor` and was scored with `pcc`, beside two classical methods."""

    def make(tissue: str, script: Path, *, pcc: float = 0.5, factor: float = 3.0, is_leaky: bool = False) -> Candidate:
        rows = (("cdcin", pcc), ("nearest", 0.1), ("bilinear", 0.4))
        scores = tuple(ScoreRow(method=method, pcc=value, mae=0.5, rmse=0.6, num_genes=3) for method, value in rows)
        return offer(save({"factor": np.array([factor], np.float32)}), script, tissue=tissue, is_leaky=is_leaky, scores=scores)

    return make


def register_one(settings: Settings, candidate: Candidate) -> Receipt:
    tracker = begin(settings)
    register(tracker, candidate)
    tracker.close("finished")
    return tracker.receipt


def summary(settings: Settings, name: str) -> ModelSummary:
    return next(model for model in list_models(settings) if model.name == name)


def test_a_run_arrives_whole(settings: Settings) -> None:
    tracker = begin(settings, {"data_sha256": "abc"})
    tracker.params({f"p{n}": str(n) for n in range(250)})
    for step in range(2_500):
        tracker.metrics({"loss/total": 1 / (step + 1), "broken": float("nan")}, step)
    tracker.artifact("genes.parquet", b"PAR1")
    tracker.artifact("figures/section.png", b"png")
    assert tracker.flush().run_id is not None
    time.sleep(0.5)  # two samples of the machine
    tracker.close("finished")

    receipt = tracker.receipt
    assert receipt.is_complete
    assert left_over(settings.home) == []
    client = connect(settings).client
    run = client.get_run(receipt.run_id)
    assert (run.info.status, run.info.run_name, run.data.tags["data_sha256"]) == ("FINISHED", "run", "abc")
    assert run.data.params == {f"p{n}": str(n) for n in range(250)}
    curve = sorted(client.get_metric_history(receipt.run_id, "loss/total"), key=lambda point: point.step)
    assert 50 <= len(curve) <= 100
    assert [(point.step, point.value) for point in (curve[0], curve[-1])] == [(0, 1.0), (2_499, 1 / 2_500)]
    assert "broken" not in run.data.metrics
    assert run.data.metrics["system/memory_mb"] > 10
    assert {item.path for item in client.list_artifacts(receipt.run_id)} == {"genes.parquet", "figures"}
    assert Path(client.download_artifacts(receipt.run_id, "figures/section.png")).read_bytes() == b"png"


def test_a_release_is_found_by_its_weights(settings: Settings, tissue: str, script: Path, make_candidate: MakeCandidate) -> None:
    """Its newest version, and addresses only where there is a server to open them on."""
    candidate = make_candidate(tissue, script, factor=float(int(tissue[1:], 16)))
    register_one(settings, candidate)
    receipt = register_one(settings, candidate)
    sha = candidate.release.weights_sha256
    found = release_links([sha, "0" * 64], settings)
    version_url = f"{settings.mlflow_uri}/#/models/s2s-human-{tissue}/versions/2"
    experiment = connect(settings).client.get_run(receipt.run_id).info.experiment_id
    run_url = f"{settings.mlflow_uri}/#/experiments/{experiment}/runs/{receipt.run_id}"
    expected = ReleaseLink(version=2, version_url=version_url, run_url=run_url)
    assert found == {sha: ReleaseLink(version=2, version_url=None, run_url=None) if settings.is_local else expected}


@pytest.mark.parametrize(
    ("status", "expected"), [pytest.param("failed", "FAILED", id="failed"), pytest.param("killed", "KILLED", id="killed")]
)
def test_a_run_says_how_it_ended(settings: Settings, status: str, expected: str) -> None:
    tracker = begin(settings)
    tracker.close(status)  # type: ignore[arg-type]
    tracker.close("finished")  # closing again does nothing
    assert connect(settings).client.get_run(tracker.receipt.run_id).info.status == expected
    with pytest.raises(AssertionError, match="closed"):
        tracker.params({"late": "1"})


def test_a_release_is_registered_and_comes_back_the_same(
    settings: Settings, tissue: str, script: Path, make_candidate: MakeCandidate
) -> None:
    candidate = make_candidate(tissue, script)
    receipt = register_one(settings, candidate)
    assert (receipt.model_name, receipt.model_version) == (f"s2s-human-{tissue}", "1")

    name = candidate.release.name
    for uri in (f"models:/{name}@champion", f"models:/{name}@challenger", f"models:/{name}/1", f"runs:/{receipt.run_id}"):
        assert load_release(uri, settings) == (candidate.release, candidate.weights)

    model = summary(settings, name)
    assert (model.tissue, model.organism) == (tissue, "human")
    (version,) = model.versions
    assert set(version.aliases) == {"champion", "challenger"}
    assert (version.pcc, version.best_classical, version.best_classical_pcc) == (0.5, "bilinear", 0.4)
    assert (version.run_id, version.technology, version.pitch_um, version.gate) == (receipt.run_id, "xenium", 25.0, "first")
    assert not version.is_leaky


def test_a_fresh_process_reloads_the_model_for_any_size(
    settings: Settings, tissue: str, script: Path, tmp_path: Path, make_candidate: MakeCandidate
) -> None:
    name = make_candidate(tissue, script).release.name
    register_one(settings, make_candidate(tissue, script, factor=1.5))
    outputs = [tmp_path / "array.npy", tmp_path / "named.npy"]
    env = {**os.environ, "MLFLOW_TRACKING_URI": settings.tracking_uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "-c", RELOAD, f"models:/{name}@champion", *map(str, outputs)]
    subprocess.run(command, env=env, cwd=tmp_path, check=True, timeout=120)
    values = np.arange(2 * 2 * 3 * 5, dtype=np.float32).reshape(2, 2, 3, 5)
    for path in outputs:
        np.testing.assert_array_equal(np.load(path), values[:, :1] * np.float32(1.5))


def test_the_model_folder_holds_no_pickle(settings: Settings, tissue: str, script: Path, make_candidate: MakeCandidate) -> None:
    receipt = register_one(settings, make_candidate(tissue, script))
    client = connect(settings).client
    model = client.get_logged_model(client.get_run(receipt.run_id).outputs.model_outputs[0].model_id)
    assert str(model.status) == "READY"
    names = {item.path for item in client.list_logged_model_artifacts(model.model_id)}
    names |= {item.path for item in client.list_logged_model_artifacts(model.model_id, "artifacts")}
    assert "artifacts/weights.safetensors" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt"))]


def test_champion_challenger_and_previous_move_as_the_gate_says(
    settings: Settings, tissue: str, script: Path, make_candidate: MakeCandidate
) -> None:
    name = f"s2s-human-{tissue}"

    def aliases() -> dict[str, int]:
        return {alias: version.version for version in summary(settings, name).versions for alias in version.aliases}

    for pcc, is_leaky, expected in [
        (0.9, True, {"challenger": 1}),
        (0.5, False, {"challenger": 2, "champion": 2}),
        (0.4, False, {"challenger": 3, "champion": 2}),
        (0.6, False, {"challenger": 4, "champion": 4, "previous": 2}),
        (0.7, False, {"challenger": 5, "champion": 5, "previous": 4}),
    ]:
        register_one(settings, make_candidate(tissue, script, pcc=pcc, is_leaky=is_leaky))
        assert aliases() == expected
    reasons = [version.gate or "" for version in summary(settings, name).versions]
    assert [reason.split(":")[0] for reason in reasons] == ["better", "better", "not better", "first", "leaky"]


def test_a_person_promotes_and_takes_it_back(settings: Settings, tissue: str, script: Path, make_candidate: MakeCandidate) -> None:
    name = f"s2s-human-{tissue}"
    for pcc, is_leaky in [(0.5, False), (0.4, False), (0.9, True)]:
        register_one(settings, make_candidate(tissue, script, pcc=pcc, is_leaky=is_leaky))
    with pytest.raises(MissingError, match="has had no other"):
        rollback(settings, name)
    assert promote(settings, name, 2) == Promotion(name=name, champion=2, previous=1)
    assert load_release(f"models:/{name}@champion", settings)[0].scores[0].pcc == 0.4
    assert rollback(settings, name) == Promotion(name=name, champion=1, previous=2)
    assert rollback(settings, name) == Promotion(name=name, champion=2, previous=1)
    assert [version.gate for version in summary(settings, name).versions][1:] == ["rolled back to by hand", "rolled back to by hand"]
    with pytest.raises(InputError, match="version 3 is leaky"):
        promote(settings, name, 3)
    with pytest.raises(InputError, match="not champion yet"):
        promote(settings, name, 2)
    with pytest.raises(MissingError, match="there is no 9"):
        promote(settings, name, 9)
    with pytest.raises(MissingError, match="there is no 's2s-human-nowhere'"):
        rollback(settings, "s2s-human-nowhere")


def test_shipping_all_of_a_run_again_changes_nothing(
    settings: Settings, tissue: str, script: Path, tmp_path: Path, make_candidate: MakeCandidate
) -> None:
    """The worst crash: everything was sent, and nothing of it noted."""
    tracker = begin(settings)
    tracker.params({"seed": "1"})
    for step in range(3):
        tracker.metrics({"loss": step / 2}, step)
    register(tracker, make_candidate(tissue, script))
    tracker.flush()
    (folder,) = left_over(settings.home)
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("state.json*"))
    tracker.close("finished")
    shutil.move(tmp_path / "copy", folder)

    assert replay(settings) == ReplayReport(num_shipped=1)
    (version,) = summary(settings, f"s2s-human-{tissue}").versions
    assert version.run_id == tracker.receipt.run_id
    client = connect(settings).client
    assert len(client.get_run(tracker.receipt.run_id).outputs.model_outputs) == 1
    assert len(client.get_metric_history(tracker.receipt.run_id, "loss")) == 3
    assert left_over(settings.home) == []


def test_replay_leaves_a_live_run_alone_and_ends_a_killed_one(settings: Settings) -> None:
    live = begin(settings)
    run_id = kill_a_run(settings)
    assert replay(settings) == ReplayReport(num_shipped=1, num_live=1)
    run = connect(settings).client.get_run(run_id)
    assert (run.info.status, run.data.params) == ("KILLED", {"seed": "7"})
    live.close("finished")
    assert replay(settings) == ReplayReport()


def kill_a_run(settings: Settings) -> str:
    """Begin a run in another process, kill it when MLflow has the run, and return the run's id."""
    where = {"S2S_LOCAL": "true"} if settings.is_local else {"S2S_MLFLOW_URI": settings.tracking_uri}
    env = {**os.environ, **where, "S2S_HOME": str(settings.home)}
    with subprocess.Popen([sys.executable, "-c", KILLED], env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            return process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("make_uri", "error", "message"),
    [
        pytest.param(lambda name: f"models:/{name[:-1]}x@champion", MissingError, "did you mean '{name}'", id="nearest name"),
        pytest.param(lambda name: f"models:/{name}@best", MissingError, "aliases: @challenger (version 1), @champion", id="alias"),
        pytest.param(lambda name: f"models:/{name}/7", MissingError, "versions: 1", id="version"),
        pytest.param(lambda name: f"models:/{name}", InputError, "models:/NAME@ALIAS", id="neither alias nor version"),
        pytest.param(lambda name: "runs:/" + "0" * 32, MissingError, "there is none with id 0000", id="run"),
        pytest.param(lambda name: "s3://atlas/model", InputError, "got 's3://atlas/model'", id="not a model uri"),
        pytest.param(lambda name: "/nowhere/at/all", MissingError, "no folder '/nowhere/at/all'", id="folder"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    settings: Settings, script: Path, make_uri: Callable[[str], str], error: type[Exception], message: str, make_candidate: MakeCandidate
) -> None:
    name = "s2s-human-lookup"
    if name not in [model.name for model in list_models(settings)]:
        register_one(settings, make_candidate("lookup", script))
    with pytest.raises(error) as caught:
        load_release(make_uri(name), settings)
    assert message.format(name=name) in str(caught.value)


def test_a_run_without_a_model_says_so(settings: Settings) -> None:
    tracker = begin(settings)
    tracker.close("failed")
    with pytest.raises(MissingError, match="has none; it failed"):
        load_release(f"runs:/{tracker.receipt.run_id}", settings)


def test_a_deleted_experiment_is_restored(settings: Settings) -> None:
    server = connect(settings)
    experiment_id = server.ensure_experiment("to be deleted")
    server.client.delete_experiment(experiment_id)
    assert server.ensure_experiment("to be deleted") == experiment_id
    assert server.client.get_experiment(experiment_id).lifecycle_stage == "active"


def test_records_made_locally_do_not_go_to_a_server(mlflow_server: str, tmp_path: Path) -> None:
    local = Settings(home=tmp_path, is_local=True)
    kill_a_run(local)
    server = Settings(home=tmp_path, mlflow_uri=mlflow_server)
    assert replay(server) == ReplayReport()
    (folder,) = left_over(tmp_path)
    assert replay(local).num_shipped == 1
    assert claim_spool(folder) is None


def test_a_folder_is_a_release_too_and_damage_is_noticed(script: Path, tmp_path: Path, make_candidate: MakeCandidate) -> None:
    candidate = make_candidate("breast", script)
    settings = Settings(home=tmp_path)
    folder = tmp_path / "release"
    folder.mkdir()
    with pytest.raises(MissingError, match=r"release\.json"):
        load_release(str(folder), settings)
    (folder / "release.json").write_text(candidate.release.model_dump_json(), encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(candidate.weights)
    assert load_release(str(folder), settings) == (candidate.release, candidate.weights)
    (folder / "weights.safetensors").write_bytes(candidate.weights + b" ")
    with pytest.raises(InputError, match="damaged or exchanged"):
        load_release(str(folder), settings)
    (folder / "release.json").write_text(json.dumps({**candidate.release.model_dump(mode="json"), "stride": 1}), encoding="utf-8")
    with pytest.raises(InputError, match="stride"):
        load_release(str(folder), settings)


def test_a_missing_script_is_said_before_anything_is_recorded(
    settings: Settings, tissue: str, tmp_path: Path, make_candidate: MakeCandidate
) -> None:
    tracker = begin(settings)
    with pytest.raises(MissingError, match="serving script"):
        register(tracker, make_candidate(tissue, tmp_path / "absent.py"))
    tracker.close("failed")
    assert tracker.receipt.model_version is None
    assert f"s2s-human-{tissue}" not in [model.name for model in list_models(settings)]


def test_no_server_set_is_said_with_the_command_that_starts_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="s2s stack up"):
        open_tracker(Settings(home=tmp_path), experiment="e", run_name="r", tags={})


def test_a_database_that_is_none_is_said_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "mlflow.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db"):
        begin(Settings(home=tmp_path, is_local=True))


def test_the_command_line_lists_models_as_a_table_and_as_json(
    settings: Settings, tissue: str, script: Path, monkeypatch: pytest.MonkeyPatch, make_candidate: MakeCandidate
) -> None:
    name = f"s2s-human-{tissue}"
    register_one(settings, make_candidate(tissue, script))
    monkeypatch.setenv("S2S_HOME", str(settings.home))
    monkeypatch.setenv("COLUMNS", "250")
    if not settings.is_local:
        monkeypatch.setenv("S2S_MLFLOW_URI", settings.tracking_uri)
    app = typer.Typer()
    app.command()(models)
    where = ["--local"] if settings.is_local else []

    table = CliRunner().invoke(app, [name, *where], catch_exceptions=False)
    title, _, row, gate, *_ = [line.strip() for line in table.output.splitlines()]
    assert title == name
    assert gate == "gate of version 1: first"
    for text in ("@challenger @champion", "section", "25 um", "0.500", "0.400"):
        assert text in row
    (model,) = json.loads(CliRunner().invoke(app, [name, "--json", *where], catch_exceptions=False).output)
    assert model["versions"][0]["pcc"] == 0.5
    with pytest.raises(MissingError, match=name):
        CliRunner().invoke(app, ["s2s-no-such", *where], catch_exceptions=False)
