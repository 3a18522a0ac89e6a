"""`s2s ingest`: sections and photographs, from files to the atlas. Options become contracts here; the work is done in `ingest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from s2s.cli.options import Json, Local
from s2s.cli.progress import progress_bar

if TYPE_CHECKING:
    from s2s.contracts.section import SectionMeta
    from s2s.contracts.settings import Settings
    from s2s.ingest.binned import BinnedSection

app = typer.Typer(no_args_is_help=True, help="Put sections and photographs into the atlas.")

To = Annotated[str | None, typer.Option("--to", metavar="URI", help="Where to store; by default below the atlas, named by its id.")]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of what is there under this id.")]
Donor = Annotated[str | None, typer.Option("--donor", help="Who the tissue is from: sections of one donor never judge each other.")]
Licence = Annotated[str, typer.Option("--licence", help="Licence of the source, kept with the data.")]


@app.command(
    epilog="Example: s2s ingest section cells.h5ad --reader cells --id breast-1 --tissue breast --organism human "
    "--technology xenium --pitch-um 25"
)
def section(
    file: Annotated[Path, typer.Argument(help="h5ad, csv[.gz], parquet or tsv[.gz]")],
    *,
    reader: Annotated[
        Literal["cells", "spots", "transcripts", "st"],
        typer.Option(help="cells, spots: AnnData; transcripts: a table with a row each; st: an original ST table with RxC rows."),
    ],
    id: Annotated[str, typer.Option("--id", help="Name in the atlas: lower-case letters, digits, dot, dash, underscore.")],
    tissue: Annotated[str, typer.Option(help="For instance breast.")],
    organism: Annotated[str, typer.Option(help="For instance human.")],
    technology: Annotated[str, typer.Option(help="For instance xenium.")],
    pitch_um: Annotated[float, typer.Option("--pitch-um", help="Side of a bin in micrometres; for spots and st their distance.")],
    um_per_unit: Annotated[
        float, typer.Option("--um-per-unit", help="Micrometres per unit of the coordinates, for instance per pixel.")
    ] = 1.0,
    stride: Annotated[int, typer.Option(help="Spots and st: make the grid this much finer than the spots, to impute between them.")] = 1,
    lattice_shape: Annotated[
        Literal["square", "hexagonal"], typer.Option("--lattice-shape", help="Of spots; Visium is hexagonal.")
    ] = "square",
    values: Annotated[
        Literal["counts", "log1p"], typer.Option(help="What the matrix holds: raw counts, or log1p-normalised values.")
    ] = "counts",
    layer: Annotated[str | None, typer.Option(help="AnnData layer that holds the values; X when absent.")] = None,
    columns: Annotated[str, typer.Option(help="Column names of x, y and gene in a transcript table.")] = "x,y,gene",
    licence: Licence = "unknown",
    donor: Donor = None,
    to: To = None,
    replace: Replace = False,
    local: Local = False,
    json: Json = False,
) -> None:
    """Read one section from a file onto a grid and store it."""
    from s2s.contracts.loading import validate
    from s2s.contracts.run import SectionSource
    from s2s.ingest.readers import read_section
    from s2s.ingest.store import refuse_existing_section, store_section

    options = {
        "file": str(file),
        "reader": reader,
        "id": id,
        "tissue": tissue,
        "organism": organism,
        "technology": technology,
        "pitch_um": pitch_um,
        "um_per_unit": um_per_unit,
        "lattice": {"shape": lattice_shape, "stride": stride},
        "values": values,
        "layer": layer,
        "columns": tuple(name.strip() for name in columns.split(",")),
        "licence": licence,
        "donor": donor,
    }
    source = validate(SectionSource, options, where="the set of options")
    settings, uri = _destination("sections", source.id, to, is_local=local)
    if not replace:
        refuse_existing_section(uri, settings)
    with progress_bar(is_quiet=json) as on_progress:
        binned = read_section(source, on_progress)
        meta = store_section(binned, uri, settings, replace=replace, on_progress=on_progress)
    _report_section(binned, meta, uri, as_json=json)


@app.command(epilog="Example: s2s ingest photographs ~/DIV2K_train_HR --id div2k --side 256 --licence 'research only'")
def photographs(
    source: Annotated[str, typer.Argument(help="A folder of images, an HDF5 file with hr/NUMBER, or the word `bundled`.")] = "bundled",
    *,
    id: Annotated[str | None, typer.Option("--id", help="Name in the atlas; `bundled` needs none.")] = None,
    side: Annotated[int, typer.Option(help="Images are cut into square tiles of this many pixels.")] = 128,
    licence: Licence = "unknown",
    to: To = None,
    replace: Replace = False,
    local: Local = False,
    json: Json = False,
) -> None:
    """Cut photographs into gray tiles for co-learning and store them as one set."""
    from s2s.contracts.loading import validate
    from s2s.errors import ConfigError
    from s2s.ingest.photographs import BUNDLED, PhotographSource, store_photographs

    name = BUNDLED if id is None and source == BUNDLED else id
    if name is None:
        raise ConfigError(f"expected --id with the photographs of {source}, got none; choose the name of the set, for instance --id div2k")
    options = {"location": source, "id": name, "side": side, "licence": licence}
    chosen = validate(PhotographSource, options, where="the set of options")
    settings, uri = _destination("photographs", chosen.id, to, is_local=local)
    with progress_bar(is_quiet=json) as on_progress:
        meta = store_photographs(chosen, uri, settings, replace=replace, on_progress=on_progress)
    if json:
        typer.echo(meta.model_dump_json(indent=2))
        return
    typer.echo(f"photographs {meta.id}: {meta.num_photographs} tiles of {meta.side} x {meta.side} pixels\n  stored at {uri}")


@app.command(epilog="Example: s2s ingest synthetic --kind glands --seed 7 --local")
def synthetic(
    *,
    kind: Annotated[
        Literal["layers", "glands"], typer.Option(help="layers: bands like a cortex; glands: islands of epithelium.")
    ] = "glands",
    id: Annotated[str | None, typer.Option("--id", help="Name in the atlas, starts with synthetic-; synthetic-KIND by default.")] = None,
    height: Annotated[int, typer.Option(help="Bins.")] = 64,
    width: Annotated[int, typer.Option(help="Bins.")] = 64,
    genes: Annotated[int, typer.Option(help="Number of genes.")] = 60,
    median_total: Annotated[float, typer.Option("--median-total", help="Counts of a bin of median depth.")] = 300.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same section.")] = 0,
    to: To = None,
    replace: Replace = False,
    local: Local = False,
    json: Json = False,
) -> None:
    """Make a synthetic section, labelled so everywhere, and store it."""
    from s2s.contracts.loading import validate
    from s2s.contracts.synthetic import SyntheticTissue
    from s2s.ingest.store import refuse_existing_section, store_section
    from s2s.ingest.synthetic import make_synthetic

    options = {"kind": kind, "height": height, "width": width, "num_genes": genes, "median_total": median_total, "seed": seed}
    tissue = validate(SyntheticTissue, options if id is None else {**options, "id": id}, where="the set of options")
    settings, uri = _destination("sections", tissue.id, to, is_local=local)
    if not replace:
        refuse_existing_section(uri, settings)
    with progress_bar(is_quiet=json) as on_progress:
        binned, _ = make_synthetic(tissue)
        meta = store_section(binned, uri, settings, replace=replace, on_progress=on_progress)
    _report_section(binned, meta, uri, as_json=json)


def _destination(folder: str, name: str, to: str | None, *, is_local: bool) -> "tuple[Settings, str]":
    from s2s.contracts.settings import load_settings
    from s2s.storage.location import join

    settings = load_settings(is_local=is_local or None)
    return settings, to or join(settings.root, folder, name)


def _report_section(binned: "BinnedSection", meta: "SectionMeta", uri: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(meta.model_dump_json(indent=2))
        return
    import numpy as np

    height, width = meta.shape
    median, unit = float(np.median(binned.totals()[binned.observed])), "counts" if meta.values == "counts" else "log1p units"
    typer.echo(
        f"section {meta.id}{' (synthetic)' if meta.is_synthetic else ''}: "
        f"{height} x {width} bins of {meta.pitch_um:g} um, {meta.num_genes} genes\n"
        f"  {binned.tissue.mean():.1%} of the grid is tissue, {int(binned.observed.sum())} bins are measured, "
        f"median {median:.6g} {unit} per measured bin\n"
        f"  stored at {uri}"
    )
