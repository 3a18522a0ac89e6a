"""`s2s score` with a reviewers' panel, from a file to a table, a document and a figure."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from s2s.cli import app
from s2s.contracts.panel import PanelReport
from s2s.errors import ConfigError


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """One cell in each bin of 12 x 12, two genes in halves of the tissue and one that is noise."""
    y, x = np.indices((12, 12)).reshape(2, -1)
    rng = np.random.default_rng(0)
    counts = np.stack([rng.poisson(1 + 9 * (x < 6)), rng.poisson(1 + 9 * (x >= 6)), rng.poisson(4, x.size)], axis=1)
    data = anndata.AnnData(X=counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(x.size)]), var=pd.DataFrame(index=["A", "B", "C"]))
    data.obsm["spatial"] = np.stack([x, y], axis=1).astype(float)
    path = tmp_path / "cells.h5ad"
    data.write_h5ad(path)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["score", *(str(word) for word in words), "--local"])


def test_a_panel_follows_the_table(cells: Path, tmp_path: Path) -> None:
    figure = tmp_path / "panel.png"
    done = run(cells, "--pitch-um", "1", "--phase", "0,1", "--panel", "nearest", "--panel", "mean", "--panel-figure", figure)
    assert done.exit_code == 0, done.output
    assert "Reviewers' panel, phase 0,1" in done.stdout
    rows = done.stdout.split("Reviewers' panel")[1].splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["method", "-------", "nearest", "mean"]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_json_holds_scores_and_panels(cells: Path) -> None:
    done = run(cells, "--pitch-um", "1", "--phase", "0,0", "--panel", "nearest", "--json")
    told = json.loads(done.stdout)
    assert [row["method"] for row in told["scores"]][:2] == ["zero", "median"]
    report = PanelReport.model_validate(told["panels"][0])
    assert (report.method, report.num_genes, report.num_positions) == ("nearest", 3, 108)
    assert report.variable_genes.in_truth == 2
    assert report.variable_genes.recall == 1


def test_without_a_panel_json_is_the_list_of_scores(cells: Path) -> None:
    told = json.loads(run(cells, "--pitch-um", "1", "--phase", "0,0", "--json").stdout)
    assert [row["method"] for row in told][:2] == ["zero", "median"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--panel", "magic"], "expected --panel with methods among zero, median.*, got magic", id="unknown-method"),
        pytest.param(["--panel-figure", "x.png"], "expected --panel METHOD with --panel-figure, got the figure alone", id="figure-alone"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_the_work(words: list[str], message: str) -> None:
    done = run("nowhere.h5ad", "--pitch-um", "1", *words)
    assert isinstance(done.exception, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise done.exception
