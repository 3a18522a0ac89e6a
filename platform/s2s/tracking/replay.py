"""Sending what outages and killed processes left in the spool.

Decision: a left-over run that never said how it ended is recorded as killed, because its process gave up the lock
without closing; the price is that a resumed training is a run of its own.
"""

import logging
from pathlib import Path

from s2s.contracts.document import Part
from s2s.contracts.settings import Settings
from s2s.errors import InputError, StackError, TrackingError
from s2s.tracking.background import dispose
from s2s.tracking.records import CloseRecord
from s2s.tracking.server import Server, connect
from s2s.tracking.shipping import Shipper
from s2s.tracking.spool import Spool, claim_spool, left_over

logger = logging.getLogger(__name__)
MAX_FAILURES = 3


class ReplayReport(Part):
    """What became of the left-over runs."""

    num_shipped: int = 0
    num_waiting: int = 0
    num_live: int = 0
    problem: str | None = None


def replay(settings: Settings) -> ReplayReport:
    """Send every left-over run to MLflow; a server that does not answer is no error, the runs then wait on.

    Runs of live processes are not touched, and runs recorded with `--local` are sent only with `--local`.

    Returns:
        How many were sent, wait, or belong to a live process, and the first problem met.

    Reads:
        `$S2S_HOME/spool/`.

    Writes:
        The runs in MLflow; a spool that was sent is deleted.
    """
    folders = left_over(settings.home)
    if not folders:
        return ReplayReport()
    try:
        server = connect(settings).for_a_visit()
    except (StackError, TrackingError) as error:
        return ReplayReport(num_waiting=len(folders), problem=str(error))
    num_shipped = num_waiting = num_live = num_failures = 0
    problem = None
    for folder in folders:
        if num_failures == MAX_FAILURES:  # the server is gone: each further run would only wait for its time-out
            num_waiting += 1
            continue
        try:
            outcome = _replay_one(folder, server, is_local=settings.is_local)
        except (OSError, InputError) as error:  # the server is gone (TrackingError), the disk is full, or the spool is damaged
            problem = problem or str(error)
            num_failures += isinstance(error, OSError)
            num_waiting += 1
            continue
        num_shipped += outcome == "shipped"
        num_live += outcome == "live"
    return ReplayReport(num_shipped=num_shipped, num_waiting=num_waiting, num_live=num_live, problem=problem)


def _replay_one(folder: Path, server: Server, *, is_local: bool) -> str:
    spool = claim_spool(folder)
    if spool is None:
        return "live" if folder.is_dir() else "gone"
    try:
        if spool.header.is_local != is_local:
            return "elsewhere"
        _close_if_killed(spool)
        shipper = Shipper(server, spool)
        is_whole = shipper.ship()
        assert is_whole, "a closed spool was shipped, but not to its end"
        dispose(shipper)
        logger.debug("sent the records of run %s to MLflow", spool.header.run_name)
        return "shipped"
    finally:
        spool.release()


def _close_if_killed(spool: Spool) -> None:
    if not spool.is_closed():
        spool.append(CloseRecord(at_ms=spool.touched_ms(), status="killed"))
