"""What became of runs whose worker was lost, or ended with a defect: found out, and written down as the launcher counts it.

Decision: what the launcher is told and what the ledger says are one act, so that a run that a launcher gives up is given up
for `s2s atlas status` too. Whether an attempt is of the lost worker is told by its moment alone: clocks that differ by more than
a worker's start cost a failure counted twice, or a wait for a lease that nobody renews.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from s2s.contracts.atlas import RunOutcome
from s2s.contracts.ledger import Cause, Failure
from s2s.errors import S2SError
from s2s.storage.ledger import Ledger

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How a worker was lost.

    Attributes:
        cause: As far as whoever watched it knows.
        message: For people.
        since: Seconds since 1970 when its runs were handed to it.
    """

    cause: Cause
    message: str
    since: float


def settle(keys: Sequence[str], loss: Loss, ledger: Ledger) -> list[RunOutcome]:
    """Find out what became of the runs of a worker that was lost: some may be done, one was at work, the rest was never begun.

    Where none was begun, the first is blamed: without a culprit they would be tried for ever.

    Args:
        keys: Of its runs, in the order in which they were to be done.
        loss: How it was lost.
        ledger: That tells.

    Returns:
        One outcome per key. Where the store does not answer it is the loss, unwritten.

    Writes:
        The failure of whatever was at work, so that nobody waits for its lease; of a culprit that had none, a lease too.
    """
    outcomes = [_told(key, loss, ledger) for key in keys]
    if any(outcome is not None for outcome in outcomes):
        return [outcome or _never_begun(key) for key, outcome in zip(keys, outcomes, strict=True)]
    return [_blamed(keys[0], loss, ledger), *map(_never_begun, keys[1:])]


def _told(key: str, loss: Loss, ledger: Ledger) -> RunOutcome | None:
    """What the ledger says of a run since the worker had it; None where it was never begun."""
    try:
        if ledger.find_commit(key) is not None:
            return RunOutcome(key=key, state="done")
        lease = ledger.last_lease(key)
        if lease is None or lease.taken_at < loss.since:
            return None
        ledger.fail(lease, loss.cause, loss.message)
        # A worker that could still speak said it better.
        told: Failure | Loss = next(iter(ledger.read_failures([(key, lease.token)])), loss)
    except S2SError as error:
        return _unwritten(key, loss, error)
    return RunOutcome(key=key, state="failed", cause=told.cause, message=told.message)


def _blamed(key: str, loss: Loss, ledger: Ledger) -> RunOutcome:
    try:
        lease = ledger.take(key, lease_s=1)
        if lease is None:
            return RunOutcome(key=key, state="elsewhere", message="another took it meanwhile")
        ledger.fail(lease, loss.cause, loss.message)
    except S2SError as error:
        return _unwritten(key, loss, error)
    return RunOutcome(key=key, state="failed", cause=loss.cause, message=loss.message)


def _unwritten(key: str, loss: Loss, error: S2SError) -> RunOutcome:
    logger.warning("could not write down why run %s failed, whose worker was lost: %s", key, error)
    return RunOutcome(key=key, state="failed", cause=loss.cause, message=loss.message)


def _never_begun(key: str) -> RunOutcome:
    return RunOutcome(key=key, state="failed", cause="preempted", message="never begun")
