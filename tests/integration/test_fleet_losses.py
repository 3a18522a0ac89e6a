"""Workers that end before they take a lease, on real Ray: what the launch gives up, `s2s atlas status` gives up too, and says why."""

import os
import secrets
import signal
import sys
from pathlib import Path

import pytest

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, RunOutcome
from s2s.contracts.ledger import Cause
from s2s.contracts.loading import validate
from s2s.contracts.settings import Settings, load_settings
from s2s.orchestration import cluster
from s2s.orchestration.fleet import Follower, Work, run_fleet
from s2s.recipes.atlas.status import survey_atlas
from s2s.recipes.run import ledger_of


def die(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(run, config, settings)


def stumble(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    raise KeyError(run.section_id, config.name, settings.bucket)


def plan_of(num_runs: int) -> AtlasPlan:
    about = {"section": "memory://a/b", "section_id": "b", "tissue": "breast", "organism": "human", "technology": "xenium"}
    fields = {"kind": "atlas", "version": 1, "name": "losses", "query": {}, "resources": {"cpus": 1, "memory_gb": 0.2}}
    runs = tuple(
        AtlasRun(key=secrets.token_hex(8), **about, seed=number, data_sha256="", is_synthetic=True, num_bins=1, num_genes=1)
        for number in range(num_runs)
    )
    return AtlasPlan(config=validate(AtlasConfig, fields, where="test"), runs=runs, code_version="test", created_at="now")


@pytest.mark.parametrize(
    ("work", "cause", "words"),
    [
        pytest.param(die, "lost", "its worker was lost: WorkerCrashedError", id="killed"),
        pytest.param(stumble, "defect", "KeyError: ('b', 'losses', 'atlas')", id="defect"),
    ],
)
@pytest.mark.usefixtures("ray_door")
def test_launch_and_ledger_agree_on_runs_that_were_never_begun(stack: Path, work: Work, cause: Cause, words: str) -> None:
    settings, plan = load_settings(), plan_of(2)
    assert settings.home == stack
    cluster.join(settings)
    from ray import cloudpickle  # noqa: PLC0415 - it reads its environment when imported

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    done: list[str] = []
    tally = run_fleet(plan, plan.runs, settings, Follower(finished=lambda run: done.append(run.key), tick=lambda tally: None), work)
    assert (tally.done, dict(tally.failed), tally.retried, done) == (0, {cause: 2}, 4, [])
    states = survey_atlas(plan, settings).runs
    assert [(state.state, state.cause, state.num_failures, state.message) for state in states] == [("failed", cause, 3, words)] * 2
    assert {state.key: len(ledger_of(settings).survey().leases[state.key]) for state in states} == dict.fromkeys(
        (run.key for run in plan.runs), 3
    )
