"""The registry as the rest of the package sees it: hand in a candidate, list what there is.

Not here: fetching (`releases`), how a version is made (`registration`), who is champion (`gate`). Decision: `register`
only spools; the version exists once the server has answered, which `MLflowTracker.receipt` tells after `close`.
"""

from pydantic import Field

from s2s.contracts.document import Part
from s2s.contracts.settings import Settings
from s2s.tracking.packaging import Candidate, write_model
from s2s.tracking.recording import RunTracker
from s2s.tracking.registration import GATE_TAG, TRIAL_TAG
from s2s.tracking.server import Server, connect
from s2s.tracking.vendor import ModelVersion, vendor_errors

__all__ = ["Candidate", "ModelSummary", "VersionSummary", "find_trial", "list_models", "register"]

PREFIX = "s2s-"
PAGE = 1000


class VersionSummary(Part):
    """One version of a tissue's model."""

    version: int
    aliases: tuple[str, ...]
    created_ms: int = Field(description="milliseconds since 1970")
    run_id: str | None
    technology: str | None
    pitch_um: float | None
    section_id: str | None
    pcc: float | None = Field(description="mean Pearson correlation over genes on held-out bins")
    mae: float | None
    rmse: float | None
    best_classical: str | None = Field(description="classical method with the highest correlation on the same bins")
    best_classical_pcc: float | None
    weights_sha256: str | None
    is_leaky: bool
    is_synthetic: bool
    gate: str | None = Field(description="why it is or is not champion; absent while it is being registered")


class ModelSummary(Part):
    """The model of one tissue, newest version first."""

    name: str
    tissue: str | None
    organism: str | None
    versions: tuple[VersionSummary, ...]


def register(tracker: RunTracker, candidate: Candidate) -> None:
    """Hand in a candidate as the next version of its tissue's model.

    Args:
        tracker: The open tracker of the run that trained it.
        candidate: Contract, weights and serving script.

    Raises:
        MissingError: no serving script.

    Writes:
        The model's folder in the run's spool; in MLflow, once it answers, a logged model of the run, a version
        `release.name` with tags and `@challenger`, and `@champion` and `@previous` where the gate lets it.
    """
    tracker.model(candidate.release.name, lambda folder: write_model(folder, candidate))


def list_models(settings: Settings) -> list[ModelSummary]:
    """List the tissues' models and their versions, by name.

    Raises:
        TrackingError: MLflow is gone.
        StackError: neither a server nor `--local` is set.
    """
    server = connect(settings)
    with vendor_errors(server.uri):
        names, token = [], None
        while True:
            page = server.client.search_registered_models(f"name LIKE '{PREFIX}%'", max_results=PAGE, page_token=token)
            names += [model.name for model in page]
            token = page.token
            if not token:
                return [_summary(server, name) for name in sorted(names)]


def find_trial(settings: Settings, name: str, trial_id: str) -> VersionSummary | None:
    """Find the version of a tissue's model that came out of a trial; None where there is none.

    Raises:
        TrackingError: MLflow is gone.
    """
    server = connect(settings)
    with vendor_errors(server.uri):
        found = server.client.search_model_versions(f"name = '{name}' and tags.`{TRIAL_TAG}` = '{trial_id}'")
        if not found:
            return None
        version = str(found[0].version)
        aliases = server.client.get_registered_model(name).aliases
        return _version(found[0], tuple(sorted(alias for alias, holder in aliases.items() if str(holder) == version)))


def _summary(server: Server, name: str) -> ModelSummary:
    model = server.client.get_registered_model(name)
    aliases: dict[str, list[str]] = {}
    for alias, version in sorted(model.aliases.items()):
        aliases.setdefault(str(version), []).append(alias)
    versions, token = [], None
    while True:
        page = server.client.search_model_versions(f"name = '{name}'", max_results=PAGE, page_token=token)
        versions += [_version(item, tuple(aliases.get(str(item.version), ()))) for item in page]
        token = page.token
        if not token:
            break
    newest_first = tuple(sorted(versions, key=lambda item: item.version, reverse=True))
    return ModelSummary(name=name, tissue=model.tags.get("tissue"), organism=model.tags.get("organism"), versions=newest_first)


def _version(item: ModelVersion, aliases: tuple[str, ...]) -> VersionSummary:
    tags = item.tags
    return VersionSummary(
        version=int(item.version),
        aliases=aliases,
        created_ms=item.creation_timestamp,
        run_id=item.run_id or None,
        technology=tags.get("technology"),
        pitch_um=_number(tags.get("pitch_um")),
        section_id=tags.get("section_id"),
        pcc=_number(tags.get("pcc")),
        mae=_number(tags.get("mae")),
        rmse=_number(tags.get("rmse")),
        best_classical=tags.get("best_classical"),
        best_classical_pcc=_number(tags.get("best_classical_pcc")),
        weights_sha256=tags.get("weights_sha256"),
        is_leaky=tags.get("is_leaky") == "true",
        is_synthetic=tags.get("is_synthetic") == "true",
        gate=tags.get(GATE_TAG),
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None  # a tag that someone edited by hand
