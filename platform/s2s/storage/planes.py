"""Zarr groups for a reader that fetches chunks one by one and has no codec library: a browser.

Decision: little-endian values and gzip, which every browser undoes by itself; the price against Blosc is a third more bytes. Small planes
share a chunk, so that twenty thousand genes are a thousand objects, and a large plane is cut into tiles. Chunks that hold nothing are
written too: a chunk that is not there is then an error, never a zero.
"""

from typing import Any

import numpy as np
import zarr
from jaxtyping import Shaped
from zarr.codecs import GzipCodec
from zarr.core.common import JSON

from s2s.contracts.settings import Settings
from s2s.storage.arrays import consolidate
from s2s.storage.faults import translated
from s2s.storage.location import open_store

PLANES_BYTES = 128 * 1024
"""Before compression, of a chunk of small planes: what a reader of one gene fetches at most."""

TILE = 512
"""Side of a chunk of a large plane: half a megabyte of two-byte values."""

LEVEL = 6
"""Of gzip: beyond it a percent of bytes costs twice the time."""


def plane_chunks(shape: tuple[int, int, int], itemsize: int) -> tuple[int, int, int]:
    """Chunk of a stack of planes: a few whole ones, or a tile of one.

    Args:
        shape: `(gene, y, x)`.
        itemsize: Bytes of a value.
    """
    num_planes, height, width = shape
    if max(height, width) > TILE:
        return 1, min(height, TILE), min(width, TILE)
    return int(np.clip(PLANES_BYTES // (height * width * itemsize), 1, num_planes)), height, width


class PlaneWriter:
    """A new group at a URI that nothing lies at; arrays, then `finish`.

    Raises:
        StorageError: the store refused, broke off or does not answer; from every method.
    """

    def __init__(self, uri: str, settings: Settings) -> None:
        self._uri, self._settings = uri, settings
        self._arrays: dict[str, zarr.Array[Any]] = {}
        with translated(uri, settings):
            self._group = zarr.create_group(open_store(uri, settings, read_only=False), zarr_format=3)

    def lay_out(self, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        """Make an array; float arrays are NaN until written.

        Args:
            name: Path below the group.
            shape: Of the array; its axes are the last of `(gene, y, x)`.
            chunks: Of a chunk.
            dtype: As stored.
        """
        with translated(self._uri, self._settings):
            self._arrays[name] = self._group.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype=dtype,
                compressors=GzipCodec(level=LEVEL),
                fill_value=np.nan if dtype.kind == "f" else 0,
                dimension_names=("gene", "y", "x")[3 - len(shape) :],
                config={"write_empty_chunks": True},
            )

    def write(self, name: str, start: tuple[int, ...], values: Shaped[np.ndarray, "..."]) -> None:
        """Write a piece.

        Args:
            name: Of an array that was laid out.
            start: First index on each axis; pieces start where chunks do, and end where chunks or the array do.
            values: As many as the piece is long.
        """
        with translated(self._uri, self._settings):
            self._arrays[name][tuple(slice(first, first + length) for first, length in zip(start, values.shape, strict=True))] = values

    def finish(self, attributes: dict[str, JSON]) -> None:
        """Write the group's attributes, and all metadata into the group's own, so that opening it costs one request."""
        with translated(self._uri, self._settings):
            self._group.update_attributes(attributes)
            consolidate(self._group)


def set_attributes(uri: str, attributes: dict[str, JSON], settings: Settings) -> None:
    """Replace attributes of a group that was finished.

    Raises:
        StorageError: the store refused or does not answer.
    """
    with translated(uri, settings):
        zarr.open_group(open_store(uri, settings, read_only=False), mode="r+", zarr_format=3).update_attributes(attributes)


def open_tree(uri: str, settings: Settings) -> object:
    """Open a Zarr group that another program wrote, for instance AnnData, to be read.

    Args:
        uri: Of its root.
        settings: Endpoint and credentials.

    Returns:
        A `zarr.Group`. Chunks that its writer left out count as zeros, as Zarr says: AnnData leaves empty ones out.

    Raises:
        MissingError: nothing there, or no Zarr group.
        StorageError: the store refused or does not answer.
    """
    with translated(uri, settings):
        return zarr.open_group(open_store(uri, settings, read_only=True), mode="r")
