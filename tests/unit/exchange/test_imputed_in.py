"""What `anndata_out` writes reads back as it was, and whatever else is offered is refused with a reason."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from zarr.storage import MemoryStore

from s2s.errors import InputError, MissingError
from s2s.exchange.anndata_out import to_anndata, write_imputed, write_imputed_store
from s2s.exchange.imputed_in import as_imputed, check_genes, h5ad_bytes, read_imputed_file, read_imputed_store
from unit.exchange.imputed_sections import six_bins


@pytest.mark.parametrize("lattice", [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")])
def test_a_file_and_a_store_read_back_as_they_were(tmp_path: Path, lattice: str) -> None:
    section, store = six_bins(lattice), MemoryStore()
    write_imputed(tmp_path / "six.h5ad", section)
    write_imputed_store(store, section)
    for table in (read_imputed_file(tmp_path / "six.h5ad"), read_imputed_store(store, "six")):
        assert (table.genes, table.shape, table.pitch_um, table.lattice) == (("ESR1", "PGR"), (2, 3), 10.0, lattice)
        np.testing.assert_allclose(table.origin_um, (100, 200), atol=1e-9)
        again = table.section()
        on_tissue = section.tissue
        for name in ("imputed", "std"):
            np.testing.assert_array_equal(getattr(again, name)[:, on_tissue], getattr(section, name)[:, on_tissue])
        np.testing.assert_array_equal(again.observed, section.observed)
        np.testing.assert_array_equal(again.tissue, section.tissue)
        np.testing.assert_array_equal(again.is_measured, section.is_measured)
        is_imputed = on_tissue & ~section.is_measured
        np.testing.assert_array_equal(again.intervals[0.9].upper[:, is_imputed], section.intervals[0.9].upper[:, is_imputed])
        assert {key: again.provenance[key] for key in section.provenance} == section.provenance
        assert again.median is None


def test_rows_that_were_left_out_leave_holes(tmp_path: Path) -> None:
    data = to_anndata(six_bins())
    table = as_imputed(data[[4, 1, 0]].copy(), "some")
    np.testing.assert_array_equal(table.raster("imputed", ["PGR", "ESR1"]), [[[0, 8, 0], [0, 1, 0]], [[1, 2, 0], [0, 5, 0]]])
    np.testing.assert_array_equal(table.mask("is_measured"), [[True, False, False], [False, False, False]])
    np.testing.assert_allclose(table.origin_um, (100, 200), atol=1e-9)


def drop(*path: str) -> Callable[[anndata.AnnData], None]:
    def change(data: anndata.AnnData) -> None:
        where = getattr(data, path[0])
        for name in path[1:-1]:
            where = where[name]
        del where[path[-1]]

    return change


def move(data: anndata.AnnData) -> None:
    data.obsm["spatial"] = data.obsm["spatial"] * 2


def twice(data: anndata.AnnData) -> None:
    data.obs["array_col"] = 0


def twins(data: anndata.AnnData) -> None:
    data.var_names = ["ESR1", "ESR1"]


def triangles(data: anndata.AnnData) -> None:
    data.uns["s2s"]["lattice"] = "triangular"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(drop("uns", "s2s"), r'this has no uns\["s2s"\]; impute it first', id="no-provenance"),
        pytest.param(drop("uns", "s2s", "pitch_um"), r'lacks uns\["s2s"\]\["pitch_um"\]', id="no-pitch"),
        pytest.param(drop("layers", "observed"), r'lacks layers\["observed"\]', id="no-layer"),
        pytest.param(drop("obs", "in_tissue"), r'lacks obs\["in_tissue"\]', id="no-tissue"),
        pytest.param(drop("obsm", "spatial"), r'lacks obsm\["spatial"\]', id="no-positions"),
        pytest.param(triangles, "a lattice that is square or hexagonal", id="other-lattice"),
        pytest.param(move, "they were moved or scaled", id="moved"),
        pytest.param(twice, r"once and inside \(2, 3\)", id="a-bin-twice"),
        pytest.param(twins, "ESR1 is there twice", id="a-gene-twice"),
    ],
)
def test_what_was_changed_is_refused(change: Callable[[anndata.AnnData], None], message: str) -> None:
    data = to_anndata(six_bins())
    change(data)
    with pytest.raises(InputError, match=message):
        as_imputed(data, "this")


def test_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="found 0 bins and 2 genes"):
        as_imputed(to_anndata(six_bins())[[]].copy(), "this")


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "six.h5ad"
    write_imputed(path, six_bins())
    path.write_bytes(path.read_bytes()[:3000])
    for read in (read_imputed_file, h5ad_bytes):
        with pytest.raises(InputError, match=r"six\.h5ad cannot be read"):
            read(path)


def test_the_memory_of_a_file_is_that_of_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "six.h5ad"
    write_imputed(path, six_bins())
    # X and the layers imputed, std, lower_90, upper_90: five matrices of six bins, two genes and four bytes, and as much again beside them.
    assert 5 * 6 * 2 * 4 < h5ad_bytes(path) < 20_000


@pytest.mark.parametrize(
    ("asked", "hint"),
    [pytest.param("esr1", "did you mean ESR1", id="capitals"), pytest.param("XYZW", "there are, for instance, ESR1, PGR", id="strange")],
)
def test_a_gene_that_was_not_imputed_is_named(asked: str, hint: str) -> None:
    with pytest.raises(MissingError, match=f"some of the 2 imputed genes, got '{asked}'; {hint}"):
        check_genes(["PGR", asked], ("ESR1", "PGR"))


def test_a_gene_is_taken_once() -> None:
    assert check_genes(["PGR", "ESR1", "PGR"], ("ESR1", "PGR")) == ("PGR", "ESR1")
