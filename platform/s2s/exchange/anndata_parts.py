"""The AnnData of `anndata_out`, for sections that are written piece by piece: a frame that AnnData writes itself, and what goes into it.

Decision: AnnData writes a store of one bin, with all genes and the provenance; whoever fills it gives the arrays named here their full
length. So layers, types and encodings are those of a section that is written whole, and stay so with the next AnnData.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped
from pydantic import JsonValue

from s2s.exchange.anndata_out import ImputedSection, bin_centres, bin_names, to_anndata, uncertainty_of, write_store
from s2s.lattice.prediction import Interval, Prediction

OBSERVED = "layers/observed"
"""Group of the sparse layer: `data`, `indices`, `indptr`, and the attribute `shape`."""

PER_BIN = ("obs/_index", "obs/array_row", "obs/array_col", "obs/in_tissue", "obs/is_measured", "obsm/spatial")
"""Arrays with a row per bin, beside the layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An imputed section without its arrays; see `ImputedSection`.

    Attributes:
        genes: Names, in the order of the columns.
        shape: `(y, x)` of the grid.
        pitch_um: Distance of neighbouring bins in a row, micrometres.
        origin_um: `(x, y)` of the corner of the first bin, micrometres.
        lattice: Shape of the grid.
        provenance: What made it.
        levels: Of the intervals; without any there is neither median nor deviation.
    """

    genes: tuple[str, ...]
    shape: tuple[int, int]
    pitch_um: float
    origin_um: tuple[float, float]
    lattice: Literal["square", "hexagonal"]
    provenance: Mapping[str, JsonValue]
    levels: Sequence[float]


def write_frame(store: object, frame: Frame) -> None:
    """Write the frame into an open Zarr store; every array of a bin has one row, which means nothing.

    Args:
        store: What it holds is replaced.
        frame: What to write.

    Writes:
        A Zarr v3 group in AnnData's layout.
    """
    nothing, nowhere = np.zeros((len(frame.genes), 1, 1), np.float32), np.zeros((1, 1), np.bool_)
    intervals = {level: Interval(lower=nothing, upper=nothing) for level in frame.levels}
    data = to_anndata(
        ImputedSection(
            genes=frame.genes,
            observed=nothing,
            imputed=nothing,
            tissue=nowhere,
            is_measured=nowhere,
            pitch_um=frame.pitch_um,
            origin_um=frame.origin_um,
            lattice=frame.lattice,
            reliability=np.full(len(frame.genes), np.nan),
            provenance=frame.provenance,
            median=nothing if frame.levels else None,
            std=nothing if frame.levels else None,
            intervals=intervals,
            is_reliable=np.zeros(len(frame.genes), np.bool_),
        )
    )
    data.uns["s2s"] |= {"num_rows": frame.shape[0], "num_columns": frame.shape[1]}
    write_store(store, data)


def layers_of(prediction: Prediction) -> dict[str, Float32[np.ndarray, "gene y x"]]:
    """What is said of some bins, by the path of the layer it goes to; `X` holds the same as `layers/imputed`."""
    return {"layers/imputed": prediction.mean, **{f"layers/{name}": values for name, values in uncertainty_of(prediction)}}


def layer_paths(levels: Sequence[float]) -> tuple[str, ...]:
    """Paths of the dense layers of a frame with intervals of these levels, `X` first."""
    nothing = np.zeros((0, 1, 1), np.float32)
    intervals = {level: Interval(lower=nothing, upper=nothing) for level in levels}
    known = nothing if levels else None
    return ("X", *layers_of(Prediction(mean=nothing, median=known, std=known, intervals=intervals)))


def bins_of(
    frame: Frame, bins: slice, tissue: Bool[np.ndarray, " bin"], is_measured: Bool[np.ndarray, " bin"]
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Describe some bins, by the paths of `PER_BIN`.

    Args:
        frame: Of the section.
        bins: Which, counted row by row.
        tissue: Which of them lie on tissue.
        is_measured: Which of them were measured.
    """
    rows, columns = np.divmod(np.arange(bins.start, bins.stop), frame.shape[1])
    names = np.array(bin_names(rows, columns), dtype=np.dtypes.StringDType())
    values = (names, rows, columns, tissue, is_measured, bin_centres(rows, columns, frame))
    return dict(zip(PER_BIN, values, strict=True))


def genes_of(reliability: Float[np.ndarray, " gene"], is_reliable: Bool[np.ndarray, " gene"]) -> dict[str, Shaped[np.ndarray, " gene"]]:
    """Say which genes to believe, by the paths of the arrays they go to."""
    return {"var/reliability_pcc": reliability, "var/imputation_reliable": is_reliable}
