"""The live view of a fleet: what the progress bar of a launch says beside its count, and which runs are at work below it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from s2s.cli.at_work import Ask, lines_at_work
from s2s.cli.progress import Report

if TYPE_CHECKING:
    from s2s.contracts.atlas import AtlasConfig
    from s2s.orchestration.fleet import Tally


def fleet_view(config: "AtlasConfig", report: Report, at_work: Ask = tuple) -> "Callable[[Tally], None]":
    """Show how a launch goes on the progress bar of the verb.

    Args:
        config: Names the budget.
        report: The verb's progress.
        at_work: Says at once which runs are at work.
    """
    started = time.monotonic()

    def tick(tally: "Tally") -> None:
        ended = tally.done + sum(tally.failed.values())
        line = describe(tally, time.monotonic() - started, config.budget_usd)
        report("runs", ended, tally.total, "\n".join([line, *lines_at_work(at_work(), time.time())]))

    return tick


def describe(tally: "Tally", seconds: float, budget_usd: float | None) -> str:
    """Say in one line what runs, what failed, how fast, how long still, and what it cost."""
    ended = tally.done + sum(tally.failed.values())
    parts = [f"{tally.running} handed in"]
    if tally.failed:
        parts.append("given up: " + ", ".join(f"{number} {cause}" for cause, number in tally.failed.items()))
    if tally.retried:
        parts.append(f"{tally.retried} tried again")
    if ended and seconds > 0:
        per_minute = 60 * ended / seconds
        parts.append(f"{per_minute:.1f}/min, {(tally.total - ended) / per_minute:.0f} min left")
    cap = "" if budget_usd is None else f" of {budget_usd:.2f}"
    parts.append(f"{tally.cost_usd:.2f}{cap} USD")
    if tally.is_over_budget:
        parts.append("budget spent: no further run is started")
    return " · ".join(parts)
