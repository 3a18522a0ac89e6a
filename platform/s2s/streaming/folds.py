"""Windows of a section whose fill was kriged without some samples: those are asked back.

Decision: a section smaller than a window is framed by positions off tissue, and where no window holds as much tissue as asked for,
those that hold most are used: a small section trains, less well, where a paper-like run would have to refuse it.
"""

from collections.abc import Sequence

import numpy as np
import torch

from s2s.contracts.run import TrainingConfig
from s2s.kriging.folds import Fold
from s2s.lattice.geometry import SYMMETRIES, turn
from s2s.lattice.measured import Measured, axial_array, on_axial_grid
from s2s.network.batch import TermBatch
from s2s.streaming.windows import draw_windows, tissue_share, window_places


class FoldWindows:
    """Windows on the dense grid: fill and remaining samples in, hidden samples out."""

    def __init__(self, measured: Measured, folds: Sequence[Fold], expression_scale: float, training: TrainingConfig) -> None:
        """Lay the section and its fills out as arrays of network units, at least one window large.

        Args:
            measured: What is known.
            folds: Of it; at least one.
            expression_scale: log1p units per network unit.
            training: Side of a window, and its smallest tissue fraction where any has it.
        """
        window = training.window
        self._scale, self._window = expression_scale, window
        self._symmetries = SYMMETRIES[measured.lattice]
        axial = on_axial_grid(measured)
        frame = [(0, max(0, window - side)) for side in axial.tissue.shape]

        def lay(array: np.ndarray) -> np.ndarray:
            return np.pad(axial_array(array, measured, 0), [(0, 0)] * (array.ndim - 2) + frame)

        scale = np.float32(expression_scale)
        self._tissue = np.pad(axial.tissue, frame)
        self._observed = np.pad(axial.observed, frame)
        self._values = lay(np.where(measured.observed, measured.expression, np.float32(0)) / scale)
        self._hidden = [lay(fold.hidden) for fold in folds]
        self._fills = [lay(np.where(measured.tissue, fold.fill, np.float32(0)) / scale) for fold in folds if fold.fill is not None]
        assert len(self._fills) == len(folds) > 0, "expected folds that were kriged"
        most = tissue_share(self._tissue, window).max()
        self._places = window_places(self._tissue, window, min(training.min_tissue, 0.9 * most), spacing=1)

    def term(self, rng: np.random.Generator, batch: int) -> TermBatch:
        """Draw windows uniformly over folds, genes, places and symmetries.

        Args:
            rng: Source of randomness, made from `(seed, step)`.
            batch: How many.
        """
        windows = draw_windows(rng, len(self._values), self._places, batch)
        cut: dict[str, list[np.ndarray]] = {name: [] for name in ("values", "given", "tissue", "scored", "start")}
        drawn = zip(rng.integers(len(self._fills), size=batch), windows.gene, windows.y, windows.x, windows.symmetry, strict=True)
        for fold, gene, y, x, symmetry in drawn:
            at = np.s_[y : y + self._window, x : x + self._window]
            hidden, observed = self._hidden[fold][at], self._observed[at]
            parts = (self._values[gene][at], observed & ~hidden, self._tissue[at], hidden, self._fills[fold][gene][at])
            for name, part in zip(cut, parts, strict=True):
                cut[name].append(turn(part, self._symmetries[symmetry % len(self._symmetries)]))
        values, given, tissue, scored, start = (torch.from_numpy(np.stack(parts))[:, None] for parts in cut.values())
        return TermBatch(
            sparse=torch.where(given, values, 0.0),
            observed=given,
            tissue=tissue,
            target=values,
            scored=scored,
            loss_scale=self._scale,
            start=start,
        )
