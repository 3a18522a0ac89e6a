"""Spots on a lattice (Visium and its like, as AnnData): every spot is one bin, and never more than one spot is.

With `lattice.stride` s > 1 the grid is s times as fine as the lattice: spots fill one bin in s x s, the others are there to be imputed.
On a hexagonal lattice it is the hexagonal grid of that pitch, and the s x s bins of a spot are counted in axial coordinates.
`original_st` shares the second half of this module, `lay_spots`.
"""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from s2s.contracts.run import SectionSource
from s2s.contracts.section import Lattice
from s2s.errors import InputError
from s2s.exchange.anndata_in import open_spatial_table
from s2s.ingest.accumulate import GridSum
from s2s.ingest.binned import BinnedSection, Placement, section_meta
from s2s.ingest.cells import sum_blocks
from s2s.ingest.checks import check_coordinates, check_genes, some
from s2s.ingest.gridding import check_grid
from s2s.ingest.lattice_fit import fit_sites
from s2s.ingest.source_file import OnProgress, require_file, sha256_of_files
from s2s.lattice.geometry import ROW_STEP, from_axial, to_axial

NOTICED_TURN_DEGREES = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotGrid:
    """The grid that spots are laid on.

    Attributes:
        placement: The grid, with the fine pitch.
        bins: Bin of every spot, all different.
    """

    placement: Placement
    bins: Int[np.ndarray, " n"]


def read_spots(source: SectionSource, on_progress: OnProgress) -> BinnedSection:
    """Put every spot on the site of the lattice nearest to it.

    Args:
        source: What to read and how; `pitch_um` is the distance of spots, the grid's own pitch is that over `lattice.stride`.
        on_progress: Told about the stages `hash` and `read`.

    Raises:
        MissingError: no such file.
        InputError: not an h5ad, its positions, values, genes or pitch cannot be used, or two spots share a site.

    Reads:
        `source.file`, in blocks of bounded size.
    """
    path = require_file(source.file)
    with open_spatial_table(path, source.layer) as table:
        check_genes(table.genes, where=str(path))
        coordinates = check_coordinates(table.coordinates, where=f'obsm["spatial"] of {path}') * source.um_per_unit
        shape = source.lattice.shape
        sites = fit_sites(coordinates, source.pitch_um, shape, where=str(path))
        if abs(sites.turn_degrees) > NOTICED_TURN_DEGREES:
            log.warning(
                "the lattice of %s is turned by %.1f degrees; it was turned back, so the grid is turned against the source's picture",
                path,
                sites.turn_degrees,
            )
        # The corner of the first bin, so that the centre of all spots stays where it was.
        row_um = source.pitch_um * ROW_STEP[shape]
        shift = 0.5 * (sites.rows % 2) if shape == "hexagonal" else np.zeros(len(sites.rows))
        first_um = (
            float(coordinates[:, 0].mean() - (sites.columns + shift).mean() * source.pitch_um),
            float(coordinates[:, 1].mean() - sites.rows.mean() * row_um),
        )
        grid = lay_spots(source, np.stack([sites.rows, sites.columns], axis=1), first_um, table.names)
        input_sha256 = sha256_of_files([path], on_progress)
        total = sum_blocks(table, source, grid.bins, grid.placement.num_bins, on_progress)
    return finish_spots(source, grid, total, genes=table.genes, input_sha256=input_sha256)


def lay_spots(source: SectionSource, sites: Int[np.ndarray, "n 2"], first_um: tuple[float, float], names: tuple[str, ...]) -> SpotGrid:
    """Turn sites of a lattice into bins of the grid, `lattice.stride` times as fine.

    Args:
        source: Gives pitch and lattice.
        sites: `(row, column)` per spot, from 0.
        first_um: `(x, y)` of the centre of site (0, 0).
        names: Of the spots, for messages.

    Raises:
        InputError: two spots share a site, or the grid has one bin or too many.
    """
    lattice = source.lattice
    pitch_um = source.pitch_um / lattice.stride
    row_um = source.pitch_um * ROW_STEP[lattice.shape]
    rows, columns = (int(side) + 1 for side in sites.max(axis=0))
    # The blocks of spots in shifted rows reach beyond those of the first row.
    overhang = lattice.stride - 1 if lattice.shape == "hexagonal" else 0
    shape = (rows * lattice.stride, columns * lattice.stride + overhang)
    check_grid(shape, ((rows - 1) * row_um, (columns - 1) * source.pitch_um), pitch_um, where=source.file)
    _require_own_sites(sites, names, source)
    fine_rows, fine_columns = sites.T * lattice.stride + np.array(lattice.phase)[:, None]
    right = 0.0
    if lattice.shape == "hexagonal":
        # The same place in axial coordinates: columns are counted along a diagonal, and back.
        fine_columns += fine_rows // 2 - sites[:, 0] // 2 * lattice.stride
        right = 0.5 * lattice.phase[0]
    bins = fine_rows * shape[1] + fine_columns
    origin_um = (
        first_um[0] - (lattice.phase[1] + right + 0.5) * pitch_um,
        first_um[1] - (lattice.phase[0] + 0.5) * row_um / lattice.stride,
    )
    return SpotGrid(placement=Placement(shape=shape, pitch_um=pitch_um, origin_um=origin_um), bins=bins)


def finish_spots(source: SectionSource, grid: SpotGrid, total: GridSum, *, genes: tuple[str, ...], input_sha256: str) -> BinnedSection:
    """Make the section: observed where a spot holds counts, tissue in the stride x stride block around it.

    Raises:
        InputError: a count above 32 bits, or none at all.
    """
    placement = grid.placement
    counts = total.finish(where=source.file)
    observed = (np.bincount(counts.indices, minlength=placement.num_bins) > 0).reshape(placement.shape)
    tissue = _blocks_with_spots(observed, source.lattice)
    return BinnedSection(
        meta=section_meta(source, placement, num_genes=len(genes), input_sha256=input_sha256),
        genes=genes,
        counts=counts,
        tissue=tissue,
        observed=observed,
        valid=np.ones(placement.shape, bool),
    )


def _blocks_with_spots(observed: Bool[np.ndarray, "y x"], lattice: Lattice) -> Bool[np.ndarray, "y x"]:
    """Mark every block of stride x stride bins, axial ones on a hexagonal lattice, that holds an observed bin."""
    stride = lattice.stride
    if lattice.shape == "hexagonal":
        axial = to_axial(observed, False, stride)
        width = axial.shape[1]
        padded = np.pad(axial, ((0, 0), (0, -width % stride)))
        return from_axial(_blocks_with_spots(padded, Lattice(stride=stride))[:, :width], observed.shape, stride)
    # Holes stay holes: no spot there may mean no tissue, and an imputed hole would look measured.
    blocks = observed.reshape(observed.shape[0] // stride, stride, observed.shape[1] // stride, stride).any(axis=(1, 3))
    return np.kron(blocks, np.ones((stride, stride), bool))


def _require_own_sites(sites: Int[np.ndarray, "n 2"], names: tuple[str, ...], source: SectionSource) -> None:
    _, first, inverse, times = np.unique(sites, axis=0, return_index=True, return_inverse=True, return_counts=True)
    if times.max() == 1:
        return
    crowded = int(np.argmax(times))
    row, column = sites[first[crowded]]
    twins = [names[i] for i in np.flatnonzero(inverse.reshape(-1) == crowded)]
    raise InputError(
        f"expected one spot per site of the lattice, {some(twins)} share row {row}, column {column} "
        f"({int((times > 1).sum())} such sites) in {source.file}; "
        f"remove duplicated spots (two sections in one file?), or check --pitch-um {source.pitch_um:g}"
    )
