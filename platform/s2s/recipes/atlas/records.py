"""What MLflow gets of an atlas: one run for the atlas, below it one per finished section run, each once.

Everything is sent by whoever follows the atlas, from the journals that lie beside the results. Decision: the id of each MLflow
run's record is a hash of atlas and run key, so sending twice, from two machines or after a crash, makes one run. A server that
is down costs nothing: records wait in the spool of this machine, and the next launch finds what was never sent.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from s2s import __version__
from s2s.contracts.atlas import AtlasPlan, AtlasRun, AtlasStatus
from s2s.contracts.ledger import RunCommit
from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings
from s2s.errors import MissingError, S2SError
from s2s.recipes.atlas.work import JOURNAL
from s2s.recipes.run import ledger_of
from s2s.storage.location import join
from s2s.storage.objects import read_bytes
from s2s.tracking.finished import FinishedRun, spool_finished_run
from s2s.tracking.replay import replay
from s2s.tracking.server import PARENT_TAG, connect

logger = logging.getLogger(__name__)
SEND_EVERY_S = 5.0


class AtlasRecorder:
    """A thread that reads journals of finished runs and sends them; nothing it meets stops a fleet."""

    def __init__(self, plan: AtlasPlan, settings: Settings) -> None:
        self._plan, self._settings = plan, settings
        self._queue: SimpleQueue[AtlasRun] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="s2s-atlas-records", daemon=True)

    def start(self) -> None:
        """Begin: first what earlier launches finished and MLflow lacks, then what `add` brings."""
        self._thread.start()

    def add(self, run: AtlasRun) -> None:
        """A run was finished."""
        self._queue.put(run)

    def close(self) -> None:
        """Send what is left; what cannot be sent waits for the next launch."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        self._quietly(self._begin)
        while True:
            is_last = self._stop.wait(SEND_EVERY_S)
            self._quietly(self._send)
            if is_last and self._queue.empty():
                return

    def _quietly(self, do: Callable[[], None]) -> None:
        try:
            do()
        except (S2SError, OSError) as error:
            logger.warning("records of atlas %s wait: %s", self._plan.config.name, error)

    def _begin(self) -> None:
        spool_finished_run(self._settings, self._experiment, _parent(self._plan))
        replay(self._settings)
        known = recorded_keys(self._plan, self._settings)
        survey = ledger_of(self._settings).survey()
        for run in self._plan.runs:
            if run.key in survey.commits and run.key not in known:
                self._queue.put(run)

    def _send(self) -> None:
        while True:
            try:
                run = self._queue.get_nowait()
            except Empty:
                break
            commit = ledger_of(self._settings).find_commit(run.key)
            if commit is not None:
                spool_finished_run(self._settings, self._experiment, _child(self._plan, run, commit, self._settings))
        replay(self._settings)

    @property
    def _experiment(self) -> str:
        return self._plan.config.tracking.experiment


def record_end(plan: AtlasPlan, status: AtlasStatus, files: Mapping[str, bytes], settings: Settings) -> None:
    """Put counts, cost and figures into the MLflow run of the atlas.

    Writes:
        The same MLflow run as the launch began, or the spool of this machine.
    """
    counts = {f"runs/{state}": float(status.count(state)) for state in ("done", "running", "waiting", "failed")}
    metrics = {**counts, "cost_usd": status.cost_usd, "sections/skipped": float(len(status.skipped))}
    spool_finished_run(settings, plan.config.tracking.experiment, _parent(plan, metrics, files))
    replay(settings)


def recorded_keys(plan: AtlasPlan, settings: Settings) -> set[str]:
    """Keys of the runs of an atlas that MLflow has.

    Raises:
        TrackingError: the server is gone.
    """
    return connect(settings).tag_values(plan.config.tracking.experiment, PARENT_TAG, _id(plan), "run_key")


def below_atlas(plan: AtlasPlan) -> dict[str, str]:
    """Tags that put an MLflow run below that of its atlas."""
    return {PARENT_TAG: _id(plan)}


def _id(plan: AtlasPlan, key: str = "") -> str:
    return hashlib.sha256(f"{plan.config.tracking.experiment}/{plan.config.name}/{key}".encode()).hexdigest()[:32]


def _parent(plan: AtlasPlan, metrics: Mapping[str, float] | None = None, files: Mapping[str, bytes] | None = None) -> FinishedRun:
    # No params: MLflow lets none change, and an atlas may grow. Its settings are in `config.json`, which is replaced.
    config = plan.config
    return FinishedRun(
        name=config.name,
        tags={"kind": "atlas", "code_version": __version__},
        metrics=metrics or {},
        files={"config.json": config.model_dump_json(indent=2).encode(), **(files or {})},
        id=_id(plan),
    )


def _child(plan: AtlasPlan, run: AtlasRun, commit: RunCommit, settings: Settings) -> FinishedRun:
    folder = join(settings.root, "runs", run.key, commit.attempt)
    try:
        report = RunReport.model_validate_json(read_bytes(join(folder, "report.json"), settings))
        journal = read_bytes(join(folder, JOURNAL), settings)
    except MissingError:  # made by `s2s train`, which told MLflow itself, or by a benchmark of the fleet
        report, journal = None, b""
    tags = {
        "kind": "atlas run",
        "tissue": run.tissue,
        "organism": run.organism,
        "technology": run.technology,
        "section": run.section_id,
        "data_sha256": run.data_sha256,
        "run_key": run.key,
        "seed": str(run.seed),
        "code_version": report.code_version if report else plan.code_version,
        "is_leaky": str(report.is_leaky if report else False).lower(),
        "is_synthetic": str(run.is_synthetic).lower(),
        "folder": folder,
        **below_atlas(plan),
    }
    metrics = {f"test/{name}": value for name, value in commit.figures.items()}
    metrics |= {"seconds": commit.seconds, "peak_memory_mb": commit.peak_memory_bytes / 2**20}
    name = run.section_id if len(plan.config.seeds) == 1 else f"{run.section_id} seed {run.seed}"
    return FinishedRun(name=name, tags=tags, metrics=metrics, journal=journal, id=_id(plan, run.key))
