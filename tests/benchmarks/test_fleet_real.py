"""What the fleet costs where runs are real: two workers against one, one worker against plain loops over the same runs.

Every run trains for some ten seconds on a core of its own. Rivals, in turn with the fleet so that a busy machine disturbs all
alike: a loop over the same runs in one process that has imported everything already, and `s2s train` once per run. Workers have
imported everything before the clock starts. Other work on the machine slows runs down but does not enter `idle`, the share of the
workers' time in which they had no run, nor `handing over`, the seconds between a run and the next of its worker.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from benchmarks import pinned
from benchmarks.noop import SILENT
from s2s.contracts.atlas import AtlasConfig, AtlasPlan
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.orchestration import cluster
from s2s.orchestration.fleet import run_fleet
from s2s.recipes.atlas.plan import make_plan
from s2s.recipes.run import ledger_of, silent

Span = dict[str, float]
ROUNDS, NUM_RUNS, NUM_TRAINED = 3, 8, 3


def plan_of(settings: Settings, num_runs: int, num_workers: int) -> AtlasPlan:
    """The same runs whatever the number of workers: memory alone limits how many have room."""
    tissue = SyntheticTissue(kind="layers", id="synthetic-real", tissue="cortex", height=40, width=40, num_genes=24, seed=1)
    share = 0.9 * psutil.virtual_memory().total / 1e9 / num_workers
    config = AtlasConfig(
        name=f"real-{num_workers}",
        sections=(tissue,),
        set={"training": {"max_steps": 60, "validate_every": 20}},
        seeds=tuple(range(num_runs)),
        resources={"cpus": 1, "memory_gb": round(0.6 * share, 1) if num_workers > 1 else round(0.7 * share, 1)},
    )
    return make_plan(config, settings, silent)


def by_fleet(plan: AtlasPlan, settings: Settings) -> None:
    assert run_fleet(plan, plan.runs, settings, SILENT, pinned.do_pinned).done == len(plan.runs)


def by_loop(plan: AtlasPlan, settings: Settings) -> None:
    for run in plan.runs:
        assert pinned.do_pinned(run, plan.config, settings).state == "done"


def timed(work: Callable[[AtlasPlan, Settings], None], plan: AtlasPlan, settings: Settings) -> tuple[float, list[Span]]:
    """Seconds for all runs anew, and when each was at work, since the start."""
    for run in plan.runs:
        ledger_of(settings).forget(run.key)
    (settings.home / pinned.LOG).write_text("")
    started = time.time()
    work(plan, settings)
    seconds = time.time() - started
    spans = [json.loads(line) for line in (settings.home / pinned.LOG).read_text().splitlines()]
    return seconds, [span | {"from": span["from"] - started, "to": span["to"] - started} for span in spans]


def idle(seconds: float, spans: Sequence[Span], num_workers: int) -> float:
    return 1 - sum(span["to"] - span["from"] for span in spans) / (seconds * num_workers)


def handing_over(spans: Sequence[Span]) -> float:
    """The median pause between two runs of one core."""
    by_core: dict[float, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span["from"]):
        by_core.setdefault(span["core"], []).append(span)
    return statistics.median(after["from"] - before["to"] for row in by_core.values() for before, after in pairwise(row))


def train_one_by_one(settings: Settings, folder: Path) -> float:
    """Seconds per run of `s2s train`, one after another."""
    started = time.monotonic()
    for seed in range(NUM_TRAINED):
        job = folder / f"{seed}.yaml"
        job.write_text(
            "kind: run\nversion: 1\nname: real\npreset: laptop\nsection: synthetic-real\n"
            f"seed: {secrets.randbelow(2**30) + 1000}\ntraining: {{max_steps: 60, validate_every: 20}}\n"
            "resources: {cpus: 1, memory_gb: 1.5}\ntracking: {experiment: loop, register_model: false}\n"
        )
        command = [sys.executable, "-m", "s2s", "train", job, "--out", folder / "out"]
        environment = {**os.environ, "S2S_HOME": str(settings.home)}  # every test has a home of its own otherwise
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600, env=environment)
    return (time.monotonic() - started) / NUM_TRAINED


@pytest.mark.timeout(3600)
def test_workers_and_loops(benchmark, settings: Settings, tmp_path: Path) -> None:
    cluster.join(settings)
    from ray import cloudpickle  # noqa: PLC0415 - it reads its environment when imported

    cloudpickle.register_pickle_by_value(pinned)
    one, two = plan_of(settings, NUM_RUNS, 1), plan_of(settings, NUM_RUNS, 2)
    assert [run.key for run in one.runs] == [run.key for run in two.runs]
    timed(by_fleet, plan_of(settings, 2, 2), settings)  # workers warm
    rounds: list[dict[str, float]] = []

    def measure() -> None:
        for _ in range(ROUNDS):
            load = psutil.getloadavg()[0]
            loop_s, _ = timed(by_loop, one, settings)
            one_s, one_spans = timed(by_fleet, one, settings)
            two_s, two_spans = timed(by_fleet, two, settings)
            rounds.append(
                {
                    "load before": load,
                    "loop s": loop_s,
                    "one worker s": one_s,
                    "two workers s": two_s,
                    "one worker / loop": one_s / loop_s,
                    "two workers, x linear": one_s / two_s / 2,
                    "cpu s per run, one": statistics.mean(span["cpu_s"] for span in one_spans),
                    "cpu s per run, two": statistics.mean(span["cpu_s"] for span in two_spans),
                    "first run starts after s, one": min(span["from"] for span in one_spans),
                    "first run starts after s, two": min(span["from"] for span in two_spans),
                    "idle, one": idle(one_s, one_spans, 1),
                    "idle, two": idle(two_s, two_spans, 2),
                    "handing over s, one": handing_over(one_spans),
                    "handing over s, two": handing_over(two_spans),
                }
            )
            print(json.dumps(rounds[-1]), flush=True)  # noqa: T201

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(statistics.median(each[name] for each in rounds), 4) for name in rounds[0]}
    benchmark.extra_info["s2s train, s per run"] = round(train_one_by_one(settings, tmp_path), 1)
    print(json.dumps(benchmark.extra_info))  # noqa: T201
