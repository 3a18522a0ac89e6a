"""The training step of preset `paper` against the paper's written out plainly: windows per second, and peak memory; on one thread, and two.

Both sides in turn, every step in a process of its own (`one_step.py`). The rival keeps all activations of its four passes until it goes
backward, which no machine of ours has room for at 16 windows: it does two of each term here, and its memory at 16 is read off the
line through 1, 2 and 3.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROUNDS, WINDOWS, OF_REFERENCE = 3, 16, 2
SLOPE_FROM = (1, 2, 3)


def one_step(which: str, num_windows: int, threads: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.one_step", which, str(num_windows), "cpu"]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1], env=env)
    found: dict[str, float] = json.loads(said.stdout)
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("threads", [1, 2])
def test_step_against_the_papers(benchmark, threads: int) -> None:
    rounds: list[dict[str, float]] = []

    def measure() -> None:
        for _ in range(ROUNDS):
            theirs, ours = one_step("reference", OF_REFERENCE, threads), one_step("ours", WINDOWS, threads)
            rounds.append(
                {
                    "reference, s per window": theirs["s"] / OF_REFERENCE,
                    "ours, s per window": ours["s"] / WINDOWS,
                    "throughput, x reference": theirs["s"] / OF_REFERENCE / (ours["s"] / WINDOWS),
                    "ours, peak GB": ours["peak"] / 1e9,
                }
            )
            print(json.dumps(rounds[-1]), flush=True)  # noqa: T201

    benchmark.pedantic(measure, rounds=1, iterations=1)
    peaks = [one_step("reference", number, threads)["peak"] / 1e9 for number in SLOPE_FROM]
    slope, base = np.polyfit(SLOPE_FROM, peaks, 1)
    found = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    found |= {f"reference, peak GB at {number}": peak for number, peak in zip(SLOPE_FROM, peaks, strict=True)}
    found["reference, peak GB at 16, by their line"] = base + slope * WINDOWS
    found["memory, x reference"] = found["ours, peak GB"] / found["reference, peak GB at 16, by their line"]
    benchmark.extra_info |= {name: round(float(value), 4) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201
