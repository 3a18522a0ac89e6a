"""`s2s page`: the atlas as a web page, made of files and shown."""

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import Json, Local
from s2s.cli.progress import progress_bar

app = typer.Typer(no_args_is_help=True, help="The atlas as a web page: build it, show it.")
What = Annotated[
    str, typer.Argument(metavar="URI", help="Name of an atlas, FILE.h5ad, FOLDER.zarr, s3://.../NAME.zarr, or a folder of those.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the page.")]
WithAnndata = Annotated[bool, typer.Option("--with-anndata", help="Put the AnnData of every section into the page, to be downloaded.")]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of a page that is at --out.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a page.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Of 127.0.0.1; 0 takes a free one.")]


@app.command("build", epilog="Example: s2s page build glands.h5ad --out page")
def build(
    uri: What, out: Out, with_anndata: WithAnndata = False, replace: Replace = False, local: Local = False, json_: Json = False
) -> None:
    """Make a web page of imputed sections: files that any static host serves, and nothing else.

    The page shows every section with what was sampled, imputed, how uncertain that is, and the truth where it is known. Values
    lie in Zarr chunks that the browser reads itself. What is missing from an atlas is shown with its reason.

    Interrupted? The same command goes on. With --replace, sections that have not changed are kept, not written again.
    """
    import json

    from s2s.contracts.settings import load_settings
    from s2s.page.building import PageRequest, build_page

    settings = load_settings(is_local=local or None)
    request = PageRequest(uri=uri, out=out, has_anndata=with_anndata, replace=replace)
    with progress_bar(is_quiet=json_) as report:
        built = build_page(request, settings, report)
    num_bytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    shown = built.index.count("done")
    missing = len(built.index.sections) - shown
    if json_:
        typer.echo(json.dumps({"out": str(out), "sections": shown, "kept": built.num_kept, "missing": missing, "bytes": num_bytes}))
        return
    typer.echo(
        f"{out}: {shown} section{'' if shown == 1 else 's'}, {num_bytes / 1e6:.1f} MB"
        + (f"; {built.num_kept} kept as they were" if built.num_kept else "")
        + (f"; {missing} are missing, the page says why" if missing else "")
    )
    typer.echo(f"now: s2s page show {out}, or put the folder on any host of static files")


@app.command("show", epilog="Example: s2s page show page")
def show(folder: Folder, port: Port = 0) -> None:
    """Serve a page on 127.0.0.1 until Ctrl-C, and say where."""
    from s2s.page.serving import address_of, open_server

    with open_server(folder, port) as server:
        typer.echo(f"{address_of(server)}  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended", err=True)
