import os
from pathlib import Path

import pytest

from s2s.contracts.settings import STACK_ENV, Settings, load_settings
from s2s.errors import ConfigError, StackError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith(("S2S_", "AWS_", "RAY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("S2S_HOME", str(tmp_path))
    return tmp_path


def test_without_a_stack_there_is_no_server() -> None:
    settings = load_settings()
    assert (settings.is_local, settings.s3_endpoint, settings.mlflow_uri, settings.ray_address) == (False, None, None, None)
    with pytest.raises(StackError, match="s2s stack up"):
        _ = settings.root


def test_a_users_own_keys_do_not_go_to_the_local_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("S2S_S3_ENDPOINT=http://127.0.0.1:8333", "AWS_ACCESS_KEY_ID=stack", "AWS_SECRET_ACCESS_KEY=stack-secret")
    (home / STACK_ENV).write_text("\n".join(lines))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "mine")
    settings = load_settings()
    keys = (settings.aws_access_key_id, settings.aws_secret_access_key)
    assert [key.get_secret_value() for key in keys if key] == ["stack", "stack-secret"]
    assert settings.aws_session_token is None
    monkeypatch.setenv("S2S_S3_ENDPOINT", "https://s3.eu-west-1.amazonaws.com")
    own = load_settings().aws_access_key_id
    assert own is not None
    assert own.get_secret_value() == "mine"


def test_the_stack_is_found_through_its_file(home: Path) -> None:
    (home / STACK_ENV).write_text("S2S_S3_ENDPOINT=http://127.0.0.1:8333\nAWS_SECRET_ACCESS_KEY=from-the-file\nUNKNOWN=1\n")
    settings = load_settings()
    assert settings.home == home
    assert settings.s3_endpoint == "http://127.0.0.1:8333"
    assert settings.aws_secret_access_key is not None
    assert settings.aws_secret_access_key.get_secret_value() == "from-the-file"


def test_the_environment_wins_over_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / STACK_ENV).write_text("S2S_MLFLOW_URI=http://127.0.0.1:1\nS2S_BUCKET=from-the-file\n")
    monkeypatch.setenv("S2S_MLFLOW_URI", "http://mlflow.example:5000")
    settings = load_settings()
    assert (settings.tracking_uri, settings.bucket) == ("http://mlflow.example:5000", "from-the-file")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    settings = load_settings()
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("variable", "asked", "expected"),
    [
        pytest.param(None, None, False, id="default"),
        pytest.param("1", None, True, id="variable"),
        pytest.param(None, True, True, id="option"),
        pytest.param("true", False, False, id="option-wins"),
    ],
)
def test_local_mode_is_asked_for_by_variable_or_option(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, asked: bool | None, expected: bool
) -> None:
    if variable:
        monkeypatch.setenv("S2S_LOCAL", variable)
    assert load_settings(is_local=asked).is_local is expected


def test_local_mode_lives_under_the_home_folder(home: Path) -> None:
    settings = load_settings(is_local=True)
    assert settings.root == f"{home}/local"
    assert settings.tracking_uri == f"sqlite:///{home}/local/mlflow.db"


def test_a_tilde_in_the_home_folder_is_expanded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("S2S_HOME", "~/elsewhere")
    assert load_settings().home == home / "elsewhere"


def test_no_mlflow_says_what_would_start_one() -> None:
    with pytest.raises(
        StackError, match=r"MLflow server, but S2S_MLFLOW_URI is not set .* `s2s stack up`, set S2S_MLFLOW_URI, or add --local"
    ):
        _ = load_settings().tracking_uri


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("S2S_LOCAL", "perhaps", id="not-a-boolean"),
        pytest.param("S2S_ZARR_CLIENT", "boto3", id="unknown-client"),
        pytest.param("S2S_ZARR_CONCURRENCY", "0", id="out-of-range"),
    ],
)
def test_a_variable_that_does_not_parse_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"setting {name}: .*'{value}'"):
        load_settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().bucket = "other"
