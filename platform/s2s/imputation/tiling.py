"""Cut a section into units that are imputed one by one in bounded memory: a tile of bins, with the bins around it, and some of its genes.

Pure arithmetic; nothing is read here. Decision: a unit is a small section of its own, kriged and calibrated by itself, because kriging
sees no further than a region anyway and errors differ from place to place; the price is that genes of different groups do not
share factors, and a seam that the halo makes small, not zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from s2s.lattice.geometry import LatticeShape

GENE_STEP = 16
"""Groups of genes are multiples of it, so that they are whole chunks of the arrays they are written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSize:
    """How large a unit may be; together about a gigabyte of memory in a worker, whatever the size of the section.

    Attributes:
        core: Side of the square of bins that a unit answers for, at most.
        halo: Bins around it that it sees as well.
        genes: Genes at most; a multiple of `GENE_STEP`.
    """

    core: int = 96
    halo: int = 16
    genes: int = 256


USUAL_SIZE = UnitSize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One axis of a tile, in bins of the section.

    Attributes:
        core: What the tile answers for.
        reach: What it sees.
    """

    core: slice
    reach: slice

    @property
    def core_in_reach(self) -> slice:
        """The core, counted from the first bin of the reach."""
        return slice(self.core.start - self.reach.start, self.core.stop - self.reach.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """A section cut into units: every row span with every column span and every gene group.

    Attributes:
        rows: From the top.
        columns: From the left.
        genes: Groups, as slices of the chosen genes.
    """

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    genes: tuple[slice, ...]

    @property
    def is_one_tile(self) -> bool:
        """Whether every unit sees the whole grid."""
        return len(self.rows) == len(self.columns) == 1

    @property
    def num_units(self) -> int:
        """Tiles times gene groups."""
        return len(self.rows) * len(self.columns) * len(self.genes)

    def strips(self, row: int, group: int, most_values: int) -> Iterator[tuple[Span, ...]]:
        """Cut a band into neighbouring tiles that are read together.

        Args:
            row: Of tiles.
            group: Of genes.
            most_values: Of a strip; one tile at least.

        Returns:
            Column spans, from the left.
        """
        rows, genes = self.rows[row].reach, self.genes[group]
        per_column = (rows.stop - rows.start) * (genes.stop - genes.start)
        strip: list[Span] = []
        for columns in self.columns:
            if strip and (columns.reach.stop - strip[0].reach.start) * per_column > most_values:
                yield tuple(strip)
                strip = []
            strip.append(columns)
        yield tuple(strip)


def cut(shape: tuple[int, int], num_genes: int, size: UnitSize, *, stride: int, lattice: LatticeShape) -> Tiling:
    """Cut a section.

    A side that a unit can see whole is not cut; others are cut into parts of equal length but for the last.

    Args:
        shape: `(y, x)` of the grid.
        num_genes: That are imputed.
        size: Of a unit.
        stride: Distance of observed positions: spans start at multiples of it, rows of a hexagonal lattice at multiples of twice
            as much, so that phase and row parity of a tile are those of the section.
        lattice: Of the grid.
    """
    row_step = 2 * stride if lattice == "hexagonal" else stride
    per_group = num_genes if num_genes <= size.genes else _rounded_up(-(-num_genes // -(-num_genes // size.genes)), GENE_STEP)
    return Tiling(
        rows=_spans(shape[0], size, row_step),
        columns=_spans(shape[1], size, stride),
        genes=tuple(slice(start, min(start + per_group, num_genes)) for start in range(0, num_genes, per_group)),
    )


def _spans(length: int, size: UnitSize, step: int) -> tuple[Span, ...]:
    if length <= size.core + 2 * size.halo:
        return (Span(core=slice(0, length), reach=slice(0, length)),)
    core, halo = _rounded_up(-(-length // -(-length // size.core)), step), _rounded_up(size.halo, step)
    return tuple(
        Span(core=slice(start, min(start + core, length)), reach=slice(max(0, start - halo), min(start + core + halo, length)))
        for start in range(0, length, core)
    )


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step
