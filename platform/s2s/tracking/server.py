"""An MLflow server, or SQLite in process, as shipping sees it: each call either holds, or raises one of two errors.

Not here: what is shipped when (`shipping`), models (`registration`). Decision: an explicit client and no process-wide
tracking URI, so that a run against a server and one with `--local` can live in one process.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from s2s.contracts.settings import Settings
from s2s.tracking.records import SpoolHeader
from s2s.tracking.thinning import Point
from s2s.tracking.tracker import Status
from s2s.tracking.vendor import Metric, MlflowClient, MlflowException, Param, is_missing, prepare_environment, vendor_errors

SPOOL_TAG = "s2s.spool"
PARENT_TAG = "s2s.parent_spool"
"""Names the spool of the run that a run belongs under; MLflow's own tag wants an id that an outage may withhold."""
MLFLOW_PARENT_TAG = "mlflow.parentRunId"
PAGE = 1000
MAX_PER_BATCH = 1000
"""Settings and points that MLflow takes in one request."""

END_STATUS: Mapping[Status, str] = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A connection to MLflow. Safe to use from a second thread; every method may raise `TrackingError`.

    Attributes:
        uri: Of the server, or of the SQLite file.
        home: `$S2S_HOME`.
        artifact_location: Of new experiments; the server's own choice when absent.
        client: MLflow's.
        known: Name of an experiment, or spool of a parent -> id, to ask once per visit; None where every question is asked anew.
    """

    uri: str
    home: Path
    artifact_location: str | None
    client: MlflowClient
    known: dict[str, str] | None = None

    def for_a_visit(self) -> "Server":
        """The same server, to send many runs one after another: experiments and parents are looked up once."""
        return replace(self, known={})

    def ensure_experiment(self, name: str) -> str:
        """Return the id of an experiment, made or restored if need be."""
        known = {} if self.known is None else self.known
        if name not in known:
            known[name] = self._open_experiment(name)
        return known[name]

    def has_run(self, run_id: str) -> bool:
        """Whether a run is there and takes records."""
        with vendor_errors(self.uri):
            try:
                return str(self.client.get_run(run_id).info.lifecycle_stage) == "active"
            except MlflowException as error:
                if is_missing(error):
                    return False
                raise

    def find_run(self, experiment_id: str, spool_id: str) -> str | None:
        """Find the run that a spool has already made, by its tag."""
        with vendor_errors(self.uri):
            runs = self.client.search_runs([experiment_id], f"tags.`{SPOOL_TAG}` = '{spool_id}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def tag_values(self, experiment: str, tag: str, value: str, wanted: str) -> set[str]:
        """Values that one tag has in all runs of an experiment in which another tag has a value."""
        with vendor_errors(self.uri):
            found = self.client.get_experiment_by_name(experiment)
            values: set[str] = set()
            token = None
            while found is not None:
                page = self.client.search_runs([found.experiment_id], f"tags.`{tag}` = '{value}'", max_results=PAGE, page_token=token)
                values |= {run.data.tags[wanted] for run in page if wanted in run.data.tags}
                token = page.token
                if not token:
                    break
        return values

    def create_run(self, experiment_id: str, header: SpoolHeader) -> str:
        """Make the run of a spool, below its parent where that is on the server; returns its id."""
        tags = {**header.tags, SPOOL_TAG: header.id}
        if PARENT_TAG in tags and (parent := self._find_parent(experiment_id, tags[PARENT_TAG])) is not None:
            tags[MLFLOW_PARENT_TAG] = parent
        with vendor_errors(self.uri):
            run = self.client.create_run(experiment_id, start_time=header.started_ms, tags=tags, run_name=header.run_name)
        return str(run.info.run_id)

    def log_batch(self, run_id: str, params: Mapping[str, str], points: Sequence[tuple[str, Point]]) -> None:
        """Record settings and points of curves; the same ones again change nothing.

        Args:
            run_id: Of the run.
            params: Any number.
            points: Any number; up to 900 beside up to 100 settings go in one request.
        """
        values = [Param(key, value) for key, value in params.items()]
        metrics = [Metric(name, point.value, point.at_ms, point.step) for name, point in points]
        with vendor_errors(self.uri):
            self.client.log_batch(run_id, metrics=metrics, params=values, synchronous=True)  # cut into requests by the client

    def log_artifact(self, run_id: str, name: str, file: Path) -> None:
        """Upload one file of a run; the same one again replaces it."""
        folder = PurePosixPath(name).parent.as_posix()
        with vendor_errors(self.uri):
            self.client.log_artifact(run_id, str(file), None if folder == "." else folder)

    def terminate(self, run_id: str, status: Status, at_ms: int) -> None:
        """Say how and when a run ended."""
        with vendor_errors(self.uri):
            self.client.set_terminated(run_id, END_STATUS[status], end_time=at_ms)

    def _find_parent(self, experiment_id: str, spool_id: str) -> str | None:
        known = {} if self.known is None else self.known
        if spool_id not in known and (parent := self.find_run(experiment_id, spool_id)) is not None:
            known[spool_id] = parent
        return known.get(spool_id)

    def _open_experiment(self, name: str) -> str:
        with vendor_errors(self.uri):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return self._create_experiment(name)
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def _create_experiment(self, name: str) -> str:
        try:
            return str(self.client.create_experiment(name, artifact_location=self.artifact_location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = self.client.get_experiment_by_name(name)  # another process was quicker
        assert found is not None, "it exists already, and has a name"
        return str(found.experiment_id)


def connect(settings: Settings) -> Server:
    """Open MLflow as the settings say. A server is not contacted yet; SQLite is opened, and made if it is missing.

    Raises:
        StackError: neither a server nor `--local` is set.
        TrackingError: the SQLite file cannot be opened.

    Writes:
        In `--local` mode `$S2S_HOME/local/mlflow.db`, and artifacts below `$S2S_HOME/local/mlflow-artifacts`.
    """
    uri = settings.tracking_uri
    prepare_environment()
    local = settings.home / "local"
    if settings.is_local:
        local.mkdir(parents=True, exist_ok=True)
    with vendor_errors(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy deprecates a loader that MLflow's tables use
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if settings.is_local:
            client.search_registered_models(max_results=1)  # the tables of the registry are made here, not in a thread
    artifacts = (local / "mlflow-artifacts").resolve().as_uri() if settings.is_local else None
    return Server(uri=uri, home=settings.home, artifact_location=artifacts, client=client)
