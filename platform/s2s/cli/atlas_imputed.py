"""What `s2s atlas impute` says at its end: how much there is, what is missing and why, and how to open it."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from s2s.contracts.atlas import AtlasManifest
    from s2s.contracts.settings import Settings


def print_manifest(manifest: "AtlasManifest", settings: "Settings") -> None:
    """Print counts, holes, the manifest's URI, and the lines of Python that open a section."""
    from rich.console import Console
    from rich.table import Table

    from s2s.recipes.atlas.status import manifest_uri

    states = ("done", "running", "waiting", "failed", "missing")
    counts = ", ".join(f"{manifest.count(state)} {state}" for state in states if manifest.count(state))
    typer.secho(f"\n{manifest.name}, imputed with {manifest.filled_with}: {counts or 'no sections'}", bold=True)
    holes = [section for section in manifest.sections if section.state != "done"]
    if holes:
        table = Table("section", "tissue", "state", "why", box=None, pad_edge=False)
        for section in holes:
            table.add_row(section.section_id, section.tissue, section.state, section.reason)
        Console().print(table)
    typer.echo(f"manifest: {manifest_uri(manifest.name, settings)}")
    opened = next((section.uri for section in manifest.sections if section.uri), None)
    if opened is not None:
        typer.echo(how_to_open(opened, settings))


def how_to_open(uri: str, settings: "Settings") -> str:
    """Lines of Python that open an imputed section."""
    if "://" not in uri:
        return f'open one: anndata.read_zarr("{uri}")'
    endpoint = f', storage_options={{"endpoint_url": "{settings.s3_endpoint}"}}'
    return (
        'open one (after `eval "$(s2s stack env)"`, or with keys of your own in the environment):\n'
        f'  anndata.read_zarr(zarr.open_group("{uri}", mode="r"{endpoint}))'
    )
