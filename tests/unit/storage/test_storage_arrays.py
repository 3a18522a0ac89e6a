from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.storage.arrays import ArrayReader, ArrayWriter, chunk_shape, regrouped

MB = 2**20


@pytest.mark.parametrize(
    ("shape", "itemsize", "expected"),
    [
        pytest.param((313, 100, 100), 4, (104, 100, 100), id="small-planes-together"),
        pytest.param((10, 100, 100), 4, (10, 100, 100), id="whole-section"),
        pytest.param((313, 512, 1024), 4, (2, 512, 1024), id="planes-of-two-megabytes"),
        pytest.param((313, 1024, 1024), 4, (1, 1024, 1024), id="one-plane"),
        pytest.param((313, 1024, 1025), 4, (16, 256, 256), id="windows"),
        pytest.param((19_000, 3350, 3350), 4, (5, 256, 256), id="fewer-genes-of-large-planes"),
        pytest.param((19_000, 10_000, 10_000), 4, (1, 1024, 1024), id="larger-windows-of-one-gene"),
        pytest.param((1, 3350, 3350), 4, (1, 1024, 1024), id="one-gene-in-windows"),
        pytest.param((19_000, 100, 40_000), 2, (33, 100, 256), id="narrow"),
    ],
)
def test_chunk_shape(shape: tuple[int, int, int], itemsize: int, expected: tuple[int, int, int]) -> None:
    found = chunk_shape(shape, itemsize)
    assert found == expected
    assert found[0] * found[1] * found[2] * itemsize <= 4 * MB, "one read unit"
    assert found[0] * shape[1] * shape[2] * itemsize <= max(256 * MB, shape[1] * shape[2] * itemsize), "what a writer holds"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([7], [3, 3, 1], id="one-block"),
        pytest.param([1, 1, 1, 1], [3, 1], id="one-by-one"),
        pytest.param([2, 0, 4], [3, 3], id="with-an-empty-block"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_regrouped(sizes: list[int], expected: list[int]) -> None:
    planes = np.arange(sum(sizes) * 2).reshape(-1, 1, 2)
    blocks = np.split(planes, np.cumsum(sizes)[:-1]) if sizes else []
    found = [block.copy() for block in regrouped(blocks, 3)]
    assert [len(block) for block in found] == expected
    if found:
        np.testing.assert_array_equal(np.concatenate(found), planes)


def test_regrouped_asks_for_no_more_than_it_needs() -> None:
    asked: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(4):
            asked.append(number)
            yield np.full((1, 1, 1), number)

    stream = regrouped(blocks(), 2)
    next(stream)
    assert asked == [0, 1]


def test_an_array_that_is_not_there_is_said() -> None:
    writer = ArrayWriter("memory://arrays/a", Settings())
    writer.write_whole("mask", np.ones((2, 2), np.bool_), ("y", "x"))
    writer.finish({"kind": "test"})
    reader = ArrayReader("memory://arrays/a", "memory://arrays/a", Settings())
    np.testing.assert_array_equal(reader.read("mask"), np.ones((2, 2), np.bool_))
    with pytest.raises(InputError, match="expected an array 'counts'"):
        reader.read("counts")


def garbled(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("spoil", [garbled, cut_off])
def test_a_damaged_chunk_is_the_users_to_mend(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    uri, planes = str(tmp_path / "a"), np.arange(200, dtype=np.uint16).reshape(2, 10, 10)
    writer = ArrayWriter(uri, Settings())
    writer.write_planes("counts", planes.dtype, {"gene": 2, "y": 10, "x": 10}, [planes])
    writer.finish({"kind": "test"})
    reader = ArrayReader(uri, uri, Settings())
    np.testing.assert_array_equal(reader.read("counts"), planes)
    (chunk,) = (path for path in (tmp_path / "a" / "counts" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(spoil(chunk.read_bytes()))
    with pytest.raises(InputError, match=r"expected whole chunks of 'counts' in .*, found a damaged one .*; restore the object"):
        reader.read("counts", slice(0, 1))
