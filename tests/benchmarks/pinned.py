"""Real runs, each on one core of its own, that say when they worked; pickled by value for workers of Ray."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from threadpoolctl import threadpool_limits

from s2s.contracts.atlas import AtlasConfig, AtlasRun, RunOutcome
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.work import do_run

LOG = "worked.jsonl"


def do_pinned(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    """Do a run on a core that no other run has, and write down when."""
    with core_of_its_own(settings.home) as core, threadpool_limits(1):  # two threads of OpenBLAS on one core wait for each other
        started, cpu_s = time.time(), time.process_time()
        outcome = do_run(run, config, settings)
        line = json.dumps({"core": core, "from": started, "to": time.time(), "cpu_s": time.process_time() - cpu_s})
        with (settings.home / LOG).open("a") as file:
            file.write(line + "\n")
    return outcome


@contextmanager
def core_of_its_own(home: Path) -> Iterator[int]:
    """Hold the first free core and move every thread of this process there, at the usual priority: Ray's workers are nice."""
    before = os.sched_getaffinity(0)
    held = next(_claims(home, sorted(before)))
    try:
        _move({held[0]})
        yield held[0]
    finally:
        held[1].close()
        _move(before)


def _claims(home: Path, cores: list[int]) -> Iterator[tuple[int, IO[str]]]:
    while True:
        for core in cores:
            file = (home / f"core-{core}").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                yield core, file
        time.sleep(0.01)


def _move(cores: set[int]) -> None:
    for task in Path("/proc/self/task").iterdir():
        with suppress(PermissionError, ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)
            os.setpriority(os.PRIO_PROCESS, int(task.name), 0)
