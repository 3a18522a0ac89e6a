"""What a source must hold, whatever its technology: finite two-dimensional coordinates, counts that are counts, genes with own names.

Every message says what was expected, what came, where, and what to do about it.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num, Shaped

from s2s.contracts.section import Values
from s2s.errors import InputError

MAX_COUNT = int(np.iinfo(np.uint32).max)
NUM_EXAMPLES = 5


def check_coordinates(coordinates: Shaped[np.ndarray, "..."], *, where: str) -> Float[np.ndarray, "n 2"]:
    """Require one finite `(x, y)` per row.

    Args:
        coordinates: As the source gave them, any unit.
        where: The file and place, for messages.

    Returns:
        The same as float64.

    Raises:
        InputError: no rows, not two columns, not numbers, NaN or infinite.
    """
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise InputError(
            f"expected two-dimensional coordinates, one (x, y) per row, got an array of shape {coordinates.shape} in {where}; "
            "keep exactly x and y"
        )
    if coordinates.shape[0] == 0:
        raise InputError(f"expected at least one row, {where} is empty")
    try:
        numbers = coordinates.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"expected coordinates that are numbers, got {coordinates.dtype} in {where}") from None
    is_bad = ~np.isfinite(numbers).all(axis=1)
    if is_bad.any():
        first = int(np.flatnonzero(is_bad)[0])
        raise InputError(
            f"expected finite coordinates, {int(is_bad.sum())} of {len(numbers)} rows are NaN or infinite in {where}, "
            f"the first is row {first}; remove those rows"
        )
    return numbers


def check_values(data: Num[np.ndarray, "..."], values: Values, *, where: str, hint: str = "") -> None:
    """Require what the user declared: whole non-negative counts, or non-negative log1p values.

    Args:
        data: Some or all entries of the source's matrix.
        values: What the user declared.
        where: The file and matrix, for messages.
        hint: What else the user may do, for messages.

    Raises:
        InputError: NaN, negative, not whole although declared as counts, or above 2^32 - 1.
    """
    if data.size == 0:
        return
    low, high = data.min(), data.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"expected finite values, {where} holds NaN or infinite ones; set them to 0 or remove their rows")
    if low < 0:
        raise InputError(
            f"expected values from 0 up, {where} holds {low:g}; scaled or centred data cannot be used, give the raw counts{hint}"
        )
    if values == "log1p":
        return
    if data.dtype.kind == "f" and not np.array_equal(data, np.floor(data)):
        example = data[data != np.floor(data)][0]
        raise InputError(
            f"expected whole counts, {where} holds {example:g}; give the raw counts{hint}, or declare normalised values with --values log1p"
        )
    if high > MAX_COUNT:
        raise InputError(f"expected counts up to {MAX_COUNT} (32 bits), {where} holds {high:g}; is it really a count?")


def check_genes(genes: Sequence[str], *, where: str) -> None:
    """Require at least one gene, and no name twice or empty.

    Raises:
        InputError: as said; some of the names are given.
    """
    if len(genes) == 0:
        raise InputError(f"expected at least one gene, {where} has none")
    if not all(genes):
        raise InputError(f"expected a name for every gene, {where} has an empty one")
    repeated = [gene for gene, times in Counter(genes).items() if times > 1]
    if repeated:
        raise InputError(
            f"expected every gene once, {len(repeated)} occur more often in {where}: {some(repeated)}; add up their counts, "
            "or rename them (AnnData: adata.var_names_make_unique())"
        )


def some(names: Sequence[str]) -> str:
    """List the first few names, and say that there are more."""
    return ", ".join(names[:NUM_EXAMPLES]) + (f" and {len(names) - NUM_EXAMPLES} more" if len(names) > NUM_EXAMPLES else "")
