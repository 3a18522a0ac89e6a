"""Read a stored section: what a method may see (`measure`), beside it what it is judged on (`measure_with_truth`), windows to train on.

Two sources of windows: `SampledWindows` holds nothing but the sampled lattice, so strict training cannot leak;
`DenseWindows` repeats the authors' order (turn first, then sample), which lets three quarters of the training items use
bins that count as unsampled, and exists to measure that. Windows of a hexagonal section are cut from its axial grid, and turned
only by symmetries that leave neighbours neighbours.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.lattice.geometry import SYMMETRIES, turn
from s2s.lattice.measured import HeldOut, Measured, on_axial_grid
from s2s.storage.sections import Section, Window
from s2s.streaming.excerpt import choose_genes, choose_tiles, is_large, on_one_sheet
from s2s.streaming.survey import Readable, Survey, as_measured, known_values, read_values, survey_section
from s2s.streaming.windows import Windows, window_places


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Windows cut out, turned, and anchored so that sampled positions are the even ones.

    Attributes:
        values: At sampled positions, network units; 0 where not known.
        known: Sampled positions whose value may be used.
        tissue: On the dense grid, twice as fine.
    """

    values: Float32[np.ndarray, "batch site_y site_x"]
    known: Bool[np.ndarray, "batch site_y site_x"]
    tissue: Bool[np.ndarray, "batch y x"]


class WindowSource(Protocol):
    """Where training windows come from."""

    num_genes: int

    def places(self, side: int, min_tissue: float) -> Int[np.ndarray, "place 2"]:
        """List corners of windows of `side` sampled positions with enough tissue."""
        ...

    def crop(self, windows: Windows, side: int) -> Crops:
        """Cut windows of `side` sampled positions."""
        ...


class SampledWindows:
    """Windows on the sampled lattice alone: sample first, then turn."""

    def __init__(self, measured: Measured, expression_scale: float) -> None:
        self._symmetries = SYMMETRIES[measured.lattice]
        measured = on_axial_grid(measured)
        rows, columns = (slice(p, None, measured.stride) for p in measured.phase)
        self._known = measured.observed[rows, columns]
        sites = measured.expression[:, rows, columns]
        self._values = np.where(self._known, sites / np.float32(expression_scale), np.float32(0))
        self._site_tissue = measured.tissue[rows, columns]
        # One more row and column before the first site: then sites are the odd positions, and stay so when turned.
        framed = np.pad(measured.tissue, [(1, 2)] * 2)[measured.phase[0] :, measured.phase[1] :]
        height, width = self._known.shape
        self._tissue = framed[: 2 * height + 1, : 2 * width + 1]
        self.num_genes = len(self._values)

    def places(self, side: int, min_tissue: float) -> Int[np.ndarray, "place 2"]:
        """List corners, counted in sampled positions."""
        return window_places(self._site_tissue, side, min_tissue)

    def crop(self, windows: Windows, side: int) -> Crops:
        """Cut from the sampled lattice, then turn."""
        values, known, tissue = [], [], []
        for gene, y, x, drawn in zip(windows.gene, windows.y, windows.x, windows.symmetry, strict=True):
            symmetry = self._symmetries[drawn % len(self._symmetries)]
            values.append(turn(self._values[gene, y : y + side, x : x + side], symmetry))
            known.append(turn(self._known[y : y + side, x : x + side], symmetry))
            frame = self._tissue[2 * y : 2 * (y + side) + 1, 2 * x : 2 * (x + side) + 1]
            tissue.append(turn(frame, symmetry)[1:, 1:])
        return Crops(values=np.stack(values), known=np.stack(known), tissue=np.stack(tissue))


class DenseWindows:
    """Windows on the dense grid: turn first, then sample. LEAKY: the authors' order, for comparison only."""

    def __init__(self, measured: Measured, truth: HeldOut, expression_scale: float) -> None:
        self._symmetries = SYMMETRIES[measured.lattice]
        known = measured.observed | truth.positions
        dense = np.where(measured.observed, measured.expression, truth.expression)
        whole = on_axial_grid(replace(measured, observed=known, expression=dense))
        self._known, self._tissue = whole.observed, whole.tissue
        self._values = np.where(self._known, whole.expression / np.float32(expression_scale), np.float32(0))
        self.num_genes = len(self._values)

    def places(self, side: int, min_tissue: float) -> Int[np.ndarray, "place 2"]:
        """List corners, counted in dense positions."""
        return window_places(self._tissue, 2 * side, min_tissue, spacing=1)

    def crop(self, windows: Windows, side: int) -> Crops:
        """Cut from the dense grid, turn, then keep every second row and column."""
        values, known, tissue = [], [], []
        for gene, y, x, drawn in zip(windows.gene, windows.y, windows.x, windows.symmetry, strict=True):
            symmetry = self._symmetries[drawn % len(self._symmetries)]
            at = np.s_[y : y + 2 * side, x : x + 2 * side]
            values.append(turn(self._values[gene][at], symmetry)[::2, ::2])
            known.append(turn(self._known[at], symmetry)[::2, ::2])
            tissue.append(turn(self._tissue[at], symmetry))
        return Crops(values=np.stack(values), known=np.stack(known), tissue=np.stack(tissue))


def measure(section: Readable, sampling: SamplingConfig, genes: GeneConfig) -> Measured:
    """Read what a method may see of a section.

    A section measured everywhere is sampled as `sampling` says; one that is sparse already keeps its own positions.

    Args:
        section: An open section.
        sampling: Lattice to keep of a fully measured section.
        genes: Which genes.

    Raises:
        InputError: no observed bin with counts, or no gene passes the choice.
        MissingError: a gene asked for by name is not in the section.

    Reads:
        Every gene once for the totals of the bins, then the chosen ones.
    """
    survey = survey_section(section, sampling, genes)
    return as_measured(survey, survey.chosen, read_values(survey, survey.chosen))


def measure_with_truth(section: Section, sampling: SamplingConfig, genes: GeneConfig) -> tuple[Measured, HeldOut | None]:
    """Read what a method may learn from, and the truth that it is judged on; of a large section some tiles, see `excerpt`.

    Args:
        section: An open section.
        sampling: As of `measure`.
        genes: As of `measure`.

    Returns:
        What `measure` returns, and the truth at tissue positions that are not observed, normalised with the constant of those
        that are; None when the section has none.

    Raises:
        InputError: as `measure`.
        MissingError: as `measure`.

    Reads:
        No more than `measure`.
    """
    survey = survey_section(section, sampling, genes)
    if not is_large(section.meta.shape):
        return _with_truth(survey)
    some = replace(survey, chosen=choose_genes(survey.chosen))
    return on_one_sheet([_with_truth(some, window) for window in choose_tiles(survey.observed, 2 * survey.stride)])


def _with_truth(survey: Survey, window: Window | None = None) -> tuple[Measured, HeldOut | None]:
    values = read_values(survey, survey.chosen, window)
    measured = as_measured(survey, survey.chosen, values, window)
    if survey.section.meta.lattice.stride != 1:
        return measured, None
    positions = measured.tissue & ~measured.observed
    return measured, HeldOut(expression=known_values(values, positions), positions=positions)
