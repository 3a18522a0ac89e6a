"""One section of a page: its Zarr store for the browser, its genes, its thumbnail.

    sections/<key>/zarr.json         what it is (`PageStore`)
    sections/<key>/imputed/, ...     arrays (gene, y, x), float16; NaN off tissue
    sections/<key>/observed          positions that were measured
    sections/<key>/overview/...      the same, averaged, where the section is large; `sampled` averages what was measured
    sections/<key>/genes.json.gz     names and reliability

Decision: two-byte floats. They are off by at most 0.05 %, less than the last digit the page shows, need no table of scales beside them,
and any Zarr reader opens them; single precision would double what a browser fetches.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from s2s import __version__
from s2s.contracts.page import LayerName, PageSection, PageStore
from s2s.contracts.release import Release
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.exchange.anndata_by_gene import ImputedFrame, ImputedReader, blocks_of, open_h5ad
from s2s.exchange.placing import in_place_of
from s2s.page.keeping import keep_section
from s2s.page.provenance import is_so, model_key, number_at, pair_at, release_of, text_at
from s2s.page.thumbnails import means, thumbnail
from s2s.page.truth import Truth, find_truth
from s2s.storage.faults import translated
from s2s.storage.location import parse
from s2s.storage.objects import digest_of
from s2s.storage.planes import TILE, PlaneWriter, open_tree, plane_chunks

LAYERS: tuple[LayerName, ...] = ("imputed", "std", "lower_90", "upper_90")
"""Copied where the AnnData has them; `truth` comes from the section."""

BLOCK_VALUES = 16_000_000
"""Of one layer in memory at once: some 200 MB with all that is made of them."""

DTYPE = np.dtype(np.float16)
LARGEST = 60_000.0
"""That two-byte floats hold."""


class Told(Protocol):
    """Told how far it is."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` parts of `stage` are done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionJob:
    """One section to be written.

    Attributes:
        row: What the overview knows of it so far.
        uri: Of its AnnData.
        folder: To write into.
        old: Where the page that is replaced may have it.
        has_download: Its AnnData is added afterwards.
        settings: Where stores lie.
        on_progress: Told of every block of genes.
    """

    row: PageSection
    uri: str
    folder: Path
    old: Path
    has_download: bool
    settings: Settings
    on_progress: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of it.

    Attributes:
        row: Of the overview, finished.
        release: That filled it in; None where it is not known.
        store: What the store says of itself.
        is_kept: It was there already, its download too.
    """

    row: PageSection
    release: Release | None
    store: PageStore
    is_kept: bool = False


@dataclass(slots=True, kw_only=True)
class _Filling:
    """The layers on their way; `picture` is kept for the thumbnail."""

    reader: ImputedReader
    truth: Truth
    layers: tuple[LayerName, ...]
    factor: int
    chunks: tuple[int, int, int]
    picked: int
    picture: Float32[np.ndarray, "y x"] | None = field(default=None)


def write_section(job: SectionJob) -> Written:
    """Write the store of one section, gene block by gene block, in memory that does not grow with it; or keep the one that is there.

    Args:
        job: Which, and where to.

    Raises:
        InputError: it is no AnnData of an imputation, or holds values that are none.
        MissingError: it is not there.
        StorageError: a store or the disk refused.

    Reads:
        The AnnData; the section that it was made from, where all of it was measured.

    Writes:
        The folder.
    """
    with open_imputed(job.uri, job.settings) as reader:
        frame, release = reader.frame, release_of(reader.frame)
        truth = find_truth(frame, job.settings)
        layers = tuple(name for name in LAYERS if name in frame.layers) + (("truth",) if truth.survey else ())
        shape = (len(frame.genes), *frame.shape)
        filling = _Filling(
            reader=reader,
            truth=truth,
            layers=layers,
            factor=overview_factor(frame.shape),
            chunks=plane_chunks(shape, DTYPE.itemsize),
            picked=best_gene(frame),
        )
        store = _describe(job, filling, release)
        kept = keep_section(store, job.folder, job.old, has_download=job.has_download)
        if kept is None:
            with in_place_of(job.folder) as scratch:
                _write(scratch, job, filling, store)
    return Written(row=_row(job, frame, store), release=release, store=kept or store, is_kept=kept is not None)


@contextmanager
def open_imputed(uri: str, settings: Settings) -> Iterator[ImputedReader]:
    """Open an imputed section, a file or a Zarr store.

    Raises:
        InputError: it is no AnnData that an imputation wrote.
        MissingError: nothing there.
        StorageError: the store refused or does not answer, also while it is read.
    """
    with translated(uri, settings):
        if uri.endswith(".h5ad"):
            with open_h5ad(path_of(uri)) as tree:
                yield ImputedReader(uri, tree)
        else:
            yield ImputedReader(uri, open_tree(uri, settings))


def path_of(uri: str) -> Path:
    """Path of a file by its URI or path."""
    place = parse(uri)
    return Path(place.root, place.key)


def overview_factor(shape: tuple[int, int]) -> int:
    """Side of the squares that the overview of a section averages: a power of two; 1 where it needs no overview."""
    factor = 1
    while max(shape) > TILE * factor:
        factor *= 2
    return factor


def best_gene(frame: ImputedFrame) -> int:
    """Index of the gene that came back best, among those that can be relied on if there are any."""
    known = np.nan_to_num(frame.reliability, nan=-2.0)
    if frame.is_reliable is not None and frame.is_reliable.any():
        known = np.where(frame.is_reliable, known, -2.0)
    return int(known.argmax())


def genes_document(frame: ImputedFrame) -> bytes:
    """Names and reliability of the genes, as gzipped JSON: `names`, `pcc` (null where unknown), `reliable` (null where unknown)."""
    pcc = [round(float(value), 3) if np.isfinite(value) else None for value in frame.reliability]
    reliable = None if frame.is_reliable is None else [int(value) for value in frame.is_reliable]
    document = json.dumps({"names": frame.genes, "pcc": pcc, "reliable": reliable}, separators=(",", ":"))
    return gzip.compress(document.encode(), compresslevel=6, mtime=0)


def _write(folder: Path, job: SectionJob, filling: _Filling, store: PageStore) -> None:
    writer, frame = PlaneWriter(folder.as_posix(), job.settings), filling.reader.frame
    _write_masks(writer, frame, filling)
    _write_layers(writer, filling, job)
    writer.finish(store.model_dump(mode="json"))  # before other files lie there: Zarr would take them for arrays
    (folder / "genes.json.gz").write_bytes(genes_document(frame))
    if filling.picture is not None:
        (folder / "thumb.png").write_bytes(thumbnail(filling.picture, frame.lattice))


def _write_masks(writer: PlaneWriter, frame: ImputedFrame, filling: _Filling) -> None:
    chunks = filling.chunks[1:]
    for name, mask in (("tissue", frame.tissue), ("observed", frame.is_measured)):
        writer.lay_out(name, frame.shape, chunks, np.dtype(np.bool_))
        writer.write(name, (0, 0), mask)


def _write_layers(writer: PlaneWriter, filling: _Filling, job: SectionJob) -> None:
    num_genes, (height, width) = len(filling.reader.frame.genes), filling.reader.frame.shape
    for name in filling.layers:
        writer.lay_out(name, (num_genes, height, width), filling.chunks, DTYPE)
    if filling.factor > 1:
        small = (num_genes, -(-height // filling.factor), -(-width // filling.factor))
        for small_name in ("sampled", *filling.layers):
            writer.lay_out(f"overview/{small_name}", small, plane_chunks(small, DTYPE.itemsize), DTYPE)
    for genes in _blocks(filling):
        job.on_progress(job.row.key, genes.start, num_genes)
        for name in filling.layers:
            for start in range(0, height, filling.chunks[1]):
                _write_band(writer, filling, name, genes, slice(start, min(start + filling.chunks[1], height)))
    job.on_progress(job.row.key, num_genes, num_genes)


def _blocks(filling: _Filling) -> Iterator[slice]:
    """Blocks of genes that fit the memory, or a chunk of the AnnData if that is not much larger: it would be unpacked again and again."""
    reader, depth = filling.reader, filling.chunks[0]
    fitting = max(1, BLOCK_VALUES // (filling.chunks[1] * reader.frame.shape[1]))
    whole = reader.genes_per_chunk("imputed")
    yield from blocks_of(len(reader.frame.genes), max(fitting, whole if whole <= 4 * fitting else 0), depth)


def _write_band(writer: PlaneWriter, filling: _Filling, name: LayerName, genes: slice, rows: slice) -> None:
    frame, first = filling.reader.frame, (genes.start, rows.start, 0)
    planes = filling.truth.read(genes, rows, frame.tissue[rows]) if name == "truth" else filling.reader.read(name, genes, rows)
    if not _is_storable(planes, frame, rows):
        raise InputError(
            f"expected finite values below {LARGEST:g} on tissue in layer {name} of {filling.reader.uri}, got others among genes "
            f"{frame.genes[genes.start]} to {frame.genes[genes.stop - 1]}; impute it again"
        )
    writer.write(name, first, planes.astype(DTYPE))
    overview = planes
    if filling.factor > 1:
        small = (genes.start, rows.start // filling.factor, 0)
        # Where something was measured nothing was estimated: its zeros would make the rest look surer than it is.
        overview = means(np.where(frame.is_measured[rows], np.float32(np.nan), planes) if name == "std" else planes, filling.factor)
        writer.write(f"overview/{name}", small, overview.astype(DTYPE))
        if name == "imputed":
            sampled = means(np.where(frame.is_measured[rows], planes, np.float32(np.nan)), filling.factor)
            writer.write("overview/sampled", small, sampled.astype(DTYPE))
    if name == "imputed" and genes.start <= filling.picked < genes.stop:
        strip = overview[filling.picked - genes.start]
        filling.picture = strip if filling.picture is None else np.concatenate([filling.picture, strip])


def _is_storable(planes: Float32[np.ndarray, "gene y x"], frame: ImputedFrame, rows: slice) -> bool:
    values = planes[:, frame.tissue[rows]]
    return values.size == 0 or bool(np.isfinite(values).all() and np.abs(values).max() < LARGEST)


def _describe(job: SectionJob, filling: _Filling, release: Release | None) -> PageStore:
    frame, told = filling.reader.frame, filling.reader.frame.provenance
    return PageStore(
        key=job.row.key,
        tissue=text_at(told, "section", "tissue") or job.row.tissue,
        organism=text_at(told, "section", "organism"),
        technology=text_at(told, "section", "technology"),
        donor=text_at(told, "section", "donor") or None,
        licence=text_at(told, "section", "licence") or "unknown",
        shape=frame.shape,
        pitch_um=frame.pitch_um,
        lattice=frame.lattice,
        num_genes=len(frame.genes),
        num_measured=int(frame.is_measured.sum()),
        num_bins=int(frame.tissue.sum()),
        layers=filling.layers,
        overview_factor=filling.factor,
        units=text_at(told, "units") or "log1p",
        gene=frame.genes[filling.picked],
        truth_note=filling.truth.note,
        stride=max(1, number_at(told, "sampling", "stride", default=1)),
        phase=pair_at(told, "sampling", "phase"),
        model=model_key(release) if release else None,
        model_uri=text_at(told, "model"),
        source_uri=_source_of(job.uri),
        source_digest=digest_of(job.uri, job.settings),
        written_by=__version__,
        is_synthetic=is_so(told, "section", "is_synthetic") or is_so(told, "release", "is_synthetic"),
        is_leaky=is_so(told, "release", "is_leaky"),
        made_at=text_at(told, "made_at"),
        code_version=text_at(told, "code_version"),
    )


def _source_of(uri: str) -> str:
    """What visitors may know of it: where a store lies, but not the folders of the machine that built the page."""
    return uri if "://" in uri and not uri.startswith("file://") else PurePosixPath(uri).name


def _row(job: SectionJob, frame: ImputedFrame, store: PageStore) -> PageSection:
    return PageSection(
        key=job.row.key,
        tissue=store.tissue or "unknown tissue",
        organism=store.organism,
        technology=store.technology,
        state="done",
        num_genes=store.num_genes,
        num_reliable=None if frame.is_reliable is None else int(frame.is_reliable.sum()),
        num_bins=store.num_bins,
        gene=store.gene,
        model=store.model,
        has_truth="truth" in store.layers,
        is_synthetic=store.is_synthetic,
        is_leaky=store.is_leaky,
    )
