"""The daemon thread that ships a live run's spool and samples the machine meanwhile.

Not here: what is recorded (`recording`) and how it is sent (`shipping`). Decision: waiting for the server has a limit
without progress, not in all, so that a large model on a slow line is not given up while it moves record by record; the
price is that `close` can take longer than the limit.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from s2s.tracking.shipping import Shipper

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the thread ships and samples, and how long without progress the end of a run waits for the server."""

    ship_every_s: float = 1.0
    retry_at_most_every_s: float = 30.0
    sample_every_s: float = 10.0
    flush_timeout_s: float = 20.0


class Background:
    """Ships one spool until its closing record has arrived; deletes or releases the spool when it ends."""

    def __init__(self, shipper: Shipper, pace: Pace, sample: Callable[[], None]) -> None:
        self._shipper, self._pace, self._sample = shipper, pace, sample
        self._wake, self._stop, self._flushing = threading.Event(), threading.Event(), threading.Event()
        self._next_sample = time.monotonic() + pace.sample_every_s
        self._wake.set()  # the run appears on the server at once
        self._thread = threading.Thread(target=self._work, name=f"s2s-tracking-{shipper.spool.header.id[:8]}", daemon=True)
        self._thread.start()

    def flush(self) -> bool:
        """Wait until the server has the run and every record written so far; False when it stopped making progress."""
        target, sent = self._shipper.spool.num_bytes, -1
        deadline = 0.0
        self._flushing.set()
        self._wake.set()
        while not self._has_shipped(target) and self._thread.is_alive():
            now = time.monotonic()
            if self._shipper.num_sent != sent:
                sent, deadline = self._shipper.num_sent, now + self._pace.flush_timeout_s
            if now > deadline:
                break
            time.sleep(0.02)
        self._flushing.clear()
        return self._has_shipped(target)

    def stop(self) -> None:
        """End the thread; one that is inside a request ends with it, at the latest with the process."""
        self._stop.set()
        self._wake.set()
        self._thread.join(self._pace.ship_every_s)

    def _has_shipped(self, target: int) -> bool:
        state = self._shipper.state
        return state.run_id is not None and state.offset >= target

    def _work(self) -> None:
        num_failures = 0
        while not self._stop.is_set():
            self._wake.wait(self._delay_s(num_failures))
            self._wake.clear()
            self._sample_if_due()
            try:
                if self._shipper.ship():
                    dispose(self._shipper)
                    return
            except OSError as error:  # the server is gone (TrackingError), or the disk is full
                num_failures += 1
                if num_failures == 1:
                    logger.info("tracking waits, the run goes on: %s", error)
                continue
            if num_failures:
                logger.info("MLflow answers again; what waited has been sent")
            num_failures = 0
        self._shipper.spool.release()

    def _delay_s(self, num_failures: int) -> float:
        if self._flushing.is_set():
            return self._pace.ship_every_s
        return float(min(self._pace.ship_every_s * 2 ** min(num_failures, 10), self._pace.retry_at_most_every_s))

    def _sample_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_sample:
            self._next_sample = now + self._pace.sample_every_s
            self._sample()


def dispose(shipper: Shipper) -> None:
    """Delete a spool that was shipped to its end; keep it aside where the server refused some of its records.

    Writes:
        Nothing, or `<spool>.refused`.
    """
    if shipper.state.num_refused == 0:
        shipper.spool.remove()
        return
    kept = shipper.spool.set_aside()
    run_name = shipper.spool.header.run_name
    logger.warning("MLflow refused %d record(s) of run %s; they are kept in %s", shipper.state.num_refused, run_name, kept)
