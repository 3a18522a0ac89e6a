"""Keys and stack.env are private, keep every character, and survive."""

import stat
import subprocess
import threading
from pathlib import Path

import pytest

from s2s.contracts.settings import load_settings
from s2s.errors import StackError
from s2s.stack.credentials import ray_token, s3_keys
from s2s.stack.env_file import export_lines, read_env_file, write_env_file
from s2s.stack.folder import PortBook, StackFolder
from s2s.stack.private_files import write_private

AWKWARD = {"S2S_BUCKET": 'it\'s a "bucket" \\ $HOME # no comment', "S2S_MLFLOW_URI": "http://127.0.0.1:1"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_files_are_private_even_if_they_replace_public_ones(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    path.parent.mkdir()
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_keys_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "stack" / "s3_keys.json"
    first = s3_keys(path)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert s3_keys(path) == first
    assert first != s3_keys(tmp_path / "other.json")
    assert first.secret_access_key.get_secret_value() not in repr(first)


def test_a_token_is_made_once(tmp_path: Path) -> None:
    path = ray_token(tmp_path / "ray_token")
    token = path.read_text()
    assert len(token) == 64
    assert mode(path) == 0o600
    assert ray_token(path).read_text() == token


def test_spoilt_keys_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s3_keys.json"
    path.write_text("{}")
    with pytest.raises(StackError, match="delete it and fresh ones are made"):
        s3_keys(path)


def test_settings_read_what_the_stack_wrote(s2s_home: Path) -> None:
    write_env_file(s2s_home / "stack.env", AWKWARD)
    assert mode(s2s_home / "stack.env") == 0o600
    assert read_env_file(s2s_home / "stack.env") == AWKWARD
    assert load_settings().mlflow_uri == "http://127.0.0.1:1"


def test_a_shell_reads_what_the_stack_prints() -> None:
    script = "\n".join([*export_lines(AWKWARD), 'printf %s "$S2S_BUCKET"'])
    assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout == AWKWARD["S2S_BUCKET"]


def test_no_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="run `s2s stack up`"):
        read_env_file(tmp_path / "stack.env")


def test_ports_are_remembered_and_spoilt_files_forgotten(tmp_path: Path) -> None:
    place = StackFolder(tmp_path)
    assert place.last_ports() == {}
    place.keep_ports({"s3": {"s3": 20001}})
    assert place.last_ports() == {"s3": {"s3": 20001}}
    (place.path / "ports.json").write_text(PortBook(ports={}).model_dump_json()[:-5])
    assert place.last_ports() == {}
    (place.path / "s3.json").write_text("{")
    assert place.record("s3") is None


def test_only_one_works_on_a_stack_at_a_time(tmp_path: Path) -> None:
    place, told, order = StackFolder(tmp_path), threading.Event(), []

    def second() -> None:
        with place.lock(lambda what: told.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with place.lock(lambda what: None):
        thread.start()
        assert told.wait(timeout=10)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]
