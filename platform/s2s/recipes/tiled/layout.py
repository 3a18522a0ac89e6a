"""The store of an imputed section: its frame, how its arrays are cut into chunks, and what of it is known without a network.

Decision: a chunk of a layer holds whole rows of the grid and a few genes. A band of tiles is whole chunks then, whatever the width of
the section, and whoever wants one gene reads a sixteenth of a layer's chunks and no more than sixteen genes of it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32
from scipy import sparse

from s2s.contracts.settings import Settings
from s2s.exchange.anndata_parts import OBSERVED, PER_BIN, Frame, bins_of, layer_paths, write_frame
from s2s.imputation.tiling import GENE_STEP, Tiling
from s2s.recipes.run import Progress
from s2s.recipes.tiled.scratch import Scratch
from s2s.storage.arrays import CHUNK_BYTES
from s2s.storage.location import open_store
from s2s.storage.sections import Window
from s2s.storage.tables import TableWriter
from s2s.streaming.survey import Survey, read_values, spans

BINS_PER_CHUNK = 2**18
"""Of arrays with one value per bin."""

VALUES_PER_CHUNK = 2**20
"""Of the sparse layer."""

BLOCK_VALUES = 16_000_000
"""Read and normalised at once: about 300 MB."""

BLOCK_ROWS = 256
"""Of the grid, read at once: a chunk of a large section is as high."""

ROWS_BYTES = 32 * 2**20
"""Of the sparse layer while it is still dense."""


def begin(uri: str, frame: Frame, tiling: Tiling, settings: Settings) -> TableWriter:
    """Write the frame and lay the dense arrays out.

    Args:
        uri: Of the new store.
        frame: Of the section.
        tiling: Its units.
        settings: Where the store lies.

    Writes:
        Metadata, and what AnnData writes of a frame.
    """
    write_frame(open_store(uri, settings, read_only=False), frame)
    table = TableWriter(uri, settings)
    num_bins, num_genes = frame.shape[0] * frame.shape[1], len(frame.genes)
    chunks = (rows_per_chunk(frame.shape, tiling) * frame.shape[1], min(num_genes, GENE_STEP))
    for path in layer_paths(frame.levels):
        table.lay_out(path, (num_bins, num_genes), chunks)
    for path in PER_BIN:
        is_place = path == "obsm/spatial"
        shape, chunk = (num_bins, 2) if is_place else (num_bins,), min(num_bins, BINS_PER_CHUNK)
        table.lay_out(path, shape, (chunk, 2) if is_place else (chunk,))
    return table


def rows_per_chunk(shape: tuple[int, int], tiling: Tiling) -> int:
    """Rows of the grid in a chunk of a layer: as many as fit `CHUNK_BYTES`; where there are several bands, a divisor of their height."""
    height = int(tiling.rows[0].core.stop)
    most = max(1, CHUNK_BYTES // (shape[1] * GENE_STEP * np.dtype(np.float32).itemsize))
    if len(tiling.rows) == 1:
        return min(height, most)
    return max(rows for rows in range(1, min(height, most) + 1) if height % rows == 0)


def write_bins(table: TableWriter, frame: Frame, survey: Survey) -> None:
    """Say of every bin where it is, and whether it lies on tissue and was measured.

    Writes:
        `obs` and `obsm`.
    """
    tissue, observed = survey.tissue.ravel(), survey.observed.ravel()
    for start in range(0, tissue.size, BINS_PER_CHUNK):
        bins = slice(start, min(start + BINS_PER_CHUNK, tissue.size))
        for path, values in bins_of(frame, bins, tissue[bins], observed[bins]).items():
            table.write(path, (start, 0) if values.ndim == 2 else (start,), values)


def write_observed(table: TableWriter, survey: Survey, settings: Settings, on_progress: Progress) -> None:
    """Write what was measured, as the sparse layer.

    Reads:
        The chosen genes of the section once.

    Writes:
        `layers/observed`.
    """
    height, width = survey.observed.shape
    num_genes, most = len(survey.chosen), int(survey.observed.sum()) * len(survey.chosen)
    layer = _SparseLayer(table, num_bins=height * width, num_genes=num_genes, most=most)
    for start in range(0, height, BLOCK_ROWS):
        on_progress("measured values", start, height)
        stop = min(start + BLOCK_ROWS, height)
        for rows in _observed_rows(survey, Window(y=start, x=0, height=stop - start, width=width), settings):
            layer.append(rows)
    layer.close()
    on_progress("measured values", height, height)


def _observed_rows(survey: Survey, window: Window, settings: Settings) -> Iterator[sparse.csr_matrix]:
    """Rows of the sparse layer, of all bins of a window, in order."""
    observed = survey.observed[spans(window)]
    step = max(1, BLOCK_VALUES // observed.size)
    groups = [survey.chosen[start : start + step] for start in range(0, len(survey.chosen), step)]
    scratches = [Scratch(len(group), settings) for group in groups]
    try:
        for group, scratch in zip(groups, scratches, strict=True):
            scratch.write(0, read_values(survey, group, window)[:, observed].T)
        yield from _rows(observed.ravel(), scratches, len(survey.chosen))
    finally:
        for scratch in scratches:
            scratch.__exit__(None, None, None)


def _rows(observed: Bool[np.ndarray, " bin"], scratches: Sequence[Scratch], num_genes: int) -> Iterator[sparse.csr_matrix]:
    places = np.flatnonzero(observed)
    step, done = max(1, ROWS_BYTES // (4 * num_genes)), 0
    for start in range(0, places.size, step):
        stop = min(start + step, places.size)
        values: Float32[np.ndarray, "bin gene"] = np.hstack([scratch.read(start, stop) for scratch in scratches])
        # Bins before a measured one have empty rows; so have those after the last.
        end = places[stop - 1] + 1 if stop < places.size else observed.size
        filled = sparse.csr_matrix(values)
        lengths = np.zeros(end - done, np.int64)
        lengths[places[start:stop] - done] = np.diff(filled.indptr)
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        yield sparse.csr_matrix((filled.data, filled.indices, pointers), shape=(end - done, num_genes))
        done = end
    if done < observed.size:
        yield sparse.csr_matrix((observed.size - done, num_genes), dtype=np.float32)


class _SparseLayer:
    """Appends rows to the three arrays of the sparse layer, a chunk at a time."""

    def __init__(self, table: TableWriter, *, num_bins: int, num_genes: int, most: int) -> None:
        self._table, self._num_values, self._num_rows = table, 0, 0
        pointer = np.dtype(np.int32 if most < 2**31 else np.int64)
        self._waiting: dict[str, list[np.ndarray]] = {"data": [], "indices": [], "indptr": [np.zeros(1, pointer)]}
        self._written = dict.fromkeys(self._waiting, 0)
        lengths = {"data": most, "indices": most, "indptr": num_bins + 1}
        for name, length in lengths.items():
            chunk = max(1, min(length, VALUES_PER_CHUNK))
            table.lay_out(f"{OBSERVED}/{name}", (length,), (chunk,), pointer if name == "indptr" else None)
        table.set_attributes(OBSERVED, {"shape": [num_bins, num_genes]})

    def append(self, rows: sparse.csr_matrix) -> None:
        self._waiting["data"].append(rows.data)
        self._waiting["indices"].append(rows.indices)
        self._waiting["indptr"].append(rows.indptr[1:].astype(np.int64) + self._num_values)
        self._num_values += rows.nnz
        for name in self._waiting:
            self._flush(name, is_last=False)

    def close(self) -> None:
        for name in self._waiting:
            self._flush(name, is_last=True)
        for name in ("data", "indices"):
            self._table.shorten(f"{OBSERVED}/{name}", self._num_values)

    def _flush(self, name: str, *, is_last: bool) -> None:
        length = sum(map(len, self._waiting[name]))
        whole = length if is_last else length // VALUES_PER_CHUNK * VALUES_PER_CHUNK
        if not whole:
            return
        values = np.concatenate(self._waiting[name])
        self._table.write(f"{OBSERVED}/{name}", (self._written[name],), values[:whole])
        self._waiting[name], self._written[name] = [values[whole:]], self._written[name] + whole
