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


def score(
    section: Section, pitch_um: Pitch = None, phase: Phase = "all", out: Out = None, local: Local = False, json_: Json = False
) -> None:
    """Score the classical methods on a fully measured section.

    Every second row and column counts as measured, the rest is held out; Pearson correlation, MAE and RMSE per gene on
    the held-out bins, averaged over genes. This is the table that any trained model must beat.

    Example: `s2s score breast.h5ad --pitch-um 25`
    """
    from s2s.contracts.settings import load_settings
    from s2s.evaluation.tables import markdown_table
    from s2s.recipes.scoring import ScoreRequest, parse_phases, score_classical

    settings = load_settings(is_local=local or None)
    request = ScoreRequest(section=section, pitch_um=pitch_um, phases=parse_phases(phase))
    with progress_bar(is_quiet=json_) as report:
        result = score_classical(request, settings, report)
    if out is not None:
        out.write_bytes(result.parquet())
    if json_:
        typer.echo("[" + ",".join(row.model_dump_json() for row in result.rows) + "]")
        return
    typer.echo(f"{section}: {result.num_bins} held-out bins, {result.rows[0].num_genes} genes, mean of {len(request.phases)} phase(s)\n")
    typer.echo(markdown_table(result.rows))
