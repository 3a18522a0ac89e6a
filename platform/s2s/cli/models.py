"""`s2s models`: what the registry holds, as a table for people or as JSON for programs; and who is champion.

Decision: output goes to stdout and nothing else does, so that `s2s models --json | jq` works; MLflow is imported only
when the verb runs.
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from s2s.cli.options import Json

if TYPE_CHECKING:
    from typer._click.core import Context

    from s2s.tracking.promotion import Promotion
    from s2s.tracking.registry import ModelSummary, VersionSummary

COLUMNS = ("version", "aliases", "made on", "pitch", "PCC", "RMSE", "classical")


class _ListUnlessTold(TyperGroup):
    """`s2s models` and `s2s models NAME` list; `promote` and `rollback` are words of their own."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        if args[:1] != ["--help"] and not set(args[:1]) & self.commands.keys():
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListUnlessTold, help="The tissues' models: list them (`s2s models [NAME]`), and say who is champion.")
Name = Annotated[str, typer.Argument(help="Registered name, for instance s2s-human-breast.")]
Registry = Annotated[bool, typer.Option("--local", help="The registry of --local runs instead of the server's.")]


@app.command("list", epilog="Example: s2s models s2s-human-breast")
def models(
    name: Annotated[str | None, typer.Argument(help="Only this model, for instance s2s-human-breast.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    local: Registry = False,
) -> None:
    """List the tissues' models with their versions, aliases and accuracy on held-out bins."""
    from s2s.contracts.settings import load_settings
    from s2s.errors import MissingError
    from s2s.tracking.registry import list_models

    settings = load_settings(is_local=True if local else None)
    found = list_models(settings)
    if name is not None:
        known = ", ".join(model.name for model in found) or "none yet, `s2s train` registers one"
        found = [model for model in found if model.name == name]
        if not found:
            raise MissingError(f"expected a registered model, there is no {name!r} at {settings.tracking_uri}; there are: {known}")
    if as_json:
        typer.echo(json.dumps([model.model_dump(mode="json") for model in found], indent=2))
    elif found:
        _print_table(found)
    else:
        typer.echo(f"no models at {settings.tracking_uri} yet; `s2s train jobs/<file>.yaml` registers one")


@app.command("card", epilog="Example: s2s models card s2s-human-breast > card.md")
def card(
    name: Name,
    version: Annotated[int | None, typer.Argument(min=1, help="Of the model; its champion when absent.")] = None,
    *,
    local: Registry = False,
) -> None:
    """Print the card of a version as Markdown: data, accuracy where nobody had looked, calibration, genes, licence."""
    from s2s.contracts.settings import load_settings
    from s2s.evaluation.release_card import release_card
    from s2s.tracking.releases import load_release

    uri = f"models:/{name}@champion" if version is None else f"models:/{name}/{version}"
    typer.echo(release_card(load_release(uri, load_settings(is_local=local or None))[0]), nl=False)


@app.command("promote", epilog="Example: s2s models promote s2s-human-breast 7")
def promote(
    name: Name, version: Annotated[int, typer.Argument(min=1, help="Of the model.")], local: Registry = False, json_: Json = False
) -> None:
    """Make a version champion, whatever the gate said; the champion so far becomes @previous."""
    from s2s.contracts.settings import load_settings
    from s2s.tracking import promotion

    _tell(promotion.promote(load_settings(is_local=local or None), name, version), is_json=json_)


@app.command("rollback", epilog="Example: s2s models rollback s2s-human-breast")
def rollback(name: Name, local: Registry = False, json_: Json = False) -> None:
    """Make the former champion champion again; a second rollback takes the first back."""
    from s2s.contracts.settings import load_settings
    from s2s.tracking import promotion

    _tell(promotion.rollback(load_settings(is_local=local or None), name), is_json=json_)


def _tell(done: "Promotion", *, is_json: bool) -> None:
    if is_json:
        typer.echo(json.dumps({"name": done.name, "champion": done.champion, "previous": done.previous}))
        return
    before = "" if done.previous is None else f"; version {done.previous} is @previous"
    typer.echo(f"{done.name}: version {done.champion} is @champion{before}")


def _print_table(found: "list[ModelSummary]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for model in found:
        table = Table(*COLUMNS, box=None, pad_edge=False, title=model.name, title_justify="left", title_style="bold")
        for version in model.versions:
            table.add_row(*_row(version))
        console.print(table)
        console.print(f"gate of version {model.versions[0].version}: {model.versions[0].gate or 'being registered'}\n", highlight=False)
    console.print("PCC, RMSE and the best classical PCC are means over genes on held-out bins of that section.", style="dim")


def _row(version: "VersionSummary") -> tuple[str, ...]:
    marks = [mark for mark, is_so in (("synthetic", version.is_synthetic), ("leaky", version.is_leaky)) if is_so]
    return (
        str(version.version),
        " ".join(f"@{alias}" for alias in version.aliases),
        " ".join([version.section_id or "", *(f"({mark})" for mark in marks)]),
        f"{version.pitch_um:g} um" if version.pitch_um is not None else "",
        _figure(version.pcc),
        _figure(version.rmse),
        _figure(version.best_classical_pcc),
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
