"""Sections too large for one covariance: cut into regions, each of which sees the bins around it."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int

Points = Float64[np.ndarray, "bin 2"]


def regions(
    points: Points, targets: Float64[np.ndarray, "target 2"], max_bins: int
) -> Iterator[tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]]:
    """Split a section that has too many observed bins for one covariance.

    Targets are halved along their longer side until few bins lie among them; each part then sees the bins nearest to its centre.

    Args:
        points: Of observed bins.
        targets: To be estimated.
        max_bins: Most bins of one region, at least 4.

    Yields:
        Indices of the bins and of the targets of one region; every target is in exactly one.
    """
    waiting = [np.arange(len(targets))]
    while waiting:
        part = waiting.pop()
        low, high = targets[part].min(axis=0), targets[part].max(axis=0)
        if len(points) <= max_bins:
            yield np.arange(len(points)), part
        elif ((points >= low) & (points <= high)).all(axis=1).sum() * 4 <= max_bins:
            distance = np.abs(points - (low + high) / 2).max(axis=1)
            yield np.sort(np.argpartition(distance, max_bins - 1)[:max_bins]), part
        else:
            axis = int((high - low).argmax())
            is_low = targets[part, axis] <= (low[axis] + high[axis]) / 2
            waiting += [part[~is_low], part[is_low]]
