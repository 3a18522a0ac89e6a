"""Photographs on a store: gray images of one side, for co-learning, committed like sections.

Where they come from is the business of `ingest.photographs`. Decision: eight bits per pixel, as cameras write them;
a value comes back within 1/510 of what was given, at a quarter of the size.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.settings import Settings
from s2s.errors import InputError, ShapeError
from s2s.storage.arrays import ArrayReader, ArrayWriter
from s2s.storage.commits import commit_atomically, now_utc, open_commit

LEVELS = 255


class Photographs:
    """A committed set of photographs; pixels are read when asked for.

    It may be pickled to a child process under the same caution as `sections.Section`.

    Attributes:
        uri: Where it was opened.
        meta: Its contract.
    """

    def __init__(self, meta: PhotographsMeta, arrays: ArrayReader) -> None:
        self.uri = arrays.uri
        self.meta = meta
        self._arrays = arrays

    def read(self, indices: Sequence[int]) -> Float32[np.ndarray, "photograph side side"]:
        """Read some photographs, in the order asked for, values in [0, 1].

        Args:
            indices: From 0 to `meta.num_photographs - 1`.

        Raises:
            ShapeError: an index outside the set.
            MissingError: the set was replaced or deleted since it was opened.
            StorageError: the store refused or does not answer.
        """
        picked = np.asarray(indices, np.int64)
        if picked.size and not 0 <= picked.min() <= picked.max() < self.meta.num_photographs:
            raise ShapeError(
                f"expected indices from 0 to {self.meta.num_photographs - 1} of {self.uri}, got {picked.min()} to {picked.max()}"
            )
        return self._arrays.read("images", picked).astype(np.float32) / np.float32(LEVELS)


def open_photographs(uri: str, settings: Settings) -> Photographs:
    """Open a committed set of photographs.

    Args:
        uri: Of the set.
        settings: Endpoint and credentials.

    Raises:
        MissingError: nothing is committed there.
        InputError: it is not a set of photographs.
        StorageError: the store refused or does not answer.
    """
    attempt_uri, meta = open_commit(uri, settings, PhotographsMeta)
    return Photographs(meta, ArrayReader(uri, attempt_uri, settings))


def write_photographs(
    uri: str, meta: PhotographsMeta, images: Iterable[Float32[np.ndarray, "side side"]], settings: Settings, *, replace: bool = False
) -> PhotographsMeta:
    """Write a set of photographs; it becomes visible all at once, or not at all.

    Args:
        uri: Where; its last part should be `meta.id`.
        meta: Its contract; `created_at` is filled in.
        images: As many as `meta` says, square, values in [0, 1].
        settings: Endpoint and credentials.
        replace: Take the place of a set that is there.

    Returns:
        The contract as committed.

    Raises:
        ShapeError: images and contract disagree.
        InputError: a value outside [0, 1].
        ExistsError: something is there and `replace` was not asked for.
        StorageError: the store refused, broke off or does not answer.

    Writes:
        `<uri>/attempt-*/` and `<uri>/commit.json`.
    """

    def fill(attempt_uri: str) -> PhotographsMeta:
        writer = ArrayWriter(attempt_uri, settings)
        axes = {"photograph": meta.num_photographs, "y": meta.side, "x": meta.side}
        writer.write_planes("images", np.dtype(np.uint8), axes, _pixels(images, meta))
        done = meta.model_copy(update={"created_at": now_utc()})
        writer.finish(done.model_dump(mode="json"))
        return done

    return commit_atomically(uri, settings, fill, replace=replace)


def _pixels(images: Iterable[np.ndarray], meta: PhotographsMeta) -> Iterator[UInt8[np.ndarray, "1 side side"]]:
    number = 0
    for image in images:
        where = f"photograph {number} of {meta.id}"
        number += 1
        if image.shape != (meta.side, meta.side) or number > meta.num_photographs:
            expected = f"{meta.num_photographs} photographs of {meta.side} x {meta.side} pixels"
            raise ShapeError(f"expected {expected}, got {where} of shape {image.shape}")
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):
            raise InputError(f"expected values from 0 to 1 in {where}, got {low} to {high}; divide by the largest value of its type")
        yield np.rint(image * LEVELS).astype(np.uint8)[None]
    if number != meta.num_photographs:
        raise ShapeError(f"expected {meta.num_photographs} photographs for {meta.id}, got {number}")
