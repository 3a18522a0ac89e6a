"""A page from an imputed section, a folder, an atlas: what lies in it, how exact it is, and what is refused."""

import gzip
import json
import logging
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr
from PIL import Image

from page_examples import Example, make_imputed
from s2s.contracts.atlas import AtlasManifest, SectionImputation
from s2s.contracts.page import PageIndex, PageStore
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError, StackError, StorageError
from s2s.page import sections
from s2s.page.building import PageRequest, build_page
from s2s.storage.planes import plane_chunks


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


@pytest.fixture
def settings(s2s_home: Path) -> Settings:
    return Settings(is_local=True, home=s2s_home)


@pytest.fixture
def example(tmp_path: Path, settings: Settings) -> Example:
    return make_imputed(tmp_path / "Glands 1.h5ad", settings, id="synthetic-glands", height=24, width=31)


def build(uri: Path | str, out: Path, settings: Settings, **options: bool) -> PageIndex:
    return build_page(PageRequest(uri=str(uri), out=out, **options), settings, silent).index


def nothing_hidden(folder: Path) -> bool:
    return not [item for item in folder.iterdir() if item.name.startswith(".")]


def test_a_page_of_one_section(example: Example, tmp_path: Path, settings: Settings) -> None:
    index = build(example.path, tmp_path / "page", settings)
    page, store = tmp_path / "page", tmp_path / "page" / "sections" / "glands-1"
    assert PageIndex.model_validate_json((page / "page.json").read_text()) == index
    (row,) = index.sections
    assert (row.key, row.tissue, row.num_genes, row.num_reliable, row.gene) == ("glands-1", "glands", 12, 8, "SYN0001")
    assert row.is_synthetic
    assert row.has_truth
    assert (index.models[0].name, index.models[0].pcc, row.model) == ("s2s-human-breast", 0.61, "3b4c3b4c3b4c")
    assert "# s2s-human-breast" in (page / "models" / "3b4c3b4c3b4c.txt").read_text()
    about = PageStore.model_validate(json.loads((store / "zarr.json").read_text())["attributes"])
    assert about.layers == ("imputed", "std", "lower_90", "upper_90", "truth")
    assert (about.shape, about.stride, about.phase, about.source_uri) == ((24, 31), 2, (0, 0), "Glands 1.h5ad")
    genes = json.loads(gzip.decompress((store / "genes.json.gz").read_bytes()))
    assert genes["names"] == list(example.imputed.genes)
    assert genes["pcc"][0] == 0.9
    assert genes["reliable"][-1] == 0
    with Image.open(store / "thumb.png") as picture:
        assert picture.size == (31 * 7, 24 * 7)
    assert {"index.html", "app.js", "app.css", "colours.json"} <= {item.name for item in page.iterdir()}
    assert nothing_hidden(tmp_path)


def test_any_zarr_reader_finds_the_values(example: Example, tmp_path: Path, settings: Settings) -> None:
    build(example.path.as_uri(), tmp_path / "page", settings, has_anndata=True)  # file:///.../Glands%201.h5ad
    assert (tmp_path / "page/sections/glands-1/glands-1.h5ad").read_bytes() == example.path.read_bytes()
    group = zarr.open_group(tmp_path / "page" / "sections" / "glands-1", mode="r")
    made, tissue = example.imputed, example.imputed.tissue
    expected = np.where(made.is_measured, made.observed, made.imputed)
    stored = group["imputed"][...].astype(np.float32)
    assert np.isnan(stored[:, ~tissue]).all()
    np.testing.assert_allclose(stored[:, tissue], expected[:, tissue], rtol=2**-11, atol=1e-7)
    np.testing.assert_array_equal(group["tissue"][...], tissue)
    np.testing.assert_array_equal(group["observed"][...], made.is_measured)
    assert not group["std"][...][:, made.is_measured].any()
    truth = group["truth"][...].astype(np.float32)
    np.testing.assert_array_equal(truth[:, made.is_measured], stored[:, made.is_measured])  # there the truth was given away
    assert np.abs(truth - stored)[:, tissue & ~made.is_measured].max() > 0.1
    assert group["imputed"].metadata.to_dict()["codecs"][1]["name"] == "gzip"


def test_blocks_and_tiles_change_no_value(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large section: bands of rows, blocks of genes, tiles, and an overview of squares."""
    monkeypatch.setattr(sections, "TILE", 16)
    monkeypatch.setattr("s2s.storage.planes.TILE", 16)
    monkeypatch.setattr(sections, "BLOCK_VALUES", 16 * 50 * 2)
    example = make_imputed(tmp_path / "large.zarr", settings, height=40, width=50)
    build(example.path, tmp_path / "page", settings)
    group = zarr.open_group(tmp_path / "page" / "sections" / "large", mode="r")
    assert (group["imputed"].chunks, group["overview/imputed"].shape) == ((1, 16, 16), (12, 10, 13))
    made, tissue = example.imputed, example.imputed.tissue
    expected = np.where(tissue, np.where(made.is_measured, made.observed, made.imputed), np.nan)
    np.testing.assert_allclose(group["imputed"][...], expected, rtol=2**-11, atol=1e-7)
    square = expected[3, 20:24, 24:28]
    np.testing.assert_allclose(group["overview/imputed"][3, 5, 6], np.nanmean(square), rtol=2**-10)
    sampled = np.where(made.is_measured, expected, np.nan)[3, 20:24, 24:28]
    np.testing.assert_allclose(group["overview/sampled"][3, 5, 6], np.nanmean(sampled), rtol=2**-10)
    std = np.where(tissue & ~made.is_measured, made.std, np.nan)[3, 20:24, 24:28]
    np.testing.assert_allclose(group["overview/std"][3, 5, 6], np.nanmean(std), rtol=2**-10)
    assert group.attrs["overview_factor"] == 4


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param((20_000, 60, 60), (18, 60, 60), id="small-planes-share-a-chunk"),
        pytest.param((3, 60, 60), (3, 60, 60), id="no-more-than-there-are"),
        pytest.param((20_000, 500, 500), (1, 500, 500), id="one-plane"),
        pytest.param((20_000, 513, 40), (1, 512, 40), id="tiles"),
    ],
)
def test_chunks(shape: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert plane_chunks(shape, 2) == expected


def test_a_section_that_is_gone_or_was_replaced_gives_no_truth(example: Example, tmp_path: Path, settings: Settings) -> None:
    make_imputed(tmp_path / "other.h5ad", settings, id="synthetic-other", height=24, width=31, seed=5)
    there = Path(example.section_uri)
    there.rename(there.with_name("elsewhere"))
    index = build(example.path, tmp_path / "page", settings)
    assert not index.sections[0].has_truth
    note = zarr.open_group(tmp_path / "page/sections/glands-1", mode="r").attrs["truth_note"]
    assert "could not be opened" in note
    there.with_name("synthetic-other").rename(there)
    build(example.path, tmp_path / "page", settings, replace=True)
    assert "was replaced" in zarr.open_group(tmp_path / "page/sections/glands-1", mode="r").attrs["truth_note"]


def test_a_folder_of_sections_goes_on_without_one_that_is_broken(
    example: Example, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    example.path.rename(folder / "a.h5ad")
    (folder / "b.h5ad").write_text("no")
    make_imputed(folder / "c.zarr", settings, lattice="hexagonal", height=20, width=21)
    with caplog.at_level(logging.WARNING):
        index = build(folder, tmp_path / "page", settings, has_anndata=True)
    assert [(row.key, row.state) for row in index.sections] == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert "not HDF5" in index.sections[1].reason
    assert "left out" in caplog.text
    assert not (tmp_path / "page/sections/b").exists()
    for key in ("a", "c"):
        group = zarr.open_group(tmp_path / "page/sections" / key, mode="r")
        assert set(group.array_keys()) >= {"imputed", "observed", "tissue"}  # files beside them do not get in the way
        assert group.metadata.consolidated_metadata is not None
        download = group.attrs["download"]
        file = tmp_path / "page" / download["path"]
        assert file.stat().st_size == download["bytes"]
        assert anndata.read_h5ad(file).uns["s2s"]["unit"] == "log1p"


def test_an_atlas_by_name_shows_what_is_missing(
    example: Example, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = SectionImputation(section_id="one", tissue="glands", state="done", uri=str(example.path))
    gone = SectionImputation(section_id="two", tissue="retina", state="missing", reason="there is no champion")
    manifest = AtlasManifest(
        name="demo", filled_with="own", sections=(done, gone), code_version="0", created_at="2026-11-29T00:00:00+00:00"
    )
    folder = settings.home / "local" / "atlases" / "demo"
    folder.mkdir(parents=True)
    (folder / "imputed.json").write_text(manifest.model_dump_json())
    other = tmp_path / "demo"  # a folder of the same name where the command is run changes nothing
    other.mkdir()
    (other / "section.png").write_bytes(b"png")
    monkeypatch.chdir(tmp_path)
    for uri in ("demo", str(folder), str(folder / "imputed.json")):
        index = build(uri, tmp_path / "page", settings, replace=True)
        assert index.title == "demo"
        assert [(row.key, row.tissue, row.state, row.reason) for row in index.sections] == [
            ("one", "glands", "done", ""),
            ("two", "retina", "missing", "there is no champion"),
        ]


def test_a_folder_needs_no_server_and_a_name_does(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Settings(home=tmp_path / "s2s_home")
    folder = tmp_path / "many"
    folder.mkdir()
    example.path.rename(folder / "a.h5ad")
    monkeypatch.chdir(tmp_path)
    assert build("many", tmp_path / "page", nowhere).count("done") == 1
    with pytest.raises(StackError, match="s2s stack up"):
        build("demo", tmp_path / "other", nowhere)


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        pytest.param("nobody", MissingError, "atlas that was imputed.*s2s atlas impute", id="no-such-atlas"),
        pytest.param("/nowhere/at/all", MissingError, "found nothing", id="nothing-there"),
        pytest.param("/nowhere/a.h5ad", MissingError, "AnnData file", id="no-file"),
        pytest.param("/nowhere/a.zarr", MissingError, "a.zarr", id="no-store"),
        pytest.param("s3://atlas/a.h5ad", InputError, "Zarr on S3", id="file-format-on-s3"),
        pytest.param("ftp://x/y", InputError, "s3://bucket/key", id="unknown-scheme"),
        pytest.param("{folder}", InputError, "imputed sections in .*notes.txt", id="folder-of-other-things"),
    ],
)
def test_what_no_page_can_be_made_of(uri: str, error: type[Exception], words: str, tmp_path: Path, settings: Settings) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("hello")
    with pytest.raises(error, match=words):
        build(uri.format(folder=other), tmp_path / "page", settings)
    assert sorted(item.name for item in tmp_path.iterdir() if item.name != "s2s_home") == ["other"]


def test_a_folder_that_is_no_page_is_never_replaced(example: Example, tmp_path: Path, settings: Settings) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(ExistsError, match="something else"):
        build(example.path, mine, settings, replace=True)
    assert (mine / "thesis.tex").read_text() == "years of work"
    build(example.path, tmp_path / "page", settings)
    with pytest.raises(ExistsError, match="--replace"):
        build(example.path, tmp_path / "page", settings)
    with pytest.raises(MissingError, match="create it first"):
        build(example.path, tmp_path / "not" / "there", settings)


def test_a_disk_that_refuses_leaves_nothing(example: Example, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sections, "thumbnail", full)
    with pytest.raises(StorageError, match="No space left"):
        build(example.path, tmp_path / "page", settings)
    assert not (tmp_path / "page").exists()
    assert nothing_hidden(tmp_path)


def test_values_that_are_none_are_refused(tmp_path: Path, settings: Settings) -> None:
    example = make_imputed(tmp_path / "a.zarr", settings, height=16, width=16)
    group = zarr.open_group(example.path, mode="r+")
    place = int(np.flatnonzero(example.imputed.tissue)[0])
    group["layers/std"][place, 3] = np.inf
    with pytest.raises(InputError, match=r"finite values.*std.*SYN0001"):
        build(example.path, tmp_path / "page", settings)
    assert nothing_hidden(tmp_path)
