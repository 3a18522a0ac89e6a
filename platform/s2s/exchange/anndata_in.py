"""Reading an AnnData file of cells or of spots, block by block: positions, gene names, and the matrix in pieces of bounded size.

What the numbers mean (bins, lattices, whether they are counts) is the business of `ingest`. This is the only module that reads h5ad.

Decision: the file is opened with h5py and only the elements needed are read with anndata's own readers. `anndata.read_h5ad(backed="r")`
would load every layer and every column of `obs`; the price is that we say ourselves where an AnnData file keeps things.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from anndata.io import read_elem, sparse_dataset
from jaxtyping import Shaped
from scipy import sparse

from s2s.errors import InputError, S2SError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
BLOCK_VALUES = 2_000_000
"""Values per block: some 60 MB while they are added up, so a file of any size is read in little memory."""

SPATIAL = "spatial"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixBlock:
    """A piece of the matrix as triplets.

    Attributes:
        rows: Row of the whole matrix, per value.
        genes: Column of the whole matrix, per value.
        values: Stored values; zeros are absent, or present if the file stores them.
        done: How many rows (or columns) have been read, this block included.
        total: Out of how many.
    """

    rows: Shaped[np.ndarray, " n"]
    genes: Shaped[np.ndarray, " n"]
    values: Shaped[np.ndarray, " n"]
    done: int
    total: int


class SpatialTable:
    """An open AnnData file: cells or spots with positions and a matrix.

    Attributes:
        names: Of the rows.
        genes: Of the columns.
        coordinates: `obsm["spatial"]` as it stands in the file, unchecked.
        matrix_name: Which matrix is read, for messages.
        other_matrices: What else could be read, for messages.
    """

    def __init__(self, file: h5py.File, path: Path, layer: str | None) -> None:
        self.coordinates = _spatial(file, path)
        self.names = _index(file, "obs", path)
        self.genes = _index(file, "var", path)
        self.other_matrices = [f"layer {name}" for name in _keys(file, "layers") if name != layer] + (["raw"] if "raw" in file else [])
        self.matrix_name = "X" if layer is None else f"layer {layer}"
        self._matrix = _matrix(file, path, layer)
        shape = tuple(int(side) for side in self._matrix.shape)
        expected = (len(self.names), len(self.genes))
        if shape != expected or len(self.coordinates) != expected[0]:
            raise InputError(
                f"expected {self.matrix_name} of shape {expected} and as many positions in {path}, "
                f"got {shape} and {len(self.coordinates)}; is the file damaged?"
            )

    def blocks(self) -> Iterator[MatrixBlock]:
        """Read the matrix once, in blocks of about `BLOCK_VALUES` values.

        Reads:
            The open file; row by row, or column by column where the file stores columns (CSC).
        """
        # A CSC matrix is read by columns: picking rows from it would scan all of it for every block.
        axis = 1 if getattr(self._matrix, "format", "") == "csc" else 0
        total = int(self._matrix.shape[axis])
        step = max(1, BLOCK_VALUES // max(1, self._values_per_line(axis)))
        for first in range(0, total, step):
            last = min(first + step, total)
            piece = sparse.coo_matrix(self._matrix[first:last] if axis == 0 else self._matrix[:, first:last])
            offsets = (first, 0) if axis == 0 else (0, first)
            yield MatrixBlock(rows=piece.row + offsets[0], genes=piece.col + offsets[1], values=piece.data, done=last, total=total)

    def _values_per_line(self, axis: int) -> int:
        if isinstance(self._matrix, h5py.Dataset):
            return int(self._matrix.shape[1])
        return int(self._matrix.group["data"].shape[0]) // max(1, int(self._matrix.shape[axis]))


@contextmanager
def open_spatial_table(path: Path, layer: str | None) -> Iterator[SpatialTable]:
    """Open an AnnData file for reading.

    Args:
        path: An existing h5ad.
        layer: Layer that holds the matrix; None for `X`.

    Raises:
        InputError: not an h5ad, truncated, no `obsm["spatial"]`, no such layer; the message lists what is there.

    Reads:
        Names and positions at once; the matrix when asked for blocks.
    """
    with path.open("rb") as handle:
        if handle.read(len(HDF5_MAGIC)) != HDF5_MAGIC:
            raise InputError(
                f"expected an AnnData file (h5ad), {path} is not HDF5; "
                "for a table of transcripts use --reader transcripts, for RxC rows --reader st"
            )
    try:
        with h5py.File(path, "r") as file:
            yield SpatialTable(file, path, layer)
    except S2SError:  # some are OSErrors too, and they already say what is wrong
        raise
    except OSError as error:
        raise InputError(f"expected a complete HDF5 file, {path} cannot be read ({error}); copy or download it again") from None


def _spatial(file: h5py.File, path: Path) -> Shaped[np.ndarray, "..."]:
    keys = _keys(file, "obsm")
    if SPATIAL not in keys:
        raise InputError(
            f'expected positions in obsm["{SPATIAL}"] of {path}, found obsm keys: {", ".join(keys) or "none"}; '
            f'put them there: adata.obsm["{SPATIAL}"] = adata.obs[["x", "y"]].to_numpy()'
        )
    return np.asarray(read_elem(file["obsm"][SPATIAL]))


def _index(file: h5py.File, axis: str, path: Path) -> tuple[str, ...]:
    if axis not in file:
        raise InputError(f"expected an AnnData file, {path} has no {axis}; found: {', '.join(file) or 'nothing'}")
    table = file[axis]
    # Only the index is read where the format keeps it apart (anndata >= 0.7); older files store one compound table.
    if isinstance(table, h5py.Group) and "_index" in table.attrs:
        return tuple(str(name) for name in read_elem(table[table.attrs["_index"]]))
    return tuple(str(name) for name in read_elem(table).index)


def _matrix(file: h5py.File, path: Path, layer: str | None) -> h5py.Dataset:
    # Both kinds have `.shape` and slicing; the sparse kind also has `.format`.
    layers = _keys(file, "layers")
    if layer is not None and layer not in layers:
        raise InputError(f"expected layer {layer!r} in {path}, found layers: {', '.join(layers) or 'none'}; leave --layer out to read X")
    if layer is None and "X" not in file:
        raise InputError(f"expected a matrix X in {path}, found none; choose one of its layers with --layer: {', '.join(layers) or 'none'}")
    element = file["X"] if layer is None else file["layers"][layer]
    if isinstance(element, h5py.Dataset):
        if element.ndim != 2:
            raise InputError(f"expected a matrix of two dimensions, {path} has one of shape {element.shape}")
        return element
    return sparse_dataset(element)


def _keys(file: h5py.File, group: str) -> list[str]:
    return sorted(file[group]) if group in file else []
