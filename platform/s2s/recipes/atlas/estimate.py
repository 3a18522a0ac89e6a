"""What an atlas will cost, learnt from runs that are done: time per value of a section, with a range.

Decision: seconds are taken to grow with bins times genes, which holds within a preset from small to large sections to about
a factor of two; the range is that of the runs seen, not a confidence interval. Requests and bytes are what a training run of
preset `laptop` was counted to make (`infra/scale.md`), on a node whose cache is empty; a test holds the
constants to what a real store counts.
"""

import math
import statistics
from collections.abc import Sequence

from s2s.contracts.atlas import AtlasEstimate, AtlasPlan, AtlasRun, AtlasStatus, Range
from s2s.contracts.run import Resources
from s2s.recipes.atlas.status import cost_usd, gpus_of
from s2s.storage.ledger import RENEWALS

WRITES_PER_RUN = 13
"""Lease, checkpoint, eight files, journal, report and commit; leases are listed once, which S3 counts as a write."""

READS_PER_RUN = 21
"""By the plan 2, by the run 15, by the recorder 3, by the status 1; the chunks of the section come on top."""

CHUNK_BYTES, BYTES_PER_VALUE = 2**21, 2
"""Of a section as it is stored, before it is compressed."""

BYTES_PER_RUN = 2_500_000
"""Written: 2.0 MB by a small section, 3.1 MB by 300 genes on 80 x 120 bins; half of it is the figure of the section."""

PHOTOGRAPH_BYTES, PACKED_BYTES_PER_VALUE = 3_200_000, 1
"""Read: the bundled photographs, whole, and the section; its counts compress to half a byte or less."""

SPARE_MEMORY = 0.25
"""What a run should be given beyond the most that one took."""

FAR_TOO_MUCH = 2
"""Times what would be enough, from which less is worth a word."""

FEW = 3
"""Finished runs below which the range is a guess: half to double."""


def estimate(plan: AtlasPlan, status: AtlasStatus) -> AtlasEstimate:
    """Say what the runs that are not done will take.

    Args:
        plan: Of the atlas.
        status: Of the atlas now.

    Returns:
        Requests and bytes always; hours and money only where at least one run is done, the pilot.
    """
    runs = {run.key: run for run in plan.runs}
    rates = sorted(state.seconds / runs[state.key].num_values for state in status.runs if state.state == "done" and state.seconds > 0)
    left = [runs[state.key] for state in status.runs if state.state != "done"]
    num_values = sum(run.num_values for run in left)
    seconds = _range(rates, num_values)
    renewals = round((seconds.middle if seconds else 0) * RENEWALS / plan.config.fleet.lease_s)
    reads = sum(READS_PER_RUN + -(-run.num_values * BYTES_PER_VALUE // CHUNK_BYTES) for run in left) + renewals
    writes = WRITES_PER_RUN * len(left) + renewals
    photographs = 0 if plan.config.set.get("photographs", "bundled") is None else PHOTOGRAPH_BYTES
    prices = plan.config.prices
    requests_usd = writes * prices.put_usd + reads * prices.get_usd
    wanted, shares = plan.config.resources, [state.gpu.share for state in status.runs if state.gpu is not None]
    share = statistics.fmean(shares) if shares else None
    return AtlasEstimate(
        num_runs=len(left),
        num_pilot_runs=len(rates),
        cpu_hours=_scaled(seconds, wanted.cpus / 3600),
        gpu_hours=_scaled(seconds, gpus_of(wanted, share) / 3600),
        usd=_scaled(seconds, cost_usd(plan, 1.0, share), requests_usd),
        s3_writes=writes,
        s3_reads=reads,
        s3_bytes_written=BYTES_PER_RUN * len(left),
        s3_bytes_read=photographs * len(left) + PACKED_BYTES_PER_VALUE * num_values,
        usd_per_month=BYTES_PER_RUN * len(plan.runs) / 1e9 * prices.gb_month_usd,
        peak_memory_bytes=max((state.peak_memory_bytes for state in status.runs), default=0),
    )


def memory_advice(peak_bytes: int, wanted: Resources, machine: tuple[int, int]) -> str | None:
    """Say when runs took far less main memory than the atlas asks for, or more.

    Args:
        peak_bytes: What a finished run took at most; 0 where nobody knows.
        wanted: What the atlas asks for one run.
        machine: Cores, and bytes of main memory, of a machine like those that do the runs.

    Returns:
        One sentence; None where what is asked fits.
    """
    peak, asked = peak_bytes / 1e9, wanted.memory_gb
    enough = math.ceil(peak * (1 + SPARE_MEMORY) * 10) / 10
    if not peak_bytes or FAR_TOO_MUCH * enough > asked >= peak:
        return None
    used = f"runs used {peak:.1f} GB at most; resources.memory_gb: {asked:g}"
    if asked < peak:
        return f"{used} is too little, a machine full of runs would run out; set {enough:g}"
    cores, memory = machine
    now, then = (min(int(cores / wanted.cpus), int(memory / 1e9 / gigabytes)) for gigabytes in (asked, enough))
    idle = (then - now) * wanted.cpus
    keeps = f" keeps {idle:g} of {cores} cores idle on a machine like this one" if idle > 0 else " is more than they need"
    return f"{used}{keeps}; {enough:g} would do"


def pilot_runs(plan: AtlasPlan) -> list[AtlasRun]:
    """Choose three runs that tell most about the others: of the smallest, the middle and the largest section."""
    by_size = sorted(plan.runs, key=lambda run: run.num_values)
    places = {0, len(by_size) // 2, len(by_size) - 1}
    return [by_size[place] for place in sorted(places)]


def _range(rates: Sequence[float], size: int) -> Range | None:
    if not rates:
        return None
    middle = statistics.median(rates)
    low, high = (rates[0], rates[-1]) if len(rates) >= FEW else (middle / 2, middle * 2)
    return Range(low=low * size, middle=middle * size, high=high * size)


def _scaled(seconds: Range | None, factor: float, plus: float = 0.0) -> Range | None:
    if seconds is None:
        return None
    return Range(low=seconds.low * factor + plus, middle=seconds.middle * factor + plus, high=seconds.high * factor + plus)
