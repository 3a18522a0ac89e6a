"""The SpatialData store that an imputed section leaves as, for napari, Vitessce and the tools of scverse. The only home of spatialdata.

Everything lies in the coordinate system `global`, in micrometres in the frame of the source:

- shapes `bins`: a circle per bin on tissue, of half a pitch in radius;
- table `table`: the AnnData of those bins, all genes and layers, and its provenance; it annotates `bins`;
- images `imputed`, `observed` and, where known, `std`: some genes as channels, a pixel per bin, 0 off tissue and where not measured;
- labels `tissue` and `measured`: 1 where there is tissue, and where it was measured.

Pixels are placed by their corners: pixel `(y, x)` of a square section reaches from `origin + (x, y) * pitch` to one pitch further. A row of
a hexagonal section is drawn as bricks of two pixels, half a pitch wide each and `sqrt(3) / 2` of a pitch high, odd rows one pixel to the
right: bricks have the centres and the area of the hexagons, so that one affine transform places an image that holds every bin exactly.
Corners are SpatialData's convention and Vitessce's; napari, and spatialdata-plot up to 0.4.0, take them for centres and draw images half a
pixel too far up and left.

Decision: circles, not squares and hexagons. napari draws circles as points, thousands at once, where polygons take minutes, and Vitessce
draws them as spots; the price is that corners of bins lie in no shape. The images show whole bins.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Shaped

from s2s.errors import InputError, MissingError
from s2s.exchange.anndata_out import bin_names
from s2s.exchange.imputed_in import SPATIAL, ImputedTable
from s2s.exchange.placing import check_place, in_place_of

if TYPE_CHECKING:
    from spatialdata import SpatialData
    from spatialdata.transformations import Sequence as Steps

ZarrFormat = Literal[2, 3]
GLOBAL, BINS, TABLE = "global", "bins", "table"
REGION_KEY, INSTANCE_KEY, KIND = "region", "bin", "measured_or_imputed"
NUM_CHANNELS = 5
"""Vitessce shows as many channels of an image at first."""
IMAGES = ("imputed", "observed", "std")
LABELS = {"tissue": "in_tissue", "measured": "is_measured"}
CHUNK_SIDE = 512
INSTALL = "pip install 's2s-atlas[spatial]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a SpatialData store holds; names of elements, genes of the images."""

    num_bins: int
    num_genes: int
    image_genes: tuple[str, ...]
    elements: tuple[str, ...]


def check_spatialdata_output(path: Path, *, replace: bool = False) -> None:
    """Refuse an output path, or a machine without spatialdata, before the work is done.

    Raises:
        InputError: the name does not end in `.zarr`.
        MissingError: the folder to write into is not there, or spatialdata is not installed.
        ExistsError: something is at `path` and `replace` was not asked for.
    """
    check_place(path, (".zarr",), replace=replace)
    with _spatialdata():
        pass


def default_genes(table: ImputedTable, limit: int = NUM_CHANNELS) -> tuple[str, ...]:
    """Name the genes worth an image: those that come back best at hidden measured bins; where that is unknown, the most variable.

    Args:
        table: The section; genes that cannot be relied on are named only where no gene can.
        limit: How many at most.
    """
    var, values = table.data.var, table.data.layers["imputed"][table.data.obs["in_tissue"].to_numpy(np.bool_)]
    pcc = var["reliability_pcc"].to_numpy(np.float64) if "reliability_pcc" in var else np.full(len(var), np.nan)
    spread = np.asarray(values, np.float64).var(axis=0) if len(values) else np.zeros(len(var))
    order = np.lexsort((-spread, -np.nan_to_num(pcc, nan=-2.0)))
    is_reliable = var["imputation_reliable"].to_numpy(np.bool_) if "imputation_reliable" in var else np.ones(len(var), np.bool_)
    chosen = order[is_reliable[order]] if is_reliable.any() else order
    return tuple(table.genes[gene] for gene in chosen[:limit])


def write_spatialdata(
    path: Path, table: ImputedTable, genes: Sequence[str], *, replace: bool = False, zarr_format: ZarrFormat = 3
) -> Written:
    """Write an imputed section as a SpatialData store, whole or not at all.

    Args:
        path: Folder to write, `NAME.zarr`.
        table: The section.
        genes: Channels of the images; all are in the table.
        replace: Put the new store in the place of what is there.
        zarr_format: 3 is SpatialData's container format 0.2; 2 is 0.1, for readers that do not know Zarr v3 yet.

    Raises:
        InputError: the name does not end in `.zarr`, no bin lies on tissue, or spatialdata refuses a name in the table.
        MissingError: the folder to write into is not there, or spatialdata is not installed.
        ExistsError: something is at `path` and `replace` was not asked for.
        StorageError: the disk refused; nothing is left behind.

    Writes:
        `path`, through a hidden neighbour that is renamed when complete.
    """
    check_spatialdata_output(path, replace=replace)
    if not table.data.obs["in_tissue"].any():
        raise InputError("expected bins on tissue, found none; there is nothing to export")
    with _spatialdata():
        try:
            data = _elements(table, genes)
        except (ValueError, TypeError) as error:
            raise InputError(f"expected a table that SpatialData can hold, it refuses: {error}; rename or drop what it names") from None
        with in_place_of(path) as scratch:
            data.write(scratch, sdata_formats=_formats(zarr_format))
            _set_windows(data, scratch, zarr_format)
        return Written(
            num_bins=data[TABLE].n_obs,
            num_genes=data[TABLE].n_vars,
            image_genes=tuple(genes),
            elements=tuple(sorted(f"{kind}/{name}" for kind, name, _ in data.gen_elements())),
        )


def _elements(table: ImputedTable, genes: Sequence[str]) -> "SpatialData":
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, Labels2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Identity

    on_tissue = _on_tissue(table)
    place = {GLOBAL: _pixels_to_um(table)}
    names = [name for name in IMAGES if name in table.data.layers]
    return SpatialData(
        images={
            name: Image2DModel.parse(
                _bricks(table.raster(name, genes), table),
                dims=("c", "y", "x"),
                c_coords=list(genes),
                chunks=(1, CHUNK_SIDE, CHUNK_SIDE),
                transformations=place,
            )
            for name in names
        },
        labels={
            name: Labels2DModel.parse(
                _bricks(table.mask(column).astype(np.uint8), table), dims=("y", "x"), chunks=(CHUNK_SIDE, CHUNK_SIDE), transformations=place
            )
            for name, column in LABELS.items()
        },
        shapes={
            BINS: ShapesModel.parse(
                np.asarray(on_tissue.obsm[SPATIAL], np.float64)[:, :2],
                geometry=0,
                radius=table.pitch_um / 2,
                index=pd.Index(on_tissue.obs[INSTANCE_KEY]),
                transformations={GLOBAL: Identity()},
            )
        },
        tables={TABLE: TableModel.parse(on_tissue, region=BINS, region_key=REGION_KEY, instance_key=INSTANCE_KEY)},
        attrs={"s2s": {"statement": str(table.data.uns["s2s"]["statement"]), "unit": "micrometer", "coordinate_system": GLOBAL}},
    )


def _on_tissue(table: ImputedTable) -> anndata.AnnData:
    on_tissue = table.data[table.data.obs["in_tissue"].to_numpy(np.bool_)].copy()
    names = bin_names(on_tissue.obs["array_row"], on_tissue.obs["array_col"])
    on_tissue.obs_names = names
    on_tissue.obs[REGION_KEY] = pd.Categorical([BINS] * len(names))
    on_tissue.obs[INSTANCE_KEY] = names
    on_tissue.obs[KIND] = pd.Categorical(np.where(on_tissue.obs["is_measured"].to_numpy(np.bool_), "measured", "imputed"))
    return on_tissue


def _bricks(raster: Shaped[np.ndarray, "... y x"], table: ImputedTable) -> Shaped[np.ndarray, "... y x"]:
    """Two pixels per bin, odd rows one to the right, where the lattice is hexagonal; 0 at both ends of the rows."""
    if table.lattice == "square":
        return raster
    height, width = table.shape
    bricks = np.zeros((*raster.shape[:-1], 2 * width + (height > 1)), raster.dtype)
    doubled = np.repeat(raster, 2, axis=-1)
    bricks[..., 0::2, : 2 * width] = doubled[..., 0::2, :]
    bricks[..., 1::2, 1 : 2 * width + 1] = doubled[..., 1::2, :]
    return bricks


def _pixels_to_um(table: ImputedTable) -> "Steps":
    from spatialdata.transformations import Scale, Sequence, Translation

    is_hexagonal = table.lattice == "hexagonal"
    size = [table.pitch_um / 2, table.pitch_um * sqrt(3) / 2] if is_hexagonal else [table.pitch_um] * 2
    return Sequence([Scale(size, axes=("x", "y")), Translation(list(table.origin_um), axes=("x", "y"))])


def _set_windows(data: "SpatialData", folder: Path, zarr_format: ZarrFormat) -> None:
    """Say how bright each channel is, which spatialdata leaves out: Vitessce would show a few units on a scale to 255, as black."""
    for name, image in data.images.items():
        path = folder / "images" / name / ("zarr.json" if zarr_format == 3 else ".zattrs")
        document = json.loads(path.read_text(encoding="utf-8"))
        about = document["attributes"]["ome"] if zarr_format == 3 else document
        for channel, top in zip(about["omero"]["channels"], image.max(("y", "x")).to_numpy(), strict=True):
            end = float(top) or 1.0
            channel["window"] = {"min": 0.0, "start": 0.0, "max": end, "end": end}
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    data.write_consolidated_metadata()


def _formats(zarr_format: ZarrFormat) -> object:
    from spatialdata._io.format import SpatialDataContainerFormatV01, SpatialDataContainerFormatV02  # exported nowhere else

    return [SpatialDataContainerFormatV01() if zarr_format == 2 else SpatialDataContainerFormatV02()]


@contextmanager
def _spatialdata() -> Iterator[None]:
    """Whatever spatialdata is asked for: its absence said, and what its parts warn each other of kept from the user."""
    with warnings.catch_warnings(), anndata.settings.override(auto_shard_zarr_v3=False):
        warnings.filterwarnings("ignore", message="Call to deprecated class Scaler", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part in the Zarr format 3")
        try:
            import spatialdata  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingError(
                f"expected the package {error.name or 'spatialdata'} for SpatialData, it is not installed; {INSTALL}"
            ) from None
        yield
