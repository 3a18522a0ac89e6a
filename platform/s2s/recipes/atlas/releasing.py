"""The releases of an atlas: of every tissue whose runs are over, the best run becomes a version of its model.

In order: who stands and who judges (`trials.py`), every candidate and the champion so far on every section that it has not seen, as
runs of the atlas like any other (`judging.py`), then the best one to the registry with its card. There the gate decides.

Decision: a choice that stands is not made again, and a finished atlas asks no registry; the price is that a champion which comes from
elsewhere later is compared only when the runs of the tissue change.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from s2s.contracts.atlas import AtlasPlan, AtlasRun, AtlasStatus, ReleaseRules, TissueRelease
from s2s.contracts.release import Release, Trial, mean_gain, release_name
from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError, TrackingError
from s2s.evaluation.release_card import release_card
from s2s.recipes.atlas.judging import judging_run
from s2s.recipes.atlas.records import below_atlas
from s2s.recipes.atlas.status import store_release_of_tissue, survey_atlas
from s2s.recipes.atlas.trials import Casting, Figures, cast, scores_of, trial_id
from s2s.recipes.atlas.work import RunAll
from s2s.recipes.recording import SERVED_MODEL
from s2s.recipes.release_folder import read_release, store_release
from s2s.recipes.run import ledger_of
from s2s.storage.commits import now_utc
from s2s.storage.location import join
from s2s.tracking.finished import FinishedRun, spool_finished_run
from s2s.tracking.registry import Candidate, find_trial
from s2s.tracking.releases import load_release, resolve_alias
from s2s.tracking.replay import replay

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A release that is judged, and what each judge is asked: section -> run."""

    release: Release
    folder: str
    runs: Mapping[str, AtlasRun]

    def said(self, judged: Mapping[str, Figures]) -> dict[str, Figures]:
        """Section -> what its judge said."""
        return {section: judged[run.key] for section, run in self.runs.items() if run.key in judged}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """The trial of one tissue."""

    id: str
    model: str
    casting: Casting
    entries: tuple[_Entry, ...]
    champion: _Entry | None

    @property
    def runs(self) -> Iterator[AtlasRun]:
        for entry in (*self.entries, *([self.champion] if self.champion else [])):
            yield from entry.runs.values()


def release_tissues(plan: AtlasPlan, status: AtlasStatus, settings: Settings, run_all: RunAll) -> tuple[TissueRelease, ...]:
    """Make the releases of all tissues whose runs are over and whose choice does not stand yet.

    Args:
        plan: Of the atlas.
        status: Of the atlas, after its runs.
        settings: Where S3 and MLflow are.
        run_all: Where releases are judged.

    Returns:
        All releases of the atlas, earlier ones too. A registry that does not answer is no error: they wait for the next launch.

    Raises:
        StorageError: S3 cannot be reached.

    Writes:
        Judgements; one MLflow run and one version of the model per new release, and what became of it below `atlases/<name>/`.
    """
    made = {release.model: release for release in status.releases}
    if plan.config.releases is None:
        return tuple(made.values())
    try:
        trials = list(_open_trials(plan, status, plan.config.releases, settings))
        judged, still_open = _judged(plan, [run for trial in trials for run in trial.runs], settings, run_all)
        for trial in trials:
            if still_open.isdisjoint(run.key for run in trial.runs):
                made[trial.model] = _conclude(trial, judged, plan, settings)
                store_release_of_tissue(plan.config.name, made[trial.model], settings)
    except TrackingError as error:
        logger.warning("releases of atlas %s wait for the next `s2s atlas run`: %s", plan.config.name, error)
    return tuple(made[model] for model in sorted(made))


def _open_trials(plan: AtlasPlan, status: AtlasStatus, rules: ReleaseRules, settings: Settings) -> Iterator[_Trial]:
    states = {state.key: state for state in status.runs}
    stand = {release.trial.id for release in status.releases if release.model_version is not None}
    by_model: dict[str, list[AtlasRun]] = {}
    for run in plan.runs:
        by_model.setdefault(release_name(run.organism, run.tissue), []).append(run)
    for model, runs in by_model.items():
        ends = {states[run.key].state for run in runs}
        if "done" not in ends or not ends <= {"done", "failed"}:
            continue
        casting = cast(runs, states, rules)
        name = trial_id(plan.config.name, casting)
        if name not in stand and (entries := tuple(_entries(casting, plan, settings))):
            yield _Trial(id=name, model=model, casting=casting, entries=entries, champion=_champion(model, casting, plan, settings))


def _entries(casting: Casting, plan: AtlasPlan, settings: Settings) -> Iterator[_Entry]:
    commits = ledger_of(settings).read_commits([item.run.key for item in casting.candidates])
    for key, commit in commits.items():
        folder = join(settings.root, "runs", key, commit.attempt)
        try:
            release, _ = read_release(folder, settings)
        except (MissingError, InputError) as error:  # trained without registering, or damaged since
            logger.warning("run %s is no candidate: %s", key, error)
            continue
        if not release.is_leaky:
            yield _entry(release, folder, casting, plan)


def _champion(model: str, casting: Casting, plan: AtlasPlan, settings: Settings) -> _Entry | None:
    try:
        uri = resolve_alias(f"models:/{model}@champion", settings)
    except MissingError:  # the tissue has none yet
        return None
    try:
        release, weights = load_release(uri, settings)
    except (MissingError, InputError) as error:  # the gate says so on the new version
        logger.warning("the champion of %s cannot be judged: %s", model, error)
        return None
    return _entry(release, store_release(release, weights, settings), casting, plan)


def _entry(release: Release, folder: str, casting: Casting, plan: AtlasPlan) -> _Entry:
    judges = casting.judges_of(release.data_sha256, release.donor)
    return _Entry(
        release=release, folder=folder, runs={judge.run.section: judging_run(release, folder, judge.run, plan.config) for judge in judges}
    )


def _judged(plan: AtlasPlan, runs: Sequence[AtlasRun], settings: Settings, run_all: RunAll) -> tuple[dict[str, Figures], set[str]]:
    """What the judges said, and whom nobody has heard yet: the budget is spent, or another launch is at it."""
    distinct = {run.key: run for run in runs}
    judged: dict[str, Figures] = {key: commit.figures for key, commit in ledger_of(settings).read_commits(list(distinct)).items()}
    pending = tuple(run for key, run in distinct.items() if key not in judged)
    if not pending:
        return judged, set()
    run_all(plan, pending, settings, lambda run: None)
    states = survey_atlas(plan.model_copy(update={"runs": pending}), settings).runs
    judged |= {state.key: state.figures for state in states if state.state == "done"}
    return judged, {state.key for state in states if state.state in ("waiting", "running")}


def _conclude(trial: _Trial, judged: Mapping[str, Figures], plan: AtlasPlan, settings: Settings) -> TissueRelease:
    champions = trial.champion.said(judged) if trial.champion else {}
    scores = {entry.release.run_key: scores_of(entry.release, trial.casting, entry.said(judged), champions) for entry in trial.entries}
    gains = {key: gain for key, rows in scores.items() if (gain := mean_gain(rows)) is not None}
    best = max(trial.entries, key=lambda entry: gains.get(entry.release.run_key, float("-inf")))
    account = Trial(
        id=trial.id,
        atlas=plan.config.name,
        basis=trial.casting.basis,
        num_candidates=len(trial.entries),
        num_runs=trial.casting.num_runs,
        champion_weights_sha256=trial.champion.release.weights_sha256 if trial.champion else None,
        scores=tuple(scores[best.release.run_key]),
    )
    release = best.release.model_copy(update={"trial": account})
    _register(release, best.folder, plan, settings)
    version = find_trial(settings, trial.model, trial.id)
    return TissueRelease(
        model=trial.model,
        tissue=release.tissue,
        organism=release.organism,
        run_key=release.run_key,
        section_id=release.section_id,
        weights_sha256=release.weights_sha256,
        trial=account,
        is_champion=version is not None and "champion" in version.aliases,
        gate=(version.gate if version else None) or "waits for MLflow",
        model_version=str(version.version) if version else None,
        created_at=now_utc(),
    )


def _register(release: Release, folder: str, plan: AtlasPlan, settings: Settings) -> None:
    assert release.trial is not None, "a tissue's release has had its trial"
    _, weights = read_release(folder, settings)
    card = release_card(release)
    gain = release.trial.gain
    run = FinishedRun(
        name=f"release of {release.name}",
        tags={"kind": "tissue release", "tissue": release.tissue, "organism": release.organism, **below_atlas(plan)},
        params={"section": release.section_id, "run_key": release.run_key, "basis": release.trial.basis},
        metrics={} if gain is None else {"gain_over_best_classical": gain},
        files={"card.md": card.encode(), "release.json": release.model_dump_json(indent=2).encode()},
        candidate=Candidate(release=release, weights=weights, code_path=SERVED_MODEL, card=card),
        id=release.trial.id,
    )
    spool_finished_run(settings, plan.config.tracking.experiment, run)
    replay(settings)
