"""An imputed section read back gene by gene: the AnnData of `anndata_out` or `anndata_parts`, on disk or in a Zarr store, in pieces.

AnnData lies bin by bin, whoever draws a gene wants the other axis. Decision: blocks of genes in bands of rows are read, along the chunks
they lie in, so that memory does not grow with the section; a chunk that holds more genes than a block is decompressed more than once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import h5py
import numpy as np
from anndata.io import read_elem
from jaxtyping import Bool, Float, Float32
from pydantic import JsonValue

from s2s.errors import InputError, MissingError, reason_of
from s2s.exchange.anndata_out import restored

DENSE = ("array", "")
"""Encodings of an array that can be read in pieces; older files name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputedFrame:
    """What is known of an imputed section without its layers.

    Attributes:
        genes: Names, in the order of the columns.
        shape: `(y, x)` of the grid.
        pitch_um: Distance of neighbouring bins in a row, micrometres.
        lattice: Shape of the grid.
        tissue: Positions on tissue.
        is_measured: Positions that were measured.
        reliability: Pearson correlation of each gene at hidden bins; NaN where unknown.
        is_reliable: Genes that can be relied on; None where unknown.
        layers: Names of the dense layers.
        provenance: `uns["s2s"]`, lists and nulls as they were before they were stored.
    """

    genes: tuple[str, ...]
    shape: tuple[int, int]
    pitch_um: float
    lattice: Literal["square", "hexagonal"]
    tissue: Bool[np.ndarray, "y x"]
    is_measured: Bool[np.ndarray, "y x"]
    reliability: Float[np.ndarray, " gene"]
    is_reliable: Bool[np.ndarray, " gene"] | None
    layers: tuple[str, ...]
    provenance: Mapping[str, JsonValue]


class ImputedReader:
    """An open imputed section.

    Attributes:
        uri: What messages name.
        frame: All but its layers.

    Raises:
        InputError: it is no AnnData that an imputation wrote; the message says what is not there.
    """

    def __init__(self, uri: str, tree: object) -> None:
        """Read the frame.

        Args:
            uri: For messages.
            tree: The root, an open `h5py.File` or `zarr.Group`.
        """
        self.uri, self._tree = uri, cast("Any", tree)
        self.frame = self._read_frame()

    def read(self, layer: str, genes: slice, rows: slice) -> Float32[np.ndarray, "gene y x"]:
        """Read some genes of a layer in a band of rows; what lies off tissue is NaN.

        Args:
            layer: One of `frame.layers`.
            genes: Which.
            rows: Of the grid.
        """
        width = self.frame.shape[1]
        values = np.asarray(self._tree["layers"][layer][rows.start * width : rows.stop * width, genes], np.float32)
        planes: Float32[np.ndarray, "gene y x"] = np.ascontiguousarray(values.T).reshape(-1, rows.stop - rows.start, width)
        planes[:, ~self.frame.tissue[rows]] = np.nan
        return planes

    def genes_per_chunk(self, layer: str) -> int:
        """Genes that are decompressed together."""
        chunks = self._tree["layers"][layer].chunks
        return int(chunks[1]) if chunks else 1

    def _read_frame(self) -> ImputedFrame:
        try:
            told = {str(key): restored(value) for key, value in read_elem(self._tree["uns"]["s2s"]).items()}
            obs, var = self._tree["obs"], self._tree["var"]
            grid = (int(cast("int", told["num_rows"])), int(cast("int", told["num_columns"])))
            lattice: Literal["square", "hexagonal"] = "hexagonal" if told["lattice"] == "hexagonal" else "square"
            genes = tuple(str(name) for name in read_elem(var[str(var.attrs["_index"])]))
            is_reliable = np.asarray(var["imputation_reliable"][...], np.bool_) if "imputation_reliable" in var else None
            return ImputedFrame(
                genes=genes,
                shape=grid,
                pitch_um=float(cast("float", told["pitch_um"])),
                lattice=lattice,
                tissue=np.asarray(obs["in_tissue"][...], np.bool_).reshape(grid),
                is_measured=np.asarray(obs["is_measured"][...], np.bool_).reshape(grid),
                reliability=np.asarray(var["reliability_pcc"][...], np.float64),
                is_reliable=is_reliable,
                layers=self._layers((grid[0] * grid[1], len(genes))),
                provenance=told,
            )
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"expected an AnnData that `s2s impute` or `s2s atlas impute` wrote, in {self.uri} something is missing: {reason_of(error)}"
            ) from None

    def _layers(self, shape: tuple[int, int]) -> tuple[str, ...]:
        layers = self._tree["layers"]
        dense = [name for name in layers if layers[name].attrs.get("encoding-type", "") in DENSE and tuple(layers[name].shape) == shape]
        if "imputed" not in dense:
            raise KeyError(f"a dense layer 'imputed' of {shape[0]} bins and {shape[1]} genes")
        return tuple(sorted(str(name) for name in dense))


def open_h5ad(path: Path) -> h5py.File:
    """Open an AnnData file to be read in pieces; the caller closes it.

    Raises:
        MissingError: no such file.
        InputError: it is not HDF5.
    """
    if not path.is_file():
        raise MissingError(f"expected an AnnData file, found nothing at {path}; check the name")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"expected an AnnData file at {path}, it is not HDF5 or is damaged: {error}; write it again") from None


def blocks_of(num_genes: int, at_once: int, whole: int) -> Sequence[slice]:
    """Cut the gene axis.

    Args:
        num_genes: Its length.
        at_once: Genes that may be in memory.
        whole: Genes of a chunk that is written; blocks are multiples of it.
    """
    step = max(whole, at_once // whole * whole)
    return [slice(start, min(start + step, num_genes)) for start in range(0, num_genes, step)]
