"""`s2s page` through the door: what it prints for people and for machines, and its one message where nothing can be done."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from page_examples import make_imputed
from s2s.cli import app
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, MissingError


@pytest.fixture
def file(tmp_path: Path, s2s_home: Path) -> Path:
    return make_imputed(tmp_path / "glands.h5ad", Settings(is_local=True, home=s2s_home), height=16, width=16, num_genes=4).path


def test_build_says_what_it_made_and_what_to_do_next(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    said = CliRunner().invoke(app, ["page", "build", str(file), "--out", str(out), "--local"], catch_exceptions=False)
    assert said.exit_code == 0
    assert f"{out}: 1 section, " in said.output
    assert f"now: s2s page show {out}" in said.output
    with pytest.raises(ExistsError, match="--replace"):
        CliRunner().invoke(app, ["page", "build", str(file), "--out", str(out), "--local"], catch_exceptions=False)
    words = ["page", "build", str(file), "--out", str(out), "--local", "--replace", "--with-anndata", "--json"]
    told = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert (told["sections"], told["missing"]) == (1, 0)
    assert told["bytes"] == sum(item.stat().st_size for item in out.rglob("*") if item.is_file()) > file.stat().st_size


def test_show_wants_a_page(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="s2s page build"):
        CliRunner().invoke(app, ["page", "show", str(tmp_path)], catch_exceptions=False)
