"""A journal: what a run said comes to MLflow whole and once, however often it is sent."""

from pathlib import Path

import pytest

from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.tracking.finished import FinishedRun, spool_finished_run
from s2s.tracking.journal import Journal
from s2s.tracking.replay import replay
from s2s.tracking.server import connect
from s2s.tracking.thinning import MAX_POINTS

ID = "0123456789abcdef" * 2


def journal() -> bytes:
    told = Journal()
    told.params({"seed": "3"})
    for step in range(500):
        told.metrics({"train/loss": 1 / (step + 1)}, step)
    told.metrics({"validation/error": float("nan")}, 500)
    told.artifact("section.png", b"png")
    told.close("finished")
    assert told.receipt.run_id is None
    return told.data()


def test_a_journal_that_is_sent_twice_is_one_run(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, is_local=True)
    run = FinishedRun(name="brain-7", tags={"tissue": "brain"}, metrics={"test/pcc": 0.4}, journal=journal(), id=ID)
    spool_finished_run(settings, "atlas", run)
    spool_finished_run(settings, "atlas", run)  # it still waits
    assert replay(settings).num_shipped == 1
    spool_finished_run(settings, "atlas", run)  # it was sent, and somebody sends it again
    assert replay(settings).num_shipped == 1
    client = connect(settings).client
    (found,) = client.search_runs([client.get_experiment_by_name("atlas").experiment_id])
    assert (found.info.status, found.data.params, found.data.tags["tissue"]) == ("FINISHED", {"seed": "3"}, "brain")
    assert found.data.metrics == {"test/pcc": 0.4, "train/loss": 1 / 500}
    curve = client.get_metric_history(found.info.run_id, "train/loss")
    assert len(curve) <= MAX_POINTS
    assert [point.step for point in curve][:3] == [0, 1, 2]


def test_what_is_no_journal_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, is_local=True)
    with pytest.raises(InputError, match="journal of run brain-7"):
        spool_finished_run(settings, "atlas", FinishedRun(name="brain-7", journal=b"not json\n", id=ID))
    assert not (tmp_path / "spool").exists()
