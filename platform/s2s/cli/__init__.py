"""Floor 5, the door: verbs, options, words on the terminal. Parses, calls one function below, prints what it gave.

Decision: nothing heavy is imported here or at the top of any verb's file, so that `s2s --help` answers at once; the
price is an import inside every verb. A user's mistake becomes one message and exit code 2; anything else is our defect
and keeps its traceback.
"""

import sys
from typing import Annotated

import typer

from s2s import __version__, errors, logs
from s2s.cli import atlas as atlas_verbs
from s2s.cli import client as client_verbs
from s2s.cli import doctor as doctor_verbs
from s2s.cli import export as export_verbs
from s2s.cli import ingest as ingest_verbs
from s2s.cli import models as model_verbs
from s2s.cli import node as node_verbs
from s2s.cli import page as page_verbs
from s2s.cli import stack as stack_verbs
from s2s.cli import tokens as token_verbs
from s2s.cli.benchmark import benchmark
from s2s.cli.demo import demo
from s2s.cli.impute import impute
from s2s.cli.plan_memory import plan_memory
from s2s.cli.score import score
from s2s.cli.serve import serve
from s2s.cli.train import train

INTERRUPTED = 130
"""The exit code of shells for a program that Ctrl-C ended."""

app = typer.Typer(
    name="s2s",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "Impute sparse spatial transcriptomics, from one section to an atlas.\n\n"
        "First steps: `s2s demo` shows everything on synthetic tissue. With your own data: `s2s stack up`, "
        "`s2s ingest section FILE ...`, `s2s train jobs/breast_xenium.yaml`, `s2s models`, `s2s impute ...`."
    ),
)
app.add_typer(ingest_verbs.app, name="ingest")
app.command("train")(train)
app.command("plan-memory")(plan_memory)
app.command("impute")(impute)
app.add_typer(export_verbs.app, name="export")
app.command("score")(score)
app.command("benchmark")(benchmark)
app.add_typer(atlas_verbs.app, name="atlas")
app.add_typer(model_verbs.app, name="models")
app.command("serve")(serve)
app.add_typer(token_verbs.app, name="tokens")
app.add_typer(client_verbs.app, name="client")
app.add_typer(page_verbs.app, name="page")
app.add_typer(stack_verbs.app, name="stack")
app.add_typer(node_verbs.app, name="node")
app.add_typer(doctor_verbs.app, name="doctor")
app.command("demo")(demo)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"s2s {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what happens inside.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    logs.configure(is_verbose=verbose)


def main() -> None:
    """Run the command line; exit 2 with one message on a user's mistake, 130 on Ctrl-C."""
    try:
        app()
    except errors.S2SError as error:
        typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
        typer.echo(str(error), err=True)
        sys.exit(errors.EXIT_CODE)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has turned Ctrl-C into this code, without a word
            typer.echo("stopped; the same command goes on from what is kept", err=True)
        raise
