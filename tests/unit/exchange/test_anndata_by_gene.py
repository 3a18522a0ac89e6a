"""What was written bin by bin comes back gene by gene, in pieces, the same from both formats."""

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import zarr

from s2s.errors import InputError, MissingError
from s2s.exchange.anndata_by_gene import ImputedReader, blocks_of, open_h5ad
from s2s.exchange.anndata_copy import pack_h5ad
from s2s.exchange.anndata_out import ImputedSection, write_imputed
from s2s.lattice.prediction import Interval

NAN = np.nan


@pytest.fixture
def section() -> ImputedSection:
    """Two genes, two rows, three columns; measured at (0, 0), off tissue at (1, 2)."""
    imputed = np.array([[[1, 2, 3], [4, 5, NAN]], [[6, 7, 8], [9, 10, NAN]]], np.float32)
    return ImputedSection(
        genes=("ESR1", "PGR"),
        observed=np.array([[[1.5, NAN, NAN], [NAN, NAN, NAN]], [[0, NAN, NAN], [NAN, NAN, NAN]]], np.float32),
        imputed=imputed,
        std=np.full_like(imputed, 0.5),
        intervals={0.9: Interval(lower=imputed - 1, upper=imputed + 1)},
        tissue=np.array([[True, True, True], [True, True, False]]),
        is_measured=np.array([[True, False, False], [False, False, False]]),
        pitch_um=10.0,
        origin_um=(100.0, 200.0),
        lattice="hexagonal",
        reliability=np.array([0.5, NAN]),
        is_reliable=np.array([True, False]),
        provenance={"model": "m", "release": {"scores": [{"pcc": 0.5}], "trial": None, "is_leaky": True}, "sampling": {"phase": [0, 1]}},
    )


def reader_of(path: Path) -> ImputedReader:
    tree = open_h5ad(path) if path.suffix == ".h5ad" else zarr.open_group(path, mode="r")
    return ImputedReader(str(path), tree)


FORMATS = pytest.mark.parametrize("suffix", [pytest.param(".h5ad", id="h5ad"), pytest.param(".zarr", id="zarr")])


@FORMATS
def test_the_frame_comes_back_with_lists_and_nulls(section: ImputedSection, tmp_path: Path, suffix: str) -> None:
    write_imputed(tmp_path / f"a{suffix}", section)
    frame = reader_of(tmp_path / f"a{suffix}").frame
    assert (frame.genes, frame.shape, frame.pitch_um, frame.lattice) == (("ESR1", "PGR"), (2, 3), 10.0, "hexagonal")
    np.testing.assert_array_equal(frame.tissue, section.tissue)
    np.testing.assert_array_equal(frame.is_measured, section.is_measured)
    np.testing.assert_array_equal(frame.reliability, [0.5, NAN])
    assert frame.is_reliable is not None
    assert list(frame.is_reliable) == [True, False]
    assert frame.layers == ("imputed", "lower_90", "std", "upper_90")  # `observed` is sparse: X says where it was measured
    assert frame.provenance["release"] == {"scores": [{"pcc": 0.5}], "trial": None, "is_leaky": True}
    assert frame.provenance["sampling"] == {"phase": [0, 1]}


@FORMATS
def test_a_band_of_a_block_of_genes(section: ImputedSection, tmp_path: Path, suffix: str) -> None:
    write_imputed(tmp_path / f"a{suffix}", section)
    reader = reader_of(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(reader.read("imputed", slice(0, 2), slice(0, 1)), [[[1.5, 2, 3]], [[0, 7, 8]]])
    np.testing.assert_array_equal(reader.read("imputed", slice(1, 2), slice(1, 2)), [[[9, 10, NAN]]])
    np.testing.assert_array_equal(reader.read("std", slice(0, 1), slice(0, 2)), [[[0, 0.5, 0.5], [0.5, 0.5, NAN]]])
    assert reader.genes_per_chunk("imputed") >= 1


@pytest.mark.parametrize(
    ("at_once", "whole", "expected"),
    [
        pytest.param(10, 4, [(0, 8), (8, 16), (16, 18)], id="multiples-of-what-is-written"),
        pytest.param(1, 4, [(0, 4), (4, 8), (8, 12), (12, 16), (16, 18)], id="never-less-than-a-chunk"),
        pytest.param(99, 1, [(0, 18)], id="all-at-once"),
    ],
)
def test_blocks(at_once: int, whole: int, expected: list[tuple[int, int]]) -> None:
    assert [(block.start, block.stop) for block in blocks_of(18, at_once, whole)] == expected


def test_an_anndata_of_others_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    anndata.AnnData(np.ones((2, 2), np.float32)).write_h5ad(tmp_path / "a.h5ad")
    with open_h5ad(tmp_path / "a.h5ad") as tree, pytest.raises(InputError, match=r"`s2s impute`.*a\.h5ad.*s2s"):
        ImputedReader(str(tmp_path / "a.h5ad"), tree)


def test_an_anndata_without_a_layer_is_refused(section: ImputedSection, tmp_path: Path) -> None:
    write_imputed(tmp_path / "a.h5ad", section)
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["layers/imputed"]
    with open_h5ad(tmp_path / "a.h5ad") as tree, pytest.raises(InputError, match="a dense layer 'imputed' of 6 bins and 2 genes"):
        ImputedReader("a.h5ad", tree)


def test_what_is_no_file_and_what_is_no_hdf5(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_text("gene,count")
    with pytest.raises(InputError, match="not HDF5"):
        open_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(MissingError, match=r"b\.h5ad"):
        open_h5ad(tmp_path / "b.h5ad")


def test_a_zarr_store_packed_into_a_file_is_the_same_anndata(section: ImputedSection, tmp_path: Path) -> None:
    write_imputed(tmp_path / "a.zarr", section)
    pack_h5ad(zarr.open_group(tmp_path / "a.zarr", mode="r"), tmp_path / "a.h5ad")
    packed, whole = anndata.read_h5ad(tmp_path / "a.h5ad"), anndata.read_zarr(tmp_path / "a.zarr")
    assert packed.obs.equals(whole.obs)
    assert packed.var.equals(whole.var)
    assert set(packed.layers) == set(whole.layers)
    for name in packed.layers:
        left, right = (data.layers[name].toarray() if name == "observed" else data.layers[name] for data in (packed, whole))
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(packed.X, whole.X)
    np.testing.assert_array_equal(packed.obsm["spatial"], whole.obsm["spatial"])
    assert packed.uns["s2s"]["statement"] == whole.uns["s2s"]["statement"]
    assert packed.uns["s2s"]["release"]["scores"] == whole.uns["s2s"]["release"]["scores"]
