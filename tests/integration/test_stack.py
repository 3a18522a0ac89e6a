"""The local stack for real: two starts at once, kills, restarts, and nothing left behind."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from s2s.contracts.settings import Settings, load_settings
from s2s.stack import local
from s2s.stack.folder import StackFolder
from s2s.stack.ports import HOST, choose_ports
from s2s.stack.processes import MARK, ProcessRecord, members
from s2s.storage.objects import read_bytes, write_bytes

NAMES = ("s3", "ray", "mlflow")
EXPERIMENTS = "/api/2.0/mlflow/experiments"
ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/0/note.txt"
WRONG_KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
TASK = """
import ray
from s2s.contracts.settings import load_settings

@ray.remote
def where():
    settings = load_settings()
    return [settings.s3_endpoint, settings.mlflow_uri, settings.aws_access_key_id.get_secret_value()]

ray.init(address=load_settings().ray_address, logging_level="ERROR")
print(*ray.get(where.remote()))
"""


def s2s(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "s2s", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def silent(what: str) -> None:
    """Nobody watches the progress of a test."""


def call(url: str, body: bytes | None = None, method: str = "GET") -> bytes:
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the test's own server
        return response.read()


def records(home: Path) -> dict[str, ProcessRecord]:
    found = {name: StackFolder(home).record(name) for name in NAMES}
    return {name: record for name, record in found.items() if record is not None}


def living_marks() -> set[str]:
    marks = set()
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                marks.add(process.environ().get(MARK, ""))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return marks


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """Home of a stack that two impatient users started at the same time, with something stored in S3 and in MLflow."""
    with tempfile.TemporaryDirectory(prefix="s2s-stack-") as folder, pytest.MonkeyPatch.context() as patch:
        home = Path(folder)
        patch.setenv("S2S_HOME", folder)
        try:
            for process in [s2s("stack", "up", "--quiet"), s2s("stack", "up", "--quiet")]:
                assert output(process) == ""
            settings = load_settings()
            write_bytes(f"{settings.root}/kept/note.txt", b"kept", settings)
            call(f"{settings.tracking_uri}{EXPERIMENTS}/create", b'{"name": "kept"}', "POST")
            call(f"{settings.tracking_uri}{ARTIFACT}", b"kept", "PUT")
            yield home
        finally:
            local.down(home, silent)


@pytest.fixture
def home(running: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2S_HOME", str(running))
    return running


def assert_data_are_there(settings: Settings) -> None:
    assert read_bytes(f"{settings.root}/kept/note.txt", settings) == b"kept"
    assert (
        json.loads(call(f"{settings.tracking_uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"))["experiment"]["name"]
        == "kept"
    )
    assert call(f"{settings.tracking_uri}{ARTIFACT}") == b"kept"
    assert read_bytes(f"{settings.root}/mlflow/0/note.txt", settings) == b"kept"


def test_a_second_up_keeps_every_process(home: Path) -> None:
    before = records(home)
    assert set(before) == set(NAMES)
    parts = local.up(home, silent)
    assert [(part.name, part.state, part.is_external) for part in parts] == [(name, "running", False) for name in NAMES]
    assert records(home) == before


def test_status_and_env_agree(home: Path) -> None:
    parts = json.loads(output(s2s("stack", "status", "--json")))
    said = dict(shlex.split(line)[1].split("=", 1) for line in output(s2s("stack", "env")).splitlines())
    assert [part["address"] for part in parts] == [said["S2S_S3_ENDPOINT"], said["S2S_RAY_ADDRESS"], said["S2S_MLFLOW_URI"]]
    assert {part["pid"] for part in parts} == {record.pid for record in records(home).values()}
    assert all(Path(part["log"]).stat().st_size > 0 for part in parts)


def test_everything_listens_on_this_machine_only(home: Path) -> None:
    listening = {
        connection.laddr.ip
        for record in records(home).values()
        for process in members(record)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {HOST, "::1", f"::ffff:{HOST}"}
    assert HOST in listening


def test_s3_refuses_wrong_keys(home: Path) -> None:
    settings = load_settings()
    client = boto3.client(
        "s3", endpoint_url=settings.s3_endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client.list_objects_v2(Bucket=settings.bucket)
    client.close()


def test_a_ray_task_finds_the_stack_and_its_keys(home: Path) -> None:
    settings = load_settings()
    driver = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(settings.ray_token_path)}
    done = subprocess.run(
        [sys.executable, "-c", TASK],
        env={**driver, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert settings.aws_access_key_id is not None
    assert done.stdout.split() == [settings.s3_endpoint, settings.mlflow_uri, settings.aws_access_key_id.get_secret_value()], done.stderr


def test_ray_refuses_a_driver_without_the_token(home: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ray"), "health-check", "--address", str(load_settings().ray_address)],
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "AuthenticationError" in done.stderr


@pytest.mark.parametrize(
    ("name", "victim"),
    [
        pytest.param("s3", "weed", id="s3"),
        pytest.param("mlflow", "mlflow", id="mlflow"),
        pytest.param("mlflow", "python", id="mlflow's worker"),
        pytest.param("ray", "ray", id="ray"),
        pytest.param("ray", "raylet", id="ray's scheduler"),
    ],
)
def test_a_killed_part_is_started_anew_alone_and_nothing_is_lost(home: Path, name: str, victim: str) -> None:
    before, settings = records(home), load_settings()
    process = next(process for process in members(before[name]) if process.name() == victim or process.name().startswith(f"{victim}3"))
    process.kill()
    psutil.wait_procs([process], timeout=10)
    assert next(part.state for part in local.status(home) if part.name == name) != "running"

    local.up(home, silent)
    after = records(home)
    assert {part for part in NAMES if after[part] != before[part]} == {name}
    assert members(before[name]) == []
    assert load_settings() == settings
    assert_data_are_there(settings)


def test_down_leaves_nothing_and_up_brings_everything_back(home: Path) -> None:
    before, settings = records(home), load_settings()
    processes = [process for record in before.values() for process in members(record)]
    assert len(processes) > len(NAMES)
    assert {record.mark for record in before.values()} <= living_marks()

    assert "S3 (SeaweedFS)" in output(s2s("stack", "down"))
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert not {record.mark for record in before.values()} & living_marks()
    assert not any(path.exists() for record in before.values() for path in record.scratch)
    assert not (home / "stack.env").exists()
    assert output(s2s("stack", "down")) == "no stack was up\n"
    assert [part.state for part in local.status(home)] == ["stopped"] * 3

    output(s2s("stack", "up", "--quiet"))
    assert load_settings() == settings
    assert_data_are_there(settings)


def test_replaced_parts_are_watched_not_started(
    s2s_home: Path, s3_settings: Settings, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_port = choose_ports(["ray"], last={})["ray"]
    given = [str(s3_settings.s3_endpoint), f"{HOST}:{ray_port}", mlflow_server]
    for variable, value in zip(("S2S_S3_ENDPOINT", "S2S_RAY_ADDRESS", "S2S_MLFLOW_URI"), given, strict=True):
        monkeypatch.setenv(variable, value)
    parts = local.up(s2s_home, silent)
    assert [(part.address, part.is_external, part.pid) for part in parts] == [(address, True, None) for address in given]
    assert [part.state for part in parts] == ["running", "silent", "running"]
    assert records(s2s_home) == {}
