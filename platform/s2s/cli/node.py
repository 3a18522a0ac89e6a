"""`s2s node`: what runs beside Ray on a machine of the cluster."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="What runs beside Ray on a machine of the cluster.")


@app.callback()
def _group() -> None:
    """Keep `watch` a word of its own, although it is the only one."""


@app.command("watch", epilog="Example: s2s node watch &")
def watch(
    metadata: Annotated[str, typer.Option("--metadata", help="URL of the cloud's metadata service.")] = "http://169.254.169.254",
    every_s: Annotated[float, typer.Option("--every-s", min=0.1, max=60, help="Seconds between two questions.")] = 5.0,
) -> None:
    """Wait for the cloud's notice that it takes this spot machine back, then save its runs and drain its Ray node.

    Runs save a checkpoint and go on elsewhere; Ray starts nothing more here. SIGTERM counts as a notice of two minutes.
    Start it beside `ray start` on every spot machine.
    """
    from s2s.contracts.settings import load_settings
    from s2s.orchestration import preemption

    notice = preemption.watch(load_settings(is_local=False), metadata, every_s=every_s)
    typer.echo(f"{notice.reason}; this node is drained")
