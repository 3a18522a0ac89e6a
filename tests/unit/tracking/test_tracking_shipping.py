"""Shipping: order, groups, and going on where an outage stopped it. The server is a fake that can be gone."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from s2s.errors import TrackingError
from s2s.tracking.background import Pace, dispose
from s2s.tracking.recording import MLflowTracker
from s2s.tracking.records import ArtifactRecord, CloseRecord, MetricsRecord, ParamsRecord, SpoolHeader
from s2s.tracking.shipping import Shipper, group_records
from s2s.tracking.spool import Spool, create_spool
from s2s.tracking.thinning import Point
from s2s.tracking.vendor import RefusedError


def header() -> SpoolHeader:
    return SpoolHeader(experiment="e", run_name="r", tags={}, is_local=False)


class FakeServer:
    """Keeps what it is sent, in order; its nth call fails once for each n in `failures`."""

    uri = "fake://"

    def __init__(self, failures: Mapping[int, type[TrackingError]] | None = None) -> None:
        self.failures = failures or {}
        self.num_calls = 0
        self.runs: dict[str, str] = {}
        self.got: list[tuple[str, object]] = []

    def ensure_experiment(self, name: str) -> str:
        return f"experiment {name}"

    def has_run(self, run_id: str) -> bool:
        return run_id in self.runs.values()

    def find_run(self, experiment_id: str, spool_id: str) -> str | None:
        return self.runs.get(spool_id)

    def create_run(self, experiment_id: str, header: SpoolHeader) -> str:
        return self.runs.setdefault(header.id, f"run {len(self.runs) + 1}")

    def log_batch(self, run_id: str, params: Mapping[str, str], points: Sequence[tuple[str, Point]]) -> None:
        told = {"params": dict(params), "metrics": [(name, point.step, point.value) for name, point in points]}
        self._take(*((kind, what) for kind, what in told.items() if what))

    def log_artifact(self, run_id: str, name: str, file: Path) -> None:
        self._take(("artifact", (name, file.read_bytes())))

    def terminate(self, run_id: str, status: str, at_ms: int) -> None:
        self._take(("close", (status, at_ms)))

    def _take(self, *what: tuple[str, object]) -> None:
        self.num_calls += 1
        if self.num_calls in self.failures:
            raise self.failures[self.num_calls]("no")
        self.got.extend(what)


EVERYTHING = [
    ("params", {"a": "1"}),
    ("metrics", [("loss", 0, 2.0), ("pcc", 0, 0.1), ("loss", 1, 1.0)]),
    ("artifact", ("figures/a.png", b"png")),
    ("metrics", [("loss", 2, 0.5)]),
    ("close", ("finished", 9)),
]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = create_spool(tmp_path, header())
    spool.append(ParamsRecord(values={"a": "1"}))
    spool.append(MetricsRecord(at_ms=1, step=0, values={"loss": 2.0, "pcc": 0.1}))
    spool.append(MetricsRecord(at_ms=2, step=1, values={"loss": 1.0}))
    file = spool.reserve("figures/a.png")
    (spool.folder / file).write_bytes(b"png")
    spool.append(ArtifactRecord(name="figures/a.png", file=file))
    spool.append(MetricsRecord(at_ms=3, step=2, values={"loss": 0.5}))
    spool.append(CloseRecord(at_ms=9, status="finished"))
    return spool


def test_everything_is_sent_in_order_metrics_together(spool: Spool) -> None:
    server = FakeServer()
    shipper = Shipper(server, spool)  # type: ignore[arg-type]
    assert shipper.ship()
    assert server.got == EVERYTHING
    dispose(shipper)
    assert not spool.folder.exists()


@pytest.mark.parametrize("call", [pytest.param(n, id=f"gone at call {n}") for n in range(1, 5)])
def test_after_an_outage_another_process_goes_on_where_the_first_stopped(spool: Spool, call: int) -> None:
    server = FakeServer({call: TrackingError})
    with pytest.raises(TrackingError):
        Shipper(server, spool).ship()  # type: ignore[arg-type]
    assert server.got == EVERYTHING[: call if call > 1 else 0]  # settings and first points are one call
    assert Shipper(server, spool).ship()  # type: ignore[arg-type]
    assert server.got == EVERYTHING
    assert len(server.runs) == 1
    spool.release()


def test_a_run_made_but_not_noted_is_found_again(spool: Spool) -> None:
    server = FakeServer()
    server.create_run("experiment e", spool.header)  # the crash came before the state was saved
    assert Shipper(server, spool).ship()  # type: ignore[arg-type]
    assert len(server.runs) == 1
    spool.release()


def test_a_server_that_forgot_the_run_gets_all_of_it_again(spool: Spool) -> None:
    assert Shipper(FakeServer(), spool).ship()  # type: ignore[arg-type]
    new_server = FakeServer()
    assert Shipper(new_server, spool).ship()  # type: ignore[arg-type]
    assert new_server.got == EVERYTHING
    spool.release()


def test_what_the_server_refuses_is_dropped_said_and_kept_aside(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    server = FakeServer({2: RefusedError})
    shipper = Shipper(server, spool)  # type: ignore[arg-type]
    assert shipper.ship()
    assert server.got == [item for item in EVERYTHING if item[0] != "artifact"]
    dispose(shipper)
    kept = spool.folder.with_name(spool.folder.name + ".refused")
    assert (kept / "files" / "000001" / "a.png").read_bytes() == b"png"
    assert "1 artifact record(s) of run r: no" in caplog.text
    assert str(kept) in caplog.text


@pytest.mark.parametrize("gone_at", [pytest.param(None, id="no outage"), pytest.param(3, id="outage between the two")])
def test_refused_settings_take_no_points_with_them(spool: Spool, gone_at: int | None) -> None:
    server = FakeServer({1: RefusedError, 2: RefusedError} | ({gone_at: TrackingError} if gone_at else {}))
    shipper = Shipper(server, spool)  # type: ignore[arg-type]
    if gone_at:
        with pytest.raises(TrackingError):
            shipper.ship()
        shipper = Shipper(server, spool)  # type: ignore[arg-type]
    assert shipper.ship()
    assert [item for item in server.got if item[0] != "params"] == EVERYTHING[1:]
    assert shipper.state.num_refused == 1
    spool.release()


def test_groups_hold_at_most_a_thousand_values() -> None:
    record = MetricsRecord(at_ms=0, step=0, values={f"m{n}": 0.0 for n in range(400)})
    params, end_of_run = ParamsRecord(values={f"p{n}": "" for n in range(201)}), CloseRecord(at_ms=0, status="finished")
    numbered = [(item, end) for end, item in enumerate([record, record, record, params, params, end_of_run, record], start=1)]
    sizes = [(len(group.records), group.records[0].kind, group.end) for group in group_records(numbered)]
    assert sizes == [(2, "metrics", 2), (3, "metrics", 5), (1, "close", 6), (1, "metrics", 7)]


QUICK = Pace(ship_every_s=0.01, retry_at_most_every_s=0.02, sample_every_s=0.05, flush_timeout_s=0.3)


def track(home: Path, server: FakeServer) -> MLflowTracker:
    spool = create_spool(home, header())
    return MLflowTracker(Shipper(server, spool), QUICK)  # type: ignore[arg-type]


def test_a_tracker_ships_in_the_background_and_samples_the_machine(tmp_path: Path) -> None:
    server = FakeServer({2: TrackingError, 3: TrackingError})
    tracker = track(tmp_path, server)
    tracker.params({"a": "1"})
    assert tracker.flush().run_id == "run 1"
    tracker.metrics({"loss": 1.5, "lost": float("inf")}, 7)
    tracker.artifact("a.txt", b"text")
    tracker.close("finished")
    assert tracker.receipt.is_complete
    kinds = [kind for kind, _ in server.got]
    assert kinds.count("params") == kinds.count("artifact") == kinds.count("close") == 1
    assert kinds[-1] == "close"
    points = [point for kind, batch in server.got if kind == "metrics" for point in batch]  # type: ignore[attr-defined]
    assert [point for point in points if not point[0].startswith("system/")] == [("loss", 7, 1.5)]
    assert {point[0] for point in points} >= {"system/cpu_percent", "system/memory_mb", "system/memory_percent_of_machine"}
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_spool_that_vanishes_fails_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = track(tmp_path, FakeServer(dict.fromkeys(range(1, 1000), TrackingError)))
    tracker.params({"a": "1"})
    tracker.flush()
    (folder,) = (tmp_path / "spool").iterdir()
    shutil.rmtree(folder)
    tracker.metrics({"loss": 1.0}, 0)
    tracker.artifact("a.txt", b"text")
    tracker.model("s2s-a-b", lambda path: path.mkdir())
    tracker.close("finished")
    assert not tracker.receipt.is_complete
    lost, waiting = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "are lost" in lost
    assert "could not be sent" in waiting


@pytest.mark.parametrize("name", [pytest.param("a#b", id="character"), pytest.param("x" * 251, id="length"), pytest.param("", id="empty")])
def test_names_that_mlflow_would_refuse_are_a_programmers_mistake(tmp_path: Path, name: str) -> None:
    tracker = track(tmp_path, FakeServer())
    with pytest.raises(AssertionError, match="letters"):
        tracker.metrics({name: 1.0}, 0)
    tracker.close("failed")
