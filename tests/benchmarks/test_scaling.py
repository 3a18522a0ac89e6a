"""How time and memory of one section grow with its bins, its genes and the photographs: a line per axis, and its slope.

Every point trains (20 steps) and imputes tile by tile, each in a process of its own. On a log-log plot a slope of 1 is cost in
proportion. The plot goes to the folder that FIGURES_FOLDER names, where it is set.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from matplotlib.ticker import NullFormatter

from s2s.evaluation.plots.canvas import blank, frame, to_png

USUAL = {"bins": 272, "genes": 16, "photographs": 64}
AXES = {"bins": (272, 384, 544, 768), "genes": (16, 64, 256, 1024), "photographs": (16, 64, 256, 1024)}
"""Bins by the side of their square; all larger than what is learnt from whole."""
ROUNDS = 3
Point = dict[str, float]


def job(what: str, home: str, *sizes: int) -> Point:
    command = [sys.executable, "-m", "benchmarks.one_job", what, home, *map(str, sizes)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    found: Point = json.loads(said.stdout or "{}")
    return found


def point(sizes: dict[str, int]) -> Point:
    """Median of rounds: seconds and bytes of training and of imputing."""
    rounds: list[Point] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as home:
            job("make", home, *sizes.values())
            rounds.append({f"{what}, {name}": value for what in ("train", "impute") for name, value in job(what, home).items()})
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


@pytest.mark.timeout(7200)
def test_cost_grows_no_faster_than_the_work(benchmark) -> None:
    lines: dict[str, dict[int, Point]] = {}

    def measure() -> None:
        for axis, values in AXES.items():
            lines[axis] = {}
            for value in values:
                lines[axis][value] = point(USUAL | {axis: value})
                print(axis, value, json.dumps(lines[axis][value]), flush=True)  # noqa: T201

    benchmark.pedantic(measure, rounds=1, iterations=1)
    slopes = {}
    figure = blank(10.5, 3.6)
    for number, (axis, line) in enumerate(lines.items()):
        work = np.array([value**2 if axis == "bins" else value for value in line], float)
        axes = figure.add_subplot(1, 3, number + 1)
        for name in next(iter(line.values())):
            cost = np.array([at[name] for at in line.values()])
            slopes[f"{axis}: {name}"] = float(np.polyfit(np.log(work), np.log(cost), 1)[0])
            unit, label = (1e9, "GB") if name.endswith("bytes") else (1, "s")
            axes.loglog(work, cost / unit, marker="o", label=f"{name.split(',')[0]}, {label}: slope {slopes[f'{axis}: {name}']:.2f}")
        axes.set_xlabel(axis)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=7, frameon=False)
        frame(axes, grid="both")
    if folder := os.environ.get("FIGURES_FOLDER"):
        Path(folder, "scaling.png").write_bytes(to_png(figure))
    benchmark.extra_info |= {name: round(slope, 3) for name, slope in slopes.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201
