"""Runs below another run, on a server that was there all along and on one that came back."""

from pathlib import Path

import pytest

from s2s.contracts.settings import Settings
from s2s.tracking.background import Pace
from s2s.tracking.finished import FinishedRun, spool_finished_run
from s2s.tracking.recording import open_tracker
from s2s.tracking.replay import replay
from s2s.tracking.server import MLFLOW_PARENT_TAG, connect

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("is_out", [pytest.param(False, id="server-there"), pytest.param(True, id="server-away-then-back")])
def test_finished_runs_stand_below_their_parent(mlflow_server: str, s2s_home: Path, is_out: bool) -> None:
    settings = Settings(home=s2s_home, mlflow_uri=mlflow_server)
    at_first = Settings(home=s2s_home, mlflow_uri=NOBODY) if is_out else settings
    experiment = f"family {is_out}"
    parent = open_tracker(at_first, experiment=experiment, run_name="parent", tags={}, pace=Pace(flush_timeout_s=0.1 if is_out else 20))
    parent.close("finished")
    assert parent.receipt.is_complete is not is_out
    for number in range(3):
        run = FinishedRun(name=f"child {number}", tags=parent.parent_tags, params={"method": "x"}, metrics={"pcc": number / 4})
        spool_finished_run(at_first, experiment, run)
    if is_out:
        assert replay(at_first).num_shipped == 0

    assert replay(settings).num_shipped == 3 + is_out
    client = connect(settings).client
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    (mother,) = (run for run in runs if run.info.run_name == "parent")
    children = {run.info.run_name: run for run in runs if run.data.tags.get(MLFLOW_PARENT_TAG) == mother.info.run_id}
    assert set(children) == {"child 0", "child 1", "child 2"}
    assert children["child 2"].data.metrics == {"pcc": 0.5}
    assert children["child 2"].info.status == "FINISHED"
