"""Checkpoints in parts: whole ones are found whatever lies beside them, old ones go, and what fails is said."""

import threading

import numpy as np
import pytest

from s2s.contracts.settings import Settings
from s2s.errors import InputError, StorageError
from s2s.storage import parts
from s2s.storage.location import join
from s2s.storage.objects import delete_object, list_names
from s2s.storage.parts import Checkpoint, CheckpointWriter, find_checkpoints

SETTINGS = Settings()


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path / "checkpoint")


def write(folder: str, *steps: int, keep: int = 2, part: int = 0, num_parts: int = 1) -> None:
    with CheckpointWriter(folder, SETTINGS, keep=keep) as writer:
        for step in steps:
            writer.write(writer.at(step, num_parts), part, {f"weights/{part}": np.full(3, step, np.float32)}, {"step": step})


def test_every_part_is_read_back(folder: str) -> None:
    for part in (1, 0):
        write(folder, 7, part=part, num_parts=2)
    (found,) = find_checkpoints(folder, SETTINGS)
    tensors = [(list(arrays), state["step"], arrays[f"weights/{part}"][0]) for part, (arrays, state) in enumerate(found.parts(SETTINGS))]
    assert tensors == [(["weights/0"], 7, 7.0), (["weights/1"], 7, 7.0)]


def test_a_checkpoint_that_lacks_a_part_is_none(folder: str) -> None:
    write(folder, 3)
    write(folder, 9, part=0, num_parts=2)
    write(folder, 9, part=1, num_parts=3)
    assert [(found.step, found.num_parts) for found in find_checkpoints(folder, SETTINGS)] == [(3, 1)]


def test_only_the_newest_are_kept(folder: str) -> None:
    write(folder, *range(1, 6), keep=2)
    assert list_names(folder, SETTINGS) == ["000000004-0-of-1.safetensors", "000000005-0-of-1.safetensors"]


def test_nothing_is_deleted_before_all_parts_of_newer_ones_are_there(folder: str) -> None:
    for step in (1, 2):
        for part in (0, 1):
            write(folder, step, part=part, num_parts=2)
    write(folder, 3, part=0, num_parts=2)
    assert [found.step for found in find_checkpoints(folder, SETTINGS)] == [2, 1]
    write(folder, 3, part=1, num_parts=2)
    write(folder, 4, part=0, num_parts=2)
    assert [found.step for found in find_checkpoints(folder, SETTINGS)] == [3, 2]


def test_no_folder_no_checkpoint(folder: str) -> None:
    assert find_checkpoints(folder, SETTINGS) == []


def test_a_part_that_is_gone_is_named(folder: str) -> None:
    write(folder, 1)
    (found,) = find_checkpoints(folder, SETTINGS)
    delete_object(found.uri(0), SETTINGS)
    with pytest.raises(InputError, match=r"part 1 of 1 .*000000001-0-of-1\.safetensors, found none"):
        list(found.parts(SETTINGS))


def test_a_part_is_taken_down_at_once_and_stored_in_the_background(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, store = threading.Event(), parts.write_bytes
    monkeypatch.setattr(parts, "write_bytes", lambda *words: (gate.wait(30), store(*words)))
    weight = np.zeros(2, np.float32)
    with CheckpointWriter(folder, SETTINGS, keep=1) as writer:
        writer.write(writer.at(1, 1), 0, {"weights/a": weight}, {"step": 1})
        weight += 1
        assert find_checkpoints(folder, SETTINGS) == []
        gate.set()
    (found,) = find_checkpoints(folder, SETTINGS)
    assert found.uri(0) == join(folder, "000000001-0-of-1.safetensors")
    ((arrays, _),) = found.parts(SETTINGS)
    assert arrays["weights/a"].tolist() == [0, 0]


def test_what_could_not_be_stored_is_said_by_the_next_or_at_the_end(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(parts, "write_bytes", refuse)
    with pytest.raises(StorageError, match="no space"), CheckpointWriter(folder, SETTINGS, keep=1) as writer:
        writer.write(writer.at(1, 1), 0, {}, {})
    writer = CheckpointWriter(folder, SETTINGS, keep=1)
    for ask in (lambda: writer.write(writer.at(2, 1), 0, {}, {}), writer.wait):
        writer.write(writer.at(1, 1), 0, {}, {})
        with pytest.raises(StorageError, match="no space"):
            ask()
    with pytest.raises(ValueError, match="mine"), CheckpointWriter(folder, SETTINGS, keep=1) as writer:
        writer.write(writer.at(1, 1), 0, {}, {})
        raise ValueError("mine")


def test_the_newest_comes_first() -> None:
    older, newer = (Checkpoint(step=step, num_parts=2, folder="s3://atlas/x") for step in (9, 10))
    assert max(older, newer) == newer
    assert newer.uri(1) == "s3://atlas/x/000000010-1-of-2.safetensors"
