"""Training by DeepSpeed is the training on one device: same losses, same norms, and either goes on from the other's checkpoints."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from numerics.sharded_worker import BEST, MIDDLE

NUM_STEPS = 50
STAGES = (0, 1, 2, 3)
TESTS = Path(__file__).parents[1]
Said = list[dict[str, object]]


def run_workers(size: int, jobs: list[dict[str, object]], folder: Path) -> Said:
    """Start so many workers on a machine that has no compiler, and give what the first says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    answer, empty = folder / f"answer-{size}-{port}.json", folder / "no-compiler-here"
    empty.mkdir(exist_ok=True)
    environment = {**os.environ, "PATH": str(empty), "OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": str(folder / "extensions")}
    with ExitStack() as stack:
        workers = []
        for rank in range(size):
            log = stack.enter_context((folder / f"worker-{rank}.log").open("w"))
            command = [sys.executable, "-m", "numerics.sharded_worker", str(rank), str(size), port, str(answer)]
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=TESTS, env=environment)
            stack.enter_context(worker)
            stack.callback(worker.kill)
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(jobs).encode())
            worker.stdin.close()
            workers.append(worker)
        for rank, worker in enumerate(workers):
            assert worker.wait(300) == 0, (folder / f"worker-{rank}.log").read_text()[-3000:]
    assert not (folder / "extensions").exists(), "DeepSpeed compiled something"
    found: Said = json.loads(answer.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """One worker and two, from the start and from each other's checkpoints."""
    folder = tmp_path_factory.mktemp("sharded")
    two = run_workers(2, [{"stage": stage, "steps": NUM_STEPS, "save": str(folder / f"two-{stage}")} for stage in STAGES], folder)
    alone = [{"stage": None, "steps": NUM_STEPS, "save": str(folder / "one")}, {"stage": None, "steps": BEST}]
    whole = [{"stage": stage, "steps": NUM_STEPS} for stage in STAGES]
    resuming = [{"stage": None, "steps": NUM_STEPS, "resume": str(folder / f"two-{stage}")} for stage in STAGES]
    recomputing = [{"stage": stage, "steps": NUM_STEPS, "resume": str(folder / "one"), "recompute": True} for stage in (None, 3)]
    one = run_workers(1, [*alone, *whole, *resuming, *recomputing], folder)
    last = run_workers(2, [{"stage": stage, "steps": NUM_STEPS, "resume": str(folder / "one")} for stage in STAGES], folder)
    return {"single": one[:2], "one": one[2:6], "one from two": one[6:10], "recomputed": one[10:], "two": two, "two from one": last}


def assert_same(found: dict[str, object], expected: dict[str, object], rel: float) -> None:
    steps = len(found["losses"])  # type: ignore[arg-type]
    for name in ("losses", "norms"):
        assert found[name] == pytest.approx(expected[name][-steps:], rel=rel), name  # type: ignore[index]
    assert found["left"] == pytest.approx(expected["left"], rel=rel)
    assert found["plain"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.timeout(600)
def test_one_worker_is_one_device(said: dict[str, Said], stage: int) -> None:
    assert len(said["one"][stage]["losses"]) == NUM_STEPS  # type: ignore[arg-type]
    assert_same(said["one"][stage], said["single"][0], 1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_two_workers_are_one(said: dict[str, Said], stage: int) -> None:
    assert_same(said["two"][stage], said["single"][0], 1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_one_device_goes_on_from_the_checkpoint_of_two_workers(said: dict[str, Said], stage: int) -> None:
    assert len(said["one from two"][stage]["losses"]) == NUM_STEPS - MIDDLE  # type: ignore[arg-type]
    assert_same(said["one from two"][stage], said["single"][0], 1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_two_workers_go_on_from_the_checkpoint_of_one_device(said: dict[str, Said], stage: int) -> None:
    assert len(said["two from one"][stage]["losses"]) == NUM_STEPS - MIDDLE  # type: ignore[arg-type]
    assert_same(said["two from one"][stage], said["single"][0], 1e-5)


def test_computing_again_changes_nothing(said: dict[str, Said]) -> None:
    for found in said["recomputed"]:
        assert_same(found, said["single"][0], 1e-6)


def test_the_best_weights_are_kept_not_the_last(said: dict[str, Said]) -> None:
    assert said["two"][3]["left"] == pytest.approx(said["single"][1]["left"], rel=1e-5)
    assert len(said["single"][1]["losses"]) == BEST  # type: ignore[arg-type]
