"""A section that comes with a request: h5ad, npz or Arrow, from someone we do not know, read within limits.

h5ad goes through the readers of `s2s ingest section`; an Arrow stream holds spots by row and column; an npz holds planes on their grid.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Num
from scipy import sparse

from s2s.contracts.run import SectionSource
from s2s.contracts.section import Lattice
from s2s.contracts.service import Format, Limits
from s2s.errors import InputError, S2SError, ShapeError
from s2s.exchange.anndata_in import open_spatial_table
from s2s.exchange.arrow import read_arrow
from s2s.exchange.hdf5_guard import check_hdf5
from s2s.exchange.npz import ArraySection, read_npz
from s2s.ingest.accumulate import GridSum, as_stored_counts
from s2s.ingest.binned import BinnedSection, Placement, section_meta
from s2s.ingest.checks import check_coordinates, check_genes, check_values
from s2s.ingest.readers import read_section
from s2s.ingest.spots import finish_spots, lay_spots
from s2s.lattice.sampling import sampled_positions

BODY = "the body"
"""What a message calls the file that a stranger sent."""

DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AttributeError,
    RuntimeError,
    MemoryError,
    np.linalg.LinAlgError,
)
"""What h5py and AnnData raise at a file that is none of theirs."""

WORST_TURN = 2.0
"""A lattice that lies askew in its frame covers at most this much more of it than its own sides would."""


def read_received(body: bytes, form: Format, source: SectionSource, limits: Limits, folder: Path) -> BinnedSection:
    """Read the section that came with a request.

    Args:
        body: Of the request.
        form: Its format.
        source: How to read it; its `file` is not looked at.
        limits: What is too large.
        folder: Of this request, for files that a library must see as files.

    Raises:
        InputError: it does not hold what it should, or is larger than the limits.

    Writes:
        An h5ad, in `folder`.
    """
    path = folder / "body.h5ad"
    named = source.model_copy(update={"file": str(path) if form == "h5ad" else BODY})
    try:
        if form == "npz":
            return _from_arrays(read_npz(body, max_values=limits.values), named, limits, hashlib.sha256(body).hexdigest())
        if form == "arrow":
            return _from_arrow(body, named, limits)
        path.write_bytes(body)
        check_hdf5(path, max_bytes=8 * limits.values)
        _check_extent(path, named, limits)
        binned = read_section(named)
    except (S2SError, *DAMAGE) as error:
        if isinstance(error, S2SError):
            raise InputError(in_the_words_of_a_request(str(error), path)) from None
        # Readers expect what AnnData writes; what else is in a file of a stranger shows where it is used first.
        raise InputError(f"expected an AnnData file, {BODY} holds something else where it should hold the table: {error!r:.200}") from None
    meta = binned.meta.model_copy(update={"source": BODY})
    return BinnedSection(
        meta=meta, genes=binned.genes, counts=binned.counts, tissue=binned.tissue, observed=binned.observed, valid=binned.valid
    )


def in_the_words_of_a_request(message: str, path: Path) -> str:
    """Say `pitch_um` for `--pitch-um`, and nothing of our own folders."""
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), message.replace(str(path), BODY))


def check_size(shape: tuple[int, int], num_genes: int, limits: Limits) -> None:
    """Refuse a section before it is unpacked.

    Raises:
        InputError: more bins, genes or values than the limits allow.
    """
    bins = shape[0] * shape[1]
    if bins > limits.bins or max(shape) > limits.side or num_genes > limits.genes or bins * num_genes > limits.values:
        raise InputError(
            f"expected a section of at most {limits.bins} bins, {limits.side} along a side, {limits.genes} genes and {limits.values} "
            f"values, got {num_genes} genes x {shape[0]} x {shape[1]} bins; ingest it and send its URI, or send fewer genes"
        )


def _check_extent(path: Path, source: SectionSource, limits: Limits) -> None:
    with open_spatial_table(path, source.layer) as table:
        coordinates = check_coordinates(table.coordinates, where=BODY) * source.um_per_unit
        num_genes = len(table.genes)
    extent = (np.ptp(coordinates, axis=0)[::-1] / source.pitch_um + 1) * source.lattice.stride
    if not np.isfinite(extent).all() or extent.max() > WORST_TURN * limits.side:
        raise InputError(
            f"expected positions over at most {limits.side} bins, they spread over {extent.max():.3g} of {source.pitch_um:g} um; "
            "check pitch_um, and um_per_unit where positions are pixels"
        )
    check_size((int(extent[0] / WORST_TURN), int(extent[1])), num_genes, limits)


def _from_arrow(body: bytes, source: SectionSource, limits: Limits) -> BinnedSection:
    table = read_arrow(body, max_values=limits.values)
    check_genes(table.genes, where=BODY)
    check_values(table.values, source.values, where=BODY)
    sites = np.stack([table.rows, table.columns], axis=1)
    if sites.min() < 0:
        raise InputError(f"expected array_row and array_col from 0 up, got {int(sites.min())}")
    rows, columns = (int(side) + 1 for side in sites.max(axis=0))
    check_size((rows * source.lattice.stride, columns * source.lattice.stride), len(table.genes), limits)
    grid = lay_spots(source, sites, (0.0, 0.0), tuple(map(str, range(len(sites)))))
    total = GridSum(num_genes=len(table.genes), num_bins=grid.placement.num_bins, values=source.values)
    spots, genes = np.nonzero(table.values)
    total.add(genes, grid.bins[spots], table.values[spots, genes])
    return finish_spots(source, grid, total, genes=table.genes, input_sha256=hashlib.sha256(body).hexdigest())


def _from_arrays(arrays: ArraySection, source: SectionSource, limits: Limits, input_sha256: str) -> BinnedSection:
    num_genes, *sides = arrays.values.shape
    shape = (sides[0], sides[1])
    check_size(shape, num_genes, limits)
    check_genes(arrays.genes, where=BODY)
    observed = arrays.observed & arrays.tissue
    if not observed.any():
        raise InputError("expected at least one measured bin on tissue, got none; give observed, or values that are not NaN")
    known = arrays.values[:, observed]
    check_values(known, source.values, where=BODY)
    lattice = source.lattice if source.lattice.stride == 1 else _with_phase(source.lattice, observed)
    dense = np.where(observed, arrays.values, 0)
    return BinnedSection(
        meta=section_meta(
            source.model_copy(update={"lattice": lattice}),
            Placement(shape=shape, pitch_um=source.pitch_um, origin_um=(0.0, 0.0)),
            num_genes=num_genes,
            input_sha256=input_sha256,
        ),
        genes=arrays.genes,
        counts=_stored(dense.reshape(num_genes, -1), source),
        tissue=arrays.tissue if lattice.stride > 1 else observed,  # a dense section has no bin on tissue that was not measured
        observed=observed,
        valid=np.ones(shape, np.bool_),
    )


def _stored(dense: Num[np.ndarray, "gene bin"], source: SectionSource) -> sparse.csr_matrix:
    if source.values == "log1p":
        return sparse.csr_matrix(dense.astype(np.float32))
    return as_stored_counts(sparse.csr_matrix(dense.astype(np.int64)))


def _with_phase(lattice: Lattice, observed: Bool[np.ndarray, "y x"]) -> Lattice:
    """Find the phase that all measured bins share."""
    for y in range(lattice.stride):
        for x in range(lattice.stride):
            if not np.any(observed & ~sampled_positions(observed.shape, lattice.stride, (y, x), lattice.shape)):
                return Lattice(shape=lattice.shape, stride=lattice.stride, phase=(y, x))
    raise ShapeError(
        f"expected measured bins in every second row and column alone, {int(observed.sum())} of {observed.size} bins are, elsewhere too; "
        "say stride=1 where everything was measured"
    )
