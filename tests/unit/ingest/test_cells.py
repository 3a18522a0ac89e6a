import hashlib

import h5py
import numpy as np
import pytest
from scipy import sparse

from s2s.errors import InputError, MissingError
from s2s.exchange import anndata_in
from s2s.ingest.readers import file_sha256, read_section

# Four cells over a grid of 2 x 3 bins of 10 um; the first two share the bin (0, 0), none lies in (0, 1) and (0, 2) and (1, 0).
POSITIONS = [[5.0, 100.0], [14.9, 109.9], [15.0, 110.0], [34.0, 119.0]]
COUNTS = np.array([[1, 0], [2, 3], [0, 4], [5, 0]], np.int32)
GENE_0 = [[3, 0, 0], [0, 0, 5]]
GENE_1 = [[3, 0, 0], [0, 4, 0]]


@pytest.mark.parametrize("block_values", [pytest.param(2_000_000, id="one block"), pytest.param(2, id="a row per block")])
@pytest.mark.parametrize(
    "make_matrix",
    [
        pytest.param(sparse.csr_matrix, id="csr"),
        pytest.param(sparse.csc_matrix, id="csc"),
        pytest.param(lambda counts: counts, id="dense"),
        pytest.param(lambda counts: sparse.csr_matrix(counts.astype(np.float32)), id="float csr"),
    ],
)
def test_cells_are_summed_into_bins(write_h5ad, make_source, monkeypatch, make_matrix, block_values):
    monkeypatch.setattr(anndata_in, "BLOCK_VALUES", block_values)
    path = write_h5ad(make_matrix(COUNTS), POSITIONS, genes=["ERBB2", "ESR1"])
    section = read_section(make_source(path, "cells", 10.0))
    assert section.genes == ("ERBB2", "ESR1")
    assert section.meta.shape == (2, 3)
    assert section.meta.origin_um == (5.0, 100.0)
    [block] = section.blocks(num_genes=2)
    assert block.dtype == np.uint16
    np.testing.assert_array_equal(block, [GENE_0, GENE_1])
    np.testing.assert_array_equal(section.tissue, [[True, False, False], [False, True, True]])
    np.testing.assert_array_equal(section.observed, section.tissue)
    np.testing.assert_array_equal(section.totals(), [[6, 0, 0], [0, 4, 5]])


def test_blocks_come_in_order_and_the_last_is_shorter(write_h5ad, make_source):
    path = write_h5ad(np.arange(6).reshape(2, 3), [[0.0, 0.0], [1.0, 0.0]])
    blocks = list(read_section(make_source(path, "cells", 1.0)).blocks(num_genes=2))
    np.testing.assert_array_equal(np.concatenate(blocks), [[[0, 3]], [[1, 4]], [[2, 5]]])
    assert [len(block) for block in blocks] == [2, 1]


def test_units_are_scaled_and_the_file_is_hashed(write_h5ad, make_source):
    path = write_h5ad(COUNTS, np.array(POSITIONS) * 2)
    section = read_section(make_source(path, "cells", 10.0, um_per_unit=0.5))
    assert section.meta.shape == (2, 3)
    assert section.meta.input_sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == file_sha256(str(path))


def test_a_layer_is_read_instead_of_x(write_h5ad, make_source):
    path = write_h5ad(COUNTS / 7, POSITIONS, layers={"counts": COUNTS})
    section = read_section(make_source(path, "cells", 10.0, layer="counts"))
    np.testing.assert_array_equal(next(section.blocks(1))[0], GENE_0)


def test_log1p_values_are_averaged_over_the_cells_of_a_bin(write_h5ad, make_source):
    path = write_h5ad(np.array([[1.0, 0.0], [2.0, 0.5], [0.0, 1.5], [3.0, 0.0]]), POSITIONS)
    section = read_section(make_source(path, "cells", 10.0, values="log1p"))
    [block] = section.blocks(num_genes=2)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, [[[1.5, 0, 0], [0, 0, 3]], [[0.25, 0, 0], [0, 1.5, 0]]])


def test_progress_is_told_from_hash_to_read(write_h5ad, make_source):
    path = write_h5ad(COUNTS, POSITIONS)
    said = []
    read_section(make_source(path, "cells", 10.0), lambda *word: said.append(word))
    size = path.stat().st_size
    assert said == [("hash", size, size), ("read", 4, 4)]


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        pytest.param(None, r'obsm\["spatial"\].*found obsm keys: none', id="no spatial"),
        pytest.param([[0.0, 0.0], [np.nan, 1.0], [2.0, 2.0], [3.0, 3.0]], "finite coordinates, 1 of 4 rows.*row 1", id="NaN"),
        pytest.param([[0.0, 0.0], [1.0, np.inf], [2.0, 2.0], [3.0, 3.0]], "finite coordinates", id="infinite"),
        pytest.param([[0.0], [1.0], [2.0], [3.0]], r"two-dimensional coordinates.*\(4, 1\)", id="one-dimensional"),
        pytest.param(np.zeros((4, 3)), r"two-dimensional coordinates.*\(4, 3\)", id="three-dimensional"),
        pytest.param(np.zeros((4, 2)), "lie at one point", id="all at one point"),
    ],
)
def test_bad_positions_are_refused(write_h5ad, make_source, positions, words):
    with pytest.raises(InputError, match=words):
        read_section(make_source(write_h5ad(COUNTS, positions), "cells", 10.0))


@pytest.mark.parametrize(
    ("matrix", "values", "words"),
    [
        pytest.param(COUNTS - 1, "counts", "from 0 up.*-1", id="negative"),
        pytest.param(COUNTS + 0.5, "counts", "whole counts.*1.5.*--values log1p", id="not whole"),
        pytest.param(np.where(COUNTS == 5, np.nan, COUNTS), "counts", "finite values", id="NaN"),
        pytest.param(COUNTS * 1.0 - 1, "log1p", "from 0 up", id="negative log1p"),
        pytest.param(COUNTS.astype(np.int64) * 2**31, "counts", "32 bits", id="above 32 bits"),
        pytest.param(COUNTS * 0, "counts", "every value.*is 0", id="all zero"),
        pytest.param(np.zeros((0, 2)), "counts", "at least one row", id="no cells"),
        pytest.param(np.zeros((4, 0)), "counts", "at least one gene", id="no genes"),
    ],
)
def test_bad_values_are_refused(write_h5ad, make_source, matrix, values, words):
    path = write_h5ad(matrix, np.array(POSITIONS)[: len(matrix)])
    with pytest.raises(InputError, match=words):
        read_section(make_source(path, "cells", 10.0, values=values))


def test_values_that_are_not_whole_point_to_the_other_layers(write_h5ad, make_source):
    path = write_h5ad(COUNTS + 0.5, POSITIONS, layers={"counts": COUNTS})
    with pytest.raises(InputError, match="layer counts"):
        read_section(make_source(path, "cells", 10.0))


def test_a_sum_above_32_bits_is_refused(write_h5ad, make_source):
    path = write_h5ad(np.array([[2**32 - 1], [1], [1]], np.int64), [[0.0, 0.0], [0.1, 0.0], [1.0, 0.0]])
    with pytest.raises(InputError, match=r"4294967296.*smaller --pitch-um"):
        read_section(make_source(path, "cells", 1.0))


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_duplicated_genes_are_refused_by_name(write_h5ad, make_source):
    path = write_h5ad(COUNTS, POSITIONS, genes=["ESR1", "ESR1"])
    with pytest.raises(InputError, match=r"every gene once.*ESR1.*var_names_make_unique"):
        read_section(make_source(path, "cells", 10.0))


def test_an_unknown_layer_lists_those_there_are(write_h5ad, make_source):
    path = write_h5ad(COUNTS, POSITIONS, layers={"raw_counts": COUNTS})
    with pytest.raises(InputError, match=r"layer 'counts'.*found layers: raw_counts"):
        read_section(make_source(path, "cells", 10.0, layer="counts"))


@pytest.mark.parametrize(
    ("pitch_um", "words"),
    [
        pytest.param(1000.0, r"19 x 29 um .y, x. gives one bin.*--pitch-um 0.2", id="one bin"),
        pytest.param(0.001, "gives 19001 x 29001 = 5.51e[+]08 bins.*--pitch-um 0.2", id="above 1e8 bins"),
    ],
)
def test_a_pitch_that_makes_no_grid_is_refused_with_a_better_one(write_h5ad, make_source, pitch_um, words):
    with pytest.raises(InputError, match=words):
        read_section(make_source(write_h5ad(COUNTS, POSITIONS), "cells", pitch_um))


def test_a_missing_file_is_named(make_source, tmp_path):
    with pytest.raises(MissingError, match=r"nothing at .*absent.h5ad"):
        read_section(make_source(tmp_path / "absent.h5ad", "cells", 10.0))


def test_what_is_no_h5ad_is_refused(make_source, tmp_path):
    path = tmp_path / "table.h5ad"
    path.write_text("x,y,gene\n1,2,A\n")
    with pytest.raises(InputError, match=r"is not HDF5.*--reader transcripts"):
        read_section(make_source(path, "cells", 10.0))


def test_hdf5_that_is_no_anndata_is_refused(make_source, tmp_path):
    path = tmp_path / "other.h5ad"
    with h5py.File(path, "w") as file:
        file["hr/0"] = np.zeros((4, 4))
    with pytest.raises(InputError, match=r'obsm\["spatial"\]'):
        read_section(make_source(path, "cells", 10.0))


def test_a_truncated_h5ad_is_refused(write_h5ad, make_source):
    path = write_h5ad(COUNTS, POSITIONS)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"complete HDF5 file.*download it again"):
        read_section(make_source(path, "cells", 10.0))


def test_an_empty_file_is_refused(make_source, tmp_path):
    path = tmp_path / "empty.h5ad"
    path.touch()
    with pytest.raises(InputError, match="empty file"):
        read_section(make_source(path, "cells", 10.0))


@pytest.mark.parametrize("reader", [pytest.param("cells", id="cells"), pytest.param("transcripts", id="transcripts")])
def test_free_positions_take_no_lattice(write_h5ad, make_source, reader):
    with pytest.raises(InputError, match="square lattice of stride 1"):
        read_section(make_source(write_h5ad(COUNTS, POSITIONS), reader, 10.0, stride=2))
