"""From a URI to a store: `s3://bucket/key`, a path or `file://`, `memory://name/key`.

What the bytes mean is not known here. Decision: obstore serves all three schemes, so that one code path is tested on
each; s3fs stands beside it for Zarr on S3 only, behind `Settings.zarr_client`, at half the speed.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import obstore
import zarr
from obstore.store import MemoryStore
from zarr.abc.store import Store
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import FsspecStore, ObjectStore
from zarr.storage import MemoryStore as ZarrMemoryStore

from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.storage.clients import BytesStore, local_store, memory_store, s3_filesystem, s3_store
from s2s.storage.faults import translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URI taken apart.

    Attributes:
        scheme: Which kind of store.
        root: Bucket, absolute path of the parent folder, or name of the memory store.
        key: Key in the bucket, name in the folder, or key in the memory store; may be empty but for files.
    """

    scheme: Literal["s3", "file", "memory"]
    root: str
    key: str


def parse(uri: str) -> Place:
    """Take a URI apart; a relative path is taken from the working folder.

    Raises:
        InputError: another scheme, or no bucket, name or path.
    """
    scheme, has_scheme, rest = uri.partition("://")
    if has_scheme and scheme in ("s3", "memory"):
        root, _, key = rest.partition("/")
        if root:
            return Place(scheme="s3" if scheme == "s3" else "memory", root=root, key=key.strip("/"))
    elif scheme == "file" and has_scheme:
        path = Path(unquote(urlsplit(uri).path))
        if path.name and urlsplit(uri).netloc in ("", "localhost"):
            return Place(scheme="file", root=path.parent.as_posix(), key=path.name)
    elif not has_scheme and uri.strip():
        path = Path(uri).expanduser().absolute()
        if path.name:
            return Place(scheme="file", root=path.parent.as_posix(), key=path.name)
    raise InputError(f"expected s3://bucket/key, a path, file:///path or memory://name/key, got {uri!r}")


def join(uri: str, *parts: str) -> str:
    """Append names to a URI.

    Args:
        uri: Any URI or path; a slash at its end is dropped.
        parts: Names without slashes at either end.
    """
    return "/".join([uri.rstrip("/"), *parts])


def bytes_store(place: Place, settings: Settings, *, make: bool = False) -> BytesStore:
    """The store in which `place.key` is a key.

    Args:
        place: From `parse`.
        settings: Endpoint and credentials.
        make: Make the folder that a file lies in.

    Raises:
        FileNotFoundError: a folder that is missing and not to be made.
    """
    if place.scheme == "s3":
        return s3_store(place.root, "", settings)
    if place.scheme == "memory":
        return memory_store(place.root)
    return local_store(Path(place.root), make=make)


def open_store(uri: str, settings: Settings, *, read_only: bool) -> Store:
    """Open the Zarr store whose root is `uri`.

    Args:
        uri: `s3://`, `file://`, a path, or `memory://`.
        settings: Endpoint, credentials, and which client moves the chunks.
        read_only: Refuse writes; a folder that is missing is then an error instead of being made.

    Raises:
        InputError: not a URI of ours.
        MissingError: `read_only` and no such folder.
        StorageError: the folder cannot be made.

    Writes:
        Zarr's process-wide `async.concurrency`, from `settings.zarr_concurrency`.
    """
    place = parse(uri)
    zarr.config.set({"async.concurrency": settings.zarr_concurrency})
    with translated(uri, settings):
        if place.scheme == "memory":
            return ZarrMemoryStore(_Below(memory_store(place.root), place.key), read_only=read_only)
        if place.scheme == "file":
            return ObjectStore(local_store(Path(place.root, place.key), make=not read_only), read_only=read_only)
        if settings.zarr_client == "s3fs":
            return FsspecStore(s3_filesystem(settings), path=f"{place.root}/{place.key}".rstrip("/"), read_only=read_only)
        return ObjectStore(s3_store(place.root, place.key, settings), read_only=read_only)


class _Below(MutableMapping[str, Buffer]):
    """The part of a memory store below a prefix, as the mapping that Zarr's memory store wants.

    obstore's memory store takes no prefix, and Zarr's knows no bytes but its own.
    """

    def __init__(self, store: MemoryStore, prefix: str) -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""

    def __getitem__(self, key: str) -> Buffer:
        try:
            data = obstore.get(self._store, self._prefix + key).bytes()
        except FileNotFoundError:
            raise KeyError(key) from None
        return default_buffer_prototype().buffer.from_bytes(bytes(data))

    def __setitem__(self, key: str, value: Buffer) -> None:
        obstore.put(self._store, self._prefix + key, value.to_bytes())

    def __delitem__(self, key: str) -> None:
        obstore.delete(self._store, self._prefix + key)

    def __iter__(self) -> Iterator[str]:
        for page in obstore.list(self._store, self._prefix or None):
            yield from (item["path"].removeprefix(self._prefix) for item in page)

    def __len__(self) -> int:
        return sum(1 for _ in self)
