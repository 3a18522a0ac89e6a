"""Impute a whole section tile by tile: every bin of any section size, measured values exact.

A network that starts from kriging gets the whole section kriged at once; tiles are cut from that.

Decision: a tile is as large as memory allows and overlaps its neighbours by a few bins, blended linearly; the authors
predict every bin in up to 1,024 windows and take the mean, which costs hundreds of times more.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from s2s.contracts.run import ImputationConfig
from s2s.kriging.section import krige_section
from s2s.lattice.geometry import SYMMETRIES, from_axial, turn, turn_back
from s2s.lattice.measured import Measured, axial_array, on_axial_grid, one_gene
from s2s.lattice.prediction import Field
from s2s.lattice.sampling import anchored
from s2s.network import CDCIN, predict
from s2s.network.threads import libraries_on

Progress = Callable[[int, int], None]

SMALLEST_INSET = 32
"""Bins that an inset must leave of a side."""

BATCH_BINS = {"cpu": 2**17, "cuda": 2**20}
"""Bins in a network call where the run does not say: on a CPU what its caches hold, 1.7 x faster than a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imputer:
    """A network and how its pictures become expression.

    Attributes:
        network: A trained CDCIN, on its device.
        expression_scale: log1p units per network unit.
        trust: Share kept of what the network changes in a kriged fill; with 0 it is not even asked.
    """

    network: CDCIN
    expression_scale: float
    trust: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneImputers:
    """A network for each gene of a section.

    Attributes:
        each: In the order of the genes.
    """

    each: tuple[Imputer, ...]

    @property
    def trust(self) -> float:
        """Mean over genes."""
        return float(np.mean([imputer.trust for imputer in self.each]))


def impute_section(
    imputer: Imputer | GeneImputers,
    measured: Measured,
    config: ImputationConfig,
    on_progress: Progress = lambda done, total: None,
    fill: Field | None = None,
) -> Field:
    """Fill in every position of a section.

    Args:
        imputer: The network, or that of each gene.
        measured: What is known; a section of any size. A hexagonal one is imputed on its axial grid.
        config: Tiles and batches.
        on_progress: Told genes done and genes in all.
        fill: What `krige_section` makes of `measured`, where the caller has it already; for networks that start from it.

    Returns:
        log1p expression on tissue, 0 off it, never negative; at observed positions the measured values, bit for bit.
    """
    if isinstance(imputer, GeneImputers):
        return _impute_each(imputer, measured, config, on_progress, fill)
    network, scale = imputer.network.eval(), imputer.expression_scale
    if fill is None and network.config.fill == "krige":
        fill = krige_section(measured, network.config.kriging)
    if fill is not None and imputer.trust == 0:
        return _finished(fill, measured)
    window = _lay_out(measured, fill)
    turns = SYMMETRIES[measured.lattice][: network.config.symmetries]
    top, left = ((measured.stride - phase) % measured.stride for phase in measured.phase)
    estimate = np.empty(measured.expression.shape, np.float32)
    batch_bins = config.batch_bins or BATCH_BINS[next(network.parameters()).device.type]
    genes_at_once = max(1, batch_bins // (min(window.tissue.shape[0], config.tile) * min(window.tissue.shape[1], config.tile)))
    for start in range(0, len(estimate), genes_at_once):
        block = slice(start, min(start + genes_at_once, len(estimate)))
        filled = _impute_genes(network, window.genes(block, scale), config, turns) * np.float32(scale)
        filled = filled[..., top:, left:]
        estimate[block] = from_axial(filled, measured.tissue.shape, measured.stride) if measured.lattice == "hexagonal" else filled
        on_progress(block.stop, len(estimate))
    return _finished(estimate if fill is None else fill + np.float32(imputer.trust) * (estimate - fill), measured)


def _impute_each(imputers: GeneImputers, measured: Measured, config: ImputationConfig, on_progress: Progress, fill: Field | None) -> Field:
    num_genes = len(measured.genes)
    assert len(imputers.each) == num_genes, f"{len(imputers.each)} networks for {num_genes} genes"
    imputed = np.empty(measured.expression.shape, np.float32)

    def impute(place: int) -> None:
        own = None if fill is None else fill[place : place + 1]
        imputed[place] = impute_section(imputers.each[place], one_gene(measured, place), config, fill=own)[0]

    is_on_cpu = next(imputers.each[0].network.parameters()).device.type == "cpu"
    pool = ThreadPoolExecutor(torch.get_num_threads() if is_on_cpu else 1, "s2s-genes")
    try:
        with libraries_on(1):
            for done, _ in enumerate(pool.map(impute, range(num_genes)), start=1):
                on_progress(done, num_genes)
    finally:
        pool.shutdown(cancel_futures=True)
    return imputed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A piece of an axial or square grid whose sampled lattice starts at (0, 0)."""

    values: np.ndarray
    fill: np.ndarray | None
    observed: np.ndarray
    tissue: np.ndarray

    def genes(self, block: slice, scale: float) -> "_Window":
        """Some genes, in network units."""
        fill = None if self.fill is None else self.fill[block] / np.float32(scale)
        return replace(self, values=self.values[block] / np.float32(scale), fill=fill)

    def cut(self, rows: slice, columns: slice) -> "_Window":
        """A tile."""
        return self._each(lambda array: array[..., rows, columns])

    def turned(self, symmetry: int) -> "_Window":
        """The same, turned."""
        return self._each(lambda array: turn(array, symmetry))

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> "_Window":
        fill = None if self.fill is None else change(self.fill)
        return _Window(values=change(self.values), fill=fill, observed=change(self.observed), tissue=change(self.tissue))


def _lay_out(measured: Measured, fill: Field | None) -> _Window:
    axial = on_axial_grid(measured)
    if fill is not None:
        fill = axial_array(np.where(measured.tissue, fill, np.float32(0)), measured, 0)
    values = np.where(axial.observed, axial.expression, np.float32(0))
    values, observed, tissue = (anchored(array, measured.phase, measured.stride, False) for array in (values, axial.observed, axial.tissue))
    return _Window(
        values=values, fill=None if fill is None else anchored(fill, measured.phase, measured.stride, 0), observed=observed, tissue=tissue
    )


def _finished(estimate: Field, measured: Measured) -> Field:
    on_tissue = np.where(measured.tissue, np.maximum(estimate, 0), np.float32(0))
    return np.where(measured.observed, measured.expression, on_tissue)


def _impute_genes(network: CDCIN, window: _Window, config: ImputationConfig, turns: tuple[int, ...]) -> np.ndarray:
    """Mean over insets: the whole, and the whole without two bins, four, ... of its border.

    Near the border of a section the authors' mean over windows was 4 to 8 % better than one tile, for bins 2 to 8 from it: where a
    window ends differs from window to window. Elsewhere it was not (`large_sections_2core_202611.md`).
    """
    height, width = window.tissue.shape
    total = np.zeros(window.values.shape, np.float32)
    weight = np.zeros((height, width), np.float32)
    for inset in range(0, 2 * config.insets, 2):
        rows, columns = slice(inset, height - inset), slice(inset, width - inset)
        if inset and min(height, width) - 2 * inset < SMALLEST_INSET:
            break
        total[:, rows, columns] += _impute_tiles(network, window.cut(rows, columns), config, turns)
        weight[rows, columns] += 1
    return total / weight


def _impute_tiles(network: CDCIN, window: _Window, config: ImputationConfig, turns: tuple[int, ...]) -> np.ndarray:
    height, width = window.tissue.shape
    total = np.zeros(window.values.shape, np.float32)
    weight = np.zeros((height, width), np.float32)
    for rows in _spans(height, config):
        for columns in _spans(width, config):
            tile = window.cut(rows, columns)
            if not tile.tissue.any():
                weight[rows, columns] += 1
                continue
            blend = np.outer(_ramp(rows, height, config.overlap), _ramp(columns, width, config.overlap)).astype(np.float32)
            total[:, rows, columns] += blend * _predict(network, tile, turns)
            weight[rows, columns] += blend
    return total / weight


def _predict(network: CDCIN, tile: _Window, turns: tuple[int, ...]) -> np.ndarray:
    """Mean over symmetries of what the network makes of a tile."""
    device = next(network.parameters()).device

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    total: np.ndarray | None = None
    for symmetry in turns:
        turned = tile.turned(symmetry)
        sparse = tensor(turned.values)[:, None]
        observed, tissue = (tensor(mask).expand(sparse.shape) for mask in (turned.observed, turned.tissue))
        start = None if turned.fill is None else tensor(turned.fill)[:, None]
        with torch.inference_mode():
            output = predict(network, sparse, observed, tissue, start)[:, 0].float().cpu().numpy()
        straight = turn_back(output, symmetry)
        total = straight if total is None else total + straight
    assert total is not None, "the identity is among the symmetries"
    return total / np.float32(len(turns))


def _spans(length: int, config: ImputationConfig) -> Iterator[slice]:
    """Cut an axis into overlapping spans that start on the sampled lattice."""
    overlap = min(config.overlap, config.tile // 2)
    step = (config.tile - overlap) // 2 * 2
    start = 0
    while start + config.tile < length:
        yield slice(start, start + config.tile)
        start += step
    yield slice(start, length)


def _ramp(span: slice, length: int, overlap: int) -> np.ndarray:
    """Weights along one axis: 1 inside, falling linearly where the span meets a neighbour; never 0."""
    size = span.stop - span.start
    steps = np.arange(1, size + 1) / (overlap + 1)
    rising = np.ones(size) if span.start == 0 else np.minimum(1, steps)
    falling = np.ones(size) if span.stop == length else np.minimum(1, steps[::-1])
    return np.minimum(rising, falling)
