"""Reading back what `anndata_out` wrote: an imputed section from an h5ad file or an open Zarr store, checked, with its grid.

Rows may have been left out, for instance those off tissue: every row says which bin it is. Whether a file fits memory is asked before, by
`h5ad_bytes`; where a store lies is the business of others.

Decision: pitch, lattice and size come from `uns["s2s"]`, the origin from the positions of the bins, so that a file whose positions were
moved since says so instead of being drawn where it no longer lies.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast, get_args

import anndata
import h5py
import numpy as np
from jaxtyping import Bool, Float32
from pydantic import JsonValue
from scipy import sparse

from s2s.errors import InputError, MissingError, S2SError, reason_of
from s2s.exchange.anndata_out import ImputedSection, bin_centres, restored
from s2s.lattice.prediction import Interval

Shape = Literal["square", "hexagonal"]
GEOMETRY = ("pitch_um", "lattice", "num_rows", "num_columns", "statement")
OBS = ("array_row", "array_col", "in_tissue", "is_measured")
LAYERS = ("imputed", "observed")
SPATIAL = "spatial"
TOLERANCE = 1e-6
"""In pitches: positions that are further from their bins were moved."""
UNREADABLE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)
"""What anndata, h5py and the codecs raise on a damaged file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputedTable:
    """An imputed section as it was written, and where its bins lie.

    Attributes:
        data: The table, a row per bin; see `anndata_out.to_anndata`.
        shape: `(y, x)` of the grid.
        pitch_um: Distance of neighbouring bins in a row, micrometres.
        origin_um: `(x, y)` of the corner of the first bin, micrometres.
        lattice: Shape of the grid.
    """

    data: anndata.AnnData
    shape: tuple[int, int]
    pitch_um: float
    origin_um: tuple[float, float]
    lattice: Shape

    @property
    def genes(self) -> tuple[str, ...]:
        """Names, in the order of the columns."""
        return tuple(str(name) for name in self.data.var_names)

    def raster(self, layer: str, genes: Sequence[str]) -> Float32[np.ndarray, "gene y x"]:
        """Lay a layer out on the grid; 0 where there is no row.

        Args:
            layer: Its name.
            genes: Which of the genes; all are in the table.
        """
        columns = self.data.layers[layer][:, self.data.var_names.get_indexer(list(genes))]
        values = columns.toarray() if sparse.issparse(columns) else np.asarray(columns)
        raster = np.zeros((len(genes), *self.shape), np.float32)
        raster[:, self.data.obs["array_row"].to_numpy(), self.data.obs["array_col"].to_numpy()] = values.T
        return raster

    def mask(self, column: str) -> Bool[np.ndarray, "y x"]:
        """Lay a column of `obs` out on the grid; False where there is no row."""
        raster = np.zeros(self.shape, np.bool_)
        raster[self.data.obs["array_row"].to_numpy(), self.data.obs["array_col"].to_numpy()] = self.data.obs[column].to_numpy(np.bool_)
        return raster

    def provenance(self) -> dict[str, JsonValue]:
        """What made it, lists and nulls restored from the text that HDF5 makes of them."""
        return cast("dict[str, JsonValue]", restored(self.data.uns["s2s"]))

    def section(self) -> ImputedSection:
        """The arrays that `anndata_out.to_anndata` was given, but for what it leaves out off tissue and where measured.

        Raises:
            InputError: values on tissue that are not finite.
        """
        layers, var, is_measured = self.data.layers, self.data.var, self.mask("is_measured")
        levels = sorted(float(name.removeprefix("lower_")) / 100 for name in layers if name.startswith("lower_"))

        def known(name: str) -> Float32[np.ndarray, "gene y x"] | None:
            return self.raster(name, self.genes) if name in layers else None

        return ImputedSection(
            genes=self.genes,
            observed=np.where(is_measured, self.raster("observed", self.genes), np.float32(np.nan)),
            imputed=self.raster("imputed", self.genes),
            tissue=self.mask("in_tissue"),
            is_measured=is_measured,
            pitch_um=self.pitch_um,
            origin_um=self.origin_um,
            lattice=self.lattice,
            reliability=var["reliability_pcc"].to_numpy(np.float64) if "reliability_pcc" in var else np.full(len(var), np.nan),
            provenance=self.provenance(),
            median=known("median"),
            std=known("std"),
            intervals={
                level: Interval(
                    lower=self.raster(f"lower_{100 * level:g}", self.genes), upper=self.raster(f"upper_{100 * level:g}", self.genes)
                )
                for level in levels
            },
            is_reliable=var["imputation_reliable"].to_numpy(np.bool_) if "imputation_reliable" in var else None,
        )


def read_imputed_file(path: Path) -> ImputedTable:
    """Read an imputed section from an h5ad file.

    Args:
        path: An existing file.

    Raises:
        InputError: no AnnData, damaged, or not an imputed section.

    Reads:
        All of it.
    """
    with _readable(str(path)):
        data = anndata.read_h5ad(path)
    return as_imputed(data, str(path))


def read_imputed_store(store: object, where: str) -> ImputedTable:
    """Read an imputed section from an open Zarr store; raises as `read_imputed_file`.

    Args:
        store: A Zarr store.
        where: Names it in messages.

    Reads:
        All of it.
    """
    with _readable(where):
        data = anndata.read_zarr(store)
    return as_imputed(data, where)


def as_imputed(data: anndata.AnnData, where: str) -> ImputedTable:
    """Take an AnnData for an imputed section.

    Args:
        data: What was read.
        where: Names it in messages.

    Raises:
        InputError: it was not written by `s2s impute`, or something of what that writes is gone or was changed.
    """
    about = data.uns.get("s2s")
    if not isinstance(about, Mapping):
        raise InputError(f'expected an imputed section of `s2s impute` or `s2s atlas impute`, {where} has no uns["s2s"]; impute it first')
    gone = [
        *(f'uns["s2s"]["{key}"]' for key in GEOMETRY if key not in about),
        *(f'obs["{key}"]' for key in OBS if key not in data.obs),
        *(f'layers["{key}"]' for key in LAYERS if key not in data.layers),
        *(f'obsm["{key}"]' for key in (SPATIAL,) if key not in data.obsm),
    ]
    if gone or about["lattice"] not in get_args(Shape):
        what = ", ".join(gone) or f"a lattice that is {' or '.join(get_args(Shape))}"
        raise InputError(f"expected all that `s2s impute` writes, {where} lacks {what}; impute it again")
    if not data.n_obs or not data.n_vars:
        raise InputError(f"expected bins and genes in {where}, found {data.n_obs} bins and {data.n_vars} genes")
    if not data.var_names.is_unique:
        raise InputError(f"expected every gene once in {where}, {data.var_names[data.var_names.duplicated()][0]} is there twice")
    return _placed(data, about, where)


def check_genes(genes: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Refuse genes that were not imputed, with the name that may have been meant; each is taken once.

    Args:
        genes: Asked for.
        known: Those of the section.

    Raises:
        MissingError: a gene is not there.
    """
    for name in genes:
        if name not in known:
            by_capitals = {gene.upper(): gene for gene in known}
            close = get_close_matches(name.upper(), by_capitals, n=1)
            hint = f"did you mean {by_capitals[close[0]]}?" if close else f"there are, for instance, {', '.join(known[:5])}"
            raise MissingError(f"expected some of the {len(known)} imputed genes, got {name!r}; {hint}")
    return tuple(dict.fromkeys(genes))


def h5ad_bytes(path: Path) -> int:
    """Memory that the arrays of an h5ad file take.

    Raises:
        InputError: no HDF5, or damaged.

    Reads:
        Shapes.
    """
    sizes: list[int] = []

    def add(_: str, item: object) -> None:
        sizes.append(int(item.nbytes) if isinstance(item, h5py.Dataset) else 0)

    with _readable(str(path)), h5py.File(path, "r") as file:
        file.visititems(add)
    return sum(sizes)


def _placed(data: anndata.AnnData, about: Mapping[str, object], where: str) -> ImputedTable:
    shape = (int(about["num_rows"]), int(about["num_columns"]))  # type: ignore[call-overload]
    pitch_um, lattice = float(about["pitch_um"]), about["lattice"]  # type: ignore[arg-type]
    rows, columns = data.obs["array_row"].to_numpy(), data.obs["array_col"].to_numpy()
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    if not inside.all() or len(np.unique(rows * shape[1] + columns)) != data.n_obs:
        raise InputError(f'expected every bin of obs["array_row"], obs["array_col"] once and inside {shape} in {where}; impute it again')
    table = ImputedTable(data=data, shape=shape, pitch_um=pitch_um, origin_um=(0.0, 0.0), lattice=lattice)  # type: ignore[arg-type]
    # In a grid that begins at (0, 0) every bin is off by the origin, and all by the same.
    offsets = np.asarray(data.obsm[SPATIAL], np.float64)[:, :2] - bin_centres(rows, columns, table)
    x, y = offsets[0]
    if not np.allclose(offsets, (x, y), rtol=0, atol=TOLERANCE * pitch_um + 1e-12 * float(np.abs(offsets).max())):
        raise InputError(
            f'expected the positions in obsm["spatial"] of {where} on a grid of {pitch_um:g} um, they were moved or scaled; '
            "export the file as it was imputed"
        )
    return ImputedTable(data=data, shape=shape, pitch_um=pitch_um, origin_um=(float(x), float(y)), lattice=table.lattice)


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except S2SError:
        raise
    except UNREADABLE as error:
        raise InputError(f"expected an imputed section, {where} cannot be read ({reason_of(error)}); copy it or impute it again") from None
