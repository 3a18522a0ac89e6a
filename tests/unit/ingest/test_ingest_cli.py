import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from s2s.cli.ingest import app
from s2s.contracts.settings import load_settings
from s2s.errors import ConfigError, ExistsError, InputError, S2SError, StackError
from s2s.storage.photographs import open_photographs
from s2s.storage.sections import open_section

ABOUT = ["--id", "breast-1", "--tissue", "breast", "--organism", "human", "--technology", "xenium"]


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def failure(*words) -> S2SError:
    result = run(*words)
    assert isinstance(result.exception, S2SError), result.output
    return result.exception


@pytest.fixture
def cells(write_h5ad):
    return write_h5ad(np.array([[1, 2], [3, 4]]), [[0.0, 0.0], [2.0, 1.0]], genes=["ERBB2", "ESR1"])


def test_a_section_goes_from_file_to_atlas(cells):
    result = run("section", cells, "--reader", "cells", "--pitch-um", "1", "--licence", "CC0", "--local", *ABOUT)
    assert result.exit_code == 0, result.output
    settings = load_settings(is_local=True)
    section = open_section(f"{settings.root}/sections/breast-1", settings)
    np.testing.assert_array_equal(section.read(), [[[1, 0, 0], [0, 0, 3]], [[2, 0, 0], [0, 0, 4]]])
    assert section.meta.licence == "CC0"
    assert "2 x 3 bins of 1 um, 2 genes" in result.stdout
    assert "33.3% of the grid is tissue, 2 bins are measured, median 5 counts" in result.stdout
    assert section.uri in result.stdout.replace("\n", "")


def test_json_is_the_stored_contract(cells, tmp_path):
    uri = str(tmp_path / "elsewhere")
    result = run("section", cells, "--reader", "cells", "--pitch-um", "1", "--to", uri, "--local", "--json", *ABOUT)
    settings = load_settings(is_local=True)
    assert json.loads(result.stdout) == open_section(uri, settings).meta.model_dump(mode="json")


def test_transcript_columns_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x_px,y_px,target\n0,0,A\n30,10,B\n")
    options = ["--reader", "transcripts", "--columns", "x_px, y_px, target", "--um-per-unit", "0.5", "--pitch-um", "5", "--local", "--json"]
    result = run("section", path, *options, *ABOUT)
    assert json.loads(result.stdout)["shape"] == [2, 4]


def test_a_taken_id_is_refused_before_the_file_is_read(cells, tmp_path):
    options = ["--reader", "cells", "--pitch-um", "1", "--local", *ABOUT]
    assert run("section", cells, *options).exit_code == 0
    # The second file does not even exist: the refusal comes first.
    error = failure("section", tmp_path / "absent.h5ad", *options)
    assert isinstance(error, ExistsError)
    assert "--replace" in str(error)
    assert run("section", cells, *options, "--replace").exit_code == 0


def test_bad_options_are_named():
    error = failure("section", "f.h5ad", "--reader", "cells", "--pitch-um", "-1", "--local", *ABOUT)
    assert isinstance(error, ConfigError)
    assert "pitch_um" in str(error)


def test_bad_input_writes_nothing(cells, tmp_path):
    error = failure("section", cells, "--reader", "cells", "--pitch-um", "1000", "--local", *ABOUT)
    assert isinstance(error, InputError)
    assert not (load_settings().home / "local").exists()


@pytest.mark.parametrize("verb", [pytest.param(["synthetic"], id="synthetic"), pytest.param(["photographs"], id="photographs")])
def test_without_a_server_it_says_which_command_starts_one(verb):
    error = failure(*verb)
    assert isinstance(error, StackError)
    assert "s2s stack up" in str(error)
    assert "--local" in str(error)


def test_a_synthetic_section_is_made_and_said_to_be_synthetic():
    result = run("synthetic", "--kind", "layers", "--height", "16", "--width", "12", "--genes", "5", "--local")
    assert "section synthetic-layers (synthetic): 16 x 12 bins" in result.stdout
    settings = load_settings(is_local=True)
    assert open_section(f"{settings.root}/sections/synthetic-layers", settings).meta.is_synthetic


def test_photographs_of_a_folder_are_stored(tmp_path):
    Image.new("L", (64, 32), 51).save(tmp_path / "a.png")
    result = run("photographs", tmp_path, "--id", "mine", "--side", "32", "--local")
    assert "photographs mine: 2 tiles of 32 x 32 pixels" in result.stdout
    settings = load_settings(is_local=True)
    assert open_photographs(f"{settings.root}/photographs/mine", settings).meta.num_photographs == 2


def test_photographs_of_a_folder_need_an_id(tmp_path):
    assert "--id" in str(failure("photographs", tmp_path, "--local"))


@pytest.mark.parametrize(
    "verb",
    [pytest.param("section", id="section"), pytest.param("photographs", id="photographs"), pytest.param("synthetic", id="synthetic")],
)
def test_help_teaches_with_an_example(verb):
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: s2s ingest {verb}" in result.stdout
