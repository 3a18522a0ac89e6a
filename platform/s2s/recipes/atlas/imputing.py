"""An atlas imputed: every section through its tissue's champion or its own release, and a manifest that says where each lies.

Named here in order is everything that is done; where it is done (`RunAll`) is handed in. Decision: champions are looked up once, at the
start, and put below the root, so that a promotion in the middle changes nothing and workers need no MLflow.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from s2s import __version__
from s2s.contracts.atlas import AtlasManifest, AtlasPlan, AtlasRun, ModelChoice, RunState, SectionImputation
from s2s.contracts.ledger import Cause, RunCommit
from s2s.contracts.loading import atlas_run_config
from s2s.contracts.release import Release, release_name
from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError
from s2s.recipes.atlas.filling import IMPUTED, imputation_key
from s2s.recipes.atlas.launching import ATTEMPTS, PAUSE_S
from s2s.recipes.atlas.status import find_manifest, store_manifest, survey_atlas
from s2s.recipes.atlas.work import RunAll
from s2s.recipes.patience import patiently
from s2s.recipes.release_folder import read_contract, store_release
from s2s.recipes.run import Progress, ledger_of
from s2s.recipes.tiled.band import STORE
from s2s.storage.commits import now_utc
from s2s.storage.location import join
from s2s.tracking.releases import load_release, resolve_alias

READERS = 32
"""Contracts of releases that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What fills a section in: URI of its folder, what it is called, and its contract."""

    folder: str
    name: str
    release: Release


def impute_atlas(plan: AtlasPlan, filled_with: ModelChoice, settings: Settings, on_progress: Progress, run_all: RunAll) -> AtlasManifest:
    """Impute every section that is not imputed; interrupted, the same call goes on.

    Args:
        plan: Of an atlas that was run.
        filled_with: Which release fills a section in.
        settings: Where S3 and MLflow are, or `--local`.
        on_progress: Told what is going on.
        run_all: Where it is done.

    Returns:
        What there is afterwards, and why something is missing.

    Raises:
        StorageError: S3 cannot be reached.
        TrackingError: MLflow cannot, which names the champions.

    Writes:
        Champions below `releases/`; imputed sections below `imputed/`; `atlases/<name>/imputed.json`.
    """
    sections = _first_runs(plan)
    found = _champions(sections, settings, on_progress) if filled_with == "champion" else _own(plan, settings)
    runs = {run.section: _imputation(run, model, plan) for run in sections if isinstance(model := found[run.section], Model)}
    asked = Asked(plan=plan, filled_with=filled_with, found=found, runs=runs)
    before = asked.manifest(settings)
    store_manifest(before, settings)
    open_keys = {section.key for section in before.sections if section.state in ("waiting", "running")}
    pending = [run for run in runs.values() if run.key in open_keys]
    if pending:
        run_all(plan, pending, settings, lambda run: None)
    # After hours of work an outage of a minute must not cost the account of it.
    after = patiently(lambda: asked.manifest(settings), on_progress, attempts=ATTEMPTS, pause_s=PAUSE_S)
    patiently(lambda: store_manifest(after, settings), on_progress, attempts=ATTEMPTS, pause_s=PAUSE_S)
    return after


def pardon_imputations(name: str, settings: Settings, causes: Sequence[Cause]) -> list[str]:
    """Forgive the failures of imputations that were given up, so that the next launch tries them again.

    Args:
        name: Of the atlas.
        settings: Where its manifest and its ledger lie.
        causes: Of the last failure; all causes where there is none.

    Returns:
        Their sections.

    Writes:
        A pardon per imputation.
    """
    manifest, ledger = find_manifest(name, settings), ledger_of(settings)
    given_up = [section for section in (manifest.sections if manifest else ()) if section.state == "failed"]
    chosen = [section for section in given_up if not causes or section.cause in causes]
    for section in chosen:
        if section.key is not None:
            ledger.pardon(section.key)
    return [section.section_id for section in chosen]


def _champions(sections: Sequence[AtlasRun], settings: Settings, on_progress: Progress) -> dict[str, Model | str]:
    """Section -> its tissue's champion, or why there is none."""
    names = list(dict.fromkeys(release_name(run.organism, run.tissue) for run in sections))
    found: dict[str, Model | str] = {}
    for done, name in enumerate(names):
        on_progress("champions", done, len(names), name)
        try:
            uri = resolve_alias(f"models:/{name}@champion", settings)
            folder = store_release(*load_release(uri, settings), settings)
            found[name] = Model(folder=folder, name=uri, release=read_contract(folder, settings))
        except (MissingError, InputError) as error:
            found[name] = str(error)
    return {run.section: found[release_name(run.organism, run.tissue)] for run in sections}


def _own(plan: AtlasPlan, settings: Settings) -> dict[str, Model | str]:
    """Section -> the release of its first finished training run, or why there is none."""
    commits = ledger_of(settings).read_commits([run.key for run in plan.runs])
    trained: dict[str, AtlasRun] = {}
    for run in plan.runs:
        if run.key in commits:
            trained.setdefault(run.section, run)
    with ThreadPoolExecutor(READERS) as pool:
        models = pool.map(lambda run: _model_of_run(run, commits[run.key], settings), trained.values())
        found: dict[str, Model | str] = dict(zip(trained, models, strict=True))
    return {run.section: found.get(run.section, "its training run is not done; `s2s atlas run` does it") for run in plan.runs}


def _model_of_run(run: AtlasRun, commit: RunCommit, settings: Settings) -> Model | str:
    folder = join(settings.root, "runs", run.key, commit.attempt)
    try:
        return Model(folder=folder, name=folder, release=read_contract(folder, settings))
    except MissingError:
        return f"its training run left no release in {folder}; was tracking.register_model off?"
    except InputError as error:
        return str(error)


def _imputation(run: AtlasRun, model: Model, plan: AtlasPlan) -> AtlasRun:
    config = atlas_run_config(plan.config, run.section, run.seed)
    key = imputation_key(run, config, model.release)
    return run.model_copy(update={"key": key, "stage": "impute", "release": model.folder, "model": model.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an imputation of an atlas comes to, before any of it is done.

    Attributes:
        plan: Of the atlas.
        filled_with: Which release fills a section in.
        found: URI of a section -> its release, or why there is none.
        runs: URI of a section -> its imputation, where there is a release.
    """

    plan: AtlasPlan
    filled_with: ModelChoice
    found: Mapping[str, Model | str]
    runs: Mapping[str, AtlasRun]

    def manifest(self, settings: Settings) -> AtlasManifest:
        """Say how far it is, from the ledger."""
        status = survey_atlas(self.plan.model_copy(update={"runs": tuple(self.runs.values())}), settings)
        states = dict(zip(self.runs, status.runs, strict=True))
        commits = ledger_of(settings).read_commits([state.key for state in states.values() if state.state == "done"])
        return AtlasManifest(
            name=self.plan.config.name,
            filled_with=self.filled_with,
            sections=tuple(self._sections(states, commits, settings)),
            code_version=__version__,
            created_at=now_utc(),
        )

    def _sections(
        self, states: Mapping[str, RunState], commits: Mapping[str, RunCommit], settings: Settings
    ) -> Iterator[SectionImputation]:
        for first in _first_runs(self.plan):
            model = self.found[first.section]
            if isinstance(model, str):
                yield SectionImputation(section_id=first.section_id, tissue=first.tissue, state="missing", reason=model)
                continue
            state = states[first.section]
            commit = commits.get(state.key)
            yield SectionImputation(
                section_id=first.section_id,
                tissue=first.tissue,
                state=state.state,
                reason=state.message,
                cause=state.cause,
                key=state.key,
                model=model.name,
                weights_sha256=model.release.weights_sha256,
                uri=join(settings.root, IMPUTED, state.key, commit.attempt, STORE) if commit else None,
                num_bins=int(commit.figures.get("num_bins", 0)) if commit else 0,
                num_genes=int(commit.figures.get("num_genes", 0)) if commit else 0,
            )


def _first_runs(plan: AtlasPlan) -> list[AtlasRun]:
    """One run per section: a section is imputed once, however many seeds it was trained with."""
    first: dict[str, AtlasRun] = {}
    for run in plan.runs:
        first.setdefault(run.section, run)
    return list(first.values())
