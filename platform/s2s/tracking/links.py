"""Where a browser finds a release: the version in the registry's user interface, and the run that trained it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from s2s.contracts.settings import Settings
from s2s.tracking.registry import VersionSummary, list_models
from s2s.tracking.server import Server, connect
from s2s.tracking.vendor import MlflowException, is_missing, vendor_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLink:
    """One version of a tissue's model.

    Attributes:
        version: In the registry.
        version_url: Of its page; None where MLflow has no server.
        run_url: Of the run that it came out of; None likewise, or where there is none.
    """

    version: int
    version_url: str | None
    run_url: str | None


def release_links(weights: Collection[str], settings: Settings) -> Mapping[str, ReleaseLink]:
    """Find the newest versions that hold these weights.

    Args:
        weights: SHA-256 of each release.
        settings: Where MLflow is.

    Returns:
        SHA-256 -> where it is; those that are not in the registry are left out.

    Raises:
        TrackingError: MLflow is gone.
        StackError: neither a server nor `--local` is set.
    """
    if settings.is_local and not (settings.home / "local" / "mlflow.db").is_file():
        return {}
    return dict(_links(set(weights), settings))


def _links(wanted: set[str], settings: Settings) -> Iterator[tuple[str, ReleaseLink]]:
    server = connect(settings)
    for model in list_models(settings):
        for version in model.versions:  # newest first
            if (sha := version.weights_sha256) in wanted:
                wanted.discard(sha)
                yield sha, _link(server, model.name, version)


def _link(server: Server, name: str, version: VersionSummary) -> ReleaseLink:
    if not server.uri.startswith(("http://", "https://")):
        return ReleaseLink(version=version.version, version_url=None, run_url=None)
    experiment = _experiment_of(server, version.run_id) if version.run_id else None
    root = server.uri.rstrip("/")
    return ReleaseLink(
        version=version.version,
        version_url=f"{root}/#/models/{name}/versions/{version.version}",
        run_url=f"{root}/#/experiments/{experiment}/runs/{version.run_id}" if experiment else None,
    )


def _experiment_of(server: Server, run_id: str) -> str | None:
    """Id of the experiment of a run; None where the run was deleted."""
    with vendor_errors(server.uri):
        try:
            return str(server.client.get_run(run_id).info.experiment_id)
        except MlflowException as error:
            if is_missing(error):
                return None
            raise
