"""`s2s serve`: tissue models behind HTTP."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import Json, Set

Config = Annotated[
    Path | None, typer.Option("--config", help="YAML of the service, for instance infra/serve.yaml; else the usual settings.")
]
Stop = Annotated[bool, typer.Option("--stop", help="Shut down a service that runs on this cluster, in order.")]
Detach = Annotated[bool, typer.Option("--detach", help="Come back once it answers; `s2s serve --stop` ends it.")]


def serve(config: Config = None, set_: Set = None, stop: Stop = False, detach: Detach = False, json_: Json = False) -> None:
    """Serve the registered models over HTTP, on the Ray cluster.

    It listens on 127.0.0.1 unless told otherwise, and lets nobody in without a token: `s2s tokens create NAME`. New champions answer
    within seconds. Ctrl-C lets running requests end. `/docs` says what can be asked.

    Example: `s2s stack up && s2s serve --detach && s2s tokens create me`
    """
    import json
    import threading

    from s2s.contracts.loading import load_service_config
    from s2s.contracts.settings import load_settings
    from s2s.serving import deploy

    settings = load_settings(is_local=False)
    if stop:
        deploy.stop(settings)
        typer.echo(json.dumps({"stopped": True}) if json_ else "stopped")
        return
    resolved = load_service_config(config, set_ or ())
    if not json_:
        typer.echo("starting: door, replicas, models ...", err=True)
    url = deploy.start(resolved, settings)
    typer.echo(json.dumps({"url": url}) if json_ else f"{url}   ({url}/docs says how to use it; `s2s tokens create NAME` lets somebody in)")
    if detach:
        return
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    typer.echo("stopping: running requests end first ...", err=True)
    deploy.stop(settings)
    typer.echo("stopped", err=True)
