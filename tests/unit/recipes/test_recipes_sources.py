"""From names to open inputs: a file is ingested once, and an id never stands for two things."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from s2s.contracts.loading import validate
from s2s.contracts.run import RunConfig, SectionSource
from s2s.errors import ExistsError, InputError, MissingError
from s2s.recipes import sources
from s2s.recipes.run import silent
from s2s.recipes.sources import forget_run, in_atlas, open_run, open_source
from s2s.storage.objects import exists
from s2s.storage.sections import list_sections

MakeSource = Callable[..., SectionSource]
# Bins of 10 um: A at (0, 0) twice, B at (0, 1), A at (1, 1).
TABLE = "x,y,gene\n1,1,A\n9,2,A\n12,5,B\n18,19,A\n"


class Listener:
    """Keeps the stages it was told of."""

    def __init__(self) -> None:
        self.stages: set[str] = set()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        self.stages.add(stage)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "transcripts.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def make_source(table: Path) -> MakeSource:
    def make(**changes: object) -> SectionSource:
        about = {"id": "tiny", "tissue": "breast", "organism": "human", "technology": "iss", "pitch_um": 10.0}
        return SectionSource(**{"file": str(table), "reader": "transcripts", **about, **changes})

    return make


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("s3://bucket/sections/a", id="s3"),
        pytest.param("/data/sections/a", id="path"),
        pytest.param("memory://x/a", id="memory"),
        pytest.param("./a", id="relative-path"),
    ],
)
def test_a_uri_or_path_stays_as_it_is(settings, name):
    assert in_atlas("sections", name, settings) == name


def test_an_id_lies_below_the_root(settings):
    assert in_atlas("sections", "tenx94", settings) == f"{settings.root}/sections/tenx94"


def test_a_file_is_ingested_on_first_use_and_found_again(make_source, settings):
    first, second = Listener(), Listener()
    section = open_source(make_source(), settings, first)
    assert section.uri == f"{settings.root}/sections/tiny"
    assert section.genes == ("A", "B")
    np.testing.assert_array_equal(section.read(), [[[2, 0], [0, 1]], [[0, 1], [0, 0]]])
    again = open_source(make_source(), settings, second)
    assert again.meta == section.meta, "written once: the time of its commit is the same"
    assert {"read", "write"} <= first.stages
    assert not {"read", "write"} & second.stages
    assert open_source("tiny", settings, silent).meta == section.meta
    assert open_source(section.uri, settings, silent).meta == section.meta


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        pytest.param({"pitch_um": 20.0}, r"pitch_um 10\.0, expected 20\.0", id="pitch"),
        pytest.param({"tissue": "brain"}, "tissue breast, expected brain", id="tissue"),
        pytest.param({"organism": "mouse"}, "organism human, expected mouse", id="organism"),
        pytest.param({"technology": "xenium"}, "technology iss, expected xenium", id="technology"),
        pytest.param({"values": "log1p"}, "values counts, expected log1p", id="values"),
    ],
)
def test_an_id_taken_with_other_settings_says_the_difference(make_source, settings, changes, difference):
    open_source(make_source(), settings, silent)
    with pytest.raises(
        ExistsError, match=rf"expected section tiny to hold .*transcripts\.csv, but .* differs: {difference}; choose another"
    ):
        open_source(make_source(**changes), settings, silent)
    assert len(list_sections(f"{settings.root}/sections", settings)) == 1


def test_an_id_taken_by_another_file_is_said(make_source, settings, tmp_path):
    before = open_source(make_source(), settings, silent).meta
    other = tmp_path / "other.csv"
    other.write_text(TABLE + "1,1,B\n")
    with pytest.raises(ExistsError, match=r"differs: input_sha256 [0-9a-f]{64}, expected [0-9a-f]{64}; choose another id"):
        open_source(make_source(file=str(other)), settings, silent)
    assert open_source("tiny", settings, silent).meta == before


def test_another_id_holds_the_same_file_beside_it(make_source, settings):
    first, second = (open_source(make_source(id=name), settings, silent) for name in ("one", "two"))
    assert first.meta.data_sha256 == second.meta.data_sha256
    assert first.uri != second.uri


def test_what_is_not_there_is_said(make_source, settings):
    with pytest.raises(MissingError):
        open_source("unheard-of", settings, silent)
    with pytest.raises(MissingError, match=r"nowhere\.csv"):
        open_source(make_source(file="nowhere.csv"), settings, silent)


def test_a_bad_file_leaves_no_section(make_source, settings, table):
    table.write_text("x,y,gene\n1,1,A\nfar,2,A\n")
    with pytest.raises(InputError):
        open_source(make_source(), settings, silent)
    assert list_sections(f"{settings.root}/sections", settings) == []


def config(source: SectionSource, **changes: object) -> RunConfig:
    return validate(RunConfig, {"name": "tiny", "section": source.model_dump(), **changes}, where="test")


def test_a_run_without_photographs_opens_none(make_source, settings):
    run = open_run(config(make_source(), photographs=None), settings, silent)
    assert run.photographs is None
    assert run.section.genes == ("A", "B")


def test_unknown_photographs_are_said(make_source, settings):
    with pytest.raises(MissingError):
        open_run(config(make_source(), photographs="unheard-of"), settings, silent)


def test_bundled_photographs_are_ingested_on_first_use_only(make_source, settings, monkeypatch):
    ingested = []
    store = sources.store_photographs
    monkeypatch.setattr(sources, "store_photographs", lambda *args, **kwargs: ingested.append(args[1]) or store(*args, **kwargs))
    first, second = (open_run(config(make_source()), settings, silent).photographs for _ in range(2))
    assert first.meta == second.meta
    assert ingested == [f"{settings.root}/photographs/bundled"]


def test_forgetting_a_run_deletes_its_folder_alone(make_source, settings):
    first, other = (config(make_source(), photographs=None, seed=seed) for seed in (0, 1))
    uris = [open_run(each, settings, silent).write("report.json", b"{}") for each in (first, other)]
    forget_run(first, settings, silent)
    assert [exists(uri, settings) for uri in uris] == [False, True]
    assert open_source("tiny", settings, silent).genes == ("A", "B")
