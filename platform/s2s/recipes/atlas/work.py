"""One run of an atlas in a worker: claimed, done, committed, or its failure written down. With `--local`, a process of its own.

A defect of ours ends the worker; the launcher then learns from the ledger what became of each of its runs (`settling.py`).
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout

from s2s.contracts.atlas import AtlasBundle, AtlasConfig, AtlasPlan, AtlasRun, RunOutcome, Stage
from s2s.contracts.loading import atlas_run_config
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import LeaseError, S2SError
from s2s.recipes.atlas.filling import impute
from s2s.recipes.atlas.judging import judge
from s2s.recipes.attempt import DRAINING, Launch, cause_of
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.fresh_process import read_message
from s2s.recipes.recording import record_settings
from s2s.recipes.run import Run, ledger_of, silent
from s2s.recipes.single_shot import single_shot
from s2s.tracking.journal import Journal
from s2s.tracking.recording import closing
from s2s.training.gpu import gpu_use

logger = logging.getLogger(__name__)
Finished = Callable[[AtlasRun], None]
RunAll = Callable[[AtlasPlan, Sequence[AtlasRun], Settings, Finished], None]
"""Does runs somewhere; tells of each that has its commit."""

JOURNAL = "records.jsonl"
"""What the run would have told MLflow; `records.py` sends it there."""


@contextmanager
def open_journal(run: Run) -> Iterator[Journal]:
    """Record a run beside its result instead of on a server.

    Writes:
        `records.jsonl` in the run's folder.
    """
    journal = Journal()
    record_settings(journal, run)
    with closing(journal):
        yield journal
    run.write(JOURNAL, journal.data())


def do_run(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    """Do one run, unless it is done or another works on it.

    Args:
        run: Which.
        config: Of the atlas.
        settings: Of this worker.

    Returns:
        What became of it.

    Raises:
        KeyboardInterrupt: the fleet stops; the attempt is written down as stopped.

    Writes:
        What its stage writes.
    """
    started = time.time()
    if (settings.home / DRAINING).exists():
        return RunOutcome(key=run.key, state="failed", cause="preempted", message="the machine is being taken back")
    try:
        STAGES[run.stage](run, config, settings)
    except LeaseError as error:
        return RunOutcome(key=run.key, state="elsewhere", message=str(error))
    except S2SError as error:
        return _failed(run, error, settings, started)
    return RunOutcome(key=run.key, state="done", seconds=_since(started), peak_memory_bytes=own_peak_memory_bytes(), gpu=gpu_use())


def train(run: AtlasRun, config: AtlasConfig, settings: Settings) -> None:
    """Do a training run of an atlas: the run that `s2s train` would do on the same section.

    Args:
        run: Which.
        config: Of the atlas.
        settings: Of this worker.

    Raises:
        LeaseError: another works on it or has finished it.
        S2SError: as `single_shot`.

    Writes:
        What `single_shot` writes, but nothing in MLflow.
    """
    launch = Launch(lease_s=config.fleet.lease_s, takes_over=False, open_tracker=open_journal)
    single_shot(atlas_run_config(config, run.section, run.seed), settings, silent, launch)


STAGES: Mapping[Stage, Callable[[AtlasRun, AtlasConfig, Settings], None]] = {"train": train, "judge": judge, "impute": impute}
"""How a run of each stage is done; each raises `LeaseError` where the run is another's."""


def _failed(run: AtlasRun, error: S2SError, settings: Settings, started: float) -> RunOutcome:
    cause, words = cause_of(error), str(error)
    try:
        ledger = ledger_of(settings)
        last = ledger.last_lease(run.key)
        # A run that failed before it was claimed, because its section is gone, has no lease of this attempt.
        is_claimed = last is not None and last.holder == ledger.holder and last.taken_at >= started
        if not is_claimed and (lease := ledger.take(run.key, lease_s=1)) is not None:
            ledger.fail(lease, cause, words)
    except S2SError as problem:
        logger.warning("could not write down why run %s failed: %s", run.key, problem)
    return RunOutcome(key=run.key, state="failed", cause=cause, message=words, seconds=_since(started), gpu=gpu_use())


def _since(started: float) -> float:
    return max(0.0, time.time() - started)


def main() -> None:
    """Do the runs of the bundle whose JSON is the first line of stdin; a line of JSON per outcome on stdout, and nothing else.

    Ends when stdin is closed, that is with the process that started it.
    """
    bundle, settings = AtlasBundle.model_validate_json(read_message()), load_settings(is_local=True)
    for run in bundle.runs:
        with redirect_stdout(sys.stderr):
            outcome = do_run(run, bundle.config, settings)
        sys.stdout.write(f"{outcome.model_dump_json()}\n")


if __name__ == "__main__":
    main()
