"""`s2s impute`: a registered model on any section."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.cli.options import Json, Local
from s2s.cli.progress import progress_bar

if TYPE_CHECKING:
    from s2s.exchange.anndata_out import ImputedSection

Model = Annotated[str, typer.Option("--model", help="models:/NAME@champion, models:/NAME/VERSION or a folder; `s2s models` lists them.")]
SectionOption = Annotated[str, typer.Option("--section", help="Id or URI of an ingested section.")]
Out = Annotated[str, typer.Option("--out", help="FILE.h5ad, FOLDER.zarr or s3://.../NAME.zarr.")]
Phase = Annotated[str, typer.Option("--phase", help="y,x of the lattice to keep of a fully measured section; a sparse one keeps its own.")]
Genes = Annotated[
    str | None, typer.Option("--genes", help="Only these, separated by commas; else all that are detected in 5 % of measured bins.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of what is at --out and --figure.")]
Figure = Annotated[
    Path | None, typer.Option("--figure", help="Also draw some genes into this PNG file; `s2s export figure` draws others later.")
]


def impute(
    model: Model,
    section: SectionOption,
    out: Out,
    phase: Phase = "0,0",
    genes: Genes = None,
    replace: Replace = False,
    figure: Figure = None,
    local: Local = False,
    json_: Json = False,
) -> None:
    """Impute a section with a registered model and write an AnnData.

    One row per bin: layers `observed` and `imputed`, where known `std` and the ends of 50, 80 and 90 % intervals (`lower_90`,
    `upper_90`), `obs["is_measured"]`, `obsm["spatial"]` in micrometres, reliability per gene in `var`, provenance in
    `uns["s2s"]`. Measured values stay exactly as they are.

    Example: `s2s impute --model models:/s2s-human-breast@champion --section breast-xenium-25um --out breast.h5ad`
    """
    import json

    from s2s.contracts.run import GeneConfig, SamplingConfig
    from s2s.contracts.settings import load_settings
    from s2s.recipes.delivering import check_destination, deliver
    from s2s.recipes.exporting import check_figure, export_figure
    from s2s.recipes.imputing import ImputationRequest, impute_with_release
    from s2s.recipes.scoring import parse_phases

    settings = load_settings(is_local=local or None)
    check_destination(out, settings, replace=replace)
    if figure is not None:
        check_figure(figure, replace=replace)
    names = tuple(name.strip() for name in genes.split(",")) if genes else None
    request = ImputationRequest(
        model=model, section=section, sampling=SamplingConfig(phase=parse_phases(phase)[0]), genes=GeneConfig(names=names)
    )
    with progress_bar(is_quiet=json_) as report:
        imputed = impute_with_release(request, settings, report)
        report("write", 0, 1)
        deliver(imputed, out, settings, replace=replace)
    if figure is not None:
        export_figure(imputed, figure, None)
    summary = summarise(imputed)
    typer.echo(
        json.dumps({"out": out, **summary})
        if json_
        else f"{out}: {summary['bins']} bins, {summary['measured']} measured, {summary['imputed']} imputed, {summary['genes']} genes"
    )


def summarise(imputed: "ImputedSection") -> dict[str, int]:
    """Count what was written."""
    measured, tissue = int(imputed.is_measured.sum()), int(imputed.tissue.sum())
    return {"bins": imputed.tissue.size, "measured": measured, "imputed": tissue - measured, "genes": len(imputed.genes)}
