"""An imputed section as others want it: a SpatialData store, or a figure like that of a training."""

from collections.abc import Sequence
from pathlib import Path

import psutil

from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError
from s2s.exchange.anndata_out import ImputedSection
from s2s.exchange.imputed_in import ImputedTable, check_genes, h5ad_bytes, read_imputed_file, read_imputed_store
from s2s.exchange.placing import check_place, in_place_of
from s2s.exchange.spatialdata_out import Written, ZarrFormat, check_spatialdata_output, default_genes, write_spatialdata
from s2s.recipes.picturing import imputed_figure
from s2s.storage.faults import translated
from s2s.storage.location import open_store
from s2s.storage.tables import stored_bytes

COPIES = 2.5
"""The whole table, its part on tissue, and images."""


def open_imputed(source: str, settings: Settings) -> ImputedTable:
    """Read what `s2s impute` or `s2s atlas impute` wrote.

    Args:
        source: `FILE.h5ad`, `FOLDER.zarr` or `s3://.../NAME.zarr`.
        settings: Where S3 is.

    Raises:
        MissingError: nothing there.
        InputError: not an imputed section, damaged, or larger than the memory that is free.
        StorageError: S3 does not answer.

    Reads:
        All of it.
    """
    if source.rstrip("/").endswith(".zarr"):
        _check_memory(stored_bytes(source, settings), source)
        with translated(source, settings):
            return read_imputed_store(open_store(source, settings, read_only=True), source)
    path = Path(source)
    if not source.endswith(".h5ad") or "://" in source:
        raise InputError(f"expected an imputed section, FILE.h5ad, FOLDER.zarr or s3://.../NAME.zarr, got {source}")
    if not path.is_file():
        raise MissingError(f"expected an imputed section, found no file at {source}; `s2s impute` makes one")
    _check_memory(h5ad_bytes(path), source)
    return read_imputed_file(path)


def check_export(source: str, out: str, *, replace: bool) -> None:
    """Refuse a destination before anything is read.

    Raises:
        InputError: not a local folder `NAME.zarr`, or the section itself.
        MissingError: the folder to write into is not there, or spatialdata is not installed.
        ExistsError: something is there and `replace` is off.
    """
    if "://" in out:
        raise InputError(f"expected a folder NAME.zarr of this machine, got {out}; export to a folder, then copy it there")
    if "://" not in source and Path(source).resolve() == Path(out).resolve():
        raise InputError(f"expected another place than the imputed section itself, got {out} for both; choose another --out")
    check_spatialdata_output(Path(out), replace=replace)


def export_spatialdata(table: ImputedTable, out: Path, genes: Sequence[str] | None, *, replace: bool, zarr_format: ZarrFormat) -> Written:
    """Write an imputed section as a SpatialData store.

    Args:
        table: The section.
        out: Folder to write.
        genes: Channels of the images; the most reliable when absent.
        replace: Take the place of what is there.
        zarr_format: 3, or 2 for older readers.

    Raises:
        MissingError: a gene is not there, or spatialdata is not installed.
        S2SError: as `write_spatialdata`.

    Writes:
        `out`, whole or not at all.
    """
    chosen = check_genes(genes, table.genes) if genes else default_genes(table)
    return write_spatialdata(out, table, chosen, replace=replace, zarr_format=zarr_format)


def check_figure(out: Path, *, replace: bool) -> None:
    """Refuse a figure's destination before the work is done.

    Raises:
        InputError: it does not end in `.png`.
        MissingError: the folder to write into is not there.
        ExistsError: something is there and `replace` is off.
    """
    check_place(out, (".png",), replace=replace)


def export_figure(section: ImputedSection, out: Path, genes: Sequence[str] | None) -> None:
    """Draw an imputed section; raises as `imputed_figure`.

    Args:
        section: What to draw.
        out: `FILE.png`; what is there is replaced.
        genes: Rows of the figure; four with clear structure when absent.

    Writes:
        `out`, whole or not at all.
    """
    picture = imputed_figure(section, genes)
    with in_place_of(out) as scratch:
        scratch.write_bytes(picture)


def _check_memory(num_bytes: int, source: str) -> None:
    needed, free = int(COPIES * num_bytes), psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"expected a section that fits memory, {source} takes about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            "impute fewer genes (`s2s impute --genes`), or use a larger machine"
        )
