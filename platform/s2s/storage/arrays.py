"""Zarr groups as this project uses them: chunk shapes, compression, and reading that never invents a value.

Decision: a chunk that is missing is an error. Zarr fills it with zeros, and a section that was replaced while being
read would turn into silent zeros; so every chunk is written, empty ones too (a few bytes each), and a missing one raises.
"""

import math
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from jaxtyping import Int64, Num, Shaped
from zarr.abc.store import ByteRequest, Store
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.common import JSON
from zarr.errors import ZarrUserWarning
from zarr.storage import WrapperStore

from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError, S2SError
from s2s.storage.faults import translated
from s2s.storage.location import open_store, parse
from s2s.storage.node_cache import FOLDER, CachedStore, is_chunk, node_cache
from s2s.storage.traffic import Traffic

CHUNK_BYTES = 4 * 2**20
"""Before compression. One read unit: 1 to 8 MB is where a request's latency and its transfer weigh about the same."""

WINDOW = 256
"""Least side of a chunk, in bins, where a plane is larger than `CHUNK_BYTES`: about a training window with its margin."""

ROW_BYTES = 256 * 2**20
"""Most that the planes of one chunk may take: a writer holds them whole. Very large planes get fewer genes per chunk."""

BUFFER_BYTES = 64 * 2**20
"""Held in memory while writing, so that several chunks travel at once."""

PLANE_SIDE = 2048
"""Side of a chunk of a mask: 4 MB of booleans."""

_consolidating = threading.Lock()


def chunk_shape(shape: tuple[int, int, int], itemsize: int) -> tuple[int, int, int]:
    """Chunk of a stack of planes: as many whole planes as fit, or windows of some planes where not even one fits.

    Args:
        shape: `(gene, y, x)`, or `(photograph, y, x)`.
        itemsize: Bytes of a value.
    """
    num_planes, height, width = shape
    plane_bytes = height * width * itemsize
    if plane_bytes <= CHUNK_BYTES:
        return min(num_planes, CHUNK_BYTES // plane_bytes), height, width
    num_fitting = CHUNK_BYTES // (min(height, WINDOW) * min(width, WINDOW) * itemsize)
    depth = min(num_planes, num_fitting, max(1, ROW_BYTES // plane_bytes))
    side = max(WINDOW, math.isqrt(CHUNK_BYTES // (depth * itemsize)) // WINDOW * WINDOW)
    return depth, min(height, side), min(width, side)


def regrouped(blocks: Iterable[Num[np.ndarray, "block y x"]], size: int) -> Iterator[Num[np.ndarray, "size y x"]]:
    """Cut a stream of planes into blocks of `size`, the last one smaller.

    Args:
        blocks: All of one dtype and one plane shape; may be reused by their maker once the next is asked for.
        size: Planes per block.

    Returns:
        Blocks in one buffer that is reused: done with each before the next is asked for.
    """
    buffer: np.ndarray | None = None
    filled = 0
    for block in blocks:
        start = 0
        while start < len(block):
            if buffer is None:
                buffer = np.empty((size, *block.shape[1:]), block.dtype)
            num_taken = min(size - filled, len(block) - start)
            buffer[filled : filled + num_taken] = block[start : start + num_taken]
            start, filled = start + num_taken, filled + num_taken
            if filled == size:
                yield buffer
                filled = 0
    if buffer is not None and filled:
        yield buffer[:filled]


class ArrayWriter:
    """A new group at a URI that nothing lies at; its arrays, then `finish`.

    Only what the store does is translated into our errors: an exception of the caller's own stream passes as it is.

    Raises:
        StorageError: the store refused, broke off or does not answer; from every method.
    """

    def __init__(self, uri: str, settings: Settings) -> None:
        self._uri = uri
        self._settings = settings
        with translated(uri, settings):
            self._group = zarr.create_group(open_store(uri, settings, read_only=False), zarr_format=3)

    def write_whole(self, name: str, values: Shaped[np.ndarray, "..."], axes: tuple[str, ...]) -> None:
        """Write a small array: one chunk, or windows of a plane.

        Args:
            name: Of the array.
            values: Of any dtype that Zarr has; strings as `StringDType`.
            axes: Names of its axes.
        """
        chunks = tuple(min(length, PLANE_SIDE) if values.ndim > 1 else length for length in values.shape)
        with translated(self._uri, self._settings):
            array = self._group.create_array(
                name, shape=values.shape, chunks=chunks, dtype=values.dtype, dimension_names=axes, config={"write_empty_chunks": True}
            )
            array[...] = values

    def write_planes(
        self, name: str, dtype: np.dtype[Any], axes: Mapping[str, int], blocks: Iterable[Num[np.ndarray, "block y x"]]
    ) -> None:
        """Write a stream of planes in order, several chunks at a time.

        Args:
            name: Of the array.
            dtype: As stored.
            axes: Names and lengths of its three axes.
            blocks: Together exactly as many planes as the first axis is long.
        """
        num_planes, height, width = axes.values()
        chunks = chunk_shape((num_planes, height, width), dtype.itemsize)
        with translated(self._uri, self._settings):
            array = self._group.create_array(
                name,
                shape=(num_planes, height, width),
                chunks=chunks,
                dtype=dtype,
                compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
                dimension_names=tuple(axes),
                config={"write_empty_chunks": True},
            )
        chunk_row_bytes = chunks[0] * height * width * dtype.itemsize
        num_buffered = chunks[0] * max(1, BUFFER_BYTES // chunk_row_bytes)
        start = 0
        for block in regrouped(blocks, min(num_buffered, num_planes)):
            with translated(self._uri, self._settings):
                array[start : start + len(block)] = block
            start += len(block)

    def finish(self, attributes: dict[str, JSON]) -> None:
        """Write the group's attributes, and all metadata into the group's own, so that opening it costs one request."""
        with translated(self._uri, self._settings):
            self._group.update_attributes(attributes)
            consolidate(self._group)


def consolidate(group: zarr.Group) -> None:
    """Put the metadata of everything below a group at the root of a store into its own."""
    # Zarr warns that other implementations may not know the v3 form; they then read the arrays' own metadata, which stays.
    with _consolidating, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=ZarrUserWarning)
        zarr.consolidate_metadata(group.store, zarr_format=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLayout:
    """How an array lies on its store.

    Attributes:
        shape: Of the array.
        chunks: Of a chunk, the unit that is fetched.
        itemsize: Bytes of a value before compression.
        stored_bytes: Of all its objects.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    stored_bytes: int

    @property
    def num_chunks(self) -> int:
        """Objects that hold its values."""
        return math.prod(-(-length // chunk) for length, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def compression(self) -> float:
        """Stored bytes per byte of values."""
        return self.stored_bytes / (math.prod(self.shape) * self.itemsize)


class ArrayReader:
    """A committed group; it is opened when first read, and again after having been pickled.

    Attributes:
        uri: What messages name: where the commit lies.
        traffic: What was fetched for it.
    """

    def __init__(self, uri: str, attempt_uri: str, settings: Settings) -> None:
        self.uri = uri
        self.traffic = Traffic()
        self._attempt_uri = attempt_uri
        self._settings = settings

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_group"}

    def read(self, name: str, *selection: slice | Int64[np.ndarray, " index"]) -> Shaped[np.ndarray, "..."]:
        """Read a part of an array; only the chunks it lies in are fetched.

        Args:
            name: Of the array.
            selection: Per axis a slice or indices in any order; axes left out are read whole.

        Raises:
            InputError: no such array, or a chunk of it is damaged.
            MissingError: the group was replaced or deleted since it was opened.
            StorageError: the store refused, broke off or does not answer.
        """
        with self.traffic.read(), translated(self.uri, self._settings):
            array = self._array(name)
            is_sliced = all(isinstance(part, slice) for part in selection)
            try:
                return np.asarray(array[selection or ...] if is_sliced else array.oindex[selection])
            except S2SError:
                raise
            except (RuntimeError, ValueError) as error:  # what codecs raise
                if isinstance(store := self._group.store, CachedStore):
                    store.forget()
                raise InputError(
                    f"expected whole chunks of {name!r} in {self.uri}, found a damaged one ({error}); restore the object, or ingest again"
                ) from error

    def layout(self, name: str) -> ArrayLayout:
        """Say how an array lies on its store.

        Args:
            name: Of the array.

        Raises:
            InputError: no such array.
            MissingError: the group was replaced or deleted since it was opened.
            StorageError: the store refused, broke off or does not answer.

        Reads:
            The list of its objects.
        """
        with translated(self.uri, self._settings):
            array = self._array(name)
            return ArrayLayout(shape=array.shape, chunks=array.chunks, itemsize=array.dtype.itemsize, stored_bytes=array.nbytes_stored())

    def chunks(self, name: str) -> tuple[int, ...]:
        """Shape of a chunk of an array, the unit that is fetched; raises as `read`.

        Args:
            name: Of the array.
        """
        with translated(self.uri, self._settings):
            return self._array(name).chunks

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self._group.get(name)
        if not isinstance(array, zarr.Array):
            raise InputError(f"expected an array {name!r} in {self.uri}, found none; was it written by a newer s2s?")
        return array

    @cached_property
    def _group(self) -> zarr.Group:
        store: Store = _Whole(open_store(self._attempt_uri, self._settings, read_only=True), self.traffic)
        if parse(self._attempt_uri).scheme == "s3" and self._settings.cache_bytes:
            cache = node_cache(self._settings.home / FOLDER, self._settings.cache_bytes)
            store = CachedStore(store, cache, self._attempt_uri, self.traffic)
        return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=True)


class _Whole(WrapperStore[Store]):
    """A store in which every chunk has been written; it counts what it gives."""

    def __init__(self, store: Store, traffic: Traffic) -> None:
        super().__init__(store)
        self._traffic = traffic

    def _with_store(self, store: Store) -> "_Whole":
        return _Whole(store, self._traffic)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        started = time.perf_counter()
        value = await super().get(key, prototype, byte_range)
        self._traffic.request(len(value) if value is not None else 0, time.perf_counter() - started)
        if value is None and is_chunk(key):
            raise MissingError(f"expected chunk {key} in {self._store}, found none: replaced or deleted while being read; open it again")
        return value
