"""What a page that is built again need not write: sections as they were, and what a build that was stopped had done."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from page_examples import make_imputed
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError
from s2s.page import building, keeping, sections
from s2s.page.building import Built, PageRequest, build_page
from s2s.page.keeping import workshop
from s2s.recipes.run import silent

KEYS = ("a", "b", "c")


@pytest.fixture
def settings(s2s_home: Path) -> Settings:
    return Settings(is_local=True, home=s2s_home)


@pytest.fixture
def source(tmp_path: Path, settings: Settings) -> Path:
    """A folder of three imputed sections, files and a Zarr store."""
    folder = tmp_path / "imputed"
    folder.mkdir()
    for seed, name in enumerate(("a.h5ad", "b.zarr", "c.h5ad")):
        make_imputed(folder / name, settings, height=16, width=16 + 2 * seed, seed=seed)
    return folder


def build(source: Path, out: Path, settings: Settings, **options: bool) -> Built:
    return build_page(PageRequest(uri=str(source), out=out, **{"replace": True, **options}), settings, silent)


def files_of(page: Path) -> dict[str, bytes]:
    return {path.relative_to(page).as_posix(): path.read_bytes() for path in sorted(page.rglob("*")) if path.is_file()}


def inodes(page: Path, key: str) -> dict[str, int]:
    folder = page / "sections" / key
    return {path.relative_to(folder).as_posix(): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def interrupt(source: Path, page: Path, settings: Settings, key: str) -> None:
    """Build a page, and let Ctrl-C come while a section is written."""
    write, begun = sections.thumbnail, list(KEYS)

    def thumbnail(*arguments: object) -> bytes:
        if begun.pop(0) == key:
            raise KeyboardInterrupt
        return write(*arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sections, "thumbnail", thumbnail)
        build(source, page, settings)
    assert not page.exists()


@pytest.mark.parametrize(("has_anndata", "can_link"), [pytest.param(True, True, id="linked"), pytest.param(False, False, id="copied")])
def test_sections_that_have_not_changed_are_kept(
    source: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, has_anndata: bool, can_link: bool
) -> None:
    page = tmp_path / "page"
    assert build(source, page, settings, has_anndata=has_anndata).num_kept == 0
    before, old = files_of(page), {key: inodes(page, key) for key in KEYS}
    (source / "c.h5ad").unlink()
    make_imputed(source / "c.h5ad", settings, id="synthetic-new", height=16, width=20, seed=9)
    if not can_link:
        monkeypatch.setattr(keeping.os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    built = build(source, page, settings, has_anndata=has_anndata)
    assert built.num_kept == 2
    assert [(row.key, row.state) for row in built.index.sections] == [(key, "done") for key in KEYS]
    after = files_of(page)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} >= {"page.json", "sections/c/zarr.json"}
    assert not [name for name in after if name.startswith(("sections/a/", "sections/b/", "models/")) and after[name] != before[name]]
    assert [inodes(page, key) == old[key] for key in KEYS] == [can_link, can_link, False]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["imputed", "page", "s2s_home"]


def test_a_section_is_written_again_with_or_without_its_anndata_and_by_another_version(
    source: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    build(source, page, settings)
    assert build(source, page, settings, has_anndata=True).num_kept == 0
    assert (page / "sections/b/b.h5ad").is_file()
    assert build(source, page, settings).num_kept == 0
    assert not (page / "sections/b/b.h5ad").exists()
    monkeypatch.setattr(sections, "__version__", "999.0")
    assert build(source, page, settings).num_kept == 0
    (page / "sections/a/zarr.json").write_text("{}")
    assert build(source, page, settings).num_kept == 2


def test_values_that_changed_in_place_are_seen(source: Path, tmp_path: Path, settings: Settings) -> None:
    page = tmp_path / "page"
    build(source, page, settings)
    std = zarr.open_group(source / "b.zarr", mode="r+")["layers/std"]
    std[...] = std[...] * np.float32(2)
    before = zarr.open_group(page / "sections/b", mode="r")["std"][...]
    assert build(source, page, settings).num_kept == 2
    np.testing.assert_allclose(zarr.open_group(page / "sections/b", mode="r")["std"][...], 2 * before, rtol=1e-3)


def test_an_interrupted_build_goes_on_and_leaves_nothing_hidden(source: Path, tmp_path: Path, settings: Settings) -> None:
    page = tmp_path / "page"
    interrupt(source, page, settings, "b")
    half = tmp_path / ".page.building/sections/.b.killed"  # what kill -9 leaves
    half.mkdir()
    (half / "zarr.json").write_text("{")
    assert build(source, page, settings).num_kept == 1
    assert build(source, tmp_path / "other", settings).num_kept == 0
    assert files_of(page).keys() == files_of(tmp_path / "other").keys()
    for key in KEYS:
        resumed, whole = (zarr.open_group(folder / "sections" / key, mode="r") for folder in (page, tmp_path / "other"))
        assert resumed.attrs.asdict() == whole.attrs.asdict()
        np.testing.assert_array_equal(resumed["imputed"][...], whole["imputed"][...])
    assert sorted(item.name for item in tmp_path.iterdir()) == ["imputed", "other", "page", "s2s_home"]


def test_what_a_build_of_something_else_left_is_no_part_of_the_page(source: Path, tmp_path: Path, settings: Settings) -> None:
    page = tmp_path / "page"
    interrupt(source, page, settings, "c")
    assert build(source / "c.h5ad", page, settings).num_kept == 0
    assert [item.name for item in (page / "sections").iterdir()] == ["c"]


def test_an_error_leaves_nothing_even_of_an_interrupted_build(source: Path, tmp_path: Path, settings: Settings) -> None:
    interrupt(source, tmp_path / "page", settings, "b")
    for name in ("a.h5ad", "c.h5ad"):
        (source / name).write_text("no")
    shutil.rmtree(source / "b.zarr")
    with pytest.raises(InputError, match="at least one imputed section"):
        build(source, tmp_path / "page", settings)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["imputed", "s2s_home"]


def test_two_builds_of_one_page_do_not_meet(source: Path, tmp_path: Path, settings: Settings) -> None:
    with workshop(tmp_path / ".page.building"):
        with pytest.raises(ExistsError, match="no other build of this page"):
            build(source, tmp_path / "page", settings)
        assert (tmp_path / ".page.building").is_dir()
    assert build(source, tmp_path / "page", settings).index.count("done") == 3
    assert building.INDEX in files_of(tmp_path / "page")
