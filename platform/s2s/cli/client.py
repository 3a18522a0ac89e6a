"""`s2s client`: the service from a terminal, on a machine that has nothing but this client."""

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import Json
from s2s.cli.progress import progress_bar

app = typer.Typer(no_args_is_help=True, help="Use a service that runs elsewhere: list its models, impute a section.")
Url = Annotated[str, typer.Option("--url", envvar="S2S_SERVICE_URL", help="Of the service.")]
Token = Annotated[
    str, typer.Option("--token", envvar="S2S_TOKEN", help="From `s2s tokens create`; better in S2S_TOKEN, where `ps` does not show it.")
]
Section = Annotated[Path, typer.Argument(help="AnnData (.h5ad), arrays (.npz) or an Arrow stream (.arrow) with a sparse section.")]
Tissue = Annotated[str, typer.Option("--tissue", help="Which model: breast, human-breast, or its registry name.")]
Out = Annotated[Path, typer.Option("--out", help="Where the imputed section goes, in the format of the input.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="How to read it, for instance pitch_um=50 or genes=KRT5,ERBB2.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of what is at --out.")]
LOCAL_URL = "http://127.0.0.1:8000"


@app.command()
def models(token: Token, url: Url = LOCAL_URL, json_: Json = False) -> None:
    """List the models of a service.

    Example: `s2s client models --url https://atlas.example.org`, the token in S2S_TOKEN
    """
    from s2s.client import Atlas

    with Atlas(url, token) as atlas:
        found = atlas.models()
    if json_:
        typer.echo(found.model_dump_json())
        return
    for entry in found.models:
        accuracy = "" if entry.pcc is None else f"PCC {entry.pcc:.3f}"
        pitch = "" if entry.pitch_um is None else f"{entry.pitch_um:g} um"
        typer.echo(
            f"{entry.organism} {entry.tissue:<20} version {entry.version or '-':<4} {entry.technology or '':<12} {pitch:<8} {accuracy}"
        )
        if entry.problem:
            typer.echo(f"  {entry.problem}")


@app.command()
def impute(
    section: Section,
    tissue: Tissue,
    out: Out,
    token: Token,
    url: Url = LOCAL_URL,
    set_: Parameters = None,
    replace: Replace = False,
    json_: Json = False,
) -> None:
    """Send a sparse section, get it back filled in.

    Example: `s2s client impute sparse.h5ad --tissue breast --set pitch_um=50 --out breast.h5ad`, the token in S2S_TOKEN
    """
    import json
    from typing import cast

    from s2s.client.atlas import Atlas, Given
    from s2s.client.files import file_format
    from s2s.exchange.placing import check_place, in_place_of

    form = file_format(section)
    check_place(out, (f".{form}",), replace=replace)
    pairs = [pair.partition("=") for pair in set_ or ()]
    given = cast("Given", {name: value for name, _, value in pairs})  # the client checks them
    with in_place_of(out) as scratch, Atlas(url, token) as atlas, progress_bar(is_quiet=json_) as report:
        answer = atlas.impute_bytes(section.read_bytes(), tissue, form=form, on_progress=report, **given)
        scratch.write_bytes(answer)
    words = f"{out}: {len(answer)} bytes; imputed values are not measurements"
    typer.echo(json.dumps({"out": str(out), "bytes": len(answer)}) if json_ else words)
