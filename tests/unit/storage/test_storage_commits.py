"""What happens in the moment of the commit: a fake writer loses answers, as a network does."""

import secrets

import pytest

from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError, StorageError
from s2s.storage import commits
from s2s.storage.commits import commit_atomically, find_commit, open_commit
from s2s.storage.location import join
from s2s.storage.objects import list_names, write_bytes

SETTINGS = Settings()
META = PhotographsMeta(id="set", num_photographs=1, side=32, source="test", input_sha256="0" * 64, code_version="0")


@pytest.fixture
def uri() -> str:
    return f"memory://commits/{secrets.token_hex(6)}"


def fill(attempt_uri: str) -> PhotographsMeta:
    write_bytes(join(attempt_uri, "array"), b"1", SETTINGS)
    return META


def test_a_commit_whose_answer_was_lost_is_ours(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def written_but_sent_twice(uri: str, data: bytes, settings: Settings, *, if_absent: bool) -> None:
        write_bytes(uri, data, settings, if_absent=if_absent)
        write_bytes(uri, data, settings, if_absent=if_absent)

    monkeypatch.setattr(commits, "write_bytes", written_but_sent_twice)
    assert commit_atomically(uri, SETTINGS, fill, replace=False) == META
    attempt_uri, _ = open_commit(uri, SETTINGS, PhotographsMeta)
    assert list_names(attempt_uri, SETTINGS) == ["array"]


def test_a_commit_of_unknown_outcome_keeps_its_arrays(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def written_then_cut_off(uri: str, data: bytes, settings: Settings, *, if_absent: bool) -> None:
        write_bytes(uri, data, settings, if_absent=if_absent)
        raise StorageError("cut off")

    monkeypatch.setattr(commits, "write_bytes", written_then_cut_off)
    with pytest.raises(StorageError, match="cut off"):
        commit_atomically(uri, SETTINGS, fill, replace=False)
    attempt_uri, _ = open_commit(uri, SETTINGS, PhotographsMeta)
    assert list_names(attempt_uri, SETTINGS) == ["array"]


def test_a_commit_that_came_second_removes_its_arrays(uri: str) -> None:
    def overtaken(attempt_uri: str) -> PhotographsMeta:
        commit_atomically(uri, SETTINGS, fill, replace=False)
        return fill(attempt_uri)

    with pytest.raises(ExistsError, match="choose another id"):
        commit_atomically(uri, SETTINGS, overtaken, replace=False)
    commit = find_commit(uri, SETTINGS)
    assert commit is not None
    assert list_names(uri, SETTINGS) == sorted([commit.attempt, "commit.json"])


def test_an_interrupt_removes_the_attempt(uri: str) -> None:
    def interrupted(attempt_uri: str) -> PhotographsMeta:
        fill(attempt_uri)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit_atomically(uri, SETTINGS, interrupted, replace=False)
    assert list_names(uri, SETTINGS) == []


def test_a_store_that_is_gone_hides_no_error_behind_the_cleaning(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(uri: str, settings: Settings) -> None:
        raise StorageError("gone")

    def broken(attempt_uri: str) -> PhotographsMeta:
        raise InputError("the real reason")

    monkeypatch.setattr(commits, "delete_prefix", gone)
    with pytest.raises(InputError, match="the real reason"):
        commit_atomically(uri, SETTINGS, broken, replace=False)
    assert "left behind" in caplog.text
    assert f"{uri}/attempt-" in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no-keys"),
        pytest.param(b'{"kind": "commit", "version": 1, "attempt": "../other", "meta": {}}', id="attempt-elsewhere"),
    ],
)
def test_a_commit_that_does_not_parse_is_said(uri: str, data: bytes) -> None:
    write_bytes(join(uri, "commit.json"), data, SETTINGS)
    with pytest.raises(InputError, match=f"expected a commit of version 1 at {uri}/commit.json"):
        find_commit(uri, SETTINGS)


def test_nothing_committed_is_said(uri: str) -> None:
    assert find_commit(uri, SETTINGS) is None
    with pytest.raises(MissingError, match=f"expected a committed photographs at {uri}"):
        open_commit(uri, SETTINGS, PhotographsMeta)
