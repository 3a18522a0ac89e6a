"""The AnnData that an imputed section leaves as: one row per bin of the grid, measured and imputed side by side.

Every bin is a row, tissue or not, so that the grid can be rebuilt from the file; `in_tissue` and `is_measured` tell them
apart. Nothing here imputes or opens a URI: the caller hands arrays, and a path or an open Zarr store.

Decision: `X` and the layer `imputed` hold the same values, so that a tool that looks only at `X` works at once; the price is
a larger file. `observed` is sparse and its absent values mean "not measured" as well as 0: NaN would be clearer, but PCA and
neighbours in scanpy refuse it, and `obs["is_measured"]` says which is which. The layers of the uncertainty are dense, as
tools expect of layers; off tissue they compress to nothing.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Literal, Protocol, cast

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int
from pydantic import JsonValue
from scipy import sparse

from s2s.errors import InputError, ShapeError
from s2s.exchange.placing import check_place, in_place_of
from s2s.lattice.prediction import Interval, Prediction

SUFFIXES = (".h5ad", ".zarr")
STATEMENT = "Values where obs['is_measured'] is False were imputed by a model: they are not measurements."
LAYOUT = (
    "one row per bin of the grid, row by row; X and layers['imputed'] hold measured values where measured; 0 off tissue; "
    "where present, half of the measurements lie above layer median, and layers std, lower_NN and upper_NN say how far an imputed "
    "value may be off, NN in per cent"
)


class Placed(Protocol):
    """A grid that lies somewhere; see `ImputedSection` for what its parts mean."""

    @property
    def pitch_um(self) -> float:
        """Distance of neighbouring bins in a row."""
        ...

    @property
    def origin_um(self) -> tuple[float, float]:
        """Corner of the first bin."""
        ...

    @property
    def lattice(self) -> Literal["square", "hexagonal"]:
        """Shape of the grid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputedSection:
    """One imputed section, as arrays on its grid.

    Attributes:
        genes: Names, in the order of the first axis.
        observed: log1p expression, float32; NaN where not measured.
        imputed: log1p expression, float32, finite on tissue; ignored off tissue and where measured.
        tissue: Positions on tissue.
        is_measured: Positions that were measured; all of them on tissue.
        pitch_um: Distance of neighbouring bins in a row, micrometres.
        origin_um: `(x, y)` of the corner of the first bin in the source's frame, micrometres.
        lattice: Shape of the grid; in a hexagonal one odd rows are shifted by half a pitch.
        reliability: Pearson correlation of each gene on held-out bins; NaN where unknown.
        provenance: What made it: release, section, code version, settings.
        median: Half of the measurements would lie above it, log1p units, finite on tissue; ignored off tissue and where measured; None
            where unknown.
        std: Standard deviation of the imputed values, log1p units, float32, finite on tissue; ignored off tissue and where
            measured. None where unknown.
        intervals: Level, a fraction -> its bounds, in the same way; empty where unknown.
        is_reliable: Genes whose imputed values can be relied on; None where unknown.
    """

    genes: tuple[str, ...]
    observed: Float32[np.ndarray, "gene y x"]
    imputed: Float32[np.ndarray, "gene y x"]
    tissue: Bool[np.ndarray, "y x"]
    is_measured: Bool[np.ndarray, "y x"]
    pitch_um: float
    origin_um: tuple[float, float]
    lattice: Literal["square", "hexagonal"]
    reliability: Float[np.ndarray, " gene"]
    provenance: Mapping[str, JsonValue]
    median: Float32[np.ndarray, "gene y x"] | None = None
    std: Float32[np.ndarray, "gene y x"] | None = None
    intervals: Mapping[float, Interval] = field(default_factory=dict)
    is_reliable: Bool[np.ndarray, " gene"] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not share one grid and one gene axis."""
        grid = (len(self.genes), *self.tissue.shape)
        shapes = {"observed": self.observed.shape, "imputed": self.imputed.shape, "is_measured": (grid[0], *self.is_measured.shape)}
        wrong = [f"{name} {shape}" for name, shape in shapes.items() if shape != grid]
        if wrong or self.reliability.shape != (grid[0],):
            raise ShapeError(f"expected (gene, y, x) {grid} and one reliability per gene, got {', '.join(wrong) or self.reliability.shape}")
        if self.is_reliable is not None and self.is_reliable.shape != (grid[0],):
            raise ShapeError(f"expected one is_reliable for each of {grid[0]} genes, got {self.is_reliable.shape}")
        if np.any(self.is_measured & ~self.tissue):
            raise ShapeError(f"expected measured bins on tissue only, got {int(np.sum(self.is_measured & ~self.tissue))} off tissue")
        if (
            not np.isfinite(self.imputed[:, self.tissue & ~self.is_measured]).all()
            or not np.isfinite(self.observed[:, self.is_measured]).all()
        ):
            raise InputError("expected finite values at every bin on tissue, got NaN or infinity; the imputation did not cover the section")
        for name, values in uncertainty_of(self):
            if values.shape != grid:
                raise ShapeError(f"expected {name} as (gene, y, x) {grid}, got {values.shape}")
            if not np.isfinite(values[:, self.tissue & ~self.is_measured]).all():
                raise InputError(
                    f"expected finite {name} at every bin on tissue, got NaN or infinity; the calibration did not cover the section"
                )


def check_output(path: Path, *, replace: bool = False) -> None:
    """Refuse an output path before the work is done, not after; raises as `check_place`."""
    check_place(path, SUFFIXES, replace=replace)


def write_imputed(path: Path, section: ImputedSection, *, replace: bool = False) -> None:
    """Write an imputed section to one `.h5ad` file or `.zarr` folder, whole or not at all.

    Args:
        path: Where to write; its suffix chooses the format.
        section: What to write.
        replace: Put the new file in the place of an old one.

    Raises:
        InputError: the suffix is neither `.h5ad` nor `.zarr`.
        MissingError: the folder to write into is not there.
        ExistsError: something is at `path` and `replace` was not asked for.
        StorageError: the disk refused; nothing is left behind.

    Writes:
        `path`, through a hidden neighbour that is renamed when complete.
    """
    check_output(path, replace=replace)
    with in_place_of(path) as scratch:
        if path.suffix == ".zarr":
            write_imputed_store(scratch, section)
        else:
            # Level 1 halves the file (off tissue is all zeros) at a fraction of the time of the default level 4.
            to_anndata(section).write_h5ad(scratch, compression="gzip", compression_opts=1)


def write_imputed_store(store: object, section: ImputedSection) -> None:
    """Write an imputed section into an open Zarr store, for instance one on S3; atomic only if the store is.

    Args:
        store: A Zarr store, or the path of a folder; what it holds is replaced.
        section: What to write.

    Writes:
        A Zarr v3 group in AnnData's layout, its consolidated metadata last.
    """
    write_store(store, to_anndata(section))


def write_store(store: object, data: anndata.AnnData) -> None:
    """Write an AnnData into an open Zarr store, as `write_imputed_store` does."""
    with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False), warnings.catch_warnings():
        # zarr-python and anndata read it, and one request instead of one per array is worth it on S3.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part in the Zarr format 3")
        data.write_zarr(store)


def to_anndata(section: ImputedSection) -> anndata.AnnData:
    """Lay an imputed section out as an AnnData: bins as rows in the order of the grid, genes as columns.

    Returns:
        `X` and layer `imputed` float32, layer `observed` sparse float32; where known, layers `median`, `std` and `lower_90`, `upper_90` and
        the like for every level, float32: 0 and the measured value where measured, 0 off tissue; `obs` array_row, array_col,
        in_tissue, is_measured; `obsm["spatial"]` bin centres `(x, y)` in um; `var["reliability_pcc"]` and, where known,
        `var["imputation_reliable"]`; provenance in `uns["s2s"]`.
    """
    rows, columns = np.indices(section.tissue.shape)
    measured = section.is_measured.ravel()
    layers = {name: _by_bin(values) for name, values in layers_of(section)}
    by_bin = layers["imputed"]
    observed = sparse.csr_matrix(np.where(measured[:, None], by_bin, np.float32(0)))
    obs = pd.DataFrame(
        {"array_row": rows.ravel(), "array_col": columns.ravel(), "in_tissue": section.tissue.ravel(), "is_measured": measured},
        index=pd.Index(bin_names(rows.ravel(), columns.ravel())),
    )
    var = pd.DataFrame({"reliability_pcc": section.reliability}, index=pd.Index(section.genes))
    if section.is_reliable is not None:
        var["imputation_reliable"] = section.is_reliable
    return anndata.AnnData(
        X=by_bin,
        obs=obs,
        var=var,
        layers={"observed": observed, **layers},
        obsm={"spatial": bin_centres(rows.ravel(), columns.ravel(), section)},
        uns={"s2s": _storable({**section.provenance, "statement": STATEMENT, "layout": LAYOUT, **_geometry(section)})},
    )


def layers_of(section: ImputedSection) -> Iterator[tuple[str, Float32[np.ndarray, "gene y x"]]]:
    """Give every layer as it leaves: `imputed`, then what `uncertainty_of` names.

    Returns:
        Where measured, the measured value, or a deviation of 0; off tissue 0.
    """
    yield "imputed", _finished(section.imputed, section.observed, section)
    for name, values in uncertainty_of(section):
        yield name, _finished(values, np.zeros_like(section.observed) if name == "std" else section.observed, section)


def _finished(
    values: Float32[np.ndarray, "gene y x"], measured: Float32[np.ndarray, "gene y x"], section: ImputedSection
) -> Float32[np.ndarray, "gene y x"]:
    whole: np.ndarray = np.where(section.is_measured, measured, values)
    whole[:, ~section.tissue] = 0.0
    return whole


def bin_names(rows: Int[np.ndarray, " bin"], columns: Int[np.ndarray, " bin"]) -> list[str]:
    """Name bins by row and column, for instance `12x7`."""
    return [f"{row}x{column}" for row, column in zip(rows, columns, strict=True)]


def uncertainty_of(section: ImputedSection | Prediction) -> Iterator[tuple[str, Float32[np.ndarray, "gene y x"]]]:
    """Name the layers beside the mean as they are stored: `median`, `std`, then `lower_90` and `upper_90` and the like per level."""
    if section.median is not None:
        yield "median", section.median
    if section.std is not None:
        yield "std", section.std
    for level, interval in section.intervals.items():
        yield f"lower_{100 * level:g}", interval.lower
        yield f"upper_{100 * level:g}", interval.upper


def bin_centres(rows: Int[np.ndarray, " bin"], columns: Int[np.ndarray, " bin"], section: Placed) -> Float[np.ndarray, "bin 2"]:
    """Place bins in the source's frame.

    Args:
        rows: Row of each bin, from the top.
        columns: Column of each bin, from the left.
        section: Gives pitch, origin and lattice.

    Returns:
        `(x, y)` of each centre in micrometres, float64. Hexagonal rows lie `pitch * sqrt(3) / 2` apart, odd ones half a pitch to the right.
    """
    is_hexagonal = section.lattice == "hexagonal"
    row_um = section.pitch_um * (sqrt(3) / 2 if is_hexagonal else 1.0)
    shift = 0.5 * (rows % 2) if is_hexagonal else 0.0
    x = section.origin_um[0] + (columns + 0.5 + shift) * section.pitch_um
    y = section.origin_um[1] + (rows + 0.5) * row_um
    return np.column_stack([x, y])


def _by_bin(values: Float32[np.ndarray, "gene y x"]) -> Float32[np.ndarray, "bin gene"]:
    """Lay bins out as rows."""
    return np.ascontiguousarray(values.reshape(len(values), -1).T)


def _geometry(section: ImputedSection) -> dict[str, JsonValue]:
    height, width = section.tissue.shape
    return {"pitch_um": section.pitch_um, "lattice": section.lattice, "num_rows": height, "num_columns": width, "unit": "log1p"}


def _storable(tree: Mapping[str, JsonValue]) -> dict[str, object]:
    # HDF5 has no null and no list of mixed things, and a slash in a key would nest it: those become JSON text.
    stored: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and not any("/" in name for name in value):
            stored[key] = _storable(value)
        else:
            stored[key] = value if isinstance(value, str | bool | int | float) else json.dumps(value, sort_keys=True)
    return stored


def restored(value: object) -> JsonValue:
    """Undo what `to_anndata` and a file did to a JSON tree: NumPy's scalars, and lists and nulls as JSON text."""
    if isinstance(value, Mapping):
        return {str(key): restored(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return cast("JsonValue", value.tolist())
    if isinstance(value, str) and (value[:1] in ("[", "{") or value == "null"):
        with suppress(json.JSONDecodeError):
            return cast("JsonValue", json.loads(value))
    return cast("JsonValue", value)
