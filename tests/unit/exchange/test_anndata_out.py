import json
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from zarr.storage import MemoryStore

from s2s.errors import ExistsError, InputError, MissingError, ShapeError, StorageError
from s2s.exchange import anndata_out
from s2s.exchange.anndata_out import ImputedSection, check_output, to_anndata, write_imputed, write_imputed_store
from s2s.lattice.prediction import Interval

NAN = np.nan


@pytest.fixture
def section() -> ImputedSection:
    """Two genes on a grid of two rows and three columns; measured at (0, 0) and (0, 2), off tissue at (1, 2)."""
    return ImputedSection(
        genes=("ESR1", "PGR"),
        observed=np.array([[[1, NAN, 3], [NAN, NAN, NAN]], [[0, NAN, 7], [NAN, NAN, NAN]]], np.float32),
        imputed=np.array([[[9, 2, 9], [4, 5, NAN]], [[9, 8, 9], [1, 1, NAN]]], np.float32),
        tissue=np.array([[True, True, True], [True, True, False]]),
        is_measured=np.array([[True, False, True], [False, False, False]]),
        pitch_um=10.0,
        origin_um=(100.0, 200.0),
        lattice="square",
        reliability=np.array([0.5, NAN], np.float32),
        provenance={
            "release": "s2s-human-breast",
            "version": 3,
            "is_synthetic": True,
            "parent": None,
            "scores": [{"pcc": 0.5}],
            "uris": {"a/b": "c"},
        },
    )


@pytest.fixture
def uncertain(section: ImputedSection) -> ImputedSection:
    """The same section with all that is known of its errors; what lies off tissue or was measured is to be ignored."""
    intervals = {
        level: Interval(lower=section.imputed - np.float32(level), upper=section.imputed + np.float32(level)) for level in (0.5, 0.8, 0.9)
    }
    std = np.array([[[7, 0.5, NAN], [0.25, 1, 7]], [[7, 2, 7], [3, 4, 7]]], np.float32)
    return replace(section, std=std, intervals=intervals, is_reliable=np.array([True, False]))


def test_every_bin_is_a_row_in_the_order_of_the_grid(section: ImputedSection) -> None:
    data = to_anndata(section)
    assert list(data.obs_names) == ["0x0", "0x1", "0x2", "1x0", "1x1", "1x2"]
    assert list(data.obs["array_row"]) == [0, 0, 0, 1, 1, 1]
    assert list(data.obs["array_col"]) == [0, 1, 2, 0, 1, 2]
    assert list(data.obs["in_tissue"]) == [True, True, True, True, True, False]
    assert list(data.obs["is_measured"]) == [True, False, True, False, False, False]


def test_measured_values_win_and_off_tissue_is_zero(section: ImputedSection) -> None:
    expected = np.array([[1, 0], [2, 8], [3, 7], [4, 1], [5, 1], [0, 0]], np.float32)
    data = to_anndata(section)
    np.testing.assert_array_equal(data.X, expected)
    np.testing.assert_array_equal(data.layers["imputed"], expected)
    assert data.X.dtype == np.float32


def test_observed_holds_values_of_measured_bins_only(section: ImputedSection) -> None:
    observed = to_anndata(section).layers["observed"]
    assert observed.nnz == 3  # 1, 3 and 7; the measured 0 is absent, as in every sparse count matrix
    np.testing.assert_array_equal(observed.toarray(), [[1, 0], [0, 0], [3, 7], [0, 0], [0, 0], [0, 0]])


def test_reliability_stays_unknown_where_unknown(section: ImputedSection) -> None:
    var = to_anndata(section).var
    assert list(var.index) == ["ESR1", "PGR"]
    np.testing.assert_array_equal(var["reliability_pcc"], np.array([0.5, NAN], np.float32))


def test_deviation_and_intervals_are_layers_that_know_what_was_measured(uncertain: ImputedSection) -> None:
    data = to_anndata(uncertain)
    np.testing.assert_array_equal(data.layers["std"], np.array([[0, 0], [0.5, 2], [0, 0], [0.25, 3], [1, 4], [0, 0]], np.float32))
    is_imputed = np.array([False, True, False, True, True, False])
    for level in (50, 80, 90):
        for name, sign in (("lower", -1), ("upper", 1)):
            expected = data.X + np.float32(sign * level / 100) * is_imputed[:, None]
            np.testing.assert_array_equal(data.layers[f"{name}_{level}"], expected)
            assert data.layers[f"{name}_{level}"].dtype == np.float32
    assert list(data.var["imputation_reliable"]) == [True, False]


def test_a_section_without_uncertainty_has_no_layers_of_it(section: ImputedSection) -> None:
    data = to_anndata(section)
    assert set(data.layers) == {"observed", "imputed"}
    assert list(data.var) == ["reliability_pcc"]


@pytest.mark.parametrize("suffix", [pytest.param(".h5ad", id="h5ad"), pytest.param(".zarr", id="zarr")])
def test_uncertainty_reads_back(uncertain: ImputedSection, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_imputed(path, uncertain)
    data, expected = anndata.read_h5ad(path) if suffix == ".h5ad" else anndata.read_zarr(path), to_anndata(uncertain)
    levels = {f"{end}_{level}" for end in ("lower", "upper") for level in (50, 80, 90)}
    assert set(data.layers) == {"observed", "imputed", "std"} | levels
    for name in {"std"} | levels:
        np.testing.assert_array_equal(data.layers[name], expected.layers[name])
    assert data.var["imputation_reliable"].dtype == np.bool_
    assert list(data.var["imputation_reliable"]) == [True, False]


@pytest.mark.parametrize("suffix", [pytest.param(".h5ad", id="h5ad"), pytest.param(".zarr", id="zarr")])
def test_off_tissue_costs_next_to_nothing(tmp_path: Path, suffix: str) -> None:
    # A tenth of the grid is tissue, in one block; random values do not compress, so nearly all the room of seven layers goes there.
    tissue = np.zeros((200, 100), np.bool_)
    tissue[:20] = True
    values = np.random.default_rng(0).random((10, 200, 100), np.float32)
    large = ImputedSection(
        genes=tuple("ABCDEFGHIJ"), observed=np.full_like(values, NAN), imputed=values, tissue=tissue, is_measured=np.zeros_like(tissue),
        pitch_um=10, origin_um=(0, 0), lattice="square", reliability=np.zeros(10), provenance={}, std=values,
        intervals={level: Interval(lower=values, upper=values) for level in (0.5, 0.8, 0.9)},
    )  # fmt: skip
    sizes = []
    for name, content in (("with", large), ("without", replace(large, std=None, intervals={}))):
        path = tmp_path / f"{name}{suffix}"
        write_imputed(path, content)
        files = path.rglob("*") if path.is_dir() else [path]
        sizes.append(sum(item.stat().st_size for item in files if item.is_file()))
    cost, on_tissue = sizes[0] - sizes[1], 7 * values[:, tissue].nbytes
    assert 0.8 * on_tissue < cost < 1.1 * on_tissue


@pytest.mark.parametrize(
    ("lattice", "bins", "expected"),
    [
        pytest.param("square", [0, 1, 3], [[105, 205], [115, 205], [105, 215]], id="square-centres"),
        # Row height 10 * sqrt(3) / 2 = 8.6603; the second row starts half a pitch to the right.
        pytest.param("hexagonal", [0, 1, 3], [[105, 204.330127], [115, 204.330127], [110, 212.990381]], id="hexagonal-odd-rows-shifted"),
    ],
)
def test_bins_lie_at_their_centres_in_micrometres(
    section: ImputedSection, lattice: str, bins: list[int], expected: list[list[float]]
) -> None:
    spatial = to_anndata(replace(section, lattice=lattice)).obsm["spatial"]
    np.testing.assert_allclose(spatial[bins], expected, atol=1e-6)


@pytest.mark.parametrize("suffix", [pytest.param(".h5ad", id="h5ad"), pytest.param(".zarr", id="zarr")])
def test_a_file_reads_back_with_its_provenance(section: ImputedSection, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_imputed(path, section)
    data = anndata.read_h5ad(path) if suffix == ".h5ad" else anndata.read_zarr(path)
    np.testing.assert_array_equal(data.layers["imputed"], to_anndata(section).layers["imputed"])
    stored = data.uns["s2s"]
    assert (stored["release"], stored["version"], stored["is_synthetic"]) == ("s2s-human-breast", 3, True)
    assert json.loads(stored["parent"]) is None
    assert json.loads(stored["scores"]) == [{"pcc": 0.5}]
    assert json.loads(stored["uris"]) == {"a/b": "c"}
    assert "not measurements" in stored["statement"]
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_an_open_store_takes_the_same_data(section: ImputedSection) -> None:
    store = MemoryStore()
    write_imputed_store(store, section)
    data = anndata.read_zarr(store)
    np.testing.assert_array_equal(data.X, to_anndata(section).X)


@pytest.mark.parametrize("suffix", [pytest.param(".h5ad", id="h5ad"), pytest.param(".zarr", id="zarr")])
def test_an_existing_output_is_replaced_only_when_asked(section: ImputedSection, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_imputed(path, section)
    newer = replace(section, genes=("ESR1", "MKI67"))
    with pytest.raises(ExistsError, match="--replace"):
        write_imputed(path, newer)
    write_imputed(path, newer, replace=True)
    data = anndata.read_h5ad(path) if suffix == ".h5ad" else anndata.read_zarr(path)
    assert list(data.var_names) == ["ESR1", "MKI67"]
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        pytest.param("out.csv", InputError, "ends in .h5ad or .zarr", id="other-suffix"),
        pytest.param("absent/out.h5ad", MissingError, "create it first", id="no-folder"),
    ],
)
def test_a_wrong_output_path_is_refused_before_the_work(tmp_path: Path, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_output(tmp_path / name)


def test_a_write_that_breaks_off_leaves_the_old_file(section: ImputedSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.zarr"
    write_imputed(path, section)

    def fill_the_disk(store: Path, _: ImputedSection) -> None:
        store.mkdir()
        (store / "half").write_text("x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(anndata_out, "write_imputed_store", fill_the_disk)
    with pytest.raises(StorageError, match="No space left"):
        write_imputed(path, section, replace=True)
    assert list(anndata.read_zarr(path).var_names) == ["ESR1", "PGR"]
    assert [item.name for item in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"observed": np.zeros((1, 2, 3), np.float32)}, ShapeError, r"observed \(1, 2, 3\)", id="other-genes"),
        pytest.param({"imputed": np.zeros((2, 3, 3), np.float32)}, ShapeError, r"imputed \(2, 3, 3\)", id="other-grid"),
        pytest.param({"reliability": np.zeros(3, np.float32)}, ShapeError, "one reliability per gene", id="other-reliability"),
        pytest.param(
            {"is_measured": np.array([[False, False, True], [False, False, True]])},
            ShapeError,
            "1 off tissue",
            id="measured-off-tissue",
        ),
        pytest.param({"imputed": np.full((2, 2, 3), NAN, np.float32)}, InputError, "did not cover", id="holes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    section: ImputedSection, changes: dict[str, np.ndarray], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        replace(section, **changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"std": np.zeros((2, 2, 2), np.float32)}, ShapeError, r"expected std .*got \(2, 2, 2\)", id="std-of-another-grid"),
        pytest.param({"std": np.full((2, 2, 3), NAN, np.float32)}, InputError, "expected finite std", id="std-with-holes"),
        pytest.param(
            {"intervals": {0.8: Interval(lower=np.zeros((2, 2, 3), np.float32), upper=np.zeros((1, 2, 3), np.float32))}},
            ShapeError,
            r"expected upper_80 .*got \(1, 2, 3\)",
            id="upper-of-other-genes",
        ),
        pytest.param(
            {"intervals": {0.9: Interval(lower=np.full((2, 2, 3), NAN, np.float32), upper=np.zeros((2, 2, 3), np.float32))}},
            InputError,
            "expected finite lower_90",
            id="lower-with-holes",
        ),
        pytest.param({"is_reliable": np.array([True])}, ShapeError, "each of 2 genes", id="one-reliable"),
    ],
)
def test_uncertainty_that_does_not_fit_is_refused(
    section: ImputedSection, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        replace(section, **changes)
