"""`s2s doctor`: what is wrong here, and what to do; `s2s doctor layout`: what reading a section takes."""

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.cli.options import Json, Local
from s2s.errors import EXIT_CODE

if TYPE_CHECKING:
    from s2s.contracts.layout import LayoutReport

app = typer.Typer()
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
SectionArgument = Annotated[str, typer.Argument(metavar="SECTION", help="Id or URI of an ingested section.")]
Rewrite = Annotated[bool, typer.Option("--rewrite", help="Write it anew in today's chunks; its values and its hash stay.")]


@app.callback(invoke_without_command=True, epilog="Example: s2s doctor layout breast-1")
def doctor(context: typer.Context, local: Local = False, json_: Json = False) -> None:
    """Check the machine, the versions and the servers, and say what to do.

    Also sends records that waited for MLflow. Exit code 2 when a check fails.
    """
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from s2s.contracts.settings import load_settings
    from s2s.stack.checkup import check_up

    console = Console(stderr=True, quiet=json_)
    with nullcontext() if json_ else console.status("checking") as line:
        checks = check_up(load_settings(is_local=local or None), lambda name: line.update(f"checking {name}") if line else None)
    if json_:
        typer.echo(json.dumps([check.model_dump() for check in checks], indent=2))
    else:
        table = Table("check", "", "found", "do", box=None, pad_edge=False)
        for check in checks:
            table.add_row(check.name, f"[{COLOURS[check.state]}]{check.state}[/]", check.detail, check.advice)
        Console(soft_wrap=False).print(table)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(EXIT_CODE)


@app.command("layout", epilog="Example: s2s doctor layout s3://atlas/sections/breast-1")
def layout(section: SectionArgument, rewrite: Rewrite = False, local: Local = False, json_: Json = False) -> None:
    """Say how a section lies on its store, and how many requests and bytes reading it takes.

    A chunk is what one request fetches. Reading amplifies where chunks hold more than was asked for: many genes where one is
    wanted, a whole plane where a tile is.
    """
    from s2s.cli.progress import progress_bar
    from s2s.contracts.settings import load_settings
    from s2s.recipes.layout import examine_layout, rewrite_layout
    from s2s.recipes.sources import in_atlas
    from s2s.storage.sections import open_section

    settings = load_settings(is_local=local or None)
    uri = in_atlas("sections", section, settings)
    report = examine_layout(open_section(uri, settings))
    if rewrite and not report.is_good:
        with progress_bar(is_quiet=json_) as told:
            report = rewrite_layout(uri, settings, told)
    if json_:
        typer.echo(report.model_dump_json())
    else:
        _print_layout(report)


def _print_layout(report: "LayoutReport") -> None:
    from rich.console import Console
    from rich.table import Table

    shape, chunks = (" x ".join(map(str, sizes)) for sizes in (report.shape, report.chunks))
    typer.echo(f"{report.uri}: {shape} (genes, rows, columns)")
    typer.echo(f"{report.num_chunks} chunks of {chunks}, {report.stored_bytes / 1e6:.1f} MB\n")
    table = Table("reading", "requests", "MB", "per byte needed", box=None, pad_edge=False)
    for reading in report.readings:
        table.add_row(reading.what, f"{reading.requests:,}", f"{reading.fetched_bytes / 1e6:,.1f}", f"{reading.amplification:.1f} x")
    Console(soft_wrap=False).print(table)
    if report.is_good:
        typer.echo("\nThese are the chunks that `s2s ingest` would choose today.")
    else:
        best = " x ".join(map(str, report.best_chunks))
        typer.echo(f"\n`s2s ingest` would choose chunks of {best} today; --rewrite writes it anew.")
