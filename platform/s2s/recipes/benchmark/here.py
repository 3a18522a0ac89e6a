"""Cells on this machine, one after another, each in a fresh process: its peak memory is then its own.

Decision: one at a time even on many cores, so that seconds of two methods can be compared; a cluster is for the hurried.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from s2s.contracts.benchmark import BenchmarkCell
from s2s.contracts.settings import Settings
from s2s.errors import EXIT_CODE

Tell = Callable[[int, str], None]
"""Told how many cells have ended and which is at work."""

GRACE_S = 5.0
TAIL = 2000
"""Characters of a crashed cell's last words that are kept."""


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
    environment = {**os.environ, "S2S_HOME": str(settings.home), "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    command = [sys.executable, "-m", "s2s.recipes.benchmark.cell"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, bufsize=0
    )
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        with suppress(BrokenPipeError):  # it died at once; why, it says below
            process.stdin.write(cell.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        # Not `communicate`: it would close stdin, which the cell takes for our end.
        words = process.stderr.read().decode(errors="replace").strip()
        code = process.wait()
    finally:
        _end(process)
    if code == 0:
        return None
    return words if code == EXIT_CODE else f"its process ended with code {code}: {words[-TAIL:] or 'no word; was memory short?'}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    with process:  # closes its pipes and waits for it
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
