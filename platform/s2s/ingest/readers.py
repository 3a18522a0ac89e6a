"""One door to every technology: `read_section` picks the file that knows the source's format. Reads; stores nothing."""

from collections.abc import Callable

from s2s.contracts.run import Reader, SectionSource
from s2s.ingest.binned import BinnedSection
from s2s.ingest.cells import read_cells
from s2s.ingest.original_st import read_original_st
from s2s.ingest.source_file import OnProgress, no_progress, require_file, sha256_of_files
from s2s.ingest.spots import read_spots
from s2s.ingest.transcripts import read_transcripts

READERS: dict[Reader, Callable[[SectionSource, OnProgress], BinnedSection]] = {
    "cells": read_cells,
    "spots": read_spots,
    "transcripts": read_transcripts,
    "st": read_original_st,
}


def read_section(source: SectionSource, on_progress: OnProgress = no_progress) -> BinnedSection:
    """Read a user's file onto a grid.

    Args:
        source: What to read and how.
        on_progress: Told about the stages `hash`, `read` and, for transcripts, `bin`.

    Raises:
        MissingError: no such file.
        InputError: the file does not hold what its reader needs; the message says how to mend it.

    Reads:
        `source.file`, in chunks; memory holds the non-zero counts of the grid and one chunk.
    """
    return READERS[source.reader](source, on_progress)


def file_sha256(file: str) -> str:
    """Hash a source file the way `SectionMeta.input_sha256` does, to tell whether an ingested section is this file.

    Raises:
        MissingError: no such file.
        InputError: an empty file.

    Reads:
        `file`, in chunks.
    """
    return sha256_of_files([require_file(file)])
