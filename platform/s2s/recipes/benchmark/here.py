"""Cells on this machine, one after another, each in a fresh process: its peak memory is then its own.

Decision: one at a time even on many cores, so that seconds of two methods can be compared; a cluster is for the hurried.
"""

from collections.abc import Callable, Sequence

from s2s.contracts.benchmark import BenchmarkCell
from s2s.contracts.settings import Settings
from s2s.errors import EXIT_CODE
from s2s.recipes.fresh_process import run_fresh

Tell = Callable[[int, str], None]
"""Told how many cells have ended and which is at work."""

NO_WORD = "no word; was memory short?"


def describe(cell: BenchmarkCell) -> str:
    """Name a cell for progress and messages."""
    section = cell.section.rpartition("/")[2]
    return f"{section} · {cell.method} · phase {cell.phase[0]},{cell.phase[1]} · seed {cell.seed}"


def run_cells_here(cells: Sequence[BenchmarkCell], settings: Settings, tell: Tell) -> dict[str, str]:
    """Run cells one after another.

    Args:
        cells: What to run.
        settings: In `--local` mode.
        tell: Told before each.

    Returns:
        Key -> why, of cells that left no result; they are tried again next time.
    """
    lost: dict[str, str] = {}
    for done, cell in enumerate(cells):
        tell(done, describe(cell))
        if (reason := _run(cell, settings)) is not None:
            lost[cell.key] = reason
    tell(len(cells), "")
    return lost


def _run(cell: BenchmarkCell, settings: Settings) -> str | None:
    threads = str(max(1, round(cell.resources.cpus)))
    environment = {"S2S_HOME": str(settings.home), "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    ended = run_fresh("s2s.recipes.benchmark.cell", cell.model_dump_json(), environment)
    if ended.code == 0:
        return None
    return ended.words if ended.code == EXIT_CODE else f"its process ended with code {ended.code}: {ended.words or NO_WORD}"
