from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from s2s.errors import InputError, MissingError
from s2s.exchange import anndata_in
from s2s.exchange.anndata_in import open_spatial_table

MATRIX = np.array([[0, 1, 0], [2, 0, 3], [0, 0, 0], [4, 5, 6]])
POSITIONS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])


def write(path: Path, matrix, **layers) -> Path:
    data = anndata.AnnData(X=matrix, obs=pd.DataFrame(index=list("abcd")), var=pd.DataFrame(index=["G1", "G2", "G3"]), layers=layers)
    data.obsm["spatial"] = POSITIONS
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize(
    ("make_matrix", "num_blocks"),
    [
        pytest.param(sparse.csr_matrix, 4, id="csr: a row per block"),
        pytest.param(sparse.csc_matrix, 3, id="csc: a column per block"),
        pytest.param(np.asarray, 4, id="dense: a row per block"),
    ],
)
def test_blocks_together_are_the_matrix(tmp_path, monkeypatch, make_matrix, num_blocks):
    monkeypatch.setattr(anndata_in, "BLOCK_VALUES", 1)
    with open_spatial_table(write(tmp_path / "a.h5ad", make_matrix(MATRIX)), None) as table:
        blocks = list(table.blocks())
        assert table.names == ("a", "b", "c", "d")
        assert table.genes == ("G1", "G2", "G3")
        np.testing.assert_array_equal(table.coordinates, POSITIONS)
    rebuilt = np.zeros_like(MATRIX)
    for block in blocks:
        rebuilt[block.rows, block.genes] = block.values
    np.testing.assert_array_equal(rebuilt, MATRIX)
    assert len(blocks) == num_blocks
    assert [block.done for block in blocks] == list(range(1, num_blocks + 1))
    assert {block.total for block in blocks} == {num_blocks}


def test_a_layer_is_read_and_the_others_are_known(tmp_path):
    path = write(tmp_path / "a.h5ad", MATRIX * 0.5, counts=sparse.csr_matrix(MATRIX), scaled=MATRIX * 2.0)
    with open_spatial_table(path, "counts") as table:
        [block] = table.blocks()
        assert table.matrix_name == "layer counts"
        assert table.other_matrices == ["layer scaled"]
    np.testing.assert_array_equal(block.values, [1, 2, 3, 4, 5, 6])


def test_positions_may_be_a_data_frame(tmp_path):
    data = anndata.AnnData(X=MATRIX, obs=pd.DataFrame(index=list("abcd")))
    data.obsm["spatial"] = pd.DataFrame(POSITIONS, index=list("abcd"), columns=["x", "y"])
    data.write_h5ad(tmp_path / "a.h5ad")
    with open_spatial_table(tmp_path / "a.h5ad", None) as table:
        np.testing.assert_array_equal(table.coordinates, POSITIONS)


def test_other_obsm_keys_are_listed(tmp_path):
    data = anndata.AnnData(X=MATRIX)
    data.obsm["X_pca"], data.obsm["X_umap"] = POSITIONS, POSITIONS
    data.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="found obsm keys: X_pca, X_umap"), open_spatial_table(tmp_path / "a.h5ad", None):
        pass


def test_a_file_without_x_names_its_layers(tmp_path):
    path = write(tmp_path / "a.h5ad", None, counts=MATRIX)
    with pytest.raises(InputError, match=r"matrix X.*--layer: counts"), open_spatial_table(path, None):
        pass


def test_a_matrix_that_does_not_fit_its_names_is_refused(tmp_path):
    path = write(tmp_path / "a.h5ad", MATRIX)
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = MATRIX[:2]
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(InputError, match=r"shape \(4, 3\).*got \(2, 3\)"), open_spatial_table(path, None):
        pass


def test_an_error_of_ours_raised_while_reading_keeps_its_words(tmp_path):
    path = write(tmp_path / "a.h5ad", MATRIX)
    with pytest.raises(MissingError, match="from within"), open_spatial_table(path, None):
        raise MissingError("from within")
