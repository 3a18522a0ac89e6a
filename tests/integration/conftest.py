"""The command line as its users meet it, a real local stack, and a run small enough to be trained many times."""

import hashlib
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.service import Running, serving, sparse_section
from s2s import cli
from s2s.client import Atlas
from s2s.contracts.release import Release
from s2s.orchestration.cluster import KEEPALIVE_ENV
from s2s.stack import local
from s2s.tracking.registry import Candidate

TINY = """\
kind: run
version: 1
name: tiny
section: synthetic-glands
photographs: null
network: {features: 8, blocks: 1, layers: 2, growth: 4, window: 4, heads: 2, cascades: 2, has_mask_inputs: true, fill: smooth}
training: {max_steps: 120, learning_rate: 0.003, batch: 4, window: 16, validate_every: 20, precision: float32}
imputation: {tile: 32, overlap: 8}
resources: {cpus: 1, memory_gb: 1}
tracking: {experiment: end to end}
"""
SECTION = ("ingest", "synthetic", "--height", "48", "--width", "48", "--genes", "12")
"""Words that ingest the section `TINY` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command left on the terminal."""

    code: int | str | None
    out: str
    err: str


Door = Callable[..., Outcome]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def door(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Door:
    """Say `s2s WORDS` in this process: the same door, without the seconds that a new interpreter takes."""

    def say(*words: object) -> Outcome:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        monkeypatch.setattr(sys, "argv", ["s2s", *map(str, words)])
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as end:
                cli.main()
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
        out, err = capfd.readouterr()
        return Outcome(code=end.value.code, out=out, err=err)

    return say


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Start `s2s WORDS` as a process of its own, as a user does; what a failed test left running is ended."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "s2s", *map(str, words)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        with process:  # closes its pipes and waits for it
            process.kill()


@pytest.fixture(scope="session")
def stack_folder() -> Iterator[Path]:
    """`$S2S_HOME` of the local stack that the tests of the command line share; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="s2s-") as folder, pytest.MonkeyPatch.context() as patch:
        home = Path(folder)
        patch.setenv("S2S_HOME", folder)
        try:
            local.up(home, lambda what: None)
            yield home
        finally:
            local.down(home, lambda what: None)


@pytest.fixture
def stack(stack_folder: Path, s2s_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared stack as this test's `$S2S_HOME`. Its model of synthetic glands belongs to `test_end_to_end_stack.py`."""
    monkeypatch.setenv("S2S_HOME", str(stack_folder))
    return stack_folder


@pytest.fixture
def ray_door(door: Door, stack: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """`door` for commands that join the stack's Ray from this process; it leaves afterwards, so that another test may join another."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_DEDUP_LOGS", *KEEPALIVE_ENV):
        monkeypatch.setenv(name, "")  # the command sets them; this remembers to take them away
        monkeypatch.delenv(name)
    yield door
    import ray  # noqa: PLC0415 - only after `join` has set what ray reads when it is imported

    ray.shutdown()


@pytest.fixture(scope="session")
def tiny() -> str:
    """The YAML of a run that trains in seconds."""
    return TINY


@pytest.fixture(scope="session")
def small_section() -> tuple[str, ...]:
    """Words that ingest the section of that run."""
    return SECTION


@pytest.fixture(scope="session")
def offer(make_release: Callable[..., Release]) -> Callable[..., Candidate]:
    """Build a candidate of some weights and a serving script; its release is as `make_release` makes it, and knows the weights."""

    def build(weights: bytes, script: Path, **changes: object) -> Candidate:
        release = make_release(weights_sha256=hashlib.sha256(weights).hexdigest(), **changes)
        return Candidate(release=release, weights=weights, code_path=script, card="# A model\n")

    return build


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A YAML that trains in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def service(stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service on the shared stack, with a model of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(stack_folder))
        with serving(tmp_path_factory.mktemp("service")) as running:
            yield running


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """An h5ad of sparse spots that the service's model fills in."""
    path = tmp_path / "sparse.h5ad"
    sparse_section(path)
    return path


@pytest.fixture
def atlas(service: Running) -> Iterator[Atlas]:
    """A client of that service."""
    with Atlas(service.url, service.token) as client:
        yield client
