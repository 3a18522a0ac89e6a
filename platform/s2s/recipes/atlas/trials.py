"""Who stands for a tissue and who judges: decisions on figures alone, the same on every machine.

Decision: a candidate is judged only on sections of other donors, because sections of one donor look alike; where not all donors of a
tissue are known, or it has but one, on other sections; where it has one section, on the held-out bins of that. The measure is the
correlation above the best classical method's on the same bins, which takes away most of how hard a section is: candidates may then be
compared although each leaves out its own section. The price is that a tissue whose sections were all measured sparsely has no judge,
and its candidate with the most genes times bins is taken as it is.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from s2s.contracts.atlas import AtlasRun, ReleaseRules, RunState
from s2s.contracts.release import Release, TrialScore

Figures = Mapping[str, float]
"""Main results of a run, by name."""

Basis = Literal["other donors", "other sections", "own section"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished training run and what it scored on its own section, empty where nothing was held out."""

    run: AtlasRun
    figures: Figures

    @property
    def gain(self) -> float | None:
        """Own correlation above the best classical method's."""
        return self.figures["pcc"] - self.figures["best_classical_pcc"] if "best_classical_pcc" in self.figures else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Casting:
    """Candidates and judges of a tissue.

    Attributes:
        candidates: Best own score first.
        judges: One finished run per section that has a truth; empty where the basis is the own section.
        basis: Which judges a candidate may have.
        num_runs: Finished runs of the tissue.
    """

    candidates: tuple[Done, ...]
    judges: tuple[Done, ...]
    basis: Basis
    num_runs: int

    def judges_of(self, data_sha256: str, donor: str | None) -> list[Done]:
        """Judges of a release that was trained on some data of some donor."""
        return [judge for judge in self.judges if _may_judge(judge.run, data_sha256, donor, self.basis)]


def cast(runs: Sequence[AtlasRun], states: Mapping[str, RunState], rules: ReleaseRules) -> Casting:
    """Choose candidates and judges among the finished runs of a tissue.

    Args:
        runs: Of the tissue; at least one is done.
        states: Of the runs, by key.
        rules: How many of each.
    """
    done = [Done(run=run, figures=states[run.key].figures) for run in runs if states[run.key].state == "done"]
    ranked = sorted(done, key=lambda item: (item.gain is None, -(item.gain or 0.0), -item.run.num_values, item.run.key))
    basis = _basis([item.run for item in done if item.gain is not None])
    judges = () if basis == "own section" else tuple(_spread(done, rules.judges))
    return Casting(candidates=tuple(ranked[: rules.candidates]), judges=judges, basis=basis, num_runs=len(done))


def trial_id(atlas: str, casting: Casting) -> str:
    """Hash what a choice rests on: the same again needs no trial.

    The champion so far is left out, so that a person's `promote` or `rollback` is not undone by the next launch.
    """
    what = [atlas, casting.num_runs, *([item.run.key for item in group] for group in (casting.candidates, casting.judges))]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def scores_of(release: Release, casting: Casting, said: Mapping[str, Figures], of_champion: Mapping[str, Figures]) -> list[TrialScore]:
    """Gather what judges said of a release.

    Args:
        release: A candidate.
        casting: Of the tissue.
        said: What each judge said of it, by section.
        of_champion: The same of the champion so far.

    Returns:
        One score per judge that has spoken; its own held-out bins where nobody may judge it.
    """
    if casting.basis == "own section":
        return [
            _score(item, item.figures, None) for item in casting.candidates if item.run.key == release.run_key and item.gain is not None
        ]
    judges = casting.judges_of(release.data_sha256, release.donor)
    spoken = [judge for judge in judges if judge.run.section in said]
    return [_score(judge, said[judge.run.section], of_champion.get(judge.run.section)) for judge in spoken]


def _score(judge: Done, figures: Figures, champion: Figures | None) -> TrialScore:
    return TrialScore(
        section_id=judge.run.section_id,
        data_sha256=judge.run.data_sha256,
        pcc=figures["pcc"],
        rmse=figures["rmse"],
        coverage_90=figures.get("coverage_90"),
        best_classical_pcc=judge.figures["best_classical_pcc"],
        champion_pcc=champion["pcc"] if champion else None,
    )


def _basis(runs: Sequence[AtlasRun]) -> Basis:
    donors = {run.donor for run in runs}
    if None not in donors and len(donors) > 1:
        return "other donors"
    return "other sections" if len({run.data_sha256 for run in runs}) > 1 else "own section"


def _may_judge(judge: AtlasRun, data_sha256: str, donor: str | None, basis: Basis) -> bool:
    return judge.data_sha256 != data_sha256 and (basis == "other sections" or judge.donor != donor)


def _spread(done: Sequence[Done], limit: int) -> Iterator[Done]:
    """Take sections in turn from every donor, so that few judges are of many donors."""
    first_of: dict[str, Done] = {}
    for item in sorted(done, key=lambda item: item.run.seed):
        if item.gain is not None:
            first_of.setdefault(item.run.data_sha256, item)
    by_donor: dict[str, list[Done]] = {}
    for data_sha256, item in sorted(first_of.items()):
        by_donor.setdefault(item.run.donor or data_sha256, []).append(item)
    rounds = sorted(((place, donor) for donor, items in by_donor.items() for place in range(len(items))))
    yield from (by_donor[donor][place] for place, donor in rounds[:limit])
