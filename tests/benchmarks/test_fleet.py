"""What the fleet itself costs: runs that do nothing but take their lease and commit, on a real stack with two cores.

Measured: processor time of the launcher per run, growth of its memory, objects written per run, and whether ten times as many
planned runs slow the fleet down. Rival: the same runs claimed and committed in a plain loop, without Ray.
"""

import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, RunOutcome
from s2s.contracts.settings import Settings, load_settings
from s2s.orchestration import cluster
from s2s.orchestration.fleet import Follower, Tally, run_fleet
from s2s.recipes.run import ledger_of
from s2s.stack import local
from s2s.storage.location import join
from s2s.storage.objects import list_below

FEW, MANY = 1_000, 10_000


def do_nothing(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    """Take the lease and commit."""
    started, ledger = time.monotonic(), ledger_of(settings)
    lease = ledger.take(run.key, lease_s=config.fleet.lease_s)
    if lease is None:
        return RunOutcome(key=run.key, state="elsewhere")
    ledger.commit(lease)
    return RunOutcome(key=run.key, state="done", seconds=time.monotonic() - started)


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="s2s-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", folder)
        try:
            local.up(Path(folder), lambda what: None)
            yield load_settings()
        finally:
            import ray  # noqa: PLC0415 - it reads its environment when imported

            ray.shutdown()
            local.down(Path(folder), lambda what: None)


def plan_of(num_runs: int) -> AtlasPlan:
    config = AtlasConfig(name=f"noop-{num_runs}", sections=("none",), resources={"cpus": 1, "memory_gb": 0.3})
    about = {"section": "none", "section_id": "none", "tissue": "none", "organism": "none", "technology": "none"}
    runs = tuple(
        AtlasRun(key=secrets.token_hex(8), **about, seed=number, data_sha256="", is_synthetic=True, num_bins=1, num_genes=1)
        for number in range(num_runs)
    )
    return AtlasPlan(config=config, runs=runs, code_version="benchmark", created_at="now")


class Watch:
    """The launcher's own processor time and largest memory."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.cpu_s, self.before = time.process_time(), self.process.memory_info().rss
        self.peak = self.before

    def tick(self, _: Tally) -> None:
        self.peak = max(self.peak, self.process.memory_info().rss)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("num_runs", [pytest.param(FEW, id="1000"), pytest.param(MANY, id="10000")])
def test_the_fleet_itself(benchmark, settings: Settings, num_runs: int) -> None:
    cluster.join(settings)
    from ray import cloudpickle  # noqa: PLC0415 - it reads its environment when imported

    cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    plan = plan_of(num_runs)
    run_fleet(
        plan_of(8), plan_of(8).runs, settings, Follower(finished=lambda run: None, tick=lambda tally: None), do_nothing
    )  # workers warm
    watch = Watch()
    follower = Follower(finished=lambda run: None, tick=watch.tick)
    tally = benchmark.pedantic(lambda: run_fleet(plan, plan.runs, settings, follower, do_nothing), rounds=1, iterations=1)
    assert tally.done == num_runs
    survey = ledger_of(settings).survey()
    written = sum(len(survey.leases.get(run.key, ())) + (run.key in survey.commits) for run in plan.runs)
    seconds = benchmark.stats.stats.mean
    benchmark.extra_info |= {
        "runs per second": round(num_runs / seconds, 1),
        "launcher ms per run": round(1000 * (time.process_time() - watch.cpu_s) / num_runs, 2),
        "launcher growth MB": round((watch.peak - watch.before) / 2**20, 1),
        "objects written per run": written / num_runs,
    }


def test_a_plain_loop(benchmark, settings: Settings) -> None:
    plan = plan_of(FEW)

    def loop() -> None:
        for run in plan.runs:
            do_nothing(run, plan.config, settings)

    benchmark.pedantic(loop, rounds=1, iterations=1)
    assert len(list_below(join(settings.root, "ledger", "commits"), settings)) >= FEW
    benchmark.extra_info |= {"runs per second": round(FEW / benchmark.stats.stats.mean, 1)}
