"""What a worker takes of memory: what is shared among two, activation checkpointing on and off, and the planner's estimate beside it.

208 million parameters, two workers with a window of 16 x 16 bins each, float32. The rival of every strategy is data parallel training.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from s2s.contracts.run import NetworkConfig
from s2s.training.memory import estimate, measure_shape

GIVEN = {
    "network": {"features": 128, "growth": 128, "blocks": 8, "layers": 4, "cascades": 12, "heads": 4},
    "training": {"batch": 2, "window": 16, "pass_bins": 512},
}
CASES = [(strategy, recompute) for strategy in ("single", "data_parallel", "zero1", "zero2", "zero3") for recompute in (False, True)]
Said = dict[str, float]


def measure(strategy: str, workers: int, *, recompute: bool) -> Said:
    """Of the first worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [str(workers), port, strategy, "yes" if recompute else "no"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.one_worker", str(rank), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(workers)
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(GIVEN))
        process.stdin.close()
    said = [process.stdout.read() for process in processes if process.stdout is not None]
    assert all(process.wait() == 0 for process in processes)
    found: Said = json.loads(said[0].splitlines()[-1])
    return found


@pytest.mark.timeout(3600)
def test_what_a_worker_takes(benchmark) -> None:
    shape, rows = measure_shape(NetworkConfig(**GIVEN["network"]), "float32"), {}

    def run() -> None:
        for strategy, recompute in CASES:
            workers = 1 if strategy == "single" else 2
            found = measure(strategy, workers, recompute=recompute)
            bins = GIVEN["training"]["batch"] * GIVEN["training"]["window"] ** 2 // workers
            planned = estimate(shape, strategy, workers, recompute=recompute, bins=bins).total  # type: ignore[arg-type]
            rows[f"{strategy}{', recompute' if recompute else ''}"] = {
                **found,
                "estimate": planned,
                "estimate / peak": planned / found["peak"],
            }
            print(strategy, recompute, json.dumps(list(rows.values())[-1]), flush=True)  # noqa: T201

    benchmark.pedantic(run, rounds=1, iterations=1)
    for name, row in rows.items():
        rival = rows["data_parallel, recompute" if name.endswith("recompute") else "data_parallel"]
        benchmark.extra_info[name] = {**row, "peak / data parallel": row["peak"] / rival["peak"]}
