"""What of a section must be known before any part of it can be read as a method may see it: masks, totals, constant, genes.

One pass over all genes; afterwards any genes in any window are read alone, normalised as they would be within the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, Num

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.contracts.section import SectionMeta
from s2s.errors import InputError, MissingError
from s2s.lattice.geometry import LatticeShape
from s2s.lattice.measured import Measured
from s2s.lattice.normalise import log1p_normalise, median_total
from s2s.lattice.sampling import sampled_positions
from s2s.storage.sections import Masks, Window

BLOCK_VALUES = 32_000_000
"""Values read at once while totals are summed: 128 MB of float32."""


class Readable(Protocol):
    """A section, on a store or in memory."""

    uri: str
    meta: SectionMeta

    @property
    def genes(self) -> tuple[str, ...]:
        """Names."""
        ...

    @property
    def chunks(self) -> tuple[int, int, int]:
        """What is best read at once."""
        ...

    def read(self, genes: slice | Sequence[int] | None = None, window: Window | None = None) -> Num[np.ndarray, "gene y x"]:
        """Values of some genes in a window."""
        ...

    def masks(self, window: Window | None = None) -> Masks:
        """Masks in a window."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A section as a whole, without its values.

    Attributes:
        section: Open.
        tissue: Valid positions on tissue.
        observed: Those of them that count as measured.
        totals: Counts of each bin over all genes; None where the values are log1p already.
        target: What totals are scaled to: their median over observed bins; None likewise.
        chosen: Indices of the genes that are worked on.
        stride: Distance of observed positions, in bins.
        phase: Their offset; see `lattice.measured.Measured`.
    """

    section: Readable
    tissue: Bool[np.ndarray, "y x"]
    observed: Bool[np.ndarray, "y x"]
    totals: Float64[np.ndarray, "y x"] | None
    target: float | None
    chosen: tuple[int, ...]
    stride: int
    phase: tuple[int, int]

    @property
    def genes(self) -> tuple[str, ...]:
        """Names of the chosen genes."""
        return tuple(self.section.genes[index] for index in self.chosen)

    @property
    def lattice(self) -> LatticeShape:
        """Shape of the grid."""
        return self.section.meta.lattice.shape


def survey_section(section: Readable, sampling: SamplingConfig, genes: GeneConfig) -> Survey:
    """Look a section over.

    Args:
        section: An open section.
        sampling: Lattice to keep of a fully measured section; a sparse one keeps its own.
        genes: Which genes.

    Raises:
        InputError: no observed bin with counts, another stride, or no gene passes the choice.
        MissingError: a gene asked for by name is not in the section.

    Reads:
        The masks, and every gene once.
    """
    masks, lattice = section.masks(), section.meta.lattice
    tissue = masks.tissue & masks.valid
    is_dense = lattice.stride == 1
    stride, phase = (sampling.stride, sampling.phase) if is_dense else (lattice.stride, lattice.phase)
    if stride != sampling.stride:
        raise InputError(
            f"expected a section sampled at stride {sampling.stride}, {section.uri} has stride {stride}; "
            f"ingest it with --stride {sampling.stride}"
        )
    observed = tissue & (sampled_positions(tissue.shape, stride, phase, lattice.shape) if is_dense else masks.observed)
    if not observed.any():
        raise InputError(f"expected at least one observed bin on tissue in {section.uri}, got none at stride {stride}, phase {phase}")
    totals, detected, mean = _sum_up(section, observed)
    is_counted = section.meta.values == "counts"
    return Survey(
        section=section,
        tissue=tissue,
        observed=observed,
        totals=totals if is_counted else None,
        target=median_total(totals, observed) if is_counted else None,
        chosen=tuple(_choose_genes(section, genes, detected, mean)),
        stride=stride,
        phase=phase,
    )


def read_values(survey: Survey, genes: Sequence[int], window: Window | None = None) -> Float32[np.ndarray, "gene y x"]:
    """Read some genes in a window at every position, measured or not.

    Args:
        survey: Of the section.
        genes: Indices on the section's gene axis.
        window: Part of the grid; None for all of it.

    Returns:
        log1p units, normalised with the constant of the whole section.

    Reads:
        The chunks in which they lie.
    """
    values = survey.section.read(list(genes), window)
    if survey.totals is None or survey.target is None:
        return values
    return log1p_normalise(values, survey.totals[spans(window)], survey.target)


def as_measured(survey: Survey, genes: Sequence[int], values: Float32[np.ndarray, "gene y x"], window: Window | None = None) -> Measured:
    """Keep of values what a method may see.

    Args:
        survey: Of the section.
        genes: Their indices on the section's gene axis.
        values: From `read_values` of the same genes and window.
        window: Whose first row and column are multiples of the stride (the row of twice the stride on a hexagonal lattice), so
            that the phase is that of the section; None for all of it.
    """
    observed = survey.observed[spans(window)]
    return Measured(
        expression=known_values(values, observed),
        observed=observed,
        tissue=survey.tissue[spans(window)],
        genes=tuple(survey.section.genes[index] for index in genes),
        stride=survey.stride,
        phase=survey.phase,
        pitch_um=survey.section.meta.pitch_um,
        lattice=survey.lattice,
    )


def known_values(values: Float32[np.ndarray, "gene y x"], positions: Bool[np.ndarray, "y x"]) -> Float32[np.ndarray, "gene y x"]:
    """Values at some positions, NaN elsewhere."""
    return np.where(positions, values, np.float32(np.nan)).astype(np.float32)


def spans(window: Window | None) -> tuple[slice, slice]:
    """Rows and columns of a window; all of them where there is none."""
    if window is None:
        return slice(None), slice(None)
    return slice(window.y, window.y + window.height), slice(window.x, window.x + window.width)


def survey_blocks(section: Readable) -> Iterator[slice]:
    """Genes that a survey reads at once: whole chunks, so that none is fetched twice."""
    num_genes, height, width = section.meta.num_genes, *section.meta.shape
    depth = section.chunks[0]
    block = max(1, BLOCK_VALUES // (height * width * depth)) * depth
    for start in range(0, num_genes, block):
        yield slice(start, min(start + block, num_genes))


def _sum_up(section: Readable, observed: Bool[np.ndarray, "y x"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Totals per bin over all genes; detection rate and mean count of every gene in observed bins."""
    totals = np.zeros(observed.shape, np.float64)
    detected, mean = np.empty(len(section.genes)), np.empty(len(section.genes))
    for genes in survey_blocks(section):
        values = section.read(genes)
        totals += values.sum(axis=0, dtype=np.float64)
        seen = values[:, observed]
        detected[genes] = (seen > 0).mean(axis=1)
        mean[genes] = seen.mean(axis=1, dtype=np.float64)
    return totals, detected, mean


def _choose_genes(section: Readable, config: GeneConfig, detected: np.ndarray, mean: np.ndarray) -> list[int]:
    index = {name: place for place, name in enumerate(section.genes)}
    if config.names is not None:
        missing = [name for name in config.names if name not in index]
        if missing:
            raise MissingError(
                f"expected genes of {section.uri} in genes.names, not found: {', '.join(missing[:5])}; "
                f"it has for instance {', '.join(section.genes[:5])}"
            )
        return [index[name] for name in config.names]
    passing = np.flatnonzero(detected >= config.min_detected)
    if passing.size == 0:
        raise InputError(
            f"expected genes detected in {config.min_detected:.0%} of observed bins of {section.uri}, "
            f"the best is detected in {detected.max():.1%}; lower genes.min_detected"
        )
    if config.limit is not None and passing.size > config.limit:
        passing = np.sort(passing[np.argsort(-mean[passing], kind="stable")[: config.limit]])
    return [int(place) for place in passing]
