"""`s2s stack`: the local servers, from the terminal."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from s2s.stack.local import PartStatus

app = typer.Typer(help="Start, watch and end the local stack: S3, MLflow and Ray, all on 127.0.0.1.", no_args_is_help=True)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


@app.command()
def up(quiet: Quiet = False) -> None:
    """Start what is not running, keep what is, and wait until every part answers."""
    from s2s.contracts.settings import load_settings
    from s2s.stack import local

    with _progress(is_shown=not quiet) as on_wait:
        parts = local.up(load_settings().home, on_wait)
    if not quiet:
        _show(parts)
        typer.echo('Every s2s command finds the stack by itself; for other programs: eval "$(s2s stack env)"')


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")] = False) -> None:
    """Say of each part whether it answers, where it is, and where its log lies."""
    from s2s.contracts.settings import load_settings
    from s2s.stack import local

    parts = local.status(load_settings().home)
    if as_json:
        typer.echo(json.dumps([part.model_dump(mode="json") for part in parts], indent=2))
    else:
        _show(parts)


@app.command()
def env() -> None:
    """Print `export` lines for a shell: eval "$(s2s stack env)"."""
    from s2s.contracts.settings import load_settings
    from s2s.stack.env_file import export_lines, read_env_file
    from s2s.stack.folder import StackFolder

    for line in export_lines(read_env_file(StackFolder(load_settings().home).env_file)):
        typer.echo(line)


@app.command()
def down(quiet: Quiet = False) -> None:
    """End every process of the stack; its data stay."""
    from s2s.contracts.settings import load_settings
    from s2s.stack import local

    with _progress(is_shown=not quiet) as on_wait:
        ended = local.down(load_settings().home, on_wait)
    if not quiet:
        typer.echo(f"ended: {', '.join(ended)}" if ended else "no stack was up")


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Callable[[str], None]]:
    from rich.console import Console

    with Console(stderr=True, quiet=not is_shown).status("looking at the stack") as line:
        yield lambda what: line.update(f"waiting for {what}")


def _show(parts: "list[PartStatus]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "state", "address", "pid", "uptime", box=None, pad_edge=False)
    for part in parts:
        colour = {"running": "green", "silent": "yellow", "stopped": "red"}[part.state]
        state = f"[{colour}]{part.state}{' (external)' if part.is_external else ''}[/]"
        uptime = "" if part.uptime_s is None else _duration(part.uptime_s)
        table.add_row(part.title, state, part.address or "", str(part.pid or ""), uptime)
    console = Console(soft_wrap=True)
    console.print(table)
    for folder in {part.log.parent for part in parts if part.log}:
        console.print(f"logs: {folder}", highlight=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
