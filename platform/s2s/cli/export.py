"""`s2s export`: an imputed section for the tools of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.cli.options import Json, Local

if TYPE_CHECKING:
    from s2s.exchange.imputed_in import ImputedTable
    from s2s.exchange.spatialdata_out import ZarrFormat

app = typer.Typer(no_args_is_help=True, help="An imputed section for other tools: SpatialData for napari and Vitessce, a figure.")
Imputed = Annotated[
    str,
    typer.Argument(metavar="IMPUTED", help="What `s2s impute` or `s2s atlas impute` wrote: FILE.h5ad, FOLDER.zarr or s3://.../NAME.zarr."),
]
Store = Annotated[str, typer.Option("--out", help="Folder to write, NAME.zarr.")]
Channels = Annotated[
    str | None, typer.Option("--genes", help="Channels of the images, separated by commas; else the five most reliable. The table has all.")
]
Rows = Annotated[str | None, typer.Option("--genes", help="Rows of the figure, separated by commas; else four with clear structure.")]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of what is at --out.")]
Format = Annotated[int, typer.Option("--zarr-format", min=2, max=3, help="2 for readers that do not know Zarr v3, as Vitessce 3.5.")]
Png = Annotated[Path, typer.Option("--out", help="FILE.png.")]


@app.command("spatialdata", epilog="Example: s2s export spatialdata demo/glands.h5ad --out glands.zarr")
def spatialdata(
    imputed: Imputed,
    out: Store,
    genes: Channels = None,
    zarr_format: Format = 3,
    replace: Replace = False,
    local: Local = False,
    json_: Json = False,
) -> None:
    """Write an imputed section as SpatialData: a table of its bins, their shapes, images of genes, and masks, all in micrometres.

    Open it with `spatialdata.read_zarr`, with napari-spatialdata or with Vitessce. Needs the extra `spatial`.
    """
    import json

    from s2s.recipes.exporting import check_export, export_spatialdata

    check_export(imputed, out, replace=replace)
    chosen: ZarrFormat = 2 if zarr_format == 2 else 3
    written = export_spatialdata(_open(imputed, local), Path(out), split_genes(genes), replace=replace, zarr_format=chosen)
    if json_:
        typer.echo(json.dumps({"out": out, "bins": written.num_bins, "genes": written.num_genes, "image_genes": written.image_genes,
                               "elements": written.elements, "zarr_format": chosen}))  # fmt: skip
        return
    typer.echo(f"{out}: {written.num_bins} bins, {written.num_genes} genes, images of {', '.join(written.image_genes)}")
    typer.echo(f"  {', '.join(written.elements)}; Zarr v{chosen}, micrometres")


@app.command("figure", epilog="Example: s2s export figure demo/glands.h5ad --out glands.png")
def figure(imputed: Imputed, out: Png, genes: Rows = None, replace: Replace = False, local: Local = False, json_: Json = False) -> None:
    """Draw an imputed section as PNG: some genes as sampled, as imputed, and how far off that may be.

    The drawing is that of `section.png`, which every training leaves in its folder and in MLflow.
    """
    import json

    from s2s.recipes.exporting import check_figure, export_figure

    check_figure(out, replace=replace)
    export_figure(_open(imputed, local).section(), out, split_genes(genes))
    typer.echo(json.dumps({"out": str(out)}) if json_ else f"{out}")


def split_genes(genes: str | None) -> tuple[str, ...] | None:
    """Take names apart that are separated by commas; None where there are none."""
    names = tuple(name.strip() for name in (genes or "").split(",") if name.strip())
    return names or None


def _open(imputed: str, local: bool) -> "ImputedTable":
    from s2s.contracts.settings import load_settings
    from s2s.recipes.exporting import open_imputed

    return open_imputed(imputed, load_settings(is_local=local or None))
