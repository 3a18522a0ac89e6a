"""A run's key: the same for the same result, another where a result could differ; and the report it finds again."""

import re
from dataclasses import replace

import numpy as np
import pytest

from s2s.contracts.photographs import PhotographsMeta
from s2s.storage.objects import list_names, read_bytes
from s2s.storage.photographs import Photographs, open_photographs, write_photographs


@pytest.fixture
def photographs(settings) -> Photographs:
    meta = PhotographsMeta(id="set", num_photographs=1, side=32, source="test", input_sha256="1" * 64, code_version="0")
    write_photographs("memory://recipes/photographs", meta, [np.zeros((32, 32), np.float32)], settings, replace=True)
    return open_photographs("memory://recipes/photographs", settings)


def test_the_key_is_stable_and_short(make_run):
    first, second = make_run(), make_run()
    assert first.key == second.key
    assert re.fullmatch(r"[0-9a-f]{16}", first.key)
    assert first.folder == f"{first.settings.root}/runs/{first.key}"
    assert first.checkpoints == (f"{first.folder}/checkpoint",)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "other"}, id="name"),
        pytest.param({"resources": {"cpus": 7, "memory_gb": 1}}, id="resources"),
        pytest.param({"tracking": {"experiment": "other", "register_model": False}}, id="tracking"),
        pytest.param({"section": "s3://elsewhere/tiny"}, id="name-of-the-same-data"),
    ],
)
def test_what_changes_no_result_changes_no_key(make_run, changes):
    assert make_run(**changes).key == make_run().key


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"training": {"max_steps": 7}}, id="training"),
        pytest.param({"network": {"features": 4}}, id="network"),
        pytest.param({"sampling": {"phase": (0, 1)}}, id="phase"),
        pytest.param({"sampling": {"mode": "paper"}}, id="mode"),
        pytest.param({"genes": {"limit": 2}}, id="genes"),
        pytest.param({"imputation": {"tile": 64}}, id="imputation"),
        pytest.param({"expression_scale": 5.0}, id="scale"),
    ],
)
def test_what_may_change_a_result_changes_the_key(make_run, changes):
    assert make_run(**changes).key != make_run().key


def test_other_data_and_other_photographs_change_the_key(make_run, make_section, photographs):
    run = make_run()
    assert make_run(make_section(seed=1)).key != run.key
    assert replace(run, photographs=photographs).key != run.key


@pytest.mark.parametrize(
    "about",
    [
        pytest.param({"tissue": "brest"}, id="tissue"),
        pytest.param({"pitch_um": 50.0}, id="pitch"),
        pytest.param({"licence": "CC0"}, id="licence"),
    ],
)
def test_a_corrected_contract_of_the_same_arrays_is_a_new_run(make_run, make_section, about):
    assert make_run(make_section(**about)).key != make_run().key


def test_another_name_of_the_same_section_is_the_same_run(make_run, make_section):
    assert make_run(make_section(id="renamed")).key == make_run().key


def test_files_of_a_run_are_replaced_in_its_folder(make_run):
    run = make_run()
    run.write("notes.txt", b"old")
    uri = run.write("notes.txt", b"new")
    assert read_bytes(uri, run.settings) == b"new"
    assert list_names(run.folder, run.settings) == ["notes.txt"]
