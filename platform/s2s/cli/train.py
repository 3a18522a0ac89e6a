"""`s2s train`: one YAML, one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.cli.options import Job, Json, Local, Set
from s2s.cli.progress import Report, progress_bar

if TYPE_CHECKING:
    from s2s.contracts.run import RunConfig, RunReport
    from s2s.contracts.settings import Settings

Out = Annotated[Path | None, typer.Option("--out", help="Folder for report, table and figures; out/NAME when absent.")]
Again = Annotated[bool, typer.Option("--again", help="Forget the checkpoint and report of this very run, and train anew.")]
Profile = Annotated[
    bool, typer.Option("--profile", help="Also write where the time went (profile.md) and a trace of some steps; registers no model.")
]
PROFILED = ("profile=true", "tracking.register_model=false")


def train(
    job: Job, set_: Set = None, local: Local = False, json_: Json = False, out: Out = None, again: Again = False, profile: Profile = False
) -> None:
    """Train on one section, impute it, score it, register the model.

    Runs as a Ray task with the resources of the YAML (`s2s stack up` starts a local cluster), or in this process with
    `--local`. Interrupted? The same command resumes. Finished before? It prints the report at once.

    Example: `s2s train jobs/breast_xenium.yaml --set training.max_steps=500`
    """
    from s2s.contracts.loading import load_run_config
    from s2s.contracts.settings import load_settings

    wanted = (*(set_ or ()), *(PROFILED if profile else ()))
    config, settings = load_run_config(job, wanted), load_settings(is_local=local or None)
    with progress_bar(is_quiet=json_) as report_progress:
        report = _run(config, settings, report_progress, again)
    folder = out or Path("out") / config.name
    save_artifacts(report, folder, settings)
    if json_:
        typer.echo(report.model_dump_json())
    else:
        describe(report, folder, settings)


def save_artifacts(report: "RunReport", folder: Path, settings: "Settings") -> None:
    """Copy the report, the table and the figures of a run into a local folder."""
    from s2s.storage.objects import read_bytes

    folder.mkdir(parents=True, exist_ok=True)
    for name, uri in report.artifacts.items():
        (folder / name).write_bytes(read_bytes(uri, settings))
    (folder / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")


def describe(report: "RunReport", folder: Path, settings: "Settings") -> None:
    """Print what a run did, its table, and where things are."""
    from s2s.evaluation.tables import markdown_table

    minutes = f"{report.seconds / 60:.1f} min"
    typer.secho(f"\n{report.config.name}: {report.steps} steps, best at {report.best_step}, {minutes} on {report.device}", bold=True)
    if report.is_leaky:
        typer.secho("LEAKY: sampling.mode paper let held-out bins into training; these figures flatter.", fg=typer.colors.RED)
    if report.num_tiles:
        typer.echo(f"A large section: learnt from and judged on {report.num_tiles} tiles of it, where most was measured.")
    if report.config.network.fill == "krige":
        typer.echo(_trusted(report.trust))
    typer.echo(markdown_table(report.scores) if report.scores else "No truth to score against: the section was measured sparsely.")
    typer.echo(f"\nmodel    {_registered(report)}")
    if settings.is_local:
        typer.echo(f"MLflow   mlflow ui --backend-store-uri {settings.tracking_uri}")
    elif report.mlflow_run_id:
        typer.echo(f"MLflow   {settings.mlflow_uri}/#/runs/{report.mlflow_run_id}")
    typer.echo(f"results  {folder}/ (section.png, scores.md, report.json)")
    if report.config.profile:
        typer.echo(f"profile  {folder}/profile.md")


def _trusted(trust: float) -> str:
    if trust == 0:
        return "Kriged alone: samples that were hidden from the network do not prove that it makes the filled section better."
    return f"Kriged, then {trust:.0%} of what the network changes in it, which is as much as samples hidden from it prove."


def _registered(report: "RunReport") -> str:
    if not report.config.tracking.register_model:
        return "not registered, as the job asks"
    if report.model_version is None:
        return "waits for MLflow; `s2s doctor` sends it, `s2s models` then shows it"
    return f"{report.model_name} version {report.model_version}"


def _run(config: "RunConfig", settings: "Settings", on_progress: Report, is_again: bool) -> "RunReport":
    if is_again:
        from s2s.recipes.sources import forget_run

        forget_run(config, settings, on_progress)
    if settings.is_local:
        from s2s.recipes.attempt import Launch
        from s2s.recipes.planning import announce, plan_run
        from s2s.recipes.single_shot import single_shot
        from s2s.training.single import Crew

        plan = plan_run(config, is_local=True)
        announce(plan, on_progress)
        return single_shot(config, settings, on_progress, Launch(crew=Crew(recompute=plan.chosen.recompute)))
    from s2s.orchestration.launch import train_on_ray

    return train_on_ray(config, settings, on_progress)
