"""Who stands for a tissue and who judges, and what the choice comes to: on figures alone."""

from dataclasses import replace

import pytest

from s2s.contracts.atlas import AtlasRun, ReleaseRules, RunState
from s2s.contracts.release import mean_gain
from s2s.recipes.atlas.trials import Casting, cast, scores_of, trial_id

RULES = ReleaseRules()


def run(name: str, *, donor: str | None = None, data: str | None = None, seed: int = 0, bins: int = 100) -> AtlasRun:
    return AtlasRun(
        key=f"{abs(hash((name, seed))) % 16**16:016x}", section=f"s3://x/{name}", section_id=name, tissue="breast", organism="human",
        technology="xenium", donor=donor, seed=seed, data_sha256=data or name, is_synthetic=False, num_bins=bins, num_genes=10,
    )  # fmt: skip


def state(of: AtlasRun, gain: float | None, *, is_done: bool = True) -> RunState:
    figures = {} if gain is None else {"pcc": 0.3 + gain, "rmse": 0.5, "mae": 0.4, "best_classical_pcc": 0.3}
    return RunState(
        key=of.key, section_id=of.section_id, tissue=of.tissue, organism=of.organism, seed=of.seed, state="done" if is_done else "failed",
        figures=figures if is_done else {},
    )  # fmt: skip


def casting_of(*pairs: tuple[AtlasRun, float | None], rules: ReleaseRules = RULES) -> Casting:
    return cast([one for one, _ in pairs], {one.key: state(one, gain) for one, gain in pairs}, rules)


def said(pcc: float) -> dict[str, float]:
    return {"pcc": pcc, "rmse": 0.5, "mae": 0.4, "coverage_90": 0.91}


def test_candidates_are_the_best_by_gain_over_classical_and_failed_runs_do_not_stand() -> None:
    good, better, failed = run("good"), run("better"), run("failed")
    states = {good.key: state(good, 0.01), better.key: state(better, 0.02), failed.key: state(failed, 0.9, is_done=False)}
    casting = cast([good, better, failed], states, RULES)
    assert [item.run.section_id for item in casting.candidates] == ["better", "good"]
    assert casting.num_runs == 2
    assert [item.run.section_id for item in cast([good, better], states, ReleaseRules(candidates=1)).candidates] == ["better"]


def test_no_release_is_judged_by_its_own_donor() -> None:
    casting = casting_of((run("a1", donor="A"), 0.0), (run("a2", donor="A"), 0.0), (run("b1", donor="B"), 0.0))
    assert casting.basis == "other donors"
    assert [judge.run.section_id for judge in casting.judges_of("a1", "A")] == ["b1"]
    assert {judge.run.section_id for judge in casting.judges_of("b1", "B")} == {"a1", "a2"}


@pytest.mark.parametrize("donors", [("A", "A"), (None, "B"), (None, None)])
def test_without_two_known_donors_other_sections_judge(donors: tuple[str | None, str | None]) -> None:
    casting = casting_of((run("one", donor=donors[0]), 0.0), (run("two", donor=donors[1]), 0.0))
    assert casting.basis == "other sections"
    assert [judge.run.section_id for judge in casting.judges_of("one", donors[0])] == ["two"]


def test_seeds_of_one_section_never_judge_each_other() -> None:
    seeds = [run("only", seed=number) for number in range(3)]
    casting = casting_of(*((one, 0.01 * one.seed) for one in seeds))
    assert (casting.basis, casting.judges) == ("own section", ())
    assert casting.candidates[0].run.seed == 2


def test_few_judges_are_of_many_donors() -> None:
    pairs = [(run(f"{donor}{number}", donor=donor), 0.0) for donor in "ABC" for number in range(4)]
    chosen = casting_of(*pairs, rules=ReleaseRules(judges=4)).judges
    assert sorted(judge.run.donor or "" for judge in chosen) == ["A", "A", "B", "C"]


def test_sparse_sections_stand_but_do_not_judge() -> None:
    casting = casting_of((run("sparse", bins=10_000), None), (run("dense-1"), 0.0), (run("dense-2"), 0.0))
    assert {judge.run.section_id for judge in casting.judges} == {"dense-1", "dense-2"}
    assert casting.candidates[-1].run.section_id == "sparse"
    only_sparse = casting_of((run("small", bins=10), None), (run("large", bins=1000), None))
    assert only_sparse.candidates[0].run.section_id == "large"
    assert only_sparse.judges == ()


def test_the_choice_is_the_same_on_every_machine_and_another_when_a_run_is_added() -> None:
    pairs = [(run(name, donor=name), gain) for name, gain in (("a", 0.1), ("b", 0.1), ("c", 0.2))]
    assert trial_id("x", casting_of(*pairs)) == trial_id("x", casting_of(*reversed(pairs)))
    assert trial_id("x", casting_of(*pairs)) != trial_id("x", casting_of(*pairs, (run("d", donor="d"), 0.3)))
    assert trial_id("x", casting_of(*pairs)) != trial_id("y", casting_of(*pairs))


def test_scores_are_gains_on_the_same_bins(make_release) -> None:
    casting = casting_of((run("a", donor="A"), 0.0), (run("b", donor="B"), 0.0), (run("c", donor="C"), 0.0))
    release = make_release(data_sha256="a", donor="A")
    judged = {"s3://x/b": said(0.35), "s3://x/c": said(0.27)}
    rows = scores_of(release, casting, judged, {"s3://x/b": said(0.4)})
    assert {row.section_id: row.champion_pcc for row in rows} == {"b": 0.4, "c": None}
    assert {row.coverage_90 for row in rows} == {0.91}
    assert mean_gain(rows) == pytest.approx(0.01)
    # A judge that failed is missed by the mean, not counted as zero.
    assert mean_gain(scores_of(release, casting, {"s3://x/b": said(0.35)}, {})) == pytest.approx(0.05)
    assert mean_gain(scores_of(release, casting, {}, {})) is None


def test_for_want_of_another_section_the_own_held_out_bins_judge(make_release) -> None:
    only = run("only")
    casting = casting_of((only, 0.04))
    rows = scores_of(make_release(run_key=only.key), casting, {}, {})
    assert [(row.section_id, row.gain) for row in rows] == [("only", pytest.approx(0.04))]
    sparse = replace(casting, candidates=casting_of((only, None)).candidates)
    assert scores_of(make_release(run_key=only.key), sparse, {}, {}) == []
