"""Impute a whole section tile by tile: every bin of any section size, measured values exact.

Decision: a tile is as large as memory allows and overlaps its neighbours by a few bins, blended linearly; the authors
predict every bin in up to 1,024 windows and take the mean, which costs hundreds of times more.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float32

from s2s.contracts.run import ImputationConfig
from s2s.lattice.geometry import from_axial
from s2s.lattice.measured import Measured, on_axial_grid
from s2s.lattice.sampling import anchored
from s2s.network import CDCIN, predict

Progress = Callable[[int, int], None]


def impute_section(
    network: CDCIN, measured: Measured, expression_scale: float, config: ImputationConfig, on_progress: Progress = lambda done, total: None
) -> Float32[np.ndarray, "gene y x"]:
    """Fill in every position of a section.

    Args:
        network: A trained CDCIN, on its device.
        measured: What is known; a section of any size. A hexagonal one is imputed on its axial grid.
        expression_scale: log1p units per network unit.
        config: Tiles and batches.
        on_progress: Told genes done and genes in all.

    Returns:
        log1p expression on tissue, 0 off it, never negative; at observed positions the measured values, bit for bit.
    """
    if measured.lattice == "hexagonal":
        imputed = impute_section(network, on_axial_grid(measured), expression_scale, config, on_progress)
        return from_axial(imputed, measured.tissue.shape, measured.stride)
    network.eval()
    values = anchored(np.where(measured.observed, measured.expression, np.float32(0)), measured.phase, measured.stride, 0)
    observed, tissue = (anchored(mask, measured.phase, measured.stride, False) for mask in (measured.observed, measured.tissue))
    num_genes, height, width = values.shape
    genes_at_once = max(1, config.batch_bins // (min(height, config.tile) * min(width, config.tile)))
    filled = np.empty_like(values)
    for start in range(0, num_genes, genes_at_once):
        block = slice(start, min(start + genes_at_once, num_genes))
        filled[block] = _impute_genes(network, values[block] / np.float32(expression_scale), observed, tissue, config) * np.float32(
            expression_scale
        )
        on_progress(block.stop, num_genes)
    top, left = height - measured.tissue.shape[0], width - measured.tissue.shape[1]
    estimate = np.where(measured.tissue, np.maximum(filled[:, top:, left:], 0), np.float32(0))
    return np.where(measured.observed, measured.expression, estimate)


def _impute_genes(network: CDCIN, values: np.ndarray, observed: np.ndarray, tissue: np.ndarray, config: ImputationConfig) -> np.ndarray:
    total, weight = np.zeros_like(values), np.zeros(tissue.shape, np.float32)
    for rows in _spans(tissue.shape[0], config):
        for columns in _spans(tissue.shape[1], config):
            if not tissue[rows, columns].any():
                weight[rows, columns] += 1
                continue
            blend = np.outer(_ramp(rows, tissue.shape[0], config.overlap), _ramp(columns, tissue.shape[1], config.overlap)).astype(
                np.float32
            )
            total[:, rows, columns] += blend * _predict(network, values[:, rows, columns], observed[rows, columns], tissue[rows, columns])
            weight[rows, columns] += blend
    return total / weight


def _predict(network: CDCIN, values: np.ndarray, observed: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    device = next(network.parameters()).device
    sparse = torch.from_numpy(np.ascontiguousarray(values))[:, None].to(device)
    masks = [torch.from_numpy(np.ascontiguousarray(mask)).to(device).expand(sparse.shape) for mask in (observed, tissue)]
    with torch.inference_mode():
        return predict(network, sparse, masks[0], masks[1])[:, 0].float().cpu().numpy()


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
