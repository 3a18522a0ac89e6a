"""What to do with a run that failed, by its cause. Pure decisions; the fleet carries them out."""

from dataclasses import dataclass

from s2s.contracts.ledger import Cause
from s2s.recipes.atlas.status import UNCOUNTED, is_given_up

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try a run again.

    Attributes:
        after_s: Seconds to wait first.
        counts: Whether the failure counts towards the cap.
        factor: By which to raise what the run asks of the cluster; above 1 it runs alone.
    """

    after_s: float = 0.0
    counts: bool = True
    factor: float = 1.0


def decide(cause: Cause, num_failures: int, max_attempts: int) -> Retry | None:
    """Decide on a run that has just failed.

    Args:
        cause: Why.
        num_failures: That count, this one included unless its cause does not count.
        max_attempts: The cap.

    Returns:
        How to try again; None to leave the run until somebody says `s2s atlas retry`.
    """
    if cause in UNCOUNTED:
        return Retry(counts=False)
    if is_given_up(cause, num_failures, max_attempts):
        return None
    if cause == "storage":
        return Retry(after_s=min(FIRST_PAUSE_S * 2 ** (num_failures - 1), LONGEST_PAUSE_S))
    if cause == "out-of-memory":
        return Retry(factor=2.0)
    return Retry()
