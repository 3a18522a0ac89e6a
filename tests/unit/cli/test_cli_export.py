"""`s2s export` and `s2s impute --figure`: what they say, and bad inputs of every kind, after which nothing lies there."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

from s2s.cli import app
from s2s.errors import ExistsError, InputError, MissingError, S2SError
from s2s.exchange.anndata_out import write_imputed
from unit.exchange.imputed_sections import six_bins

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning")


@pytest.fixture
def imputed(tmp_path: Path) -> Path:
    path = tmp_path / "six.h5ad"
    write_imputed(path, six_bins())
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*(str(word) for word in words), "--local"])


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir() if item.name != "s2s_home")


def test_spatialdata_from_a_file_and_from_a_store(imputed: Path, tmp_path: Path) -> None:
    pytest.importorskip("spatialdata", reason="the extra `spatial` is not installed")
    said = run("export", "spatialdata", imputed, "--out", tmp_path / "a.zarr")
    assert said.exit_code == 0, said.output
    assert "a.zarr: 5 bins, 2 genes, images of PGR, ESR1" in said.stdout
    write_imputed(tmp_path / "six.zarr", six_bins("hexagonal"))
    words = ("--out", tmp_path / "b.zarr", "--genes", " ESR1 , ESR1", "--zarr-format", 2, "--json")
    told = json.loads(run("export", "spatialdata", tmp_path / "six.zarr", *words).stdout)
    assert (told["image_genes"], told["bins"], told["zarr_format"]) == (["ESR1"], 5, 2)
    assert "shapes/bins" in told["elements"]
    assert names(tmp_path) == ["a.zarr", "b.zarr", "six.h5ad", "six.zarr"]


def test_a_figure_of_some_genes(imputed: Path, tmp_path: Path) -> None:
    out = tmp_path / "six.png"
    said = run("export", "figure", imputed, "--out", out, "--genes", "PGR,ESR1")
    assert said.exit_code == 0, said.output
    assert out.read_bytes().startswith(b"\x89PNG")
    assert isinstance(run("export", "figure", imputed, "--out", out).exception, ExistsError)
    assert json.loads(run("export", "figure", imputed, "--out", out, "--replace", "--json").stdout) == {"out": str(out)}
    assert names(tmp_path) == ["six.h5ad", "six.png"]


def plain(path: Path) -> None:
    anndata.AnnData(np.ones((2, 1), np.float32), obs=pd.DataFrame(index=["a", "b"]), var=pd.DataFrame(index=["A"])).write_h5ad(path)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        pytest.param(["nowhere.h5ad"], MissingError, "found no file at .*nowhere.h5ad", id="no-file"),
        pytest.param(["nowhere.zarr"], MissingError, "nowhere.zarr", id="no-store"),
        pytest.param(["plain.h5ad"], InputError, r'plain.h5ad has no uns\["s2s"\]', id="not-imputed"),
        pytest.param(["cut.h5ad"], InputError, "cut.h5ad cannot be read", id="cut-file"),
        pytest.param(["torn.zarr"], InputError, r"torn.zarr cannot be read|torn.zarr lacks", id="torn-store"),
        pytest.param(["empty.zarr"], MissingError, "empty.zarr", id="empty-store"),
        pytest.param(["notes.txt"], InputError, r"FILE.h5ad, FOLDER.zarr or s3://.*notes.txt", id="other-format"),
        pytest.param(["six.h5ad", "--genes", "esr1"], MissingError, "did you mean ESR1", id="gene"),
    ],
)
@pytest.mark.parametrize("what", [pytest.param(["spatialdata", ".zarr"], id="spatialdata"), pytest.param(["figure", ".png"], id="figure")])
def test_a_bad_input_leaves_nothing(
    imputed: Path, tmp_path: Path, what: list[str], words: list[str], error: type[S2SError], message: str
) -> None:
    pytest.importorskip("spatialdata", reason="the extra `spatial` is not installed")
    plain(tmp_path / "plain.h5ad")
    (tmp_path / "cut.h5ad").write_bytes(imputed.read_bytes()[:3000])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty.zarr").mkdir()
    write_imputed(tmp_path / "torn.zarr", six_bins())
    for chunk in (tmp_path / "torn.zarr" / "layers" / "imputed" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:5])
    before = names(tmp_path)
    said = run("export", what[0], tmp_path / words[0], "--out", tmp_path / f"out{what[1]}", *words[1:])
    assert isinstance(said.exception, error), said.output
    with pytest.raises(error, match=message):
        raise said.exception
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        pytest.param("six.zarr", InputError, "another place than the imputed section itself", id="onto-itself"),
        pytest.param("there.zarr", ExistsError, "add --replace", id="something-there"),
        pytest.param("out.h5ad", InputError, r"ends in \.zarr", id="other-suffix"),
        pytest.param("no/out.zarr", MissingError, "create it first", id="no-folder"),
    ],
)
def test_a_bad_destination_is_refused_before_anything_is_read(tmp_path: Path, out: str, error: type[S2SError], message: str) -> None:
    pytest.importorskip("spatialdata", reason="the extra `spatial` is not installed")
    write_imputed(tmp_path / "six.zarr", six_bins())
    (tmp_path / "there.zarr").mkdir()
    replaces = ["--replace"] if out == "six.zarr" else []
    said = run("export", "spatialdata", tmp_path / "six.zarr", "--out", tmp_path / out, *replaces)
    with pytest.raises(error, match=message):
        raise said.exception or AssertionError(said.output)
    assert names(tmp_path) == ["six.zarr", "there.zarr"]


def test_s3_is_read_but_not_written(tmp_path: Path, imputed: Path) -> None:
    with pytest.raises(InputError, match=r"a folder NAME\.zarr of this machine"):
        raise run("export", "spatialdata", imputed, "--out", "s3://atlas/out.zarr").exception or AssertionError


def test_what_does_not_fit_memory_is_refused(imputed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=100))
    with pytest.raises(InputError, match=r"six.h5ad takes about 0\.0 GiB and 0\.0 GiB are free; impute fewer genes"):
        raise run("export", "figure", imputed, "--out", tmp_path / "six.png").exception or AssertionError
    assert names(tmp_path) == ["six.h5ad"]


def test_a_figure_beside_an_imputation_is_refused_before_the_work(tmp_path: Path) -> None:
    words = ("--model", "models:/none@champion", "--section", "none", "--out", tmp_path / "out.h5ad", "--figure", tmp_path / "out.jpg")
    with pytest.raises(InputError, match=r"ends in \.png"):
        raise run("impute", *words).exception or AssertionError
    assert names(tmp_path) == []
