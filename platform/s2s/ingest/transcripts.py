"""A row per transcript (in situ sequencing, Xenium or MERFISH molecule tables): CSV, CSV.gz or Parquet.

Decision: the table is read twice, once for its extent and its genes, once to count. Reading costs double; in return memory holds the grid
and one chunk, never the table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from s2s.contracts.run import SectionSource
from s2s.errors import InputError
from s2s.ingest.accumulate import GridSum
from s2s.ingest.binned import BinnedSection, section_meta
from s2s.ingest.cells import refuse_lattice
from s2s.ingest.checks import check_coordinates, check_genes, some
from s2s.ingest.gridding import bins_of, place_grid
from s2s.ingest.source_file import OnProgress, open_text, require_file, sha256_of_files

CHUNK_ROWS = 500_000
PARQUET_MAGIC = b"PAR1"
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcripts:
    """Some rows of the table.

    Attributes:
        coordinates: `(x, y)`, units of the source, finite.
        genes: Name per row.
    """

    coordinates: Float64[np.ndarray, "n 2"]
    genes: "pd.Series[str]"


def read_transcripts(source: SectionSource, on_progress: OnProgress) -> BinnedSection:
    """Count the transcripts of each gene in each bin.

    Tissue is where a bin holds at least one transcript; all of it is observed. Genes are in alphabetical order.

    Args:
        source: What to read and how; `columns` names x, y and gene.
        on_progress: Told about the stages `hash`, `read` and `bin`.

    Raises:
        MissingError: no such file.
        InputError: columns, coordinates, genes or pitch cannot be used, or the file is damaged.

    Reads:
        `source.file`, three times, in chunks: hash, extent, counts.
    """
    refuse_lattice(source)
    if source.values != "counts":
        raise InputError(
            "expected --values counts with --reader transcripts: a table of transcripts is counted; "
            "for normalised values use --reader cells or spots"
        )
    path = require_file(source.file)
    input_sha256 = sha256_of_files([path], on_progress)
    low, high, names = np.full(2, np.inf), np.full(2, -np.inf), set[str]()
    for chunk in _chunks(path, source.columns, lambda done, total: on_progress("read", done, total)):
        low = np.minimum(low, chunk.coordinates.min(axis=0))
        high = np.maximum(high, chunk.coordinates.max(axis=0))
        names.update(chunk.genes.unique())
    if not names:
        raise InputError(f"expected at least one transcript, the table in {path} is empty")
    genes = tuple(sorted(names))
    check_genes(genes, where=str(path))
    placement = place_grid(low * source.um_per_unit, high * source.um_per_unit, source.pitch_um, where=str(path))
    total = GridSum(num_genes=len(genes), num_bins=placement.num_bins, values="counts")
    index = pd.Index(genes)
    for chunk in _chunks(path, source.columns, lambda done, total: on_progress("bin", done, total)):
        bins = bins_of(chunk.coordinates * source.um_per_unit, placement)
        total.add(index.get_indexer(chunk.genes), bins, np.ones(len(bins), np.int64))
    counts = total.finish(where=str(path))
    tissue = (np.bincount(counts.indices, minlength=placement.num_bins) > 0).reshape(placement.shape)
    return BinnedSection(
        meta=section_meta(source, placement, num_genes=len(genes), input_sha256=input_sha256),
        genes=genes,
        counts=counts,
        tissue=tissue,
        observed=tissue,
        valid=np.ones(placement.shape, bool),
    )


def _chunks(path: Path, columns: tuple[str, str, str], report: Report) -> Iterator[Transcripts]:
    with path.open("rb") as handle:
        is_parquet = handle.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    frames = _parquet_frames(path, columns, report) if is_parquet else _csv_frames(path, columns, report)
    first_row = 0
    for frame in frames:
        if len(frame):
            yield _transcripts(frame, columns, where=f"{path}, rows from {first_row}")
        first_row += len(frame)


def _csv_frames(path: Path, columns: tuple[str, str, str], report: Report) -> Iterator[pd.DataFrame]:
    x, y, gene = columns
    with open_text(path) as (text, _):
        try:
            header = list(pd.read_csv(text, nrows=0).columns)
        except pd.errors.EmptyDataError:
            raise InputError(f"expected a table with a header, {path} is empty") from None
    _require_columns(columns, header, path)
    with open_text(path) as (text, tell):
        # A gene may be called "NA": empty cells mean "missing" in the coordinates only.
        try:
            reader = pd.read_csv(
                text,
                usecols=list(columns),
                dtype={gene: str},
                keep_default_na=False,
                na_values={x: ["", "nan", "NaN", "NA"], y: ["", "nan", "NaN", "NA"]},
                chunksize=CHUNK_ROWS,
            )
            for frame in reader:
                yield frame
                report(tell(), path.stat().st_size)
        except pd.errors.ParserError as error:
            raise InputError(f"expected a comma-separated table in {path}, got a broken row: {error}") from None


def _parquet_frames(path: Path, columns: tuple[str, str, str], report: Report) -> Iterator[pd.DataFrame]:
    try:
        with pq.ParquetFile(path) as file:
            _require_columns(columns, list(file.schema_arrow.names), path)
            done = 0
            for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=list(dict.fromkeys(columns))):
                yield batch.to_pandas()
                done += batch.num_rows
                report(done, file.metadata.num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"expected a sound Parquet file, {path} cannot be read ({error}); copy or download it again") from None


def _require_columns(columns: tuple[str, str, str], present: list[str], path: Path) -> None:
    unknown = [name for name in columns if name not in present]
    if unknown:
        raise InputError(
            f"expected columns {', '.join(columns)} in {path}, {', '.join(unknown)} missing; found: {', '.join(present)}; "
            "name yours with --columns x,y,gene"
        )


def _transcripts(frame: pd.DataFrame, columns: tuple[str, str, str], *, where: str) -> Transcripts:
    x, y, gene = columns
    for name in (x, y):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            texts = frame[name][pd.to_numeric(frame[name], errors="coerce").isna()]
            raise InputError(f"expected numbers in column {name} of {where}, got {texts.iloc[0]!r}")
    names = frame[gene]
    # Xenium writes gene names to Parquet as bytes.
    names = names.map(lambda name: name.decode() if isinstance(name, bytes) else name)
    is_missing = names.isna() | (names == "")
    if is_missing.any():
        rows = [str(row) for row in frame.index[is_missing]]
        raise InputError(f"expected a gene in every row of {where}, {len(rows)} have none: row {some(rows)}")
    return Transcripts(coordinates=check_coordinates(frame[[x, y]].to_numpy(), where=where), genes=names.astype(str))
