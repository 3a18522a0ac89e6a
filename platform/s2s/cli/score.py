"""`s2s score`: how well the classical methods do on a section, by the protocol."""

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import Json, Local
from s2s.cli.progress import progress_bar

Section = Annotated[str, typer.Argument(help="Id or URI of an ingested section, or an AnnData file of cells (give --pitch-um).")]
Pitch = Annotated[float | None, typer.Option("--pitch-um", help="Side of a bin, for a file.")]
Phase = Annotated[str, typer.Option("--phase", help="y,x of the sampled lattice, for instance 0,1; or all: the mean of the four.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the per-gene table of every method and phase to this Parquet file.")]
Panel = Annotated[
    list[str] | None,
    typer.Option(
        "--panel",
        metavar="METHOD",
        help="Also judge this method as reviewers do: structure, variable genes, clusters, gene-gene correlation. Repeat it to compare.",
    ),
]
PanelFigure = Annotated[Path | None, typer.Option("--panel-figure", help="Draw the panel into this PNG file.")]


def score(
    section: Section,
    pitch_um: Pitch = None,
    phase: Phase = "all",
    out: Out = None,
    panel: Panel = None,
    panel_figure: PanelFigure = None,
    local: Local = False,
    json_: Json = False,
) -> None:
    """Score the classical methods on a fully measured section.

    Every second row and column counts as measured, the rest is held out; Pearson correlation, MAE and RMSE per gene on
    the held-out bins, averaged over genes. This is the table that any trained model must beat.

    With `--panel` the first phase is also judged by Moran's I bias, precision and recall of spatially variable genes (SVG),
    agreement of clusters (ARI, NMI), distortion of gene-gene correlations, and against genes paired at random.

    Example: `s2s score breast.h5ad --pitch-um 25 --panel svd_gaussian --panel nearest`
    """
    from s2s.contracts.settings import load_settings
    from s2s.errors import ConfigError
    from s2s.evaluation.plots import panel_figure as draw_panel
    from s2s.evaluation.tables import markdown_table, panel_table
    from s2s.recipes.scoring import ScoreRequest, parse_phases, score_classical

    if panel_figure is not None and not panel:
        raise ConfigError("expected --panel METHOD with --panel-figure, got the figure alone; name the method to draw")
    settings = load_settings(is_local=local or None)
    request = ScoreRequest(section=section, pitch_um=pitch_um, phases=parse_phases(phase), panel=tuple(panel or ()))
    with progress_bar(is_quiet=json_) as report:
        result = score_classical(request, settings, report)
    if out is not None:
        out.write_bytes(result.parquet())
    if panel_figure is not None:
        panel_figure.write_bytes(draw_panel(result.panels))
    reports = [made.report for made in result.panels]
    if json_:
        rows = "[" + ",".join(row.model_dump_json() for row in result.rows) + "]"
        typer.echo(f'{{"scores":{rows},"panels":[{",".join(report.model_dump_json() for report in reports)}]}}' if reports else rows)
        return
    typer.echo(f"{section}: {result.num_bins} held-out bins, {result.rows[0].num_genes} genes, mean of {len(request.phases)} phase(s)\n")
    typer.echo(markdown_table(result.rows))
    if reports:
        y, x = request.phases[0]
        typer.echo(f"\nReviewers' panel, phase {y},{x}; SVG: spatially variable genes\n")
        typer.echo(panel_table(reports))
