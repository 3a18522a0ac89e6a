"""What the fleet itself costs: runs that do nothing but take their lease and commit, on a real stack with two cores.

Measured: processor time of the launcher per run, growth of its memory, objects written per run, and whether ten times as many
planned runs slow the fleet down. Rival: the same runs claimed and committed in a plain loop, without Ray.
"""

import statistics
import time

import psutil
import pytest

from benchmarks import noop
from s2s.contracts.settings import Settings
from s2s.orchestration.fleet import Follower, Tally, run_fleet
from s2s.recipes.run import ledger_of

FEW, MANY, ROUNDS = 1_000, 10_000, 3


class Watch:
    """The launcher's own processor time and largest memory."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.cpu_s, self.before = time.process_time(), self.process.memory_info().rss
        self.peak = self.before

    def tick(self, _: Tally) -> None:
        self.peak = max(self.peak, self.process.memory_info().rss)


def launch(num_runs: int, settings: Settings) -> dict[str, float]:
    """Do that many runs; what it took."""
    plan, watch, started = noop.plan_of(num_runs), Watch(), time.monotonic()
    tally = run_fleet(plan, plan.runs, settings, Follower(finished=lambda run: None, tick=watch.tick), noop.do_nothing)
    seconds = time.monotonic() - started
    assert tally.done == num_runs
    cpu_s = time.process_time() - watch.cpu_s
    survey = ledger_of(settings).survey()
    written = sum(len(survey.leases.get(run.key, ())) + (run.key in survey.commits) for run in plan.runs)
    return {
        "runs per second": num_runs / seconds,
        "launcher ms per run": 1000 * cpu_s / num_runs,
        "launcher growth MB": (watch.peak - watch.before) / 2**20,
        "objects written per run": written / num_runs,
    }


def loop(settings: Settings) -> dict[str, float]:
    plan, started = noop.plan_of(FEW), time.monotonic()
    for run in plan.runs:
        assert noop.do_nothing(run, plan.config, settings).state == "done"
    return {"runs per second": FEW / (time.monotonic() - started)}


@pytest.mark.timeout(3600)
def test_the_fleet_itself(benchmark, settings: Settings) -> None:
    noop.make_ready(settings)
    rounds: list[dict[str, dict[str, float]]] = []

    def measure() -> None:
        for _ in range(ROUNDS):
            rounds.append({"loop": loop(settings), "few": launch(FEW, settings), "many": launch(MANY, settings)})
            print(psutil.getloadavg(), rounds[-1], flush=True)  # noqa: T201

    benchmark.pedantic(measure, rounds=1, iterations=1)
    for what in rounds[0]:
        benchmark.extra_info |= {
            f"{what}: {name}": round(statistics.median(each[what][name] for each in rounds), 3) for name in rounds[0][what]
        }
    rates = [each["few"]["runs per second"] / each["many"]["runs per second"] for each in rounds]
    benchmark.extra_info["few / many, runs per second"] = round(statistics.median(rates), 3)
