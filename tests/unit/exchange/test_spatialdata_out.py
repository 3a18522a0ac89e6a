"""The SpatialData store, opened with spatialdata: where three bins lie, worked out by hand, and what they hold."""

import builtins
import json
from pathlib import Path

import numpy as np
import pytest

from s2s.errors import ExistsError, InputError, MissingError, StorageError
from s2s.exchange import spatialdata_out
from s2s.exchange.anndata_out import to_anndata
from s2s.exchange.imputed_in import ImputedTable, as_imputed
from s2s.exchange.spatialdata_out import check_spatialdata_output, default_genes, write_spatialdata
from unit.exchange.imputed_sections import six_bins

pytest.importorskip("spatialdata", reason="the extra `spatial` is not installed")
# Its home keeps this quiet; a test that imports spatialdata first has to as well.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning")

ROW = 8.660254037844386
"""Distance of rows of a hexagonal section of pitch 10: 10 * sqrt(3) / 2."""
SQUARE = {"0x0": (105.0, 205.0), "0x2": (125.0, 205.0), "1x1": (115.0, 215.0)}
HEXAGONAL = {"0x0": (105.0, 200 + ROW / 2), "0x2": (125.0, 200 + ROW / 2), "1x1": (120.0, 200 + 1.5 * ROW)}
EACH_LATTICE = pytest.mark.parametrize(
    ("lattice", "centres"), [pytest.param("square", SQUARE, id="square"), pytest.param("hexagonal", HEXAGONAL, id="hexagonal")]
)


def table(lattice: str = "square", **changes: object) -> ImputedTable:
    return as_imputed(to_anndata(six_bins(lattice, **changes)), "six")


def write(path: Path, lattice: str = "square", genes: tuple[str, ...] = ("PGR",), **words: object):
    write_spatialdata(path, table(lattice), genes, **words)
    from spatialdata import read_zarr  # noqa: PLC0415 -- an optional extra, and seconds to import

    return read_zarr(path)


def pixels_of(name: str, lattice: str) -> tuple[slice, slice]:
    """Rows and columns of the pixels of a bin."""
    row, column = map(int, name.split("x"))
    first, width = (column, 1) if lattice == "square" else (2 * column + row % 2, 2)
    return slice(row, row + 1), slice(first, first + width)


@EACH_LATTICE
def test_shapes_and_pixels_of_a_bin_lie_where_the_bin_does(tmp_path: Path, lattice: str, centres: dict[str, tuple[float, float]]) -> None:
    from spatialdata import get_extent, transform  # noqa: PLC0415
    from spatialdata.transformations import get_transformation  # noqa: PLC0415

    data = write(tmp_path / "six.zarr", lattice)
    bins = transform(data["bins"], to_coordinate_system="global")
    half_height = 5 if lattice == "square" else ROW / 2
    for name, (x, y) in centres.items():
        one = get_extent(data["bins"].loc[[name]], coordinate_system="global")
        np.testing.assert_allclose([one["x"], one["y"]], [(x - 5, x + 5), (y - 5, y + 5)], rtol=0, atol=1e-6)
        np.testing.assert_allclose((bins.geometry[name].x, bins.geometry[name].y), (x, y), rtol=0, atol=1e-6)
        rows, columns = pixels_of(name, lattice)
        corners = np.array([[columns.start, rows.start, 1], [columns.stop, rows.stop, 1]])
        for element in ("imputed", "observed", "std", "tissue", "measured"):
            matrix = get_transformation(data[element], "global").to_affine_matrix(("x", "y"), ("x", "y"))
            placed = corners @ matrix[:2].T
            np.testing.assert_allclose(placed, [(x - 5, y - half_height), (x + 5, y + half_height)], rtol=0, atol=1e-6)


def test_a_square_section_and_its_image_have_one_extent(tmp_path: Path) -> None:
    from spatialdata import get_extent  # noqa: PLC0415

    data = write(tmp_path / "six.zarr")
    for element in ("bins", "imputed", "tissue"):
        extent = get_extent(data[element], coordinate_system="global")
        np.testing.assert_allclose([extent["x"], extent["y"]], [(100, 130), (200, 220)], rtol=0, atol=1e-6)


def test_a_hexagonal_image_ends_where_its_longer_rows_end(tmp_path: Path) -> None:
    from spatialdata import get_extent  # noqa: PLC0415

    extent = get_extent(write(tmp_path / "six.zarr", "hexagonal")["imputed"], coordinate_system="global")
    np.testing.assert_allclose([extent["x"], extent["y"]], [(100, 135), (200, 200 + 2 * ROW)], rtol=0, atol=1e-6)


def test_pixels_hold_the_values_of_their_bins(tmp_path: Path) -> None:
    square = write(tmp_path / "square.zarr", genes=("PGR", "ESR1"))
    assert list(square["imputed"].coords["c"].to_numpy()) == ["PGR", "ESR1"]
    np.testing.assert_array_equal(square["imputed"].to_numpy(), [[[0, 8, 7], [6, 1, 0]], [[1, 2, 3], [4, 5, 0]]])
    np.testing.assert_array_equal(square["observed"].sel(c="ESR1").to_numpy(), [[1, 0, 3], [0, 0, 0]])
    np.testing.assert_array_equal(square["std"].sel(c="ESR1").to_numpy(), [[0, 0.5, 0], [1, 1.25, 0]])
    np.testing.assert_array_equal(square["tissue"].to_numpy(), [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(square["measured"].to_numpy(), [[1, 0, 1], [0, 0, 0]])
    hexagonal = write(tmp_path / "hexagonal.zarr", "hexagonal", genes=("ESR1",))
    np.testing.assert_array_equal(hexagonal["imputed"].to_numpy(), [[[1, 1, 2, 2, 3, 3, 0], [0, 4, 4, 5, 5, 0, 0]]])
    np.testing.assert_array_equal(hexagonal["tissue"].to_numpy(), [[1, 1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 0, 0]])


def test_the_table_annotates_the_shapes_and_knows_what_was_measured(tmp_path: Path) -> None:
    from spatialdata import join_spatialelement_table, match_element_to_table  # noqa: PLC0415

    data, whole = write(tmp_path / "six.zarr"), to_anndata(six_bins())
    elements, matched = match_element_to_table(data, "bins", "table")
    assert list(elements["bins"].index) == list(matched.obs["bin"]) == ["0x0", "0x1", "0x2", "1x0", "1x1"]
    _, joined = join_spatialelement_table(sdata=data, spatial_element_names="bins", table_name="table", how="inner")
    on_tissue = whole[whole.obs["in_tissue"]]
    assert set(joined.layers) == {"imputed", "observed", "std", "lower_90", "upper_90"}
    np.testing.assert_array_equal(joined.X, on_tissue.X)
    np.testing.assert_array_equal(joined.layers["observed"].toarray(), on_tissue.layers["observed"].toarray())
    for name in ("imputed", "std", "lower_90", "upper_90"):
        np.testing.assert_array_equal(joined.layers[name], on_tissue.layers[name])
    np.testing.assert_array_equal(joined.obsm["spatial"], on_tissue.obsm["spatial"])
    assert list(joined.obs["measured_or_imputed"]) == ["measured", "imputed", "measured", "imputed", "imputed"]
    assert list(joined.var["reliability_pcc"]) == [0.5, 0.75]


def test_provenance_stays_and_says_that_nothing_was_measured_here(tmp_path: Path) -> None:
    data = write(tmp_path / "six.zarr")
    stored = data["table"].uns["s2s"]
    assert (stored["section"]["id"], stored["pitch_um"], stored["lattice"]) == ("six", 10.0, "square")
    assert "not measurements" in stored["statement"]
    assert data.attrs["s2s"] == {"statement": stored["statement"], "unit": "micrometer", "coordinate_system": "global"}


def test_a_section_without_deviation_has_no_image_of_it(tmp_path: Path) -> None:
    from spatialdata import read_zarr  # noqa: PLC0415

    written = write_spatialdata(tmp_path / "six.zarr", table(std=None, intervals={}), ("PGR",))
    assert written.elements == ("images/imputed", "images/observed", "labels/measured", "labels/tissue", "shapes/bins", "tables/table")
    assert sorted(read_zarr(tmp_path / "six.zarr").images) == ["imputed", "observed"]


@pytest.mark.parametrize(
    ("zarr_format", "name", "version"), [pytest.param(3, "zarr.json", "0.2", id="zarr-3"), pytest.param(2, ".zattrs", "0.1", id="zarr-2")]
)
def test_older_readers_get_the_older_format(tmp_path: Path, zarr_format: int, name: str, version: str) -> None:
    from spatialdata import read_zarr  # noqa: PLC0415

    path = tmp_path / "six.zarr"
    write_spatialdata(path, table(), ("PGR",), zarr_format=zarr_format)
    assert f'"version": "{version}"' in (path / name).read_text()
    if zarr_format == 3:
        data = read_zarr(path)
    else:
        with pytest.warns(UserWarning, match="not stored in the most current format"):
            data = read_zarr(path)
    np.testing.assert_array_equal(data["imputed"].to_numpy(), [[[0, 8, 7], [6, 1, 0]]])
    # How bright a channel is, in the image and in what is consolidated of all: the largest PGR is 8, its largest measured one 7.
    bright = {"imputed": 8.0, "observed": 7.0, "std": 2.0}
    whole = json.loads((path / (name if zarr_format == 3 else ".zmetadata")).read_text())
    for image, top in bright.items():
        if zarr_format == 3:
            told = [json.loads((path / "images" / image / name).read_text()), whole["consolidated_metadata"]["metadata"][f"images/{image}"]]
            channels = [document["attributes"]["ome"]["omero"]["channels"] for document in told]
        else:
            told = [json.loads((path / "images" / image / name).read_text()), whole["metadata"][f"images/{image}/.zattrs"]]
            channels = [document["omero"]["channels"] for document in told]
        assert channels == [[{"label": "PGR", "window": {"min": 0, "start": 0, "max": top, "end": top}}]] * 2


def test_genes_are_chosen_by_how_well_they_come_back() -> None:
    assert default_genes(table()) == ("PGR", "ESR1")
    assert default_genes(table(), limit=1) == ("PGR",)
    assert default_genes(table(is_reliable=np.array([True, False]))) == ("ESR1",)
    assert default_genes(table(is_reliable=np.array([False, False]))) == ("PGR", "ESR1")
    # On tissue ESR1 is 1 to 5 and PGR 0 to 8: the more variable of the two.
    assert default_genes(table(reliability=np.full(2, np.nan))) == ("PGR", "ESR1")
    assert default_genes(table(reliability=np.array([0.1, np.nan]))) == ("ESR1", "PGR")


def test_a_store_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "six.zarr"
    write(path)
    with pytest.raises(ExistsError, match="--replace"):
        write_spatialdata(path, table(), ("ESR1",))
    assert list(write(path, genes=("ESR1",), replace=True)["imputed"].coords["c"].to_numpy()) == ["ESR1"]
    assert [item.name for item in tmp_path.iterdir()] == ["six.zarr"]


def test_a_write_that_breaks_off_leaves_the_old_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "six.zarr"
    write(path)

    class Full:
        def write(self, scratch: Path, **_: object) -> None:
            scratch.mkdir()
            (scratch / "half").write_text("x")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spatialdata_out, "_elements", lambda *_: Full())
    with pytest.raises(StorageError, match="No space left"):
        write_spatialdata(path, table(), ("PGR",), replace=True)
    assert [item.name for item in tmp_path.iterdir()] == ["six.zarr"]
    assert (path / "images" / "imputed").is_dir()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        pytest.param("six.h5ad", InputError, r"ends in \.zarr", id="other-suffix"),
        pytest.param("absent/six.zarr", MissingError, "create it first", id="no-folder"),
    ],
)
def test_a_wrong_output_path_is_refused_before_the_work(tmp_path: Path, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_spatialdata_output(tmp_path / name)


def test_a_section_without_tissue_is_refused(tmp_path: Path) -> None:
    nowhere = np.zeros((2, 3), np.bool_)
    with pytest.raises(InputError, match="bins on tissue, found none"):
        write_spatialdata(tmp_path / "six.zarr", table(tissue=nowhere, is_measured=nowhere), ("PGR",))
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_spatialdata_does_not_take_is_said(tmp_path: Path) -> None:
    strange = table()
    strange.data.obs["a/b"] = 1
    with pytest.raises(InputError, match="that SpatialData can hold"):
        write_spatialdata(tmp_path / "six.zarr", strange, ("PGR",))
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object):
        if name == "spatialdata":
            raise ModuleNotFoundError("No module named 'spatialdata'", name="spatialdata")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=r"pip install 's2s-atlas\[spatial\]'"):
        check_spatialdata_output(tmp_path / "six.zarr")
