"""How a section lies on its store: what reading it takes, counted from its chunks, and writing it anew in better ones.

Nothing is read to predict: a reading fetches every chunk that it touches, once per request of ours, because nothing is kept
between requests.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Num

from s2s.contracts.layout import LayoutReport, Reading
from s2s.contracts.settings import Settings
from s2s.imputation.tiling import USUAL_SIZE, cut
from s2s.lattice.sampling import sampled_positions
from s2s.recipes.run import Progress
from s2s.recipes.tiled.layout import BLOCK_VALUES
from s2s.storage.arrays import ArrayLayout, chunk_shape
from s2s.storage.sections import NewSection, Section, Window, commit_section, open_section
from s2s.streaming.excerpt import choose_tiles, is_large
from s2s.streaming.survey import spans, survey_blocks

USUAL_STRIDE = 2
Part = tuple[slice, slice, slice]
"""Genes, rows, columns."""


def examine_layout(section: Section) -> LayoutReport:
    """Predict what reading a section takes.

    Args:
        section: An open section.

    Reads:
        The list of its objects.
    """
    layout = section.layout()
    num_genes, height, width = section.meta.num_genes, *section.meta.shape
    whole = (slice(0, height), slice(0, width))
    tiling = cut(section.meta.shape, num_genes, USUAL_SIZE, stride=USUAL_STRIDE, lattice=section.meta.lattice.shape)
    strips = (
        (genes, rows.reach, slice(strip[0].reach.start, strip[-1].reach.stop))
        for group, genes in enumerate(tiling.genes)
        for row, rows in enumerate(tiling.rows)
        for strip in tiling.strips(row, group, BLOCK_VALUES)
    )
    readings = (
        predict("survey: every gene once", layout, ((genes, *whole) for genes in survey_blocks(section))),
        predict("training on all genes, after the survey", layout, _learnt_from(num_genes, section.meta.shape)),
        predict(f"imputing all genes, {tiling.num_units} tiles, after the survey", layout, strips),
        predict("one gene", layout, [(slice(0, 1), *whole)]),
    )
    return LayoutReport(
        uri=section.uri,
        shape=(num_genes, height, width),
        chunks=section.chunks,
        best_chunks=chunk_shape((num_genes, height, width), layout.itemsize),
        num_chunks=layout.num_chunks,
        stored_bytes=layout.stored_bytes,
        readings=readings,
    )


def predict(what: str, layout: ArrayLayout, parts: Iterable[Part]) -> Reading:
    """Count the chunks that requests touch.

    Args:
        what: Name of the reading.
        layout: Of the array.
        parts: One per request of ours.
    """
    requests = needed = 0
    for part in parts:
        requests += math.prod(-(-axis.stop // chunk) - axis.start // chunk for axis, chunk in zip(part, layout.chunks, strict=True))
        needed += math.prod(axis.stop - axis.start for axis in part)
    return Reading(
        what=what,
        requests=requests,
        fetched_bytes=round(requests * layout.stored_bytes / layout.num_chunks),
        needed_bytes=round(needed * layout.itemsize * layout.compression),
    )


def _learnt_from(num_genes: int, shape: tuple[int, int]) -> list[Part]:
    """All of a section, or the tiles of a large one, as they lie where everything is measured."""
    if is_large(shape):
        windows = choose_tiles(sampled_positions(shape, USUAL_STRIDE, (0, 0)), 2 * USUAL_STRIDE)
    else:
        windows = [Window(y=0, x=0, height=shape[0], width=shape[1])]
    return [(slice(0, num_genes), *spans(window)) for window in windows]


def rewrite_layout(uri: str, settings: Settings, on_progress: Progress) -> LayoutReport:
    """Write a section anew as `s2s ingest` would today; values, contract and data hash stay.

    Args:
        uri: Of the section.
        settings: Where it lies.
        on_progress: Told of genes.

    Returns:
        How it lies now.

    Raises:
        MissingError: nothing is committed there.
        InputError: it is not a section, or damaged.
        StorageError: the store refused, broke off or does not answer; the section is then as it was.

    Reads:
        All of it, a block of genes at a time.

    Writes:
        A new attempt, and its commit; then the former one is deleted.
    """
    section = open_section(uri, settings)

    def blocks() -> Iterator[Num[np.ndarray, "block y x"]]:
        for genes in survey_blocks(section):
            on_progress("rewrite", genes.start, section.meta.num_genes)
            yield section.read(genes)

    new = NewSection(meta=section.meta, genes=section.genes, blocks=blocks(), masks=section.masks())
    commit_section(uri, new, settings, replace=True)
    on_progress("rewrite", section.meta.num_genes, section.meta.num_genes)
    return examine_layout(open_section(uri, settings))
