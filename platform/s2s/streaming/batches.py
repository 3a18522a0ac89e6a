"""Windows become the four loss terms of a step (`method.md` section 2).

Every term is built from the same two things: values at sampled positions, and which of them are known. `sparser` keeps
every second sampled position as input and asks for all; `dense` spreads the samples over a grid twice as fine and asks
for the samples themselves (the paper's identity term), or for those that were hidden from the input (ours). Where the fill is
kriged, samples are hidden before that (`folds`), and the only term of the section asks for them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from s2s.contracts.run import TrainingConfig
from s2s.network.batch import Batch, TermBatch
from s2s.streaming.folds import FoldWindows
from s2s.streaming.photographs import PhotographPool
from s2s.streaming.sections import Crops, WindowSource
from s2s.streaming.windows import draw_windows

STREAMS = (0, 3, 4)
"""Numbers of the random streams of a step: windows, hidden samples, photographs. 1 and 2 draw a run's pool and its validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStream:
    """Batches of one run; a batch depends on the seed and its step alone."""

    source: WindowSource | FoldWindows
    photographs: PhotographPool | None
    training: TrainingConfig
    expression_scale: float
    seed: int

    def batches(self, start: int) -> Iterator[Batch]:
        """Yield the batches of steps `start`, `start + 1`, ... for ever."""
        side = self.training.window // 2
        places = np.empty((0, 2), np.int64) if isinstance(self.source, FoldWindows) else self.source.places(side, self.training.min_tissue)
        step = start
        while True:
            # A generator each, so that leaving a term out changes nothing of the others.
            windows, hidden, images = (np.random.default_rng([self.seed, stream, step]) for stream in STREAMS)
            if isinstance(self.source, FoldWindows):
                terms = {"sparse_to_dense": self.source.term(windows, self.training.batch)}
            else:
                crops = self.source.crop(draw_windows(windows, self.source.num_genes, places, self.training.batch), side)
                terms = self._lattice_terms(crops, hidden)
            yield terms | self._photo_terms(images)
            step += 1

    def _lattice_terms(self, crops: Crops, hidden: np.random.Generator) -> dict[str, TermBatch]:
        weights, terms = self.training.weights, dict[str, TermBatch]()
        if weights.sparser_to_sparse:
            terms["sparser_to_sparse"] = sparser_to_sparse(crops, self.expression_scale)
        if weights.sparse_to_dense:
            terms["sparse_to_dense"] = sparse_to_dense(crops, self.training.hide_fraction, hidden, self.expression_scale)
        return terms

    def _photo_terms(self, rng: np.random.Generator) -> dict[str, TermBatch]:
        weights, terms = self.training.weights, dict[str, TermBatch]()
        if self.photographs is None or not (weights.photo_sparser_to_sparse or weights.photo_sparse_to_dense):
            return terms
        images = self.photographs.crop(rng, self.training.batch, self.training.window)
        if weights.photo_sparser_to_sparse:
            terms["photo_sparser_to_sparse"] = sparser_to_sparse(_all_known(images), 1.0)
        if weights.photo_sparse_to_dense:
            terms["photo_sparse_to_dense"] = photo_sparse_to_dense(images)
        return terms


def sparser_to_sparse(crops: Crops, loss_scale: float) -> TermBatch:
    """Give every second sampled position, ask for all of them: learn to impute, one scale up."""
    given = np.zeros_like(crops.known)
    given[:, ::2, ::2] = crops.known[:, ::2, ::2]
    return _term(crops.values, given, crops.tissue[:, ::2, ::2], crops.known, loss_scale)


def sparse_to_dense(crops: Crops, hide_fraction: float, rng: np.random.Generator, loss_scale: float) -> TermBatch:
    """Spread samples over the dense grid and ask for them: the given ones, or with `hide_fraction` the hidden ones.

    Args:
        crops: Windows of a section.
        hide_fraction: Share of the samples kept from the input; 0 gives the paper's term, zero for the identity.
        rng: Draws the hidden ones.
        loss_scale: From network to loss units.
    """
    hidden = crops.known & (rng.random(crops.known.shape) < hide_fraction)
    asked = hidden if hide_fraction > 0 else crops.known
    return _term(_spread(crops.values), _spread(crops.known & ~hidden), crops.tissue, _spread(asked), loss_scale)


def photo_sparse_to_dense(images: np.ndarray) -> TermBatch:
    """Sample a photograph with stride 2, ask for the whole: co-learning at the scale of use.

    Args:
        images: `(batch, y, x)`, gray in [0, 1].
    """
    given = np.zeros(images.shape, np.bool_)
    given[:, ::2, ::2] = True
    everywhere = np.ones(images.shape, np.bool_)
    return _term(images, given, everywhere, everywhere, 1.0)


def _all_known(images: np.ndarray) -> Crops:
    sites = images[:, ::2, ::2]
    return Crops(values=sites, known=np.ones(sites.shape, np.bool_), tissue=np.ones(images.shape, np.bool_))


def _spread(sites: np.ndarray) -> np.ndarray:
    """Put sampled positions at the even places of a grid twice as fine; zero elsewhere."""
    dense = np.zeros((len(sites), 2 * sites.shape[1], 2 * sites.shape[2]), sites.dtype)
    dense[:, ::2, ::2] = sites
    return dense


def _term(values: np.ndarray, given: np.ndarray, tissue: np.ndarray, scored: np.ndarray, loss_scale: float) -> TermBatch:
    """Build a term whose input and target are the same values: `given` of them go in, `scored` of them are asked back."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))[:, None]

    return TermBatch(
        sparse=tensor(np.where(given, values, np.float32(0))),
        observed=tensor(given),
        tissue=tensor(tissue),
        target=tensor(values),
        scored=tensor(scored),
        loss_scale=loss_scale,
    )
