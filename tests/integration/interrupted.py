"""Trainings that are killed: what they must come to, and how to kill them."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings
from s2s.storage.location import join
from s2s.storage.objects import list_names, read_bytes
from s2s.storage.parts import find_checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that a run found out, less what a clock or a name server says."""

    weights: bytes
    best_step: int
    validation_error: float | None
    scores: tuple[tuple[object, ...], ...]

    @staticmethod
    def of(report: RunReport, settings: Settings) -> "Result":
        scores = tuple(tuple(row.model_dump(exclude={"seconds"}).values()) for row in report.scores)
        weights = read_bytes(join(report.folder, "weights.safetensors"), settings)
        return Result(weights=weights, best_step=report.best_step, validation_error=report.validation_error, scores=scores)


def finish(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def wait_for_checkpoint(settings: Settings, known: set[str], process: "subprocess.Popen[str]") -> str:
    """The folder of the first attempt at a run that is not among those known, as soon as it has a checkpoint."""
    runs, deadline = join(settings.root, "runs"), time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the training ended before anyone disturbed it"
        for name in set(list_names(runs, settings)) - known:
            for attempt in list_names(join(runs, name), settings):
                if find_checkpoints(join(runs, name, attempt, "checkpoint"), settings):
                    return join(runs, name, attempt)
        time.sleep(0.02)
    raise AssertionError("no checkpoint in two minutes")


def kill_worker(title: str, home: Path) -> None:
    """Kill -9 the worker process, of this home's stack and no other, that runs the task of this title."""
    (victim,) = workers_of(title, home)
    victim.kill()
    victim.wait(timeout=30)


def workers_of(title: str, home: Path) -> list[psutil.Process]:
    """The worker processes, of this home's stack and no other, that run tasks or actors of this title."""
    return [process for process in psutil.process_iter(["cmdline"]) if is_worker(process, title, home)]


def is_worker(process: psutil.Process, title: str, home: Path) -> bool:
    try:
        return " ".join(process.info["cmdline"] or ()).startswith(title) and process.environ().get("S2S_HOME") == str(home)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
