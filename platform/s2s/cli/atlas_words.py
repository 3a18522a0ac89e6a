"""What the verbs of `s2s atlas` say to people."""

import os
import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from s2s.contracts.atlas import AtlasConfig, AtlasEstimate, AtlasManifest, AtlasPlan, AtlasStatus
    from s2s.contracts.ledger import Cause
    from s2s.contracts.settings import Settings


def print_plan(made: "AtlasPlan", status: "AtlasStatus") -> None:
    """Print what an atlas is made of, by tissue, organism and technology, and what is left out."""
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    table = Table("tissue", "organism", "technology", "sections", "runs", "done", box=None, pad_edge=False)
    done = {state.key for state in status.runs if state.state == "done"}
    groups = Counter((run.tissue, run.organism, run.technology) for run in made.runs)
    for group, num_runs in sorted(groups.items()):
        members = [run for run in made.runs if (run.tissue, run.organism, run.technology) == group]
        num_done = sum(run.key in done for run in members)
        table.add_row(*group, str(len({run.section_id for run in members})), str(num_runs), str(num_done))
    Console().print(table)
    for item in made.skipped:
        typer.secho(f"left out: {item.section_id}: {item.reason}", fg=typer.colors.YELLOW)
    for warning in made.warnings:
        typer.secho(f"note: {warning}", fg=typer.colors.YELLOW)


def print_estimate(guess: "AtlasEstimate", config: "AtlasConfig") -> None:
    """Print what the rest takes."""
    import psutil

    from s2s.recipes.atlas.estimate import memory_advice

    typer.secho(f"\n{guess.num_runs} runs to do", bold=True)
    if guess.cpu_hours is not None and guess.usd is not None and guess.gpu_hours is not None:
        hours, money = guess.cpu_hours, guess.usd
        typer.echo(f"core hours   {hours.middle:.2f} ({hours.low:.2f} to {hours.high:.2f}), learnt from {guess.num_pilot_runs} runs")
        if config.resources.gpus:
            typer.echo(f"GPU hours    {guess.gpu_hours.middle:.2f} ({guess.gpu_hours.low:.2f} to {guess.gpu_hours.high:.2f})")
        cap = "" if config.budget_usd is None else f"; the cap is {config.budget_usd:.2f}"
        typer.echo(f"money        {money.middle:.2f} USD ({money.low:.2f} to {money.high:.2f}){cap}")
    else:
        typer.echo("hours, money unknown: no run is done yet; `s2s atlas run JOB.yaml --pilot` does three")
    typer.echo(f"S3 writes    {guess.s3_writes:,} ({guess.s3_bytes_written / 1e9:.3f} GB, {guess.usd_per_month:.2f} USD a month)")
    typer.echo(f"S3 reads     {guess.s3_reads:,} ({guess.s3_bytes_read / 1e9:.3f} GB)")
    if advice := memory_advice(guess.peak_memory_bytes, config.resources, (os.cpu_count() or 1, psutil.virtual_memory().total)):
        typer.secho(f"note: {advice}", fg=typer.colors.YELLOW)


def print_status(now: "AtlasStatus") -> None:
    """Print counts, runs at work, failures by cause with what to do about them, and releases."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from s2s.cli.at_work import rows_at_work
    from s2s.recipes.atlas.status import REMEDIES

    typer.secho(f"\n{now.name}: {now.counts or 'no runs'}; {now.cost_usd:.2f} USD", bold=True)
    if rows := rows_at_work([state for state in now.runs if state.state == "running"], time.time()):
        at_work = Table("at work", "host", "for", "doing", box=None, pad_edge=False)
        for row in rows:
            at_work.add_row(*map(escape, row))
        Console().print(at_work)
    failed: dict[Cause, list[str]] = {}
    messages: dict[Cause, str] = {}
    for state in now.runs:
        if state.state == "failed" and state.cause is not None:
            failed.setdefault(state.cause, []).append(state.section_id)
            messages.setdefault(state.cause, state.message)
    if failed:
        table = Table("cause", "runs", "sections", "for instance", "what to do", box=None, pad_edge=False)
        for cause, sections in failed.items():
            some = ", ".join(sections[:3]) + (" ..." if len(sections) > 3 else "")
            table.add_row(cause, str(len(sections)), some, messages[cause], REMEDIES[cause])
        Console().print(table)
    if now.imputed:
        states = [section.state for section in now.imputed]
        typer.echo("imputed: " + ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))))
    for item in now.skipped:
        typer.secho(f"left out: {item.section_id}: {item.reason}", fg=typer.colors.YELLOW)
    _print_releases(now)


def _print_releases(now: "AtlasStatus") -> None:
    for release in now.releases:
        trial, gain = release.trial, release.trial.gain
        version = "waits for MLflow" if release.model_version is None else f"version {release.model_version}"
        better = "" if gain is None else f", {gain:+.4f} PCC over the best classical method on {len(trial.scores)} of {trial.basis}"
        mark = " @champion" if release.is_champion else f" (not champion: {release.gate})"
        typer.echo(f"{release.model} {version}{mark if release.model_version else ''}, made on {release.section_id}{better}")
    if now.releases:
        typer.echo("cards: s2s models card NAME")


def print_manifest(manifest: "AtlasManifest", settings: "Settings") -> None:
    """Print counts, holes, the manifest's URI, and the lines of Python that open a section."""
    from rich.console import Console
    from rich.table import Table

    from s2s.recipes.atlas.status import manifest_uri

    states = ("done", "running", "waiting", "failed", "missing")
    counts = ", ".join(f"{manifest.count(state)} {state}" for state in states if manifest.count(state))
    typer.secho(f"\n{manifest.name}, imputed with {manifest.filled_with}: {counts or 'no sections'}", bold=True)
    holes = [section for section in manifest.sections if section.state != "done"]
    if holes:
        table = Table("section", "tissue", "state", "why", box=None, pad_edge=False)
        for section in holes:
            table.add_row(section.section_id, section.tissue, section.state, section.reason)
        Console().print(table)
    typer.echo(f"manifest: {manifest_uri(manifest.name, settings)}")
    opened = next((section.uri for section in manifest.sections if section.uri), None)
    if opened is not None:
        typer.echo(how_to_open(opened, settings))


def how_to_open(uri: str, settings: "Settings") -> str:
    """Lines of Python that open an imputed section."""
    if "://" not in uri:
        return f'open one: anndata.read_zarr("{uri}")'
    endpoint = f', storage_options={{"endpoint_url": "{settings.s3_endpoint}"}}'
    return (
        'open one (after `eval "$(s2s stack env)"`, or with keys of your own in the environment):\n'
        f'  anndata.read_zarr(zarr.open_group("{uri}", mode="r"{endpoint}))'
    )
