"""How many runs make a bundle: learnt from how long they take, and spread over the window at the end."""

import pytest

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun
from s2s.contracts.loading import validate
from s2s.contracts.settings import Settings
from s2s.orchestration.fleet import Follower, _Fleet, _Pace
from s2s.recipes.atlas.work import do_run


def config(**fleet: object) -> AtlasConfig:
    fields = {"kind": "atlas", "version": 1, "name": "pace", "query": {}, "fleet": {"bundle_s": 60, "max_bundle": 50, **fleet}}
    return validate(AtlasConfig, fields, where="test")


def pace_of(*seconds: float, **fleet: object) -> _Pace:
    pace = _Pace(config(**fleet))
    pace.learn(seconds)
    return pace


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        pytest.param((), 1, id="nothing-known"),
        pytest.param((10.0,), 6, id="six-in-a-minute"),
        pytest.param((11.0,), 5, id="never-more-than-fit"),
        pytest.param((300.0,), 1, id="longer-than-a-bundle"),
        pytest.param((0.5,), 50, id="the-cap"),
        pytest.param((0.0,), 50, id="no-time-at-all"),
        # 10, then 0.8 x 10 + 0.2 x 60 = 20.
        pytest.param((10.0, 60.0), 3, id="one-slow-run"),
        # 20, 0.8 x 20 + 0.2 x 10 = 18, 0.8 x 18 + 0.2 x 3 = 15.
        pytest.param((20.0, 10.0, 3.0), 4, id="the-last-counts-a-fifth"),
    ],
)
def test_a_bundle_takes_about_as_long_as_was_asked(seconds: tuple[float, ...], size: int) -> None:
    assert pace_of(*seconds).bundle_size == size


def test_what_was_learnt_stays_when_nothing_was_done() -> None:
    pace = pace_of(10.0)
    pace.learn([])
    assert pace.bundle_size == 6


def fleet_of(num_runs: int, *seconds: float) -> _Fleet:
    about = {"section": "memory://a/b", "section_id": "b", "tissue": "breast", "organism": "human", "technology": "xenium"}
    runs = tuple(
        AtlasRun(key=f"{number:016x}", **about, seed=0, data_sha256="", is_synthetic=True, num_bins=1, num_genes=1)
        for number in range(num_runs)
    )
    plan = AtlasPlan(config=config(), runs=runs, code_version="test", created_at="now")
    follower = Follower(finished=lambda run: None, tick=lambda tally: None)
    fleet = _Fleet(plan, runs, Settings(is_local=True), follower, do_run)
    fleet._pace.learn(seconds)
    return fleet


def bundle_sizes(fleet: _Fleet, window: int) -> list[int]:
    sizes = []
    while fleet._waiting:
        sizes.append(len(list(fleet._next_bundle(window))))
    return sizes


@pytest.mark.parametrize(
    ("num_runs", "seconds", "sizes"),
    [
        pytest.param(3, (), [1, 1, 1], id="until-something-is-known"),
        # Six make a minute; of what is left no bundle takes more than a quarter: 32 // 4, 26 // 4, then 20 // 4 = 5, 15 // 4 = 3 and so on.
        pytest.param(32, (10.0,), [6, 6, 5, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1], id="spread-at-the-end"),
        pytest.param(1, (10.0,), [1], id="the-last-one"),
    ],
)
def test_bundles_shrink_towards_the_end(num_runs: int, seconds: tuple[float, ...], sizes: list[int]) -> None:
    assert bundle_sizes(fleet_of(num_runs, *seconds), 4) == sizes


def test_a_run_that_asks_for_more_runs_alone() -> None:
    fleet = fleet_of(12, 10.0)
    fleet._waiting[2].factor = 2.0
    assert bundle_sizes(fleet, 1)[:3] == [2, 1, 6]
