"""How far an atlas is, from its plan and the ledger alone: any machine can tell, whether a launcher is alive or not.

Decision: nothing that trains is imported here, so that `s2s atlas status` answers in seconds.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from s2s.contracts.atlas import AtlasManifest, AtlasPlan, AtlasRun, AtlasStatus, RunState, SectionImputation, State, TissueRelease
from s2s.contracts.ledger import Cause, Failure, Lease, RunCommit
from s2s.contracts.run import Resources
from s2s.contracts.settings import Settings
from s2s.errors import MissingError
from s2s.evaluation.completeness import completeness, completeness_html
from s2s.evaluation.plots.completeness import completeness_figure
from s2s.recipes.run import ledger_of
from s2s.storage.commits import now_utc
from s2s.storage.ledger import Survey
from s2s.storage.location import join
from s2s.storage.objects import list_names, read_bytes, write_bytes

FINAL: frozenset[Cause] = frozenset({"bad-input", "diverged"})
"""Causes that another attempt would meet again."""

UNCOUNTED: frozenset[Cause] = frozenset({"preempted", "stopped"})
"""Causes that say nothing about the run."""

STORAGE_PATIENCE = 5
"""Times the cap on attempts that a run gets while S3 refuses: with growing pauses more than half an hour."""

REMEDIES: Mapping[Cause, str] = {
    "bad-input": "mend or replace the section, or leave it out of the YAML",
    "diverged": "lower training.learning_rate or set training.clip_norm in the YAML: with other settings it is another run",
    "defect": "a mistake of ours: please report it with the message; `s2s atlas retry` tries again",
    "out-of-memory": "raise resources.memory_gb, or resources.gpus, in the YAML; then `s2s atlas retry`",
    "storage": "look at the S3 server; then `s2s atlas retry`",
    "lost": "a worker died or fell silent again and again: was memory short, did its machine go? Then `s2s atlas retry`",
    "preempted": "nothing: it is tried again",
    "stopped": "nothing: `s2s atlas run` goes on with it",
}


def store_plan(plan: AtlasPlan, settings: Settings) -> str:
    """Put a plan where `find_plan` finds it; returns its URI.

    Writes:
        `atlases/<name>/plan.json`.
    """
    uri = _plan_uri(plan.config.name, settings)
    write_bytes(uri, plan.model_dump_json().encode(), settings)
    return uri


def find_plan(name: str, settings: Settings) -> AtlasPlan:
    """Read the plan of an atlas that was run.

    Raises:
        MissingError: no such atlas; the message names those there are.
    """
    try:
        return AtlasPlan.model_validate_json(read_bytes(_plan_uri(name, settings), settings))
    except MissingError:
        known = ", ".join(list_names(join(settings.root, "atlases"), settings)) or "none yet"
        raise MissingError(f"expected an atlas that was run, there is no {name!r} at {settings.root}; there are: {known}") from None


def store_manifest(manifest: AtlasManifest, settings: Settings) -> str:
    """Put a manifest where `find_manifest` finds it; returns its URI.

    Writes:
        `atlases/<name>/imputed.json`.
    """
    uri = manifest_uri(manifest.name, settings)
    write_bytes(uri, manifest.model_dump_json(indent=2).encode(), settings)
    return uri


def find_manifest(name: str, settings: Settings) -> AtlasManifest | None:
    """Read where the imputed sections of an atlas lie; None where nobody ever imputed it."""
    try:
        return AtlasManifest.model_validate_json(read_bytes(manifest_uri(name, settings), settings))
    except MissingError:
        return None


def manifest_uri(name: str, settings: Settings) -> str:
    """Where the manifest of an atlas lies."""
    return join(settings.root, "atlases", name, "imputed.json")


def _imputed(name: str, survey: Survey, settings: Settings) -> tuple[SectionImputation, ...]:
    """As the manifest says; what the ledger says was finished since is done."""
    manifest = find_manifest(name, settings)
    sections = manifest.sections if manifest else ()
    return tuple(
        section.model_copy(update={"state": "done", "reason": "", "cause": None}) if section.key in survey.commits else section
        for section in sections
    )


def _plan_uri(name: str, settings: Settings) -> str:
    return join(settings.root, "atlases", name, "plan.json")


def store_release_of_tissue(name: str, release: TissueRelease, settings: Settings) -> None:
    """Put what became of a tissue's runs where `survey_atlas` finds it.

    Writes:
        `atlases/<name>/releases/<model>.json`.
    """
    uri = join(settings.root, "atlases", name, "releases", f"{release.model}.json")
    write_bytes(uri, release.model_dump_json(indent=2).encode(), settings)


def _releases(name: str, settings: Settings) -> Iterator[TissueRelease]:
    folder = join(settings.root, "atlases", name, "releases")
    for file in list_names(folder, settings):
        yield TissueRelease.model_validate_json(read_bytes(join(folder, file), settings))


def survey_atlas(plan: AtlasPlan, settings: Settings) -> AtlasStatus:
    """Say where every run of an atlas stands.

    Args:
        plan: Of the atlas.
        settings: Where its ledger lies.

    Raises:
        StorageError: the store refused or does not answer.

    Reads:
        The names in the ledger; the manifest; commits of this atlas; leases and failures of runs that have no commit; releases.
    """
    ledger = ledger_of(settings)
    survey = ledger.survey()
    done = [run.key for run in plan.runs if run.key in survey.commits]
    rest = [run.key for run in plan.runs if run.key not in survey.commits]
    commits = ledger.read_commits(done)
    leases = {lease.key: lease for lease in ledger.read_leases([(key, survey.leases[key][-1]) for key in rest if key in survey.leases])}
    failures = _failures(ledger.read_failures([(key, token) for key in rest for token in survey.counted(key)]))
    known = _Known(survey=survey, commits=commits, leases=leases, failures=failures)
    states = tuple(_state(run, known, plan.config.fleet.max_attempts) for run in plan.runs)
    return AtlasStatus(
        name=plan.config.name,
        runs=states,
        skipped=plan.skipped,
        releases=tuple(_releases(plan.config.name, settings)),
        imputed=_imputed(plan.config.name, survey, settings),
        cost_usd=sum(cost_usd(plan, run.seconds, run.gpu.share if run.gpu else None) for run in states),
        created_at=now_utc(),
    )


def runs_at_work(plan: AtlasPlan, settings: Settings) -> list[RunState]:
    """Say which runs of an atlas are at work now, in any launch, those that began first at the head.

    Cheaper than `survey_atlas`: made to be asked again and again.

    Reads:
        The names in the ledger; leases of runs that have neither a commit nor a failure for them.
    """
    ledger, runs = ledger_of(settings), {run.key: run for run in plan.runs}
    survey = ledger.survey()
    newest = {key: tokens[-1] for key, tokens in survey.leases.items() if key in runs and key not in survey.commits}
    leases = ledger.read_leases([(key, token) for key, token in newest.items() if token not in survey.failures.get(key, ())])
    known = _Known(survey=survey, commits={}, leases={lease.key: lease for lease in leases}, failures={})
    states = [_state(runs[lease.key], known, plan.config.fleet.max_attempts) for lease in leases]
    return sorted((state for state in states if state.state == "running"), key=lambda state: state.taken_at or 0)


def pardon_runs(plan: AtlasPlan, settings: Settings, causes: Sequence[Cause]) -> list[str]:
    """Forgive the failures of runs that were given up, so that the next launch tries them again.

    Args:
        plan: Of the atlas.
        settings: Where its ledger lies.
        causes: Of the last failure; all causes where there is none.

    Returns:
        Sections of the runs that are open again.

    Writes:
        A pardon per run.
    """
    ledger = ledger_of(settings)
    chosen = [run for run in survey_atlas(plan, settings).runs if run.state == "failed" and (not causes or run.cause in causes)]
    for run in chosen:
        ledger.pardon(run.key)
    return [run.section_id for run in chosen]


def atlas_files(status: AtlasStatus) -> dict[str, bytes]:
    """Draw the completeness map, as figure and page, beside the status itself."""
    return {
        "map.png": completeness_figure(completeness(status), title=f"{status.name}: {status.counts}"),
        "map.html": completeness_html(status).encode(),
        "status.json": status.model_dump_json(indent=2).encode(),
    }


def cost_usd(plan: AtlasPlan, seconds: float, share: float | None = None) -> float:
    """What a run of so many seconds costs, by the prices and resources of the atlas.

    Args:
        plan: Of the atlas.
        seconds: Of the run.
        share: Part of a graphics processor that it had, where that was measured.
    """
    prices, wanted = plan.config.prices, plan.config.resources
    return seconds / 3600 * (wanted.cpus * prices.cpu_hour_usd + gpus_of(wanted, share) * prices.gpu_hour_usd)


def gpus_of(wanted: Resources, share: float | None) -> float:
    """Graphics processors that a run held: its share of one, where runs shared it; else what was asked for."""
    return wanted.gpus if share is None or wanted.gpus > 1 else share


def is_given_up(cause: Cause | None, num_failures: int, max_attempts: int) -> bool:
    """Whether a run that failed is left until somebody says `s2s atlas retry`; an S3 server gets more patience than a run."""
    return cause in FINAL or num_failures >= max_attempts * (STORAGE_PATIENCE if cause == "storage" else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was read of the ledger, by key."""

    survey: Survey
    commits: Mapping[str, RunCommit]
    leases: Mapping[str, Lease]
    failures: Mapping[str, Sequence[Failure]]


def _failures(failures: Sequence[Failure]) -> dict[str, list[Failure]]:
    by_key: dict[str, list[Failure]] = {}
    for failure in failures:
        by_key.setdefault(failure.key, []).append(failure)
    return by_key


def _state(run: AtlasRun, known: _Known, max_attempts: int) -> RunState:
    made = partial(RunState, key=run.key, section_id=run.section_id, tissue=run.tissue, organism=run.organism, seed=run.seed)
    if (commit := known.commits.get(run.key)) is not None:
        measured = partial(made, seconds=commit.seconds, peak_memory_bytes=commit.peak_memory_bytes, gpu=commit.gpu)
        return measured(state="done", holder=commit.holder, figures=commit.figures)
    failures, lease = known.failures.get(run.key, ()), known.leases.get(run.key)
    is_ended = lease is None or lease.token in known.survey.failures.get(run.key, ())
    num_failures = sum(failure.cause not in UNCOUNTED for failure in failures) + _num_silent(run.key, known.survey, is_ended=is_ended)
    cause = failures[-1].cause if failures else ("lost" if num_failures else None)
    state: State = "failed" if is_given_up(cause, num_failures, max_attempts) else "waiting"
    if lease is not None and not is_ended and time.time() < lease.expires_at:
        state = "running"
        made = partial(made, taken_at=lease.taken_at, note=lease.note)
    return made(
        state=state,
        num_failures=num_failures,
        cause=cause,
        message=failures[-1].message if failures else "",
        holder=lease.holder if lease else "",
    )


def _num_silent(key: str, survey: Survey, *, is_ended: bool) -> int:
    """Attempts that ended without a word: their worker was killed together with whoever watched it."""
    tokens = [token for token in survey.leases.get(key, ()) if token > survey.pardons.get(key, 0)]
    open_ones = tokens[:-1] if not is_ended else tokens
    return sum(token not in survey.failures.get(key, ()) for token in open_ones)
