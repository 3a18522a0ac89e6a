"""How many runs share one graphics processor, from what finished runs took of its memory. Pure decisions; the fleet carries them out.

The network trains on windows of one size and fills in at most `imputation.batch_bins` bins at a time, so the memory of a run
grows with its section only up to there. Decision: the largest run seen speaks for all, and the largest sections go first;
the price is that small sections, which would fit more closely, do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from s2s.contracts.atlas import AtlasRun
from s2s.contracts.run import GpuUse, Resources
from s2s.training.gpu import CONTEXT_BYTES

HEADROOM = 0.15
"""Part of the memory that is left free: torch's cache fragments, and no two runs take the same to the byte."""

PROBES = 16
"""Finished runs of earlier launches that are looked at."""

PARTS = 10_000
"""Ray counts in ten-thousandths."""


def runs_per_gpu(peak_bytes: int, total_bytes: int, limit: int) -> int:
    """How many runs fit.

    Args:
        peak_bytes: What torch reserved for the largest run.
        total_bytes: Memory of the smallest processor.
        limit: Never more than this.

    Returns:
        At least 1: a run that would not fit alone says so itself.
    """
    return max(1, min(limit, int((1 - HEADROOM) * total_bytes // (peak_bytes + CONTEXT_BYTES))))


def share_of(num_runs: int) -> float:
    """Part of a processor for each of so many runs: all of them together ask for no more than one."""
    return PARTS // num_runs / PARTS


def largest_first(runs: Sequence[AtlasRun]) -> list[AtlasRun]:
    """Put the runs first that tell how much memory the others need at most."""
    return sorted(runs, key=lambda run: run.num_values, reverse=True)


@dataclass(slots=True)
class Packer:
    """Learns what runs take, and says what the next should ask for.

    Attributes:
        wanted: What the atlas asks for one run.
        limit: Runs that may share a processor.
        peak_bytes: Largest reservation seen.
        total_bytes: Memory of the smallest processor seen; 0 before the first.
    """

    wanted: Resources
    limit: int
    peak_bytes: int = 0
    total_bytes: int = 0

    @property
    def is_on(self) -> bool:
        """Whether runs may share; one that asks for more than one processor never does."""
        return self.limit > 1 and 0 < self.wanted.gpus <= 1

    @property
    def is_measuring(self) -> bool:
        """Whether nothing is known yet: until then runs get what the atlas asks for."""
        return self.is_on and not self.total_bytes

    def learn(self, use: GpuUse | None) -> None:
        """Take account of a finished run; of one that had no processor there is nothing to learn."""
        if use is None:
            return
        self.peak_bytes = max(self.peak_bytes, use.peak_bytes)
        self.total_bytes = min(self.total_bytes or use.total_bytes, use.total_bytes)

    @property
    def resources(self) -> Resources:
        """What the next run asks for."""
        if not self.is_on or self.is_measuring:
            return self.wanted
        return self.wanted.model_copy(update={"gpus": share_of(runs_per_gpu(self.peak_bytes, self.total_bytes, self.limit))})
