"""`s2s doctor`: what is wrong here, and what to do."""

import json
from contextlib import nullcontext

import typer

from s2s.cli.options import Json, Local
from s2s.errors import EXIT_CODE

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(local: Local = False, json_: Json = False) -> None:
    """Check the machine, the versions and the servers, and say what to do.

    Also sends records that waited for MLflow. Exit code 2 when a check fails.
    """
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
