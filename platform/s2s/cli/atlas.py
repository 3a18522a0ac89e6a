"""`s2s atlas`: hundreds of sections from one YAML, planned, run, followed, tried again, and imputed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from s2s.cli.atlas_words import print_estimate, print_manifest, print_plan, print_status
from s2s.cli.options import Job, Json, Local, Set
from s2s.cli.progress import Report, progress_bar

if TYPE_CHECKING:
    from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, ModelChoice
    from s2s.contracts.ledger import Cause
    from s2s.contracts.settings import Settings
    from s2s.recipes.atlas.work import Finished, RunAll

app = typer.Typer(no_args_is_help=True, help="Many sections from one YAML: plan, run, follow, try again, impute.")
Out = Annotated[Path | None, typer.Option("--out", help="Folder for map.png, map.html and status.json; out/NAME when absent.")]
Which = Annotated[str, typer.Argument(metavar="NAME|JOB.yaml", help="Name of an atlas that was run, or its YAML.")]
Causes = Annotated[list[str] | None, typer.Option("--cause", help="Only runs that failed for this reason; may be repeated.")]
With = Annotated[str, typer.Option("--with", help="champion: of the section's tissue; own: the release of the section's own training run.")]
Pilot = Annotated[
    bool, typer.Option("--pilot", help="Only three runs, of the smallest, the middle and the largest section, to learn costs.")
]


@app.command("plan", epilog="Example: s2s atlas plan jobs/atlas_demo.yaml")
def plan(job: Job, set_: Set = None, local: Local = False, json_: Json = False) -> None:
    """Say what would run, what is done, and what the rest takes: hours, money, S3 requests.

    Hours and money are learnt from runs that are done: `s2s atlas run JOB.yaml --pilot` does three. Files and synthetic
    sections that the atlas does not hold yet are ingested. Nothing is trained.
    """
    config, settings = _load(job, set_, local)
    from s2s.recipes.atlas.estimate import estimate
    from s2s.recipes.atlas.plan import make_plan
    from s2s.recipes.atlas.status import survey_atlas

    with progress_bar(is_quiet=json_) as report:
        made = make_plan(config, settings, report)
        status = survey_atlas(made, settings)
    guess = estimate(made, status)
    if json_:
        typer.echo(f'{{"plan": {made.model_dump_json()}, "status": {status.model_dump_json()}, "estimate": {guess.model_dump_json()}}}')
        return
    print_plan(made, status)
    print_estimate(guess, config)


@app.command("run", epilog="Example: s2s atlas run jobs/atlas_demo.yaml")
def run(job: Job, set_: Set = None, local: Local = False, json_: Json = False, out: Out = None, pilot: Pilot = False) -> None:
    """Do every run of the atlas that is not done, on the Ray cluster, and draw the completeness map.

    Stop it, kill it, lose machines: the same command goes on, and nothing is done twice, not even by two of them at once.
    A run that fails is tried again where that makes sense; what is given up waits for `s2s atlas retry`. Of every tissue whose
    runs are over, the best is scored on sections that it has not seen and becomes a version of the tissue's model.
    """
    config, settings = _load(job, set_, local)
    from s2s.recipes.atlas.launching import launch_atlas

    with progress_bar(is_quiet=json_) as report:
        launched = launch_atlas(config, settings, report, _runner(settings, report, is_quiet=json_), is_pilot=pilot)
    folder = out or Path("out") / config.name
    _save(launched.files, folder)
    if json_:
        typer.echo(launched.status.model_dump_json())
    else:
        print_status(launched.status)
        typer.echo(f"{launched.num_before} runs were done before; map: {folder}/map.png, {folder}/map.html")
    if config.budget_usd is not None and launched.status.cost_usd >= config.budget_usd and launched.status.count("waiting"):
        typer.secho(f"the budget of {config.budget_usd:g} USD is spent; raise budget_usd to go on", fg=typer.colors.YELLOW, err=True)
    if launched.status.count("failed"):
        raise typer.Exit(1)


@app.command("impute", epilog="Example: s2s atlas impute demo --with own")
def impute(which: Which, with_: With = "champion", local: Local = False, json_: Json = False) -> None:
    """Impute every section of an atlas that was run, into one AnnData-Zarr each, and write a manifest of where they lie.

    Sections of any size are imputed tile by tile in about a gigabyte of memory. Stop it, kill it: the same command goes on
    where it was, and does only what is missing. The layers are those of `s2s impute`; open one with `anndata.read_zarr`.
    """
    filled_with = _choice(with_)
    found, settings = _find(which, local)
    from s2s.recipes.atlas.imputing import impute_atlas

    with progress_bar(is_quiet=json_) as report:
        manifest = impute_atlas(found, filled_with, settings, report, _runner(settings, report, is_quiet=json_))
    if json_:
        typer.echo(manifest.model_dump_json())
    else:
        print_manifest(manifest, settings)
    if manifest.count("failed"):
        raise typer.Exit(1)


@app.command("status", epilog="Example: s2s atlas status demo")
def status(which: Which, local: Local = False, json_: Json = False, out: Out = None) -> None:
    """Say how far an atlas is and what its workers are doing, from any machine, whether its launcher is alive or not."""
    from s2s.recipes.atlas.status import atlas_files, survey_atlas

    found, settings = _find(which, local)
    now = survey_atlas(found, settings)
    folder = out or Path("out") / now.name
    _save(atlas_files(now), folder)
    if json_:
        typer.echo(now.model_dump_json())
        return
    print_status(now)
    typer.echo(f"map: {folder}/map.png, {folder}/map.html")


@app.command("retry", epilog="Example: s2s atlas retry demo --cause out-of-memory")
def retry(which: Which, cause: Causes = None, local: Local = False, json_: Json = False) -> None:
    """Forgive the failures of runs that were given up; the next `s2s atlas run`, or `impute`, tries them again."""
    import json

    from s2s.recipes.atlas.imputing import pardon_imputations
    from s2s.recipes.atlas.status import pardon_runs

    found, settings = _find(which, local)
    causes = _causes(cause or [])
    sections, imputations = pardon_runs(found, settings, causes), pardon_imputations(found.config.name, settings, causes)
    if json_:
        typer.echo(json.dumps(sections + imputations))
    elif sections or imputations:
        for command, names in (("run JOB.yaml", sections), (f"impute {found.config.name}", imputations)):
            if names:
                typer.echo(f"{len(names)} runs are open again: {', '.join(names)}\nnow: s2s atlas {command}")
    else:
        typer.echo("no run was given up" + (f" for {', '.join(cause)}" if cause else ""))


def _load(job: Path, set_: list[str] | None, local: bool) -> "tuple[AtlasConfig, Settings]":
    from s2s.contracts.loading import load_atlas_config
    from s2s.contracts.settings import load_settings

    return load_atlas_config(job, set_ or ()), load_settings(is_local=local or None)


def _find(which: str, local: bool) -> "tuple[AtlasPlan, Settings]":
    from s2s.contracts.loading import load_atlas_config
    from s2s.contracts.settings import load_settings
    from s2s.recipes.atlas.status import find_plan

    settings = load_settings(is_local=local or None)
    name = load_atlas_config(Path(which)).name if which.endswith((".yaml", ".yml")) else which
    return find_plan(name, settings), settings


def _causes(words: list[str]) -> "list[Cause]":
    from s2s.contracts.ledger import Cause
    from s2s.errors import ConfigError

    known = get_args(Cause)
    if wrong := [word for word in words if word not in known]:
        raise ConfigError(f"expected --cause to be one of {', '.join(known)}, got {', '.join(wrong)}")
    return [cause for cause in known if cause in words]


def _choice(word: str) -> "ModelChoice":
    from s2s.contracts.atlas import ModelChoice
    from s2s.errors import ConfigError

    for known in get_args(ModelChoice):
        if word == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"expected --with to be one of {', '.join(get_args(ModelChoice))}, got {word}")


def _runner(settings: "Settings", report: Report, *, is_quiet: bool) -> "RunAll":
    """Where runs are done: on this machine with `--local`, else on Ray, with a live view where somebody looks."""
    if settings.is_local:
        from s2s.recipes.atlas.here import here

        return here(report)
    from s2s.cli.at_work import asking
    from s2s.cli.fleet_view import fleet_view
    from s2s.orchestration.fleet import on_ray
    from s2s.recipes.atlas.status import runs_at_work

    def run_all(plan: "AtlasPlan", pending: "Sequence[AtlasRun]", settings: "Settings", finished: "Finished") -> None:
        ask = (lambda: runs_at_work(plan, settings)) if sys.stderr.isatty() and not is_quiet else None
        with asking(ask) as at_work:
            on_ray(fleet_view(plan.config, report, at_work))(plan, pending, settings, finished)

    return run_all


def _save(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
