"""`s2s benchmark`: many methods on many sections, one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.cli.options import Job, Json, Local, Set
from s2s.cli.progress import Report, progress_bar

if TYPE_CHECKING:
    from s2s.contracts.benchmark import BenchmarkConfig, BenchmarkReport
    from s2s.contracts.settings import Settings

Out = Annotated[Path | None, typer.Option("--out", help="Folder for report, tables and figures; out/NAME when absent.")]
Again = Annotated[bool, typer.Option("--again", help="Forget every finished cell of this benchmark, and run all of them anew.")]


def benchmark(job: Job, set_: Set = None, local: Local = False, json_: Json = False, out: Out = None, again: Again = False) -> None:
    """Compare methods on sections: one table, with costs and intervals, and figures.

    Every section is sampled at every phase, every method imputes it, trained ones with every seed: each of these cells is
    a Ray task (`s2s stack up` starts a local cluster), or with `--local` a process on this machine, one after another.
    Interrupted? The same command resumes, and repeats no finished cell. Finished before? It prints the table at once.
    Reach into lists by number: `--set sections.0.genes.limit=50`, `--set methods.1.set.training.max_steps=200`.

    Example: `s2s benchmark jobs/benchmark_small.yaml --local`
    """
    from s2s.contracts.loading import load_benchmark_config
    from s2s.contracts.settings import load_settings
    from s2s.storage.objects import read_bytes

    config, settings = load_benchmark_config(job, set_ or ()), load_settings(is_local=local or None)
    with progress_bar(is_quiet=json_) as report_progress:
        report = _run(config, settings, report_progress, again)
    folder = out or Path("out") / config.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, uri in report.artifacts.items():
        (folder / name).write_bytes(read_bytes(uri, settings))
    (folder / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
    if json_:
        typer.echo(report.model_dump_json())
    else:
        describe(report, (folder / "table.md").read_text(encoding="utf-8"), folder, settings)


def describe(report: "BenchmarkReport", table: str, folder: Path, settings: "Settings") -> None:
    """Print what a benchmark did, its table, and where things are."""
    had = report.num_cells - report.num_cells_run
    typer.secho(
        f"\n{report.config.name}: {report.num_cells} cells, {had} of them finished before, {report.seconds / 60:.1f} min", bold=True
    )
    typer.echo(f"\n{table}")
    if num_failed := sum(row.num_failed for row in report.rows):
        typer.secho(f"{num_failed} cells failed, see the notes below the tables", fg=typer.colors.YELLOW)
    if settings.is_local:
        typer.echo(f"MLflow   mlflow ui --backend-store-uri {settings.tracking_uri}")
    elif report.mlflow_run_id:
        typer.echo(f"MLflow   {settings.mlflow_uri}/#/runs/{report.mlflow_run_id}")
    typer.echo(f"results  {folder}/ (table.md, table.parquet, cells.parquet, figures, report.json)")


def _run(config: "BenchmarkConfig", settings: "Settings", on_progress: Report, is_again: bool) -> "BenchmarkReport":
    from s2s.recipes.benchmarking import benchmark as run_benchmark
    from s2s.recipes.benchmarking import forget_benchmark

    if is_again:
        forget_benchmark(config, settings, on_progress)
    if settings.is_local:
        return run_benchmark(config, settings, on_progress)
    from s2s.orchestration.benchmark import benchmark_on_ray

    return benchmark_on_ray(config, settings, on_progress)
