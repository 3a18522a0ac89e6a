"""MLflow is killed in the middle of a training: the training goes on, and later everything is there exactly once."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from s2s.contracts.settings import Settings
from s2s.errors import TrackingError
from s2s.stack import mlflow_server as part
from s2s.stack.ports import choose_ports
from s2s.stack.processes import ProcessRecord, spawn, stop, wait_until_healthy
from s2s.tracking.background import Pace
from s2s.tracking.recording import open_tracker
from s2s.tracking.registry import Candidate, list_models, register
from s2s.tracking.releases import load_release
from s2s.tracking.replay import ReplayReport, replay
from s2s.tracking.server import SPOOL_TAG, connect
from s2s.tracking.spool import claim_spool, left_over

SCRIPT = """
from s2s.tracking.pyfunc import PythonModel, set_model
import numpy as np

class Same(PythonModel):
    def predict(self, context, model_input: np.ndarray, params=None):
        return model_input[:, :1]

set_model(Same())
"""


class RestartableServer:
    """An MLflow server that can be killed and brought back on the same port with the same data."""

    def __init__(self, folder: Path) -> None:
        self.archive = part.Archive(database=folder / "mlflow.db", artifacts=(folder / "artifacts").as_uri(), env={})
        self.log = folder / "mlflow.log"
        self.ports = choose_ports(part.PORTS, last={})
        self.url = part.endpoint(self.ports)
        self.record: ProcessRecord | None = None

    def start(self) -> None:
        self.record = spawn(part.launch(self.archive, self.log, self.ports))
        wait_until_healthy(self.record, lambda: part.is_healthy(self.url), timeout_s=part.START_TIMEOUT_S)

    def kill(self) -> None:
        if self.record is not None:
            stop(self.record, grace_s=0)
            self.record = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestartableServer]:
    server = RestartableServer(tmp_path / "server")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def candidate(tmp_path: Path, offer: Callable[..., Candidate]) -> Candidate:
    path = tmp_path / "same.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return offer(save({"w": np.ones(1, np.float32)}), path, organism="mouse", tissue="brain", technology="iss", pitch_um=10)


def test_a_training_outlives_its_server_and_replay_sends_the_rest(
    server: RestartableServer, candidate: Candidate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path / "home", mlflow_uri=server.url)
    tracker = open_tracker(settings, experiment="outage", run_name="survivor", tags={}, pace=Pace(ship_every_s=0.05, flush_timeout_s=1))
    tracker.params({"seed": "1"})
    for step in range(10):
        tracker.metrics({"loss": 1.0 - step / 100}, step)
    run_id = tracker.flush().run_id
    assert run_id is not None

    server.kill()
    started = time.monotonic()
    for step in range(10, 50):
        tracker.metrics({"loss": 1.0 - step / 100}, step)
    tracker.params({"late": "yes"})
    tracker.artifact("genes.parquet", b"PAR1")
    assert time.monotonic() - started < 2, "recording waited for a server that is gone"
    register(tracker, candidate)
    with caplog.at_level(logging.WARNING, logger="s2s"):
        tracker.close("finished")
    assert not tracker.receipt.is_complete
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("s2s")]
    assert "s2s stack up" in warning
    (folder,) = left_over(settings.home)
    assert str(folder) in warning
    with pytest.raises(TrackingError, match="s2s stack up"):
        list_models(settings)
    report = replay(settings)
    assert (report.num_shipped, report.num_waiting) == (0, 1)
    assert report.problem is not None

    server.start()
    assert replay(settings) == ReplayReport(num_shipped=1)
    assert replay(settings) == ReplayReport()
    client = connect(settings).client
    experiment = client.get_experiment_by_name("outage")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`{SPOOL_TAG}` LIKE '%'")
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.data.params == {"seed": "1", "late": "yes"}
    curve = sorted((point.step, point.value) for point in client.get_metric_history(run_id, "loss"))
    assert curve == [(step, 1.0 - step / 100) for step in range(50)]
    assert [item.path for item in client.list_artifacts(run_id)] == ["genes.parquet"]
    (model,) = list_models(settings)
    assert [(version.version, set(version.aliases)) for version in model.versions] == [(1, {"champion", "challenger"})]
    assert load_release("models:/s2s-mouse-brain@champion", settings) == (candidate.release, candidate.weights)


def test_a_training_begins_though_no_server_was_ever_there(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_uri=part.endpoint(choose_ports(part.PORTS, last={})))
    started = time.monotonic()
    tracker = open_tracker(settings, experiment="e", run_name="r", tags={}, pace=Pace(ship_every_s=0.05, flush_timeout_s=0.5))
    tracker.metrics({"loss": 1.0}, 0)
    tracker.close("finished")
    assert tracker.receipt.run_id is None
    assert len(left_over(tmp_path)) == 1
    assert time.monotonic() - started < 10


def test_a_server_that_takes_calls_and_never_answers_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Settings(home=tmp_path, mlflow_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        tracker = open_tracker(settings, experiment="e", run_name="r", tags={}, pace=Pace(ship_every_s=0.05, flush_timeout_s=0.5))
        tracker.metrics({"loss": 1.0}, 0)
        tracker.close("finished")
        assert time.monotonic() - started < 4
        assert not tracker.receipt.is_complete
        assert replay(settings) == ReplayReport(num_live=1)  # its thread still waits for an answer and owns the spool
    wait_for_release(tmp_path)


def wait_for_release(home: Path) -> None:
    deadline = time.monotonic() + 60
    (folder,) = left_over(home)
    while (spool := claim_spool(folder)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert spool is not None
    spool.release()
