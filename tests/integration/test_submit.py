"""`jobs/submit.py` against a real Ray head that asks for a token."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s2s.stack import ray_head
from s2s.stack.credentials import ray_token
from s2s.stack.ports import choose_ports
from s2s.stack.probe import answers
from s2s.stack.processes import spawn, stop, wait_until_healthy

SCRIPT = Path(__file__).resolve().parents[2] / "jobs" / "submit.py"
BIN = Path(sys.executable).parent
Submit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def head(server_folder: Path) -> Iterator[tuple[str, Path]]:
    """Address of the job server of a Ray head, and the file with its token."""
    home = server_folder / "submit"
    home.mkdir()
    token = ray_token(home / "token")
    ports = choose_ports((*ray_head.PORTS, "dashboard"), last={})
    plain = ray_head.launch(home, server_folder / "submit.log", ports, token, without=())
    command = [word for word in plain.command if word != "--include-dashboard=false"]
    command += ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={ports['dashboard']}", "--num-cpus=1"]
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}  # jobs find s2s as in the images
    record = spawn(dataclasses.replace(plain, command=tuple(command), env={**plain.env, **path}))
    try:
        url = f"http://127.0.0.1:{ports['dashboard']}"
        wait_until_healthy(record, lambda: ray_head.is_healthy(ports) and answers(url), timeout_s=ray_head.START_TIMEOUT_S)
        yield url, token
    finally:
        stop(record)


@pytest.fixture
def submit(head: tuple[str, Path]) -> Submit:
    def say(*words: object, token: Path | None = head[1]) -> "subprocess.CompletedProcess[str]":
        env = os.environ | ({"RAY_AUTH_TOKEN_PATH": str(token)} if token else {})
        command = [sys.executable, SCRIPT, "--address", head[0], *map(str, words)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return say


def logs(head: tuple[str, Path], job: str) -> str:
    env = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(head[1])}
    said = subprocess.run([BIN / "ray", "job", "logs", "--address", head[0], job], env=env, capture_output=True, text=True, check=False)
    return said.stdout + said.stderr


def test_a_job_runs_under_its_id_with_its_yaml_and_only_once(submit: Submit, head: tuple[str, Path], tmp_path: Path) -> None:
    yaml = tmp_path / "job.yaml"
    yaml.write_text("kind: run\nversion: 1\n")
    done = submit("breast-1", "train", yaml)
    assert (done.returncode, done.stdout.split(";")[0]) == (0, "breast-1")
    again = submit("breast-1", "train", yaml)
    assert again.returncode == 1
    assert "breast-1 already exists" in again.stderr
    assert "Traceback" not in again.stderr
    for _ in range(60):
        if "job.yaml is not a valid RunConfig" in (said := logs(head, "breast-1")):
            return
        time.sleep(1)
    pytest.fail(f"the job never read its YAML: {said}")


def test_a_wrong_token_or_none_is_refused_in_one_line(submit: Submit, tmp_path: Path) -> None:
    yaml, wrong = tmp_path / "job.yaml", tmp_path / "token"
    yaml.write_text("kind: run\n")
    wrong.write_text("0" * 64)
    for token in (wrong, None):
        done = submit("breast-2", "train", yaml, token=token)
        assert done.returncode == 1
        assert "did not take job breast-2" in done.stderr
        assert "uthenticat" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [pytest.param(["doctor"], id="no YAML"), pytest.param(["train", "none.yaml"], id="missing"), pytest.param([], id="no command")]
)
def test_a_command_without_a_yaml_is_refused(words: list[str]) -> None:
    spec = importlib.util.spec_from_file_location("submit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SystemExit, match="expected a command with one YAML that exists"):
        module.main(["breast-3", *words])


def test_the_script_stays_short() -> None:
    assert len(SCRIPT.read_text().splitlines()) <= 40
