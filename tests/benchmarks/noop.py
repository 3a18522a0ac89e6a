"""Runs that do nothing but take their lease and commit; pickled by value for workers of Ray."""

import secrets
import time

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, RunOutcome
from s2s.contracts.settings import Settings
from s2s.orchestration import cluster
from s2s.orchestration.fleet import Follower, run_fleet
from s2s.recipes.run import ledger_of

SILENT = Follower(finished=lambda run: None, tick=lambda tally: None)


def do_nothing(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    """Take the lease and commit."""
    started, ledger = time.monotonic(), ledger_of(settings)
    lease = ledger.take(run.key, lease_s=config.fleet.lease_s)
    if lease is None:
        return RunOutcome(key=run.key, state="elsewhere")
    ledger.commit(lease)
    return RunOutcome(key=run.key, state="done", seconds=time.monotonic() - started)


def plan_of(num_runs: int) -> AtlasPlan:
    """An atlas of runs that nobody has done."""
    config = AtlasConfig(name=f"noop-{num_runs}", sections=("none",), resources={"cpus": 1, "memory_gb": 0.3})
    about = {"section": "none", "section_id": "none", "tissue": "none", "organism": "none", "technology": "none"}
    runs = tuple(
        AtlasRun(key=secrets.token_hex(8), **about, seed=number, data_sha256="", is_synthetic=True, num_bins=1, num_genes=1)
        for number in range(num_runs)
    )
    return AtlasPlan(config=config, runs=runs, code_version="benchmark", created_at="now")


def make_ready(settings: Settings) -> None:
    """Join the cluster, teach it this module, and let its workers do a few runs."""
    cluster.join(settings)
    from ray import cloudpickle  # noqa: PLC0415 - it reads its environment when imported

    import benchmarks.noop  # noqa: PLC0415 - itself, under the name that it is pickled by

    cloudpickle.register_pickle_by_value(benchmarks.noop)
    plan = plan_of(64)
    run_fleet(plan, plan.runs, settings, SILENT, do_nothing)
