"""Sections on a store: counts, masks and gene names as one Zarr group, visible once committed.

What a section means is said by `contracts.section`; how it comes from a file, by `ingest`. Decision: the data hash is
taken over values, not over stored bytes, so that it survives another chunking, compression or dtype; the price is one
more pass of SHA-256 over the counts while they are written.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Num

from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import InputError, ShapeError
from s2s.storage.arrays import ArrayLayout, ArrayReader, ArrayWriter
from s2s.storage.commits import commit_atomically, list_commits, now_utc, open_commit

UNSIGNED = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of bins.

    Attributes:
        y: First row.
        x: First column.
        height: Number of rows.
        width: Number of columns.
    """

    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """What is known about the bins of a section.

    Attributes:
        tissue: There is tissue.
        observed: Was measured; a part of `tissue`.
        valid: Not a gap between fields of view, a fold or an artefact.
    """

    tissue: Bool[np.ndarray, "y x"]
    observed: Bool[np.ndarray, "y x"]
    valid: Bool[np.ndarray, "y x"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSection:
    """A section that is to be written.

    Attributes:
        meta: Its contract; `data_sha256` and `created_at` are filled in.
        genes: Unique names, in the order of the blocks.
        blocks: Consecutive genes, any number per block. Counts: integers; the first block's dtype is stored where it
            is unsigned, else uint32. With `meta.values` "log1p": real numbers, stored as float32.
        masks: Of the shape in `meta`.
    """

    meta: SectionMeta
    genes: Sequence[str]
    blocks: Iterable[Num[np.ndarray, "block y x"]]
    masks: Masks


class Section:
    """A committed section; arrays are read when asked for.

    It may be pickled to a child process (its connections are dropped and made again), but carries the settings with
    their keys: never pickle it to a file, and give remote tasks the URI instead.

    Attributes:
        uri: Where it was opened.
        meta: Its contract.
        traffic: What was fetched of it.
    """

    def __init__(self, meta: SectionMeta, arrays: ArrayReader) -> None:
        self.uri = arrays.uri
        self.traffic = arrays.traffic
        self.meta = meta
        self._arrays = arrays

    @cached_property
    def genes(self) -> tuple[str, ...]:
        """Names, in the order of the gene axis.

        Raises:
            MissingError: the section was replaced or deleted since it was opened.
            StorageError: the store refused or does not answer.
        """
        return tuple(str(name) for name in self._arrays.read("genes"))

    def read(self, genes: slice | Sequence[int] | None = None, window: Window | None = None) -> Num[np.ndarray, "gene y x"]:
        """Read the values of some genes in a window; only the chunks they lie in are fetched.

        Args:
            genes: Indices on the gene axis, in any order; None for all.
            window: Part of the grid; None for all of it.

        Returns:
            Counts, unsigned; float32 in log1p units where `meta.values` is "log1p".

        Raises:
            ShapeError: genes or window reach outside the section.
            MissingError: the section was replaced or deleted since it was opened.
            StorageError: the store refused or does not answer.
        """
        return self._arrays.read("counts", self._picked(genes), *self._span(window))

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Genes, rows and columns of a chunk of the counts.

        Raises:
            MissingError: the section was replaced or deleted since it was opened.
            StorageError: the store refused or does not answer.
        """
        depth, height, width = self._arrays.chunks("counts")
        return depth, height, width

    def layout(self) -> ArrayLayout:
        """Say how the counts lie on the store.

        Raises:
            StorageError: the store refused or does not answer.

        Reads:
            The list of their objects.
        """
        return self._arrays.layout("counts")

    def masks(self, window: Window | None = None) -> Masks:
        """Read the masks in a window.

        Raises:
            ShapeError: the window reaches outside the section.
            MissingError: the section was replaced or deleted since it was opened.
            StorageError: the store refused or does not answer.
        """
        span = self._span(window)
        tissue, observed, valid = (self._arrays.read(name, *span) for name in Masks.__slots__)
        return Masks(tissue=tissue, observed=observed, valid=valid)

    def _span(self, window: Window | None) -> tuple[slice, slice]:
        height, width = self.meta.shape
        if window is None:
            return slice(0, height), slice(0, width)
        y, x, rows, columns = astuple(window)
        if min(y, x) < 0 or min(rows, columns) < 1 or y + rows > height or x + columns > width:
            raise ShapeError(f"expected a window within {height} x {width} bins of {self.uri}, got {window}")
        return slice(y, y + rows), slice(x, x + columns)

    def _picked(self, genes: slice | Sequence[int] | None) -> slice | Int64[np.ndarray, " gene"]:
        if genes is None:
            return slice(0, self.meta.num_genes)
        if isinstance(genes, slice) and (genes.step is None or genes.step > 0):
            return slice(*genes.indices(self.meta.num_genes))
        indices = np.arange(self.meta.num_genes)[genes] if isinstance(genes, slice) else np.asarray(genes, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.meta.num_genes:
            raise ShapeError(
                f"expected gene indices from 0 to {self.meta.num_genes - 1} of {self.uri}, got {indices.min()} to {indices.max()}"
            )
        return indices


def open_section(uri: str, settings: Settings) -> Section:
    """Open a committed section.

    Args:
        uri: Of the section.
        settings: Endpoint and credentials.

    Raises:
        MissingError: nothing is committed there.
        InputError: it is not a section.
        StorageError: the store refused or does not answer.
    """
    attempt_uri, meta = open_commit(uri, settings, SectionMeta)
    return Section(meta, ArrayReader(uri, attempt_uri, settings))


def list_sections(root_uri: str, settings: Settings) -> list[SectionMeta]:
    """Contracts of the sections immediately below a prefix, ordered by name.

    Raises:
        StorageError: the store refused or does not answer.
    """
    return list_commits(root_uri, settings, SectionMeta)


def commit_section(uri: str, new: NewSection, settings: Settings, *, replace: bool = False) -> SectionMeta:
    """Write a section; it becomes visible all at once, or not at all.

    Args:
        uri: Where; its last part should be the section's id.
        new: What to write.
        settings: Endpoint and credentials.
        replace: Take the place of a section that is there.

    Returns:
        The contract as committed.

    Raises:
        ShapeError: arrays, names and contract disagree.
        InputError: a value or a name that a section cannot hold.
        ExistsError: a section is there and `replace` was not asked for.
        StorageError: the store refused, broke off or does not answer.

    Writes:
        `<uri>/attempt-*/` and `<uri>/commit.json`.
    """
    _check(uri, new)
    return commit_atomically(uri, settings, partial(_fill, new=new, settings=settings), replace=replace)


def _fill(attempt_uri: str, *, new: NewSection, settings: Settings) -> SectionMeta:
    meta = new.meta
    digest = hashlib.sha256(json.dumps([meta.values, meta.shape, list(new.genes)]).encode())
    writer = ArrayWriter(attempt_uri, settings)
    writer.write_whole("genes", np.array(new.genes, dtype=np.dtypes.StringDType()), ("gene",))
    for name in Masks.__slots__:
        mask = getattr(new.masks, name)
        digest.update(mask.tobytes())
        writer.write_whole(name, mask, ("y", "x"))
    stream = iter(new.blocks)
    first = next(stream, None)
    if first is None:
        raise ShapeError(f"expected blocks with {meta.num_genes} genes for section {meta.id}, got none")
    dtype = _stored_dtype(meta, first)
    axes = {"gene": meta.num_genes, "y": meta.shape[0], "x": meta.shape[1]}
    writer.write_planes("counts", dtype, axes, _checked(chain([first], stream), meta, dtype, digest))
    done = meta.model_copy(update={"data_sha256": digest.hexdigest(), "created_at": now_utc()})
    writer.finish(done.model_dump(mode="json"))
    return done


def _stored_dtype(meta: SectionMeta, first: np.ndarray) -> np.dtype[Any]:
    if meta.values == "log1p":
        return np.dtype(np.float32)
    return first.dtype if first.dtype in UNSIGNED else np.dtype(np.uint32)


def _checked(blocks: Iterable[np.ndarray], meta: SectionMeta, dtype: np.dtype[Any], digest: "hashlib._Hash") -> Iterator[np.ndarray]:
    # The hash sees four bytes per value whatever is stored, gene after gene: block sizes and dtypes leave no trace in it.
    hashed = np.dtype("<f4" if meta.values == "log1p" else "<u4")
    num_genes = 0
    for block in blocks:
        where = f"genes {num_genes} to {num_genes + len(block) - 1} of section {meta.id}"
        num_genes += len(block)
        if block.ndim != 3 or block.shape[1:] != meta.shape or num_genes > meta.num_genes:
            raise ShapeError(f"expected {meta.num_genes} genes of {meta.shape} bins, got {where} as a block of shape {block.shape}")
        _check_values(block, meta, dtype, where)
        stored = block.astype(dtype, copy=False)
        digest.update(np.ascontiguousarray(stored, hashed).data)
        yield stored
    if num_genes != meta.num_genes:
        raise ShapeError(f"expected blocks with {meta.num_genes} genes for section {meta.id}, got {num_genes}")


def _check_values(block: np.ndarray, meta: SectionMeta, dtype: np.dtype[Any], where: str) -> None:
    if block.size == 0:
        return
    if meta.values == "log1p":
        if not np.isfinite(block).all():
            raise InputError(f"expected finite values, got NaN or infinity in {where}; leave out what was not measured through the masks")
        return
    if block.dtype.kind not in "ui":
        raise InputError(f'expected integer counts, got {block.dtype} in {where}; for normalised values set `values` to "log1p"')
    low, high = int(block.min()), int(block.max())
    limit = int(np.iinfo(dtype).max)
    if low < 0 or high > limit:
        raise InputError(f"expected counts from 0 to {limit} ({dtype}, from the first block), got {low} to {high} in {where}")


def _check(uri: str, new: NewSection) -> None:
    if len(new.genes) != new.meta.num_genes:
        raise ShapeError(f"expected {new.meta.num_genes} gene names for {uri}, as its contract says, got {len(new.genes)}")
    twice = [name for name, times in Counter(new.genes).items() if times > 1]
    if twice:
        raise InputError(f"expected unique gene names for {uri}, got {twice[0]!r} more than once")
    for name in Masks.__slots__:
        mask = getattr(new.masks, name)
        if mask.shape != new.meta.shape or mask.dtype != np.bool_:
            raise ShapeError(f"expected mask {name!r} of {uri} as bool of shape {new.meta.shape}, got {mask.dtype} of shape {mask.shape}")
    num_outside = int((new.masks.observed & ~new.masks.tissue).sum())
    if num_outside:
        raise InputError(f"expected observed bins to lie on tissue, got {num_outside} outside it for {uri}")
