"""Tokens: shown once, kept as hashes, good until they expire or are revoked, believed for a while when the store is silent."""

from pathlib import Path

import pytest

from s2s.contracts.settings import Settings
from s2s.errors import ConfigError, MissingError, StorageError
from s2s.recipes.serving import tokens
from s2s.recipes.serving.tokens import Doorkeeper, create_token, list_tokens, revoke_token


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, is_local=True)


def make(settings: Settings, name: str = "lab", days: float | None = None) -> tuple[str, str]:
    token, record = create_token(name, settings, tissues=("breast",), actions=("impute",), days=days)
    return token, record.id


def test_a_token_opens_the_door_and_its_secret_is_nowhere(settings: Settings, tmp_path: Path) -> None:
    token, token_id = make(settings)
    found = Doorkeeper(settings).holder(token)
    assert found is not None
    assert (found.id, found.name, found.tissues, found.actions) == (token_id, "lab", ("breast",), ("impute",))
    secret = token.rpartition("_")[2]
    assert all(secret not in path.read_text() for path in tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"), id="another-secret"),
        pytest.param(lambda token: token.replace("s2s_", "s2s_f", 1)[:-1], id="another-id"),
        pytest.param(lambda token: token + "0", id="longer"),
        pytest.param(lambda token: "", id="empty"),
        pytest.param(lambda token: "s2s_../../etc_" + "0" * 64, id="a-path"),
        pytest.param(lambda token: token.upper(), id="upper-case"),
    ],
)
def test_any_other_token_does_not(settings: Settings, spoilt) -> None:
    token, _ = make(settings)
    assert Doorkeeper(settings).holder(spoilt(token)) is None


def test_an_expired_token_does_not(settings: Settings) -> None:
    token, _ = make(settings, days=1)
    now = list_tokens(settings)[0].created_at
    assert Doorkeeper(settings, lambda: now + 86_399).holder(token) is not None
    assert Doorkeeper(settings, lambda: now + 86_401).holder(token) is None


def test_a_revoked_token_is_shut_out_within_ten_seconds(settings: Settings) -> None:
    token, token_id = make(settings)
    time = [1000.0]
    keeper = Doorkeeper(settings, lambda: time[0])
    assert keeper.holder(token) is not None
    revoke_token(token_id, settings)
    time[0] += 11
    assert keeper.holder(token) is None
    assert list_tokens(settings)[0].revoked_at is not None


def test_a_token_seen_lately_is_believed_while_the_store_is_silent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    token, _ = make(settings)
    other, _ = make(settings)
    time = [1000.0]
    keeper = Doorkeeper(settings, lambda: time[0])
    assert keeper.holder(token) is not None

    def silence(*_: object, **__: object) -> bytes:
        raise StorageError("S3 does not answer")

    monkeypatch.setattr(tokens, "read_bytes", silence)
    time[0] += 299
    assert keeper.holder(token) is not None
    with pytest.raises(StorageError):
        keeper.holder(other)
    time[0] += 2
    with pytest.raises(StorageError):
        keeper.holder(token)


def test_an_unknown_id_cannot_be_revoked(settings: Settings) -> None:
    _, token_id = make(settings)
    with pytest.raises(MissingError, match=rf"none 'nobody'; there are: {token_id} \(lab\)"):
        revoke_token("nobody", settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"name": ""}, "name", id="no-name"),
        pytest.param({"tissues": ("../x",)}, "tissues", id="a-tissue-that-is-none"),
        pytest.param({"actions": ("everything",)}, "actions", id="an-action-that-is-none"),
    ],
)
def test_a_token_that_cannot_be_is_refused(settings: Settings, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create_token(**{"name": "lab", "settings": settings, "tissues": None, "actions": ("impute",), "days": None, **changes})
    assert list_tokens(settings) == []


def test_a_store_that_takes_too_long_is_not_asked_about_tokens_seen_lately(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    token, _ = make(settings)
    time = [1000.0]
    keeper = Doorkeeper(settings, lambda: time[0])
    keeper.holder(token)
    time[0] += 20
    keeper.find_silent()
    monkeypatch.setattr(tokens, "read_bytes", lambda *_, **__: pytest.fail("it was asked"))
    assert keeper.holder(token) is not None
