"""What every reader returns: a section on its grid, sparse in memory, ready to be stored.

Decision: counts are one sparse matrix `(gene, y * x)` and become dense block by block. A section of 300 genes and a million bins is
mostly zeros; the price is that a reader must hold all non-zero counts of the section at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Num
from scipy import sparse

from s2s import __version__
from s2s.contracts.run import SectionSource
from s2s.contracts.section import SectionMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedSection:
    """One section on its grid.

    Attributes:
        meta: The contract; `data_sha256` and `created_at` are still empty.
        genes: Names, in the order of the rows of `counts`.
        counts: `(gene, y * x)`; uint16 or uint32 counts per bin, or float32 log1p units when `meta.values` says so.
        tissue: There is tissue here.
        observed: This position was measured and lies on tissue.
        valid: Not a field-of-view gap, fold or artefact.
    """

    meta: SectionMeta
    genes: tuple[str, ...]
    counts: sparse.csr_matrix
    tissue: Bool[np.ndarray, "y x"]
    observed: Bool[np.ndarray, "y x"]
    valid: Bool[np.ndarray, "y x"]

    def __post_init__(self) -> None:
        bins = self.meta.shape[0] * self.meta.shape[1]
        assert self.counts.shape == (len(self.genes), bins) == (self.meta.num_genes, bins)
        assert self.tissue.shape == self.observed.shape == self.valid.shape == self.meta.shape
        assert not np.any(self.observed & ~self.tissue), "observed positions lie on tissue"

    def blocks(self, num_genes: int) -> Iterator[Num[np.ndarray, "gene y x"]]:
        """Make the counts dense, a few genes at a time, in order.

        Args:
            num_genes: Genes per block; the last block may have fewer.
        """
        for first in range(0, len(self.genes), num_genes):
            block = self.counts[first : first + num_genes].toarray()
            yield block.reshape(block.shape[0], *self.meta.shape)

    def totals(self) -> Num[np.ndarray, "y x"]:
        """Sum over all genes, per bin: int64 counts, or float64 log1p units."""
        dtype = np.int64 if self.meta.values == "counts" else np.float64
        return np.asarray(self.counts.sum(axis=0, dtype=dtype)).reshape(self.meta.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the grid of a section lies.

    Attributes:
        shape: `(y, x)` number of bins.
        pitch_um: Side of a bin.
        origin_um: `(x, y)` of the corner of the first bin, in the source's frame.
    """

    shape: tuple[int, int]
    pitch_um: float
    origin_um: tuple[float, float]

    @property
    def num_bins(self) -> int:
        """Bins of the whole grid."""
        return self.shape[0] * self.shape[1]


def section_meta(source: SectionSource, placement: Placement, *, num_genes: int, input_sha256: str) -> SectionMeta:
    """Fill the contract of a section from what the user said and what the reader found."""
    return SectionMeta(
        id=source.id,
        tissue=source.tissue,
        organism=source.organism,
        technology=source.technology,
        pitch_um=placement.pitch_um,
        origin_um=placement.origin_um,
        shape=placement.shape,
        num_genes=num_genes,
        lattice=source.lattice,
        values=source.values,
        source=source.file,
        licence=source.licence,
        donor=source.donor,
        input_sha256=input_sha256,
        code_version=__version__,
    )
