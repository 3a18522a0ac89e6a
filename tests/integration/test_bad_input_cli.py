"""Every bad input of a user's, through the door: exit code 2, one clear message, nothing half-written.

What needs no server runs with `--local`. A store that goes away in the middle of a write is `tests/contract/test_storage_conformance.py`,
an MLflow server that goes away in the middle of a training `test_end_to_end_outage.py`.
"""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from s2s.contracts.settings import Settings, load_settings
from s2s.stack.ports import HOST, choose_ports
from s2s.storage.objects import list_names
from s2s.tracking.server import connect

ABOUT = ("--id", "bad", "--tissue", "breast", "--organism", "human", "--technology", "test")
ON_A_GRID = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
COUNTS = np.arange(1, 13, dtype=np.float32).reshape(4, 3)


def write_cells(path: Path, values: np.ndarray = COUNTS, positions: object = ON_A_GRID, genes: tuple[str, ...] = ("A", "B", "C")) -> Path:
    data = anndata.AnnData(X=values, obs=pd.DataFrame(index=[f"c{i}" for i in range(len(values))]), var=pd.DataFrame(index=list(genes)))
    if positions is not None:
        data.obsm["spatial"] = np.asarray(positions, float)
    data.write_h5ad(path)
    return path


def with_first(value: float) -> np.ndarray:
    values = COUNTS.copy()
    values[0, 0] = value
    return values


def write_truncated_gz(path: Path) -> Path:
    whole = gzip.compress(b"x,y,gene\n" + b"".join(b"%d,%d,G%d\n" % (i, i * 7 % 101, i % 9) for i in range(5000)))
    path.write_bytes(whole[: len(whole) // 2])
    return path


def write_text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def refused(outcome, *words: str) -> None:
    """Exit code 2, and exactly one message that says these words."""
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert outcome.err.count("error: ") == 1, outcome.err
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


CELLS = ("--reader", "cells", "--pitch-um", 1)
SPOTS = ("--reader", "spots", "--pitch-um", 1)
TABLE = ("--reader", "transcripts", "--pitch-um", 1)
Make = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        pytest.param(lambda at: write_cells(at, positions=None), CELLS, ['obsm["spatial"]'], id="no spatial coordinates"),
        pytest.param(
            lambda at: write_cells(at, positions=[[0, 0], [1, 0], [np.nan, 1], [1, 1]]), CELLS, ["1 of 4 rows are NaN", "row 2"], id="NaN"
        ),
        pytest.param(lambda at: write_cells(at, positions=[[0], [1], [2], [3]]), CELLS, ["two-dimensional", "(4, 1)"], id="one dimension"),
        pytest.param(lambda at: write_cells(at, with_first(-1)), CELLS, ["-1", "raw counts"], id="negative counts"),
        pytest.param(lambda at: write_cells(at, with_first(0.5)), CELLS, ["0.5", "--values log1p"], id="counts not whole"),
        pytest.param(lambda at: write_cells(at, COUNTS[:0], np.zeros((0, 2))), CELLS, ["empty"], id="empty AnnData"),
        pytest.param(lambda at: write_text(at, "x,y,gene\n"), TABLE, ["at least one transcript"], id="empty table"),
        pytest.param(write_truncated_gz, TABLE, ["complete gzip", "download it again"], id="truncated gz"),
        pytest.param(lambda at: write_text(at, "x,y,gene\n1,2,A\n"), CELLS, ["AnnData", "not HDF5"], id="not an h5ad"),
        pytest.param(
            lambda at: write_cells(at, genes=("A", "B", "A")),
            CELLS,
            ["every gene once", "A"],
            id="duplicated genes",
            marks=pytest.mark.filterwarnings("ignore:Variable names are not unique"),
        ),
        pytest.param(
            lambda at: write_cells(at, positions=[[0, 0], [1, 0], [0, 1], [0, 1]]),
            SPOTS,
            ["one spot per site", "c2", "c3"],
            id="duplicated spots",
        ),
        pytest.param(
            lambda at: write_text(at, "px,py,target\n1,2,A\n"), TABLE, ["found: px, py, target", "--columns"], id="unknown columns"
        ),
        pytest.param(write_cells, ("--reader", "cells", "--pitch-um", 1000), ["one bin", "--pitch-um"], id="pitch of one bin"),
        pytest.param(write_cells, ("--reader", "cells", "--pitch-um", 1e-5), ["1e+08", "--pitch-um"], id="pitch of 1e10 bins"),
        pytest.param(lambda at: at, CELLS, ["found nothing"], id="file missing"),
        pytest.param(lambda at: write_text(at, ""), CELLS, ["empty file"], id="file empty"),
        pytest.param(write_cells, (*CELLS, "--layer", "spliced"), ["spliced", "--layer"], id="no such layer"),
    ],
)
def test_a_bad_section_is_refused(door, s2s_home: Path, tmp_path: Path, make: Make, options: tuple[object, ...], words: list[str]) -> None:
    file = make(tmp_path / "section.h5ad")
    refused(door("ingest", "section", file, *options, *ABOUT, "--local"), str(file), *words)
    assert files_below(s2s_home) == set()


def test_a_taken_id_is_refused_unless_replaced(door, s2s_home: Path, tmp_path: Path) -> None:
    file = write_cells(tmp_path / "cells.h5ad")
    command = ("ingest", "section", file, *CELLS, *ABOUT, "--local")
    assert door(*command).code == 0
    before = files_below(s2s_home)
    refused(door(*command), "bad", "--replace")
    assert files_below(s2s_home) == before
    assert door(*command, "--replace").code == 0
    assert files_below(s2s_home).isdisjoint(before - {Path("local/sections/bad/commit.json")})


@pytest.fixture
def section(door, s2s_home: Path) -> Path:
    """The home of a `--local` atlas that holds the section the job names."""
    assert door("ingest", "synthetic", "--height", 48, "--width", 48, "--genes", 12, "--local").code == 0
    return s2s_home


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param("training.learning_rte=1", ["training.learning_rte", "did you mean 'learning_rate'?"], id="unknown key"),
        pytest.param("training.batch=0", ["training.batch", "greater than or equal to 1"], id="value out of range"),
        pytest.param("preset=desktop", ["desktop", "laptop, large, paper"], id="no such preset"),
        pytest.param("section=liver", ["liver", "ingest it first"], id="no such section"),
        pytest.param("photographs=holiday", ["holiday", "ingest it first"], id="no such photographs"),
        pytest.param("training.window=64", ["window", "48"], id="section smaller than a window"),
        pytest.param("genes.names=[SYN0001, ERBB2]", ["ERBB2"], id="no such gene"),
    ],
)
def test_a_bad_run_is_refused_and_leaves_no_result(door, section: Path, job: Path, tmp_path: Path, change: str, words: list[str]) -> None:
    refused(door("train", job, "--local", "--set", change, "--out", tmp_path / "out"), *words)
    assert not (section / "local" / "runs").exists()
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_in_the_yaml_itself_is_named_with_the_file(door, tmp_path: Path) -> None:
    path = write_text(tmp_path / "job.yaml", "kind: run\nname: x\nsection: s\nsampling: {fase: [0, 1]}\n")
    refused(door("train", path, "--local"), str(path), "sampling.fase", "did you mean 'phase'?")


def test_a_loss_that_is_not_finite_stops_with_step_and_checkpoint(door, section: Path, job: Path) -> None:
    wild = ("--set", "training.learning_rate=1e30", "--set", "training.checkpoint_every_s=0.000001")
    outcome = door("train", job, "--local", *wild)
    (run,) = (section / "local" / "runs").iterdir()
    (attempt,) = run.iterdir()
    checkpoint = attempt / "checkpoint" / "000000001-0-of-1.safetensors"
    refused(outcome, "finite loss", "at step 2", f"last good checkpoint: {checkpoint}", "learning_rate")
    assert [path for path in attempt.rglob("*") if path.is_file()] == [checkpoint]
    client = connect(load_settings(is_local=True)).client
    (record,) = client.search_runs([client.get_experiment_by_name("end to end").experiment_id])
    assert record.info.status == "FAILED"


def test_training_without_a_stack_says_what_starts_one(door, job: Path) -> None:
    refused(door("train", job), "s2s stack up", "--local")


def test_a_model_that_does_not_exist(door, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    command = ("impute", "--model", "models:/s2s-human-liver@champion", "--section", "synthetic-glands", "--out", out, "--local")
    refused(door(*command), "s2s-human-liver", "none yet", "s2s train")
    assert not out.exists()


def test_a_destination_is_refused_before_anything_else(door, tmp_path: Path) -> None:
    taken = write_text(tmp_path / "taken.h5ad", "mine")
    command = ("impute", "--model", "models:/s2s-human-liver@champion", "--section", "any", "--local", "--out")
    refused(door(*command, taken), str(taken), "--replace")
    refused(door(*command, tmp_path / "out.csv"), "out.csv", ".h5ad")
    assert taken.read_text(encoding="utf-8") == "mine"


def test_models_of_a_server_that_is_gone(door, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{HOST}:{choose_ports(['gone'], last={})['gone']}"
    monkeypatch.setenv("S2S_MLFLOW_URI", url)
    refused(door("models"), url, "s2s stack up")


@pytest.fixture(params=[pytest.param("obstore", id="obstore"), pytest.param("s3fs", id="s3fs")])
def wrong_key(s3_settings: Settings, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("S2S_S3_ENDPOINT", str(s3_settings.s3_endpoint))
    monkeypatch.setenv("S2S_BUCKET", s3_settings.bucket)
    monkeypatch.setenv("S2S_ZARR_CLIENT", request.param)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")


def test_a_wrong_key_writes_nothing(door, wrong_key: None, s3_settings: Settings) -> None:
    before = list_names(s3_settings.root, s3_settings)
    refused(door("ingest", "synthetic", "--id", "synthetic-refused"), "AWS_ACCESS_KEY_ID", str(s3_settings.s3_endpoint))
    assert list_names(s3_settings.root, s3_settings) == before
