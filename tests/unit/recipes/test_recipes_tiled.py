"""A section imputed in units: one unit is what a whole section gets, many leave no bin out, and what is written is not done again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr

from s2s.contracts.run import GeneConfig, ImputationConfig
from s2s.contracts.section import Lattice, SectionMeta
from s2s.errors import InputError, StorageError
from s2s.exchange.anndata_out import write_imputed
from s2s.imputation.tiling import UnitSize
from s2s.imputation.unit import UnitImputer
from s2s.lattice.sampling import sampled_positions
from s2s.recipes.imputing import ImputationRequest, impute_with_release
from s2s.recipes.judging import Judgement
from s2s.recipes.release import make_release
from s2s.recipes.run import silent
from s2s.recipes.tiled import band, layout
from s2s.recipes.tiled.scratch import Scratch
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.objects import list_below
from s2s.storage.sections import Masks, NewSection, Section, commit_section, open_section
from s2s.streaming.sections import measure

EVERY_GENE = GeneConfig(min_detected=0)
SMALL = UnitSize(core=16, halo=4, genes=16)
SHAPE, NUM_GENES = (28, 26), 18
MAPS = ("X", "imputed", "median", "std", "lower_50", "upper_50", "lower_80", "upper_80", "lower_90", "upper_90")


@pytest.fixture
def store(settings) -> Callable[..., Section]:
    """Store smooth counts; `shape`, `lattice`, `stride`, and where there is tissue."""

    def make(*, shape=SHAPE, num_genes=NUM_GENES, lattice="square", stride=1, tissue=None, **about) -> Section:
        rng = np.random.default_rng(3)
        rows, columns = np.indices(shape)
        waves = [1.5 + np.sin(rows / (3 + gene % 5) + gene) * np.cos(columns / (4 + gene % 3)) for gene in range(num_genes)]
        counts = rng.poisson(np.array(waves) * 2).astype(np.uint16)
        tissue = np.ones(shape, np.bool_) if tissue is None else tissue
        observed = tissue & sampled_positions(shape, stride, (0, 0), lattice)
        meta = SectionMeta(
            id="wide", tissue="breast", organism="human", technology="synthetic", pitch_um=25, shape=shape, num_genes=num_genes,
            lattice=Lattice(shape=lattice, stride=stride), source="test", input_sha256="0" * 64, code_version="0", origin_um=(5.0, 7.0),
        )  # fmt: skip
        genes = [f"G{number}" for number in range(num_genes)]
        masks = Masks(tissue=tissue, observed=observed, valid=np.ones(shape, np.bool_))
        new = NewSection(meta=meta.model_copy(update=about), genes=genes, blocks=[counts], masks=masks)
        commit_section("memory://tiled/section", new, settings, replace=True)
        return open_section("memory://tiled/section", settings)

    return make


@pytest.fixture
def ask(make_run, make_measured, make_fitted, make_imputed, tmp_path) -> Callable[..., TiledRequest]:
    """Ask for a section to be imputed by a fresh network that corrects visibly."""

    def make(section: Section, size: UnitSize = SMALL, fill: str = "copy") -> TiledRequest:
        network = {"features": 2, "blocks": 1, "layers": 1, "growth": 2, "has_attention": False, "cascades": 2, "fill": fill}
        run = make_run(network=network, training={"weights": {"sparser_to_sparse": 0}}, expression_scale=5.0)
        release, weights = make_release(run, make_measured(run), make_fitted(run), make_imputed(), Judgement())
        (tmp_path / "release.json").write_text(release.model_dump_json())
        (tmp_path / "weights.safetensors").write_bytes(weights)
        imputation = ImputationConfig(tile=32, overlap=8)
        request = ImputationRequest(model=str(tmp_path), section=section.uri, genes=EVERY_GENE, imputation=imputation)
        return TiledRequest(request=request, section=section, release=release, weights=weights, size=size)

    return make


@pytest.fixture
def to(tmp_path, settings) -> Callable[..., Destination]:
    """Name a place on the disk for an attempt."""

    def make(name: str = "attempt-1", *earlier: str, on_progress=silent) -> Destination:
        predecessors = tuple(str(tmp_path / each) for each in earlier)
        return Destination(folder=str(tmp_path / name), predecessors=predecessors, settings=settings, on_progress=on_progress)

    return make


def opened(place: Destination) -> anndata.AnnData:
    return anndata.read_zarr(Path(place.folder, "section.zarr"))


def layer(data: anndata.AnnData, name: str) -> np.ndarray:
    return np.asarray(data.X if name == "X" else data.layers[name])


def assert_same(some: anndata.AnnData, other: anndata.AnnData) -> None:
    for name in MAPS:
        np.testing.assert_array_equal(layer(some, name), layer(other, name), err_msg=name)
    assert (some.layers["observed"] != other.layers["observed"]).nnz == 0
    assert some.layers["observed"].dtype == other.layers["observed"].dtype
    assert some.layers.keys() == other.layers.keys()
    assert some.obs.equals(other.obs)
    assert some.var.equals(other.var)
    np.testing.assert_array_equal(some.obsm["spatial"], other.obsm["spatial"])


@pytest.mark.parametrize(
    ("lattice", "fill"), [pytest.param("square", "krige", id="square-kriged"), pytest.param("hexagonal", "copy", id="hexagonal-copied")]
)
def test_a_section_that_fits_one_unit_is_what_s2s_impute_writes(ask, store, to, settings, lattice, fill):
    tissue = np.ones(SHAPE, np.bool_)
    tissue[:7] = tissue[14:17, 5:9] = False
    asked, place, written = ask(store(lattice=lattice, tissue=tissue), UnitSize(), fill), to(), settings.home / "whole.zarr"
    figures = impute_tiled(asked, place)
    write_imputed(written, impute_with_release(asked.request, settings))
    whole, tiled = anndata.read_zarr(written), opened(place)
    assert_same(tiled, whole)
    assert figures["num_units"] == 1
    assert {key: value for key, value in tiled.uns["s2s"].items() if key != "made_at"} == {
        key: value for key, value in whole.uns["s2s"].items() if key != "made_at"
    }
    one, other = (zarr.open_group(path, mode="r") for path in (written, Path(place.folder, "section.zarr")))
    for name, array in one.arrays():
        assert (array.dtype, dict(array.attrs)) == (other[name].dtype, dict(other[name].attrs))


def test_many_units_cover_a_section_and_keep_what_was_measured(ask, store, to):
    tissue = np.ones(SHAPE, np.bool_)
    tissue[:14, 14:] = False
    asked, place = ask(store(tissue=tissue)), to()
    figures = impute_tiled(asked, place)
    data, measured = opened(place), measure(asked.section, asked.request.sampling, EVERY_GENE)
    assert figures["num_units"] == 2 * 2 * 2
    by_bin = measured.expression.reshape(NUM_GENES, -1).T
    known, off = measured.observed.ravel(), ~tissue.ravel()
    np.testing.assert_array_equal(layer(data, "X")[known], by_bin[known])
    np.testing.assert_array_equal(data.layers["observed"].toarray(), np.where(known[:, None], by_bin, 0))
    assert not any(layer(data, name)[off].any() for name in MAPS)
    assert not layer(data, "std")[known].any()
    assert (layer(data, "std")[~known & ~off] > 0).all()
    assert (layer(data, "lower_90") <= layer(data, "upper_90")).all()
    np.testing.assert_array_equal(data.obs["in_tissue"], tissue.ravel())
    np.testing.assert_array_equal(data.obs["is_measured"], known)
    assert list(data.obs_names[:2]) == ["0x0", "0x1"]
    assert list(data.var_names) == [f"G{number}" for number in range(NUM_GENES)]
    assert (data.uns["s2s"]["num_rows"], data.uns["s2s"]["num_columns"]) == SHAPE
    assert data.var["reliability_pcc"].between(-1, 1).all()


def test_a_tile_with_nothing_measured_nearby_gets_the_mean_of_its_genes(ask, store, to):
    tissue = np.zeros(SHAPE, np.bool_)
    tissue[:8] = True
    tissue[25:28:2, 21:25:2] = True  # between the sampled rows: tissue, and nothing measured
    asked, place = ask(store(tissue=tissue)), to()
    impute_tiled(asked, place)
    data, measured = opened(place), measure(asked.section, asked.request.sampling, EVERY_GENE)
    lonely = np.zeros(SHAPE, np.bool_)
    lonely[25:28:2, 21:25:2] = True
    means = measured.expression[:, measured.observed].mean(axis=1, dtype=np.float64).astype(np.float32)
    np.testing.assert_array_equal(layer(data, "X")[lonely.ravel()], np.broadcast_to(means, (4, NUM_GENES)))
    assert (layer(data, "upper_90")[lonely.ravel()] > means).all()
    assert (layer(data, "std")[lonely.ravel()] > 0).all()


def test_how_many_tiles_are_read_at_once_does_not_show(ask, store, to, monkeypatch):
    asked, together, alone = ask(store()), to("together"), to("alone")
    reads, read = [], band.read_values
    monkeypatch.setattr(band, "read_values", lambda *words: reads.append(words) or read(*words))
    impute_tiled(asked, together)
    num_together = len(reads)
    monkeypatch.setattr(band, "BLOCK_VALUES", 1)
    impute_tiled(asked, alone)
    assert len(reads) - num_together > num_together
    assert_same(opened(alone), opened(together))


def test_chunks_of_blocks_do_not_show_in_the_sparse_layer(ask, store, to, monkeypatch):
    asked, whole, parts = ask(store()), to("whole"), to("parts")
    impute_tiled(asked, whole)
    for name, value in (("BLOCK_ROWS", 7), ("BLOCK_VALUES", 1000), ("ROWS_BYTES", 400), ("VALUES_PER_CHUNK", 33), ("BINS_PER_CHUNK", 50)):
        monkeypatch.setattr(layout, name, value)
    impute_tiled(asked, parts)
    assert_same(opened(parts), opened(whole))


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_bands_of_an_earlier_attempt_are_copied_and_the_bits_are_the_same(ask, store, to, monkeypatch):
    asked, whole = ask(store()), to("whole")
    impute_tiled(asked, whole)

    def die(stage: str, done: int, total: int, note: str = "") -> None:
        if (stage, done) == ("tiles", 5):
            raise Killed

    with pytest.raises(Killed):
        impute_tiled(asked, to("attempt-1", on_progress=die))
    units, impute = [], UnitImputer.impute

    def count(self, measured, rows, columns, elsewhere):
        units.append((rows, columns))
        return impute(self, measured, rows, columns, elsewhere)

    monkeypatch.setattr(UnitImputer, "impute", count)
    again = to("attempt-2", "attempt-1")
    impute_tiled(asked, again)
    assert len(units) == 8 - 4, "two bands of two tiles were done"
    assert_same(opened(again), opened(whole))
    third = to("attempt-3", "attempt-2", "attempt-1")
    impute_tiled(asked, third)
    assert len(units) == 4
    assert_same(opened(third), opened(whole))


def test_a_band_whose_chunks_are_gone_is_done_anew(ask, store, to):
    asked, whole = ask(store()), to("whole")
    impute_tiled(asked, whole)
    Path(whole.folder, "section.zarr", "layers", "std", "c", "0", "0").unlink()
    again = to("again", "whole")
    impute_tiled(asked, again)
    assert (layer(opened(again), "std") > 0).any()
    assert len(list_below(f"{again.folder}/bands", again.settings)) == 4


def test_values_of_another_kind_are_refused_before_anything_is_written(ask, store, to, settings):
    section = store()
    asked = ask(section)
    other = replace(asked, release=asked.release.model_copy(update={"normalisation": "log1p_given"}))
    with pytest.raises(InputError, match="expected a section of log1p"):
        impute_tiled(other, to())
    assert list_below(to().folder, settings) == []


def test_a_scratch_gives_back_what_was_written_and_leaves_nothing(settings):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    with Scratch(3, settings) as scratch:
        scratch.write(2, rows[2:])
        scratch.write(0, rows[:2])
        np.testing.assert_array_equal(scratch.read(1, 4), rows[1:])
        assert list((settings.home / "scratch").iterdir()) == []


def test_a_scratch_without_a_folder_says_so(settings):
    settings.home.mkdir(parents=True)
    (settings.home / "scratch").write_text("in the way")
    with pytest.raises(StorageError, match="expected room for a band of tiles"):
        Scratch(3, settings)
