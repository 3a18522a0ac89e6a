"""An atlas's plan, status and costs, on sections of a few bins in a home of their own. Nothing is trained."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from s2s.contracts.atlas import AtlasConfig, AtlasPlan
from s2s.contracts.loading import atlas_run_config, load_atlas_config, validate
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import ConfigError, InputError, MissingError
from s2s.recipes.atlas.estimate import estimate, pilot_runs
from s2s.recipes.atlas.plan import make_plan
from s2s.recipes.atlas.status import atlas_files, find_plan, pardon_runs, store_plan, survey_atlas
from s2s.recipes.run import ledger_of, silent
from s2s.recipes.sources import open_run
from s2s.storage.location import join
from s2s.storage.sections import Masks, NewSection, commit_section

SHAPE = (8, 8)
PLAIN = {"kind": "atlas", "version": 1, "name": "small", "set": {"photographs": None}}


def store(settings: Settings, name: str, *, seed: int, **about: object) -> None:
    counts = np.random.default_rng(seed).poisson(3, (3, *SHAPE)).astype(np.uint16)
    everywhere = np.ones(SHAPE, np.bool_)
    meta = SectionMeta(
        id=name, tissue="breast", organism="human", technology="xenium", pitch_um=25, shape=SHAPE, num_genes=3,
        source="test", input_sha256="0" * 64, code_version="0", licence="CC BY 4.0",
    )  # fmt: skip
    new = NewSection(
        meta=meta.model_copy(update=about),
        genes=("A", "B", "C"),
        blocks=[counts],
        masks=Masks(tissue=everywhere, observed=everywhere, valid=everywhere),
    )
    commit_section(join(settings.root, "sections", name), new, settings, replace=False)


def config_of(**changes: object) -> AtlasConfig:
    return validate(AtlasConfig, {**PLAIN, **changes}, where="test")


@pytest.fixture
def settings(s2s_home: Path) -> Settings:
    return Settings(is_local=True, home=s2s_home)


@pytest.fixture
def plan(settings: Settings) -> AtlasPlan:
    for number, name in enumerate(("b-1", "b-2", "b-3")):
        store(settings, name, seed=number)
    made = make_plan(config_of(query={}, seeds=[0, 1]), settings, silent)
    store_plan(made, settings)
    return made


def test_a_run_of_an_atlas_is_the_run_that_train_would_do(plan, settings):
    run = plan.runs[1]
    assert (run.section_id, run.seed, run.num_bins, run.num_genes) == ("b-1", 1, 64, 3)
    config = atlas_run_config(plan.config, run.section, run.seed)
    assert open_run(config, settings, silent).key == run.key
    assert config.name == "b-1-seed1"
    assert len({run.key for run in plan.runs}) == 6


def test_a_query_takes_what_fits_every_key(settings):
    store(settings, "b-1", seed=1)
    store(settings, "b-2", seed=2, licence="research only")
    store(settings, "c-1", seed=3, tissue="colon")
    query = {"tissue": ["breast"], "licence": ["cc by"]}
    assert [run.section_id for run in make_plan(config_of(query=query), settings, silent).runs] == ["b-1"]
    # What the list names is not asked for again, and the query does not name it twice.
    both = make_plan(config_of(query=query, sections=["c-1", "b-1"]), settings, silent)
    assert [run.section_id for run in both.runs] == ["c-1", "b-1"]


def test_what_cannot_be_used_is_left_out_with_its_reason(settings):
    store(settings, "b-1", seed=1, donor="P7")
    store(settings, "b-2", seed=1)  # the same arrays
    store(settings, "b-3", seed=3, donor="P7")
    plan = make_plan(config_of(sections=["b-1", "b-2", "nowhere", "b-3"]), settings, silent)
    assert [run.section_id for run in plan.runs] == ["b-1", "b-3"]
    reasons = {item.section_id: item.reason for item in plan.skipped}
    assert reasons["b-2"] == "duplicate: the same arrays as b-1"
    assert "found none" in reasons["nowhere"]
    assert plan.warnings == ("b-1, b-3 (breast) are of one donor, P7: none of them judges a model of another",)


def test_an_atlas_of_nothing_says_why(settings):
    with pytest.raises(InputError, match="none is left: nowhere: expected a committed section"):
        make_plan(config_of(sections=["nowhere"]), settings, silent)
    with pytest.raises(InputError, match="the query fits none"):
        make_plan(config_of(query={"tissue": ["liver"]}), settings, silent)


def test_the_ledger_alone_tells_where_every_run_stands(plan, settings):
    ledger, keys = ledger_of(settings, holder="host:1"), [run.key for run in plan.runs]
    ledger.commit(ledger.take(keys[0], lease_s=60), figures={"pcc": 0.5})
    ledger.take(keys[1], lease_s=60)
    ledger.fail(ledger.take(keys[2], lease_s=60), "bad-input", "no genes")
    for _ in range(2):
        ledger.fail(ledger.take(keys[3], lease_s=60), "lost", "gone")
    for _ in range(3):
        ledger.fail(ledger.take(keys[4], lease_s=60), "preempted", "taken back")
    status = survey_atlas(find_plan("small", settings), settings)
    states = [(run.state, run.cause, run.num_failures) for run in status.runs]
    assert states == [
        ("done", None, 0), ("running", None, 0), ("failed", "bad-input", 1), ("waiting", "lost", 2), ("waiting", "preempted", 0),
        ("waiting", None, 0),
    ]  # fmt: skip
    assert status.runs[0].figures == {"pcc": 0.5}
    ledger.fail(ledger.take(keys[3], lease_s=60), "lost", "gone")
    assert survey_atlas(plan, settings).runs[3].state == "failed"


def test_attempts_that_ended_without_a_word_count_too(plan, settings):
    """Their worker was killed together with the launcher that watched it."""
    ledger, key = ledger_of(settings), plan.runs[0].key
    for _ in range(3):
        ledger.take(key, lease_s=60, takes_over=True)
    assert survey_atlas(plan, settings).runs[0].state == "running"
    ledger.fail(ledger.take(key, lease_s=60, takes_over=True), "stopped", "")
    state = survey_atlas(plan, settings).runs[0]
    assert (state.state, state.num_failures) == ("failed", 3)


def test_a_pardon_opens_runs_of_one_cause_again(plan, settings):
    ledger, keys = ledger_of(settings), [run.key for run in plan.runs]
    ledger.fail(ledger.take(keys[0], lease_s=60), "bad-input", "no genes")
    ledger.fail(ledger.take(keys[2], lease_s=60), "diverged", "loss is nan")
    assert pardon_runs(plan, settings, ["diverged"]) == ["b-2"]
    assert [run.state for run in survey_atlas(plan, settings).runs][:3] == ["failed", "waiting", "waiting"]
    assert pardon_runs(plan, settings, []) == ["b-1"]
    assert pardon_runs(plan, settings, []) == []


def test_an_atlas_nobody_ran_is_not_found(plan, settings):
    with pytest.raises(MissingError, match=r"there is no .other. at .*; there are: small"):
        find_plan("other", settings)


def test_costs_are_learnt_from_what_is_done(plan, settings):
    before = estimate(plan, survey_atlas(plan, settings))
    assert (before.num_runs, before.usd, before.cpu_hours) == (6, None, None)
    assert before.s3_bytes_read == 6 * 64 * 3  # the runs of this plan take no photographs
    with_photographs = plan.model_copy(update={"config": plan.config.model_copy(update={"set": {}})})
    assert estimate(with_photographs, survey_atlas(plan, settings)).s3_bytes_read == 6 * (3_200_000 + 64 * 3)
    assert (before.s3_writes, before.s3_reads) == (6 * 13, 6 * (21 + 1))
    clock = iter(np.repeat([1000.0, 1036.0], [1, 50]).tolist())
    ledger = ledger_of(settings)
    timed = type(ledger)(root=ledger.root, settings=settings, clock=lambda: next(clock))
    timed.commit(timed.take(plan.runs[0].key, lease_s=60))
    guess = estimate(plan, survey_atlas(plan, settings))
    # One run of 36 s on two cores: five more take 0.1 core hours, half to double.
    assert (guess.num_runs, guess.num_pilot_runs) == (5, 1)
    assert (guess.cpu_hours.low, guess.cpu_hours.middle, guess.cpu_hours.high) == pytest.approx((0.05, 0.1, 0.2))
    # They renew their leases of a minute three times each minute: five runs of 36 s nine times.
    assert (guess.s3_writes, guess.s3_reads) == (5 * 13 + 9, 5 * (21 + 1) + 9)
    assert guess.usd.middle == pytest.approx(0.1 * 0.05 + guess.s3_writes * 5e-6 + guess.s3_reads * 4e-7)


def test_a_pilot_looks_at_small_middle_and_large(plan):
    sizes = [run.model_copy(update={"num_bins": bins}) for run, bins in zip(plan.runs, (50, 10, 40, 30, 20, 60), strict=True)]
    assert [run.num_bins for run in pilot_runs(plan.model_copy(update={"runs": tuple(sizes)}))] == [10, 40, 60]
    assert len(pilot_runs(plan.model_copy(update={"runs": tuple(sizes[:1])}))) == 1


def test_the_map_tells_every_reason_and_trusts_no_text(plan, settings):
    ledger = ledger_of(settings)
    ledger.fail(ledger.take(plan.runs[0].key, lease_s=60), "defect", "<script>alert(1)</script>")
    files = atlas_files(survey_atlas(plan, settings))
    page = files["map.html"].decode()
    assert "defect: &lt;script&gt;" in page
    assert "<script>" not in page
    assert files["map.png"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({}, "expected sections or a query, got neither", id="nothing"),
        pytest.param({"query": {"tisue": ["x"]}}, "tisue: no such key, did you mean 'tissue'", id="typo"),
        pytest.param({"query": {}, "set": {"seed": 3}}, "got seed, which the atlas fills in", id="filled-in"),
        pytest.param({"query": {}, "set": {"training": {"max_step": 3}}}, "max_step: no such key, did you mean 'max_steps'", id="run-key"),
        pytest.param({"query": {}, "preset": "latop"}, "one of the presets .* got 'latop', did you mean 'laptop'", id="preset"),
        pytest.param({"query": {}, "budget_usd": 0}, "budget_usd: .*greater than 0", id="budget"),
    ],
)
def test_a_faulty_yaml_is_explained(tmp_path, changes, message):
    path = tmp_path / "atlas.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changes}), encoding="utf-8")
    with pytest.raises((ConfigError, MissingError), match=message):
        load_atlas_config(path)
