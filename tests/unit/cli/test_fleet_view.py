"""The line that a launch shows: what is at work, what failed, how fast, how long still, what it costs."""

from collections import Counter

import pytest

from s2s.cli import fleet_view as module
from s2s.cli.fleet_view import describe, fleet_view
from s2s.contracts.atlas import AtlasConfig
from s2s.contracts.loading import validate
from s2s.orchestration.fleet import Tally


@pytest.mark.parametrize(
    ("tally", "seconds", "budget", "words"),
    [
        pytest.param(Tally(total=9, running=4), 30.0, None, "4 handed in · 0.00 USD", id="nothing-ended"),
        # Six of 24 in two minutes are three a minute; the other 18 take six minutes.
        pytest.param(Tally(total=24, done=6, running=2), 120.0, None, "2 handed in · 3.0/min, 6 min left · 0.00 USD", id="half-way"),
        # What was given up is not waited for: 4 done and 2 given up are as many.
        pytest.param(
            Tally(total=24, done=4, failed=Counter({"lost": 1, "bad-input": 1}), retried=3, running=1, cost_usd=1.5),
            120.0,
            None,
            "1 handed in · given up: 1 lost, 1 bad-input · 3 tried again · 3.0/min, 6 min left · 1.50 USD",
            id="failures",
        ),
        pytest.param(
            Tally(total=2, done=2, cost_usd=0.126), 60.0, 10.0, "0 handed in · 2.0/min, 0 min left · 0.13 of 10.00 USD", id="budget"
        ),
        pytest.param(
            Tally(total=9, done=1, running=1, cost_usd=5, is_over_budget=True),
            60.0,
            5.0,
            "1 handed in · 1.0/min, 8 min left · 5.00 of 5.00 USD · budget spent: no further run is started",
            id="budget-spent",
        ),
        pytest.param(Tally(total=9, done=1), 0.0, None, "0 handed in · 0.00 USD", id="no-time-has-passed"),
    ],
)
def test_a_launch_in_one_line(tally: Tally, seconds: float, budget: float | None, words: str) -> None:
    assert describe(tally, seconds, budget) == words


def test_the_bar_counts_what_is_done_and_what_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

        time = monotonic

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    told: list[tuple[str, int, int, str]] = []
    fields = {"kind": "atlas", "version": 1, "name": "view", "query": {}, "budget_usd": 3}
    tick = fleet_view(validate(AtlasConfig, fields, where="test"), lambda *words: told.append(words))
    clock.now = 160.0
    tick(Tally(total=5, done=2, failed=Counter({"diverged": 1})))
    assert told == [("runs", 3, 5, "0 handed in · given up: 1 diverged · 3.0/min, 1 min left · 0.00 of 3.00 USD")]
