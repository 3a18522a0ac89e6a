"""The node's cache: what was put is found, whole or not at all, and never more than allowed."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from s2s.storage import node_cache
from s2s.storage.node_cache import SWEEPS, CachedStore, NodeCache
from s2s.storage.traffic import Traffic

ROOM = 2**20
URI = "s3://atlas/attempt"


def kept(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_what_one_reader_puts_another_finds(tmp_path):
    NodeCache(tmp_path / "cache", ROOM).put(URI, "a/c/0", b"chunk")
    other = NodeCache(tmp_path / "cache", ROOM)
    assert other.get(URI, "a/c/0") == b"chunk"
    assert other.get(URI, "b/c/0") is None
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"abc", b"\0\0\0\0chunk"])
def test_a_damaged_chunk_is_fetched_again(tmp_path, damage):
    cache = NodeCache(tmp_path, ROOM)
    cache.put(URI, "address", b"chunk")
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert cache.get(URI, "address") is None
    cache.put(URI, "address", b"chunk")
    assert cache.get(URI, "address") == b"chunk"


def test_a_store_is_forgotten_without_the_others(tmp_path):
    cache = NodeCache(tmp_path, ROOM)
    for uri, key in ((URI, "c/0"), (URI, "c/1"), (f"{URI}-2", "c/0")):
        cache.put(uri, key, b"chunk")
    cache.forget(URI)
    assert [cache.get(uri, "c/0") for uri in (URI, f"{URI}-2")] == [None, b"chunk"]


def test_the_longest_unused_go_first_and_the_folder_stays_small(tmp_path):
    cache, size = NodeCache(tmp_path, ROOM), ROOM // 64
    cache.put(URI, "wanted", bytes(size))
    for number in range(200):
        cache.put(URI, str(number), bytes(size))
        for file in tmp_path.iterdir():  # an hour passes
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 3600))
        assert cache.get(URI, "wanted") is not None
        assert kept(tmp_path) <= ROOM
    assert cache.get(URI, "0") is None
    assert cache.get(URI, "199") is not None


def test_a_chunk_as_large_as_the_cache_is_not_kept(tmp_path):
    cache = NodeCache(tmp_path, ROOM)
    cache.put(URI, "large", bytes(ROOM // SWEEPS + 1))
    assert cache.get(URI, "large") is None


def test_a_full_disk_is_left_alone(tmp_path, monkeypatch):
    cache, free = NodeCache(tmp_path, ROOM), ROOM // 2
    monkeypatch.setattr(node_cache.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free - kept(tmp_path)))
    for number in range(200):
        cache.put(URI, str(number), bytes(ROOM // 256))
        assert kept(tmp_path) <= free // 2
    assert cache.get(URI, "199") is not None
    free = 0
    NodeCache(tmp_path, ROOM).put(URI, "more", bytes(100))
    assert cache.get(URI, "more") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = NodeCache(tmp_path / "file" / "cache", ROOM)
    cache.put(URI, "address", b"chunk")
    assert cache.get(URI, "address") is None


def test_only_whole_chunks_are_kept(tmp_path):
    prototype, traffic = default_buffer_prototype(), Traffic()
    chunk = prototype.buffer.from_bytes(b"chunk")
    store = CachedStore(MemoryStore(), NodeCache(tmp_path, ROOM), URI, traffic)

    async def read_twice() -> list[bytes | None]:
        await store.set("counts/c/0", chunk)
        await store.set("zarr.json", chunk)
        keys = ["counts/c/0", "zarr.json", "counts/c/1"] * 2
        return [None if value is None else value.to_bytes() for value in [await store.get(key, prototype) for key in keys]]

    assert asyncio.run(read_twice()) == [b"chunk", b"chunk", None] * 2
    assert (traffic.num_found, traffic.found_bytes) == (1, 5)
    assert len(list(tmp_path.iterdir())) == 1
