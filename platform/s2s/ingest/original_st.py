"""Tables of the original Spatial Transcriptomics array (`.tsv`, `.tsv.gz`): a row per spot named `RxC`, a column per gene.

`R` becomes the row and `C` the column of the grid. Some groups write column x row; their sections come out mirrored along the diagonal,
which changes no neighbourhood.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int

from s2s.contracts.run import SectionSource
from s2s.errors import InputError
from s2s.ingest.accumulate import GridSum
from s2s.ingest.binned import BinnedSection
from s2s.ingest.checks import check_genes, check_values, some
from s2s.ingest.source_file import OnProgress, open_text, require_file, sha256_of_files
from s2s.ingest.spots import finish_spots, lay_spots

CHUNK_ROWS = 64
SPOT = re.compile(r"^(\d+)(?:\.\d+)?x(\d+)(?:\.\d+)?$")
"""Decimals come from aligning the array with its picture; the nearest whole number is the index."""


def read_original_st(source: SectionSource, on_progress: OnProgress) -> BinnedSection:
    """Put every spot on the site its name gives.

    Args:
        source: What to read and how; `pitch_um` is the distance of spots (200 on the first arrays).
        on_progress: Told about the stages `hash` and `read`.

    Raises:
        MissingError: no such file.
        InputError: names, counts, genes or pitch cannot be used, or the file is damaged.

    Reads:
        `source.file`, three times, in chunks of rows: hash, names, counts.
    """
    if source.lattice.shape != "square" or source.um_per_unit != 1.0:
        raise InputError(
            "expected a square lattice and no --um-per-unit with --reader st: positions are array indices, their distance is --pitch-um"
        )
    path = require_file(source.file)
    input_sha256 = sha256_of_files([path], on_progress)
    genes, names = _outline(path)
    check_genes(genes, where=str(path))
    sites = _sites(names, path)
    low = sites.min(axis=0)
    grid = lay_spots(source, sites - low, (float(low[1] * source.pitch_um), float(low[0] * source.pitch_um)), names)
    total = GridSum(num_genes=len(genes), num_bins=grid.placement.num_bins, values=source.values)
    first = 0
    for block in _blocks(path, len(genes)):
        check_values(block, source.values, where=str(path))
        rows, columns = np.nonzero(block)
        total.add(columns, grid.bins[first + rows], block[rows, columns])
        first += len(block)
        on_progress("read", first, len(names))
    return finish_spots(source, grid, total, genes=genes, input_sha256=input_sha256)


def _outline(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    with open_text(path) as (text, _):
        header = text.readline().rstrip("\r\n").split("\t")
        first = text.readline()
        num_values = first.count("\t")
        lines = itertools.chain([first], text)
        names = tuple(line.partition("\t")[0].strip().strip('"') for line in lines if line.strip())
    if not names:
        raise InputError(f"expected a row per spot, {path} is empty below its header")
    if num_values == 0:
        raise InputError(f"expected values separated by tabs, {path} has none; is it a tsv?")
    # R writes no name above the row names, Python and the array's own software do.
    genes = header if len(header) == num_values else header[1:]
    if len(genes) != num_values:
        raise InputError(f"expected as many gene names as values in {path}, got {len(genes)} names and {num_values} values")
    return tuple(gene.strip('"') for gene in genes), names


def _sites(names: tuple[str, ...], path: Path) -> Int[np.ndarray, "n 2"]:
    matches = [SPOT.match(name) for name in names]
    bad = [repr(name) for name, match in zip(names, matches, strict=True) if match is None]
    if bad:
        raise InputError(f"expected spots named row x column, such as 10x13, in the first column of {path}, got {some(bad)}")
    return np.array([[round(float(part)) for part in name.split("x")] for name in names], np.int64)


def _blocks(path: Path, num_genes: int) -> Iterator[Float64[np.ndarray, "spot gene"]]:
    with open_text(path) as (text, _):
        text.readline()
        lines = (line for line in text if line.strip())
        while chunk := list(itertools.islice(lines, CHUNK_ROWS)):
            yield np.stack([_values(line, num_genes, path) for line in chunk])


def _values(line: str, num_genes: int, path: Path) -> Float64[np.ndarray, " gene"]:
    name, *texts = line.rstrip("\r\n").split("\t")
    if len(texts) != num_genes:
        raise InputError(f"expected {num_genes} values in every row of {path}, got {len(texts)} at spot {name}")
    try:
        # A row at a time: a table parser spends ten times as long on tables that have fifteen thousand columns.
        return np.array(texts, np.float64)
    except ValueError as error:
        raise InputError(f"expected numbers in {path}, got another value at spot {name}: {error}") from None
