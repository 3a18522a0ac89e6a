"""A benchmark as its users meet it: run in one go, killed in the middle and resumed, stopped by Ctrl-C, and on the real stack."""

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

from s2s.contracts.benchmark import BenchmarkReport, BenchmarkRow
from s2s.contracts.settings import Settings, load_settings
from s2s.storage.objects import list_names
from s2s.tracking.server import connect

BENCHMARK = """\
kind: benchmark
version: 1
name: tiny
sections: [{section: {kind: glands, id: synthetic-bench, height: 32, width: 32, num_genes: 6}}]
methods:
  - nearest
  - {name: net, set: &tiny {
      photographs: null,
      network: {features: 4, blocks: 1, layers: 1, growth: 2, cascades: 1, has_attention: false, has_mask_inputs: true, fill: smooth},
      training: {max_steps: 10, batch: 2, window: 16, validate_every: 5, precision: float32},
    }}
  - {name: too large, set: {<<: *tiny, training: {window: 64, max_steps: 1}}}
phases: [[0, 1]]
seeds: [0, 1]
reference: net
resources: {cpus: 1, memory_gb: 0.5}
bootstrap: {resamples: 100, block: 4}
tracking: {experiment: tiny benchmark}
"""
NUM_CELLS = 5
"""One of nearest, and two seeds of each network."""
FILES = {"coverage.png", "table.md", "table.parquet", "cells.parquet", "accuracy_cost.png", "genes.png", "moran.png", "distance.png"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a finished benchmark printed and left."""

    report: BenchmarkReport
    out: Path
    progress: str


@pytest.fixture(scope="module")
def benchmark_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "tiny.yaml"
    path.write_text(BENCHMARK, encoding="utf-8")
    return path


def finish(process: "subprocess.Popen[str]", out: Path) -> Done:
    printed, progress = process.communicate(timeout=300)
    assert process.returncode == 0, progress
    return Done(report=BenchmarkReport.model_validate_json(printed), out=out, progress=progress)


@pytest.fixture(scope="module")
def undisturbed(start, benchmark_job: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The benchmark in a home of its own, in one go."""
    home = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(home))
        return finish(start("benchmark", benchmark_job, "--local", "--json", "--out", home / "out"), home / "out")


def found(rows: tuple[BenchmarkRow, ...]) -> list[dict[str, object]]:
    """All that rows say, less what a clock or the machine says."""
    plain = [row.model_dump(exclude={"peak_memory_bytes": True, "score": {"seconds"}}) for row in rows]
    return [row | {"failure": row["failure"] and "failed"} for row in plain]


def cells_of(home: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file of every finished cell: when it was written, and what it holds."""
    finished = (home / "local" / "benchmarks" / "cells").glob("*/cell.json")
    files = [path for cell in finished for path in cell.parent.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def wait_for_a_cell(home: Path, process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Wait until the first cell is finished and the next is at work; give the processes that do the work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the benchmark ended before anyone disturbed it"
        children = psutil.Process(process.pid).children(recursive=True)
        if cells_of(home) and children:
            return children
        time.sleep(0.02)
    raise AssertionError("no cell in two minutes")


def test_the_table_has_every_row_and_a_note_for_what_failed(undisturbed: Done) -> None:
    report = undisturbed.report
    nearest, net, too_large = report.rows
    assert (report.num_cells, report.num_cells_run, report.reference) == (NUM_CELLS, NUM_CELLS, "net")
    assert nearest.score is not None
    assert net.score is not None
    assert net.pcc_spread is not None
    assert nearest.pcc_difference is not None
    # The estimates were stored as float16, the scores come from float32.
    assert nearest.pcc_difference.value == pytest.approx(nearest.score.pcc - net.score.pcc, abs=1e-3)
    assert nearest.pcc_difference.lower <= nearest.pcc_difference.value <= nearest.pcc_difference.upper
    assert (too_large.score, too_large.num_failed) == (None, 2)
    assert "window" in str(too_large.failure)


def test_everything_lies_in_the_folder(undisturbed: Done) -> None:
    assert {path.name for path in undisturbed.out.iterdir()} == FILES | {"report.json"}
    table = (undisturbed.out / "table.md").read_text()
    assert "| net (reference)" in table
    assert "[1] too large: 2 of 2 cells failed: expected" in table
    cells = pd.read_parquet(undisturbed.out / "cells.parquet")
    assert cells["method"].value_counts().to_dict() == {"nearest": 1, "net": 2, "too large": 2}
    # A network brings torch along, a baseline does not.
    peak = cells.groupby("method")["peak_memory_bytes"].max()
    assert peak["net"] > 1.2 * peak["nearest"] > 50_000_000


def test_a_killed_benchmark_resumes_and_repeats_nothing(start, s2s_home: Path, benchmark_job: Path, undisturbed: Done) -> None:
    words = ("benchmark", benchmark_job, "--local", "--json", "--out", s2s_home / "out")
    process = start(*words)
    workers = wait_for_a_cell(s2s_home, process)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == [], "a cell outlives the benchmark that started it"
    before = cells_of(s2s_home)

    done = finish(start(*words), s2s_home / "out")
    after = cells_of(s2s_home)
    num_before = sum(path.name == "cell.json" for path in before)
    assert 0 < num_before < NUM_CELLS
    assert {path: after[path] for path in before} == before
    assert done.report.num_cells_run == NUM_CELLS - num_before
    assert found(done.report.rows) == found(undisturbed.report.rows)


def test_ctrl_c_is_one_sentence_and_leaves_nobody_behind(start, s2s_home: Path, benchmark_job: Path) -> None:
    process = start("benchmark", benchmark_job, "--local", "--out", s2s_home / "out")
    workers = wait_for_a_cell(s2s_home, process)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert "stopped; the same command goes on from what is kept" in words
    assert "Traceback" not in words
    assert psutil.wait_procs(workers, timeout=10)[1] == []


def test_on_the_stack_cells_are_ray_tasks_and_rows_are_runs(
    start, stack: Path, benchmark_job: Path, tmp_path: Path, undisturbed: Done
) -> None:
    settings = load_settings()
    words = ("benchmark", benchmark_job, "--json", "--out", tmp_path / "out")
    done = finish(start(*words), tmp_path / "out")
    assert found(done.report.rows) == found(undisturbed.report.rows)
    assert all(uri.startswith("s3://") for uri in done.report.artifacts.values())
    cells = pd.read_parquet(tmp_path / "out" / "cells.parquet")
    assert set(list_names("s3://atlas/benchmarks/cells", settings)) == set(cells["key"])
    check_records(settings, done.report)

    again = finish(start(*words), tmp_path / "out")
    assert again.report == done.report


def check_records(settings: Settings, report: BenchmarkReport) -> None:
    """One run for the benchmark with its files, and one below it for every row."""
    client = connect(settings).client
    assert report.mlflow_run_id is not None
    parent = client.get_run(report.mlflow_run_id)
    assert parent.info.status == "FINISHED"
    assert {item.path for item in client.list_artifacts(report.mlflow_run_id)} == FILES | {"config.json"}
    runs = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{report.mlflow_run_id}'")
    by_method = {run.data.tags["method"]: run for run in runs}
    assert set(by_method) == {"nearest", "net", "too large"}
    (net,) = (row for row in report.rows if row.method == "net")
    assert net.score is not None
    assert by_method["net"].data.metrics["pcc"] == pytest.approx(net.score.pcc)
    assert by_method["nearest"].data.metrics["pcc_difference"] < 1
    assert by_method["too large"].data.metrics == {}
    assert parent.data.metrics["pcc/synthetic-bench"] == pytest.approx(net.score.pcc)
