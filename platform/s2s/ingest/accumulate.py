"""Adding up counts per gene and bin, piece by piece, in sparse form."""

import numpy as np
from jaxtyping import Int, Num
from scipy import sparse

from s2s.contracts.section import Values
from s2s.errors import InputError
from s2s.ingest.checks import MAX_COUNT


class GridSum:
    """A growing sum over `(gene, bin)`; pieces are added as they are read.

    Sums are exact: int64 for counts, float64 for log1p values.
    """

    def __init__(self, *, num_genes: int, num_bins: int, values: Values) -> None:
        self._values = values
        dtype = np.int64 if values == "counts" else np.float64
        self._sum = sparse.csr_matrix((num_genes, num_bins), dtype=dtype)

    def add(self, genes: Int[np.ndarray, " n"], bins: Int[np.ndarray, " n"], amounts: Num[np.ndarray, " n"]) -> None:
        """Add amounts at `(gene, bin)`; a pair may occur many times."""
        piece = sparse.coo_matrix((amounts.astype(self._sum.dtype), (genes, bins)), shape=self._sum.shape)
        self._sum = self._sum + piece.tocsr()

    def finish(self, *, divide_by: Num[np.ndarray, " bin"] | None = None, where: str) -> sparse.csr_matrix:
        """Return the sum as it is stored: uint16 or uint32 counts, or float32 log1p values.

        Args:
            divide_by: Per bin, to turn a sum of log1p values into their mean; at least 1.
            where: The file, for messages.

        Raises:
            InputError: a bin holds more than 2^32 - 1 counts of a gene, or the whole section holds none.
        """
        total = self._sum
        total.sum_duplicates()
        total.eliminate_zeros()
        if total.nnz == 0:
            raise InputError(f"expected counts, every value of {where} is 0")
        if self._values == "counts":
            if total.data.max() > MAX_COUNT:
                raise InputError(
                    f"expected at most {MAX_COUNT} counts (32 bits) of a gene in a bin, got {total.data.max()} in {where}; "
                    "use a smaller --pitch-um"
                )
            return as_stored_counts(total)
        if divide_by is not None:
            total = total.multiply(1.0 / divide_by[None, :]).tocsr()
        return total.astype(np.float32)


def as_stored_counts(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Give counts the smallest of uint16 and uint32 that holds them all; none is above 32 bits."""
    largest = counts.data.max(initial=0)
    assert largest <= MAX_COUNT
    return counts.astype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32)
