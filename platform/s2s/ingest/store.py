"""From a section in memory to a section of the atlas. How arrays are laid out is the business of `storage`."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Num

from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, MissingError
from s2s.ingest.binned import BinnedSection
from s2s.ingest.source_file import OnProgress, no_progress
from s2s.storage.held_section import HeldSection
from s2s.storage.sections import Masks, NewSection, commit_section, open_section

BLOCK_VALUES = 16_000_000
"""Dense values in memory while writing: 64 MB as 32-bit numbers, and one gene at least."""


def store_section(
    binned: BinnedSection, uri: str, settings: Settings, *, replace: bool = False, on_progress: OnProgress = no_progress
) -> SectionMeta:
    """Write a section, a few genes at a time; it exists once all of it does.

    Args:
        binned: What a reader returned.
        uri: Where the section will lie.
        settings: Endpoint, credentials, Zarr client.
        replace: Take the place of a section that is already there.
        on_progress: Told about the stage `write`.

    Returns:
        The contract as committed, with `data_sha256` and `created_at`.

    Raises:
        ExistsError: a section is already there and `replace` is off.
        StorageError: the store refused or broke off; no half section can be seen.

    Writes:
        One section at `uri`.
    """
    return commit_section(uri, _new(binned, on_progress), settings, replace=replace)


def hold_section(binned: BinnedSection, name: str) -> HeldSection:
    """Keep a section in memory, to be read as if it were stored.

    Args:
        binned: What a reader returned.
        name: What messages call it.

    Raises:
        InputError: a value or a name that a section cannot hold.
    """
    return HeldSection(name, _new(binned, no_progress))


def refuse_existing_section(uri: str, settings: Settings) -> None:
    """Fail before the expensive reading when a section is already there; the write itself checks again, atomically.

    Raises:
        ExistsError: a section is there; the message says how to replace it.
        StorageError: the store refused or does not answer.
    """
    try:
        meta = open_section(uri, settings).meta
    except MissingError:
        return
    raise ExistsError(
        f"expected no section at {uri}, found {meta.id} of {meta.created_at} ({meta.source}); "
        "choose another --id, or replace it with --replace"
    )


def _new(binned: BinnedSection, on_progress: OnProgress) -> NewSection:
    masks = Masks(tissue=binned.tissue, observed=binned.observed, valid=binned.valid)
    return NewSection(meta=binned.meta, genes=binned.genes, blocks=_reported(binned, on_progress), masks=masks)


def _reported(binned: BinnedSection, on_progress: OnProgress) -> Iterator[Num[np.ndarray, "gene y x"]]:
    height, width = binned.meta.shape
    done, total = 0, len(binned.genes)
    for block in binned.blocks(max(1, min(total, BLOCK_VALUES // (height * width)))):
        yield block
        done += len(block)
        on_progress("write", done, total)
