"""What runs at work say of themselves, what finished ones took, and what follows for cost and resources. Nothing is trained."""

import secrets
from pathlib import Path

import pytest

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun
from s2s.contracts.run import GpuUse, Resources
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.estimate import estimate, memory_advice
from s2s.recipes.atlas.status import cost_usd, runs_at_work, survey_atlas
from s2s.recipes.run import ledger_of

QUARTER = GpuUse(share=0.25, peak_bytes=4 * 10**9, total_bytes=24 * 10**9)


@pytest.fixture
def settings(s2s_home: Path) -> Settings:
    return Settings(is_local=True, home=s2s_home)


def plan_of(num_runs: int, **resources: float) -> AtlasPlan:
    about = {"section": "none", "tissue": "none", "organism": "none", "technology": "none", "data_sha256": "", "is_synthetic": True}
    runs = tuple(
        AtlasRun(key=secrets.token_hex(8), section_id=f"s-{seed}", seed=seed, num_bins=1, num_genes=1, **about) for seed in range(num_runs)
    )
    prices = {"cpu_hour_usd": 1, "gpu_hour_usd": 10}
    config = AtlasConfig(name="a", sections=("none",), resources={"cpus": 2, **resources}, prices=prices)
    return AtlasPlan(config=config, runs=runs, code_version="0", created_at="now")


def test_runs_at_work_are_those_of_the_survey_with_what_they_do(settings: Settings) -> None:
    plan, ledger = plan_of(6), ledger_of(settings)
    done, failed, silent, first, second, _ = plan.runs
    ledger.commit(ledger.take(done.key, lease_s=60))
    ledger.fail(ledger.take(failed.key, lease_s=60), "lost", "gone")
    ledger.take(silent.key, lease_s=0)
    ledger.renew(ledger.take(first.key, lease_s=60), lease_s=60, note="train 3/60")
    ledger.take(second.key, lease_s=60)
    at_work = runs_at_work(plan, settings)
    assert [(state.section_id, state.note, state.holder) for state in at_work] == [
        (first.section_id, "train 3/60", ledger.holder),
        (second.section_id, "", ledger.holder),
    ]
    surveyed = {state.section_id: state for state in survey_atlas(plan, settings).runs}
    assert {name for name, state in surveyed.items() if state.state == "running"} == {first.section_id, second.section_id}
    for state in at_work:
        assert (surveyed[state.section_id].note, surveyed[state.section_id].taken_at) == (state.note, state.taken_at)
    assert all(surveyed[run.section_id].taken_at is None for run in (done, failed, silent)), "nobody works on them"


@pytest.mark.parametrize(
    ("gpus", "share", "usd"),
    [
        pytest.param(0, None, 2, id="no-gpu"),
        pytest.param(1, None, 12, id="nobody-measured"),
        pytest.param(1, 1.0, 12, id="alone"),
        pytest.param(1, 0.25, 4.5, id="a-quarter"),
        pytest.param(4, 1.0, 42, id="several"),
    ],
)
def test_a_run_pays_for_the_share_that_it_had(gpus: float, share: float | None, usd: float) -> None:
    assert cost_usd(plan_of(1, gpus=gpus), 3600, share) == usd


def test_what_finished_runs_took_reaches_status_and_estimate(settings: Settings) -> None:
    plan, ledger = plan_of(3, gpus=1), ledger_of(settings)
    for run, peak in zip(plan.runs[:2], (7, 9), strict=True):
        ledger.commit(ledger.take(run.key, lease_s=60), peak_memory_bytes=peak, gpu=QUARTER)
    status = survey_atlas(plan, settings)
    assert [(state.peak_memory_bytes, state.gpu) for state in status.runs] == [(7, QUARTER), (9, QUARTER), (0, None)]
    seconds = sum(state.seconds for state in status.runs)
    assert status.cost_usd == pytest.approx(seconds / 3600 * 4.5)
    guess = estimate(plan, status)
    assert guess.peak_memory_bytes == 9
    assert guess.gpu_hours is not None
    assert guess.cpu_hours is not None
    assert guess.gpu_hours.middle == pytest.approx(guess.cpu_hours.middle / 2 * 0.25)


@pytest.mark.parametrize(
    ("peak_gb", "asked", "machine", "said"),
    [
        pytest.param(0, 4, (16, 32), None, id="nobody-knows"),
        pytest.param(3, 4, (16, 32), None, id="fits"),
        pytest.param(1.7, 4, (16, 16), None, id="spare-but-not-far"),
        # 16 cores at 2 per run hold 8 runs; 16 GB at 4 per run hold 4; at 1.2 they hold 13.
        pytest.param(0.9, 4, (16, 16), "runs used 0.9 GB at most; resources.memory_gb: 4 keeps 8 of 16 cores idle", id="idle-cores"),
        pytest.param(0.9, 4, (2, 64), "resources.memory_gb: 4 is more than they need; 1.2 would do", id="more-than-needed"),
        pytest.param(
            5, 4, (16, 64), "resources.memory_gb: 4 is too little, a machine full of runs would run out; set 6.3", id="too-little"
        ),
    ],
)
def test_a_word_on_memory_where_it_was_guessed_wrong(peak_gb: float, asked: float, machine: tuple[int, int], said: str | None) -> None:
    cores, memory = machine
    advice = memory_advice(int(peak_gb * 1e9), Resources(cpus=2, memory_gb=asked), (cores, memory * 10**9))
    assert advice is None if said is None else said in str(advice)
