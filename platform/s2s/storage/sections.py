"""Sections on a store: counts, masks and gene names as one Zarr group, visible once committed.

What a section means is said by `contracts.section`; how it comes from a file, by `ingest`; what it must be to be stored, by `new_section`.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from jaxtyping import Int64, Num

from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import ShapeError
from s2s.storage.arrays import ArrayLayout, ArrayReader, ArrayWriter
from s2s.storage.commits import commit_atomically, list_commits, now_utc, open_commit
from s2s.storage.new_section import CheckedValues, Masks, NewSection, check_section

__all__ = ["Masks", "NewSection", "Section", "Window", "commit_section", "list_sections", "open_section"]


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
        return self._arrays.read("counts", picked(genes, self), *span(window, self))

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
        spans = span(window, self)
        tissue, observed, valid = (self._arrays.read(name, *spans) for name in Masks.__slots__)
        return Masks(tissue=tissue, observed=observed, valid=valid)


class Shaped(Protocol):
    """A section as far as its shape goes; `uri` names it in messages."""

    uri: str
    meta: SectionMeta


def span(window: Window | None, section: Shaped) -> tuple[slice, slice]:
    """Rows and columns of a window.

    Raises:
        ShapeError: it reaches outside the section.
    """
    height, width = section.meta.shape
    if window is None:
        return slice(0, height), slice(0, width)
    y, x, rows, columns = astuple(window)
    if min(y, x) < 0 or min(rows, columns) < 1 or y + rows > height or x + columns > width:
        raise ShapeError(f"expected a window within {height} x {width} bins of {section.uri}, got {window}")
    return slice(y, y + rows), slice(x, x + columns)


def picked(genes: slice | Sequence[int] | None, section: Shaped) -> slice | Int64[np.ndarray, " gene"]:
    """Indices on the gene axis; None for all.

    Raises:
        ShapeError: one is outside the section.
    """
    num_genes = section.meta.num_genes
    if genes is None:
        return slice(0, num_genes)
    if isinstance(genes, slice) and (genes.step is None or genes.step > 0):
        return slice(*genes.indices(num_genes))
    indices = np.arange(num_genes)[genes] if isinstance(genes, slice) else np.asarray(genes, np.int64)
    if indices.size and not 0 <= indices.min() <= indices.max() < num_genes:
        raise ShapeError(f"expected gene indices from 0 to {num_genes - 1} of {section.uri}, got {indices.min()} to {indices.max()}")
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
    check_section(uri, new)
    return commit_atomically(uri, settings, partial(_fill, new=new, settings=settings), replace=replace)


def _fill(attempt_uri: str, *, new: NewSection, settings: Settings) -> SectionMeta:
    meta = new.meta
    writer = ArrayWriter(attempt_uri, settings)
    writer.write_whole("genes", np.array(new.genes, dtype=np.dtypes.StringDType()), ("gene",))
    for name in Masks.__slots__:
        writer.write_whole(name, getattr(new.masks, name), ("y", "x"))
    checked = CheckedValues(new)
    axes = {"gene": meta.num_genes, "y": meta.shape[0], "x": meta.shape[1]}
    writer.write_planes("counts", checked.dtype, axes, checked.blocks())
    done = meta.model_copy(update={"data_sha256": checked.sha256(), "created_at": now_utc()})
    writer.finish(done.model_dump(mode="json"))
    return done
