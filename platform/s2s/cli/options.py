"""Options that several verbs share, said once."""

from pathlib import Path
from typing import Annotated

import typer

Local = Annotated[
    bool, typer.Option("--local", help="No servers: Zarr on the file system and MLflow on SQLite under $S2S_HOME/local, no Ray.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of words and bars.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the YAML; may be repeated.")]
Job = Annotated[
    Path, typer.Argument(metavar="JOB.yaml", help="What to do; see jobs/ for commented examples, jobs/README.md for every key.")
]
