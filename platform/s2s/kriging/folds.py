"""A section with part of its samples hidden: what a network learns from, what chooses its best step, and what calibrates it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from s2s.contracts.run import NetworkConfig
from s2s.kriging.section import Field, krige_in_turn
from s2s.lattice.measured import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One part of the observed bins, hidden.

    Attributes:
        hidden: The part.
        fill: log1p units; the section kriged as if the part had never been measured. None for networks that fill it themselves.
    """

    hidden: Bool[np.ndarray, "y x"]
    fill: Field | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A section ready to be learnt from and judged on.

    Attributes:
        folds: Parts of the observed bins, each hidden in turn.
        fill: log1p units; the section kriged from all of them. None for networks that fill it themselves.
    """

    folds: tuple[Fold, ...]
    fill: Field | None


def hide_in_turn(
    measured: Measured,
    hidden: Sequence[Bool[np.ndarray, "y x"]],
    config: NetworkConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Hidden:
    """Hide each part in turn; with `fill: krige`, krige the section from what remains each time, and from everything.

    Args:
        measured: What is known.
        hidden: Parts of its observed bins.
        config: Says how the network's input is filled.
        on_progress: Told sections kriged and sections in all.
    """
    if config.fill != "krige":
        return Hidden(folds=tuple(Fold(hidden=part, fill=None) for part in hidden), fill=None)
    kriged = krige_in_turn(measured, hidden, config.kriging, on_progress)
    folds = tuple(Fold(hidden=part, fill=fill) for part, fill in zip(hidden, kriged.without, strict=True))
    return Hidden(folds=folds, fill=kriged.fill)
