"""A band: a row of tiles, some genes of it, imputed tile after tile, then written as whole chunks.

Decision: bands are what an attempt remembers of its work. A record beside the store says that a band is written; the next attempt copies
the chunks of such bands, for a folder belongs to one attempt alone.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32
from pydantic import ValidationError

from s2s.contracts.atlas import ImputedBand
from s2s.contracts.settings import Settings
from s2s.errors import MissingError
from s2s.exchange.anndata_parts import layer_paths, layers_of
from s2s.imputation.reliability import Moments, joined_all
from s2s.imputation.tiling import Span, Tiling
from s2s.imputation.unit import Elsewhere, UnitImputer, describe_elsewhere
from s2s.lattice.measured import Measured
from s2s.recipes.tiled.layout import BLOCK_ROWS, BLOCK_VALUES, rows_per_chunk
from s2s.recipes.tiled.scratch import Scratch
from s2s.storage.location import join
from s2s.storage.objects import read_bytes, write_bytes
from s2s.storage.sections import Window
from s2s.storage.tables import TableWriter
from s2s.streaming.survey import Survey, as_measured, read_values, spans

STORE, RECORDS = "section.zarr", "bands"
"""What an attempt leaves: the AnnData, and a record per finished band."""

ELSEWHERE_BINS = 20_000
"""Measured bins, evenly spread, that tell what is known of a gene where nothing was measured nearby."""

COPIERS = 16
"""Layers that are copied at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The bands of one section, in one attempt.

    Attributes:
        survey: Of the section.
        tiling: Its units.
        unit: Imputes one.
        levels: Of the intervals.
        table: To write to.
        folder: URI of the attempt.
        predecessors: URIs of earlier attempts, newest first.
        settings: Where all of it lies.
        known: Gene group -> what is known of it elsewhere; filled when needed.
    """

    survey: Survey
    tiling: Tiling
    unit: UnitImputer
    levels: Sequence[float]
    table: TableWriter
    folder: str
    predecessors: tuple[str, ...]
    settings: Settings
    known: dict[int, Elsewhere]

    def do(self, row: int, group: int) -> Moments | None:
        """Write one band, or copy it from an earlier attempt.

        Args:
            row: Which row of tiles.
            group: Which gene group.

        Returns:
            What predictions of its measured bins say about its genes; None without such bins.

        Writes:
            Its chunks, then its record.
        """
        rows, genes = self.tiling.rows[row], self.tiling.genes[group]
        name, first = f"{row:05d}-{group:05d}.json", (row * len(self.tiling.genes) + group) * len(self.tiling.columns)
        self.unit.on_progress("tiles", first, self.tiling.num_units)
        for earlier in self.predecessors:
            if (record := self._copied(earlier, name, rows, genes)) is not None:
                break
        else:
            record = _record(self._impute(row, group))
        write_bytes(join(self.folder, RECORDS, name), record.model_dump_json().encode(), self.settings)
        return _moments(record)

    def _impute(self, row: int, group: int) -> Moments | None:
        rows, genes = self.tiling.rows[row], self.tiling.genes[group]
        told: list[Moments | None] = []
        width, height = self.survey.observed.shape[1], rows.core.stop - rows.core.start
        with ExitStack() as stack:
            paths = [path for path in layer_paths(self.levels) if path != "X"]
            layers = {path: stack.enter_context(Scratch(genes.stop - genes.start, self.settings)) for path in paths}
            for strip in self.tiling.strips(row, group, BLOCK_VALUES):
                told += self._strip(row, strip, group, layers)
            step = rows_per_chunk(self.survey.observed.shape, self.tiling)
            for start in range(0, height, step):
                stop = min(start + step, height)
                self._write((rows.core.start + start) * width, genes.start, layers, slice(start * width, stop * width))
        return joined_all(told)

    def _strip(self, row: int, strip: Sequence[Span], group: int, layers: dict[str, Scratch]) -> Iterator[Moments | None]:
        """Read neighbouring tiles at once, so that a chunk that they share is fetched once, and impute one after the other."""
        rows, left = self.tiling.rows[row], strip[0].reach.start
        chosen = self.survey.chosen[self.tiling.genes[group]]
        values = read_values(self.survey, chosen, _window(rows.reach, slice(left, strip[-1].reach.stop)))
        first = (row * len(self.tiling.genes) + group) * len(self.tiling.columns)
        for columns in strip:
            self.unit.on_progress("tiles", first + self.tiling.columns.index(columns), self.tiling.num_units)
            reach = slice(columns.reach.start - left, columns.reach.stop - left)
            measured = as_measured(self.survey, chosen, values[..., reach], _window(rows.reach, columns.reach))
            yield self._tile(measured, rows, columns, group, layers)

    def _tile(self, measured: Measured, rows: Span, columns: Span, group: int, layers: dict[str, Scratch]) -> Moments | None:
        prediction, moments = self.unit.impute(measured, rows, columns, lambda: self._elsewhere(group))
        width = self.survey.observed.shape[1]
        for path, values in layers_of(prediction).items():
            for line, bins in enumerate(values.transpose(1, 2, 0)):
                layers[path].write(line * width + columns.core.start, bins)
        return moments

    def _write(self, first_bin: int, first_gene: int, layers: dict[str, Scratch], bins: slice) -> None:
        for path, layer in layers.items():
            values = layer.read(bins.start, bins.stop)
            for target in ("X", path) if path == "layers/imputed" else (path,):
                self.table.write(target, (first_bin, first_gene), values)

    def _elsewhere(self, group: int) -> Elsewhere:
        if group not in self.known:
            self.known[group] = describe_elsewhere(_some_values(self.survey, self.survey.chosen[self.tiling.genes[group]]))
        return self.known[group]

    def _copied(self, earlier: str, name: str, rows: Span, genes: slice) -> ImputedBand | None:
        """Copy a band of an earlier attempt; None where it had not finished it."""
        width = self.survey.observed.shape[1]
        part = (slice(rows.core.start * width, rows.core.stop * width), genes)

        def copy(path: str) -> None:
            self.table.copy_piece(path, part, join(earlier, STORE))

        try:
            record = ImputedBand.model_validate_json(read_bytes(join(earlier, RECORDS, name), self.settings))
            with ThreadPoolExecutor(COPIERS) as pool:
                list(pool.map(copy, layer_paths(self.levels)))
        except (MissingError, ValidationError):
            return None
        return record


def _some_values(survey: Survey, genes: Sequence[int]) -> Float32[np.ndarray, "gene bin"]:
    """Measured values of some genes, of bins that are spread evenly over the section."""
    step = -(-int(survey.observed.sum()) // ELSEWHERE_BINS)
    places, parts = np.zeros_like(survey.observed), []
    places.flat[np.flatnonzero(survey.observed)[::step]] = True
    height, width = places.shape
    lines = int(np.clip(BLOCK_VALUES // (len(genes) * width), 1, BLOCK_ROWS))
    for start in range(0, height, lines):
        window = _window(slice(start, min(start + lines, height)), slice(0, width))
        if places[spans(window)].any():
            parts.append(read_values(survey, genes, window)[:, places[spans(window)]])
    return np.concatenate(parts, axis=1)


def _window(rows: slice, columns: slice) -> Window:
    return Window(y=rows.start, x=columns.start, height=rows.stop - rows.start, width=columns.stop - columns.start)


def _record(moments: Moments | None) -> ImputedBand:
    if moments is None:
        return ImputedBand(num_told=0, moments={})
    sides = {name: values for name, values in asdict(moments).items() if name != "num_bins"}
    return ImputedBand(num_told=moments.num_bins, moments={name: tuple(map(float, values.ravel())) for name, values in sides.items()})


def _moments(record: ImputedBand) -> Moments | None:
    if not record.num_told:
        return None
    sides = {name: np.array(values) for name, values in record.moments.items()}
    pairs = {name: values.reshape(2, -1) for name, values in sides.items() if name != "products"}
    return Moments(num_bins=record.num_told, products=sides["products"], **pairs)
