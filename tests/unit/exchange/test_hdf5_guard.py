"""An HDF5 file of a stranger may point to other files; none of that is followed, and nothing becomes larger than a limit."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from s2s.errors import InputError
from s2s.exchange.hdf5_guard import check_hdf5


def refused(path: Path, words: str, max_bytes: int = 10_000) -> None:
    with pytest.raises(InputError, match=words):
        check_hdf5(path, max_bytes=max_bytes)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(4)
    (tmp_path / "secret.raw").write_bytes(bytes(32))
    return path


def test_an_ordinary_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["obs/x"] = np.arange(4)
        file["obs/name"] = "text"
        file["var/nothing"] = h5py.Empty("f")
    check_hdf5(path, max_bytes=10_000)


def test_links_to_other_files_are_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["obs/stolen"] = h5py.ExternalLink(str(secret), "data")
    refused(path, "expected no links in the h5ad, /obs/stolen is one")


def test_links_within_the_file_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = h5py.SoftLink("/a")
    refused(path, "/a/b is one")


def test_bytes_of_other_files_are_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (4,), "f8", external=[(str(secret.with_suffix(".raw")), 0, 32)])
    refused(path, "/X lies elsewhere")


def test_views_of_other_files_are_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(str(secret), "data", (4,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("X", layout)
    refused(path, "/X lies elsewhere")


def test_what_becomes_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (10**6, 10**6), "f4", chunks=(100, 100), compression="gzip")
    assert path.stat().st_size < 10_000
    refused(path, "at most 10000 bytes once unpacked, /X goes beyond it")


def test_one_chunk_may_be_too_large_though_its_array_is_small(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (1,), "f8", chunks=(10_000,), maxshape=(None,), compression="gzip")
    refused(path, "/X goes beyond it")


def test_many_objects_and_deep_folders_are_refused(tmp_path: Path) -> None:
    many, deep = tmp_path / "many.h5", tmp_path / "deep.h5"
    with h5py.File(many, "w") as file:
        for index in range(5_001):
            file.create_group(str(index))
    with h5py.File(deep, "w") as file:
        file.create_group("/".join("abcdefghijklmnop"))
    refused(many, "at most 5000 objects")
    refused(deep, "at most 12 folders inside one another")


def test_what_is_no_hdf5_is_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(secret.read_bytes()[:100])
    refused(path, "h5ad")
