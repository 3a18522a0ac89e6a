from pathlib import Path

import pytest

from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError, StorageError
from s2s.storage.location import Place, join, open_store, parse
from s2s.storage.objects import delete_prefix, read_bytes, write_bytes


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("s3://atlas/sections/a", Place(scheme="s3", root="atlas", key="sections/a"), id="s3"),
        pytest.param("s3://atlas", Place(scheme="s3", root="atlas", key=""), id="bucket"),
        pytest.param("s3://atlas/a/", Place(scheme="s3", root="atlas", key="a"), id="slash-at-the-end"),
        pytest.param("memory://test/a/b", Place(scheme="memory", root="test", key="a/b"), id="memory"),
        pytest.param("/data/a b#1", Place(scheme="file", root="/data", key="a b#1"), id="path"),
        pytest.param("/data/a/", Place(scheme="file", root="/data", key="a"), id="path-with-slash"),
        pytest.param("file:///data/a%20b", Place(scheme="file", root="/data", key="a b"), id="file"),
        pytest.param("file://localhost/data/a", Place(scheme="file", root="/data", key="a"), id="file-localhost"),
    ],
)
def test_parse(uri: str, expected: Place) -> None:
    assert parse(uri) == expected


def test_a_relative_path_is_taken_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("out/a") == Place(scheme="file", root=f"{tmp_path.as_posix()}/out", key="a")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("~/a") == Place(scheme="file", root=tmp_path.as_posix(), key="a")


@pytest.mark.parametrize(
    "uri", ["", " ", "/", "s3://", "s3:///key", "memory://", "file://", "file://host/a", "gs://bucket/a", "https://a/b"]
)
def test_what_is_no_place_is_said(uri: str) -> None:
    with pytest.raises(InputError, match="expected s3://bucket/key"):
        parse(uri)


@pytest.mark.parametrize(
    ("uri", "parts", "expected"),
    [
        pytest.param("s3://b", ("a", "c"), "s3://b/a/c", id="bucket"),
        pytest.param("s3://b/x/", ("a",), "s3://b/x/a", id="slash"),
        pytest.param("/data", (), "/data", id="nothing"),
    ],
)
def test_join(uri: str, parts: tuple[str, ...], expected: str) -> None:
    assert join(uri, *parts) == expected


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        open_store(str(tmp_path / "no" / "where"), Settings(), read_only=True)
    with pytest.raises(MissingError):
        read_bytes(str(tmp_path / "no" / "where"), Settings())
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="check permissions and free space"):
        write_bytes(str(tmp_path / "file" / "below"), b"", Settings())


def test_memory_stores_are_told_apart_by_name() -> None:
    write_bytes("memory://one/a", b"1", Settings())
    with pytest.raises(MissingError):
        read_bytes("memory://two/a", Settings())


@pytest.mark.parametrize(
    "uri",
    [pytest.param("s3://atlas", id="bucket"), pytest.param("s3://atlas/", id="slash"), pytest.param("memory://all", id="memory")],
)
def test_a_whole_bucket_is_never_deleted(uri: str) -> None:
    with pytest.raises(InputError, match="expected a key below"):
        delete_prefix(uri, Settings())
