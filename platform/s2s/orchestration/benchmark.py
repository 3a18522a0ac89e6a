"""A benchmark on Ray: every cell a task with the resources it asks for, in a worker of its own.

Only a cell's JSON travels, and its result lies in the store. Decision: a limited number of tasks is handed in at a time,
so that a thousand cells do not queue in Ray, and Ctrl-C has few to take back; the price is a word with Ray per cell.
"""

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from s2s.contracts.benchmark import BenchmarkCell, BenchmarkConfig, BenchmarkReport
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import S2SError
from s2s.orchestration.cluster import HeadWatch, check_resources, join, room_for, stop_tasks
from s2s.orchestration.progress import EVERY_S
from s2s.recipes.benchmark.cell import run_cell
from s2s.recipes.benchmark.here import Tell, describe
from s2s.recipes.benchmarking import benchmark
from s2s.recipes.run import Progress

if TYPE_CHECKING:
    from ray import ObjectRef

logger = logging.getLogger(__name__)
MAX_RETRIES = 3
AHEAD = 2
"""Tasks handed in per task that the cluster can run at once."""


def benchmark_on_ray(config: BenchmarkConfig, settings: Settings, on_progress: Progress) -> BenchmarkReport:
    """Run `benchmark` with its cells as Ray tasks.

    Args:
        config: Resolved.
        settings: Name the Ray head.
        on_progress: Told how many cells are done.

    Raises:
        StackError: no Ray head is set or it does not answer.
        ConfigError: the cluster has fewer resources than a cell asks for.
        S2SError: whatever the benchmark itself raises.
    """
    join(settings)
    check_resources(config.resources)
    with redirect_stdout(sys.stderr):  # Ray says on stdout that a worker died, which is for results alone
        return benchmark(config, settings, on_progress, run_cells=run_cells_on_ray)


def run_cells_on_ray(cells: Sequence[BenchmarkCell], settings: Settings, tell: Tell) -> dict[str, str]:
    """Run cells on the cluster that this process has joined, as many at a time as it has room for.

    Args:
        cells: What to run.
        settings: Of the driver; a worker has its own.
        tell: Told how many have ended, and how many are handed in.

    Returns:
        Key -> why, of cells that left no result; they are tried again next time.

    Raises:
        ConfigError: the cluster has fewer resources than a cell asks for.
        StackError: the Ray head no longer answers.
    """
    for wanted in dict.fromkeys(cell.resources for cell in cells):
        check_resources(wanted)
    import ray

    waiting, lost, head = list(reversed(cells)), dict[str, str](), HeadWatch(settings)
    window = _window(cells)
    running: dict[ObjectRef[None], BenchmarkCell] = {}
    try:
        while waiting or running:
            if not head.answers():
                time.sleep(EVERY_S)
                continue
            for cell in [waiting.pop() for _ in range(min(len(waiting), window - len(running)))]:
                running[_submit(cell)] = cell
            tell(len(cells) - len(waiting) - len(running), describe(next(iter(running.values()))))
            for task in ray.wait(list(running), timeout=EVERY_S)[0]:
                lost |= _reason(task, running.pop(task))
    finally:
        stop_tasks(running, head)
    tell(len(cells), "")
    return lost


def _submit(cell: BenchmarkCell) -> "ObjectRef[None]":
    import ray

    wanted = cell.resources
    # A worker ends with its call: the peak memory of the next cell is then its own.
    launcher = ray.remote(
        num_cpus=wanted.cpus, num_gpus=wanted.gpus, memory=int(wanted.memory_gb * 1e9), max_calls=1, max_retries=MAX_RETRIES
    )(_run_cell)
    task: ObjectRef[None] = launcher.options(name=f"s2s cell {cell.key}").remote(cell.model_dump_json())
    return task


def _reason(task: "ObjectRef[None]", cell: BenchmarkCell) -> dict[str, str]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, S2SError):
            return {cell.key: str(error.cause)}
        logger.warning("cell %s (%s) ended with a defect: %s", cell.key, describe(cell), error)
        return {cell.key: f"{type(error.cause).__name__}: {error.cause}"}
    except RayError as error:
        return {cell.key: f"its worker was lost {MAX_RETRIES + 1} times ({type(error).__name__}); was memory short?"}
    return {}


def _window(cells: Sequence[BenchmarkCell]) -> int:
    return max(1, AHEAD * max(room_for(cell.resources) for cell in cells))


def _run_cell(cell: str) -> None:
    run_cell(BenchmarkCell.model_validate_json(cell), load_settings(is_local=False))
