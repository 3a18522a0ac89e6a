"""Cells with positions (Xenium, MERFISH, CosMx and their like, as AnnData): every cell falls into one bin."""

import numpy as np

from s2s.contracts.run import SectionSource
from s2s.errors import InputError
from s2s.exchange.anndata_in import SpatialTable, open_spatial_table
from s2s.ingest.accumulate import GridSum
from s2s.ingest.binned import BinnedSection, section_meta
from s2s.ingest.checks import check_coordinates, check_genes, check_values
from s2s.ingest.gridding import bins_of, place_grid
from s2s.ingest.source_file import OnProgress, require_file, sha256_of_files


def read_cells(source: SectionSource, on_progress: OnProgress) -> BinnedSection:
    """Sum the counts of all cells of a bin; log1p values are averaged over its cells instead.

    Tissue is where a bin holds at least one count; all of it is observed.

    Args:
        source: What to read and how.
        on_progress: Told about the stages `hash` and `read`.

    Raises:
        MissingError: no such file.
        InputError: not an h5ad, or its positions, values, genes or pitch cannot be used.

    Reads:
        `source.file`, in blocks of bounded size.
    """
    refuse_lattice(source)
    path = require_file(source.file)
    with open_spatial_table(path, source.layer) as table:
        check_genes(table.genes, where=str(path))
        coordinates = check_coordinates(table.coordinates, where=f'obsm["spatial"] of {path}') * source.um_per_unit
        placement = place_grid(coordinates.min(axis=0), coordinates.max(axis=0), source.pitch_um, where=str(path))
        input_sha256 = sha256_of_files([path], on_progress)
        bins = bins_of(coordinates, placement)
        total = sum_blocks(table, source, bins, placement.num_bins, on_progress)
    cells_per_bin = np.bincount(bins, minlength=placement.num_bins)
    counts = total.finish(divide_by=np.maximum(cells_per_bin, 1), where=str(path))
    tissue = (np.bincount(counts.indices, minlength=placement.num_bins) > 0).reshape(placement.shape)
    return BinnedSection(
        meta=section_meta(source, placement, num_genes=len(table.genes), input_sha256=input_sha256),
        genes=table.genes,
        counts=counts,
        tissue=tissue,
        observed=tissue,
        valid=np.ones(placement.shape, bool),
    )


def sum_blocks(table: SpatialTable, source: SectionSource, bins: np.ndarray, num_bins: int, on_progress: OnProgress) -> GridSum:
    """Add up an AnnData matrix over bins, block by block.

    Args:
        table: Open.
        source: Says what the values are.
        bins: Bin of every row of the table.
        num_bins: Bins of the grid.
        on_progress: Told about the stage `read`.

    Raises:
        InputError: a value is not what was declared.
    """
    others = ", or choose another matrix: " + ", ".join(table.other_matrices) if table.other_matrices else ""
    total = GridSum(num_genes=len(table.genes), num_bins=num_bins, values=source.values)
    for block in table.blocks():
        check_values(block.values, source.values, where=f"{table.matrix_name} of {source.file}", hint=others)
        total.add(block.genes, bins[block.rows], block.values)
        on_progress("read", block.done, block.total)
    return total


def refuse_lattice(source: SectionSource) -> None:
    """Refuse a lattice for what has free positions: there the bins are ours to choose.

    Raises:
        InputError: the lattice is not square, or its stride is not 1.
    """
    if source.lattice.shape != "square" or source.lattice.stride != 1:
        raise InputError(
            f"expected a square lattice of stride 1 with --reader {source.reader}, "
            f"got {source.lattice.shape} of stride {source.lattice.stride}; "
            "choose the bins with --pitch-um, or use --reader spots for spots"
        )
