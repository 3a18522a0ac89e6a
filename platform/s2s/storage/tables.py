"""Arrays that grow to their full length and are written piece by piece, in a Zarr group that another made in small.

What the arrays mean is not known here. Decision: a piece is whole chunks, so that nothing is read back to be written again; chunks that
hold nothing are written too, as in `arrays`, so that a piece can be copied and a missing chunk is noticed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from jaxtyping import Shaped
from zarr.codecs import BloscCodec
from zarr.core.common import JSON

from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.storage.arrays import consolidate
from s2s.storage.faults import translated
from s2s.storage.location import join, open_store
from s2s.storage.objects import copy_object


class TableWriter:
    """The group at a URI, made small by another; its arrays are laid out, filled, and the group finished.

    Raises:
        StorageError: the store refused, broke off or does not answer; from every method.
    """

    def __init__(self, uri: str, settings: Settings) -> None:
        self._uri, self._settings = uri, settings
        with translated(uri, settings):
            self._group = zarr.open_group(open_store(uri, settings, read_only=False), mode="r+", zarr_format=3, use_consolidated=False)
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def lay_out(self, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[np.generic] | None = None) -> None:
        """Make an array anew, as it was but for its shape.

        Args:
            name: Path below the group; the array is there.
            shape: From now on.
            chunks: Likewise.
            dtype: Likewise; as it was when absent.
        """
        with translated(self._uri, self._settings):
            small = self._array(name)
            is_text = small.dtype == np.dtypes.StringDType()
            self._arrays[name] = self._group.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype=dtype or small.dtype,
                compressors="auto" if is_text else BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
                attributes=dict(small.attrs),
                overwrite=True,
                config={"write_empty_chunks": True},
            )

    def write(self, name: str, start: tuple[int, ...], values: Shaped[np.ndarray, "..."]) -> None:
        """Write a piece.

        Args:
            name: Of an array.
            start: First index on each axis; pieces start where chunks do, and end where chunks or the array do.
            values: As many as the piece is long.
        """
        with translated(self._uri, self._settings):
            self._array(name)[tuple(slice(first, first + length) for first, length in zip(start, values.shape, strict=True))] = values

    def shorten(self, name: str, length: int) -> None:
        """Cut the end of an array of one axis off; nothing was written there."""
        with translated(self._uri, self._settings):
            self._array(name).resize((length,))

    def set_attributes(self, name: str, attributes: dict[str, JSON]) -> None:
        """Set attributes of a group or an array below."""
        with translated(self._uri, self._settings):
            self._group[name].update_attributes(attributes)

    def copy_piece(self, name: str, part: Sequence[slice], uri: str) -> None:
        """Take the chunks of a piece from another group with the same array.

        Args:
            name: Of an array.
            part: The piece, a slice per axis; whole chunks.
            uri: Of the other group.

        Raises:
            MissingError: a chunk is not there.
        """
        chunks = self._array(name).chunks
        ranges = [range(each.start // size, -(-each.stop // size)) for each, size in zip(part, chunks, strict=True)]
        for place in np.ndindex(*map(len, ranges)):
            key = "/".join(str(each[index]) for each, index in zip(ranges, place, strict=True))
            copy_object(join(uri, name, "c", key), join(self._uri, name, "c", key), self._settings)

    def finish(self) -> None:
        """Put all metadata into the group's own, so that opening it costs one request."""
        with translated(self._uri, self._settings):
            consolidate(self._group)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            found = self._group.get(name)
            if not isinstance(found, zarr.Array):
                raise InputError(f"expected an array {name!r} in {self._uri}, found none")
            self._arrays[name] = found
        return self._arrays[name]


def stored_bytes(uri: str, settings: Settings) -> int:
    """Memory that the arrays of a Zarr group take once they are read.

    Raises:
        MissingError: nothing there.
        InputError: no Zarr group.
        StorageError: the store refused or does not answer.

    Reads:
        Metadata.
    """
    with translated(uri, settings):
        try:
            group = zarr.open_group(open_store(uri, settings, read_only=True), mode="r")
        except FileNotFoundError:  # Zarr's own is a ValueError too
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"expected a Zarr group at {uri}, it cannot be read ({error}); copy it or make it again") from None
        return sum(member.nbytes for _, member in group.members(max_depth=None) if isinstance(member, zarr.Array))
