"""Chunks of S3 kept on the disk of the node: many runs read the same photographs, and every seed the same section.

Decision: nothing ever grows stale, because a commit writes all of its objects below a new attempt's folder and never again; so a chunk
is kept under hashes of its store and its key, and no server is asked. Zarr's own `CacheStore` counts in one process what it holds; here
processes share a folder, so what is on the disk is counted on the disk. Nothing that goes wrong here may end a run.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from s2s.storage.traffic import Traffic

FOLDER = "cache"
CHECKSUM_BYTES = 4
SWEEPS = 16
"""A process looks over the folder each time it has added this part of the limit."""

_log = logging.getLogger(__name__)


class NodeCache:
    """A folder of chunks, of at most so many bytes and half of what the disk has for it; those that nobody asked for longest go first.

    Several processes may use one folder at once: files appear whole, and one that goes while it is wanted is fetched again.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Nothing is read or made yet.

        Args:
            folder: Made when first written to, for this user alone.
            max_bytes: Of all files; those of other processes that were not counted yet may exceed it by a sixteenth each.
        """
        self._folder, self._max_bytes = folder, max_bytes
        self._room = 0

    def get(self, uri: str, key: str) -> bytes | None:
        """Find a chunk; None where it is not there, or not whole.

        Args:
            uri: Root of its store.
            key: Of the chunk.
        """
        file = self._file(uri, key)
        try:
            data = file.read_bytes()
            checksum, value = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
            if checksum != _checksum(value):
                file.unlink()
                return None
            os.utime(file)
        except OSError:
            return None
        return value

    def put(self, uri: str, key: str, value: bytes) -> None:
        """Keep a chunk, if the disk has room for it.

        Args:
            uri: Root of its store.
            key: Of the chunk.
            value: All of its bytes.
        """
        size = len(value) + CHECKSUM_BYTES
        if size > self._max_bytes // SWEEPS:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if size > self._room:
                self._room = self._make_room()
            if size <= self._room:
                self._room -= size
                self._write(self._file(uri, key), _checksum(value) + value)
        except OSError as error:
            _log.debug("chunk not kept in %s: %s", self._folder, error)

    def forget(self, uri: str) -> None:
        """Drop every chunk of a store: one that S3 itself held damaged is to be fetched again once it was restored.

        Args:
            uri: Root of the store.
        """
        for file in self._folder.glob(f"{_hash(uri)}-*"):
            with suppress(OSError):
                file.unlink()

    def _file(self, uri: str, key: str) -> Path:
        return self._folder / f"{_hash(uri)}-{_hash(key)}"

    def _write(self, file: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _make_room(self) -> int:
        """Say how much may be added until the folder is looked over again, having made room for it."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process took it
                    found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
        held = sum(size for _, size, _ in found)
        most = min(self._max_bytes, (held + shutil.disk_usage(self._folder).free) // 2)
        room = most // SWEEPS
        for _, size, path in sorted(found):
            if held <= most - room:
                break
            with suppress(OSError):
                Path(path).unlink()
            held -= size
        return room


@cache
def node_cache(folder: Path, max_bytes: int) -> NodeCache:
    """The cache in a folder: one for all readers of this process, which together count what they add."""
    return NodeCache(folder, max_bytes)


def is_chunk(key: str) -> bool:
    """Say whether a key of a Zarr store is that of a chunk, not of metadata."""
    return "/c/" in key


class CachedStore(WrapperStore[Store]):
    """A store whose whole chunks are looked for on the node first; what was found there is counted apart."""

    def __init__(self, store: Store, cache: NodeCache, uri: str, traffic: Traffic) -> None:
        """Wrap a store.

        Args:
            store: On S3.
            cache: Of the node.
            uri: Root of the store, never written to again.
            traffic: Learns of what was found.
        """
        super().__init__(store)
        self._cache, self._uri, self._traffic = cache, uri, traffic

    def _with_store(self, store: Store) -> "CachedStore":
        return CachedStore(store, self._cache, self._uri, self._traffic)

    def forget(self) -> None:
        """Drop from the node what it holds of this store."""
        self._cache.forget(self._uri)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object; only whole chunks are kept, for metadata is one request and parts are not whole."""
        if byte_range is not None or not is_chunk(key):
            return await super().get(key, prototype, byte_range)
        kept = await asyncio.to_thread(self._cache.get, self._uri, key)
        if kept is not None:
            self._traffic.found(len(kept))
            return prototype.buffer.from_bytes(kept)
        value = await super().get(key, prototype)
        if value is not None:
            await asyncio.to_thread(self._cache.put, self._uri, key, value.to_bytes())
        return value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _checksum(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(CHECKSUM_BYTES, "big")
