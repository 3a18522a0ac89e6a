"""How a model folder becomes a version of its tissue's model, with tags and aliases, exactly once.

Decision: the champion is chosen here, when the server is at hand, under a lock of this machine, because MLflow has no
compare-and-set for aliases. The price: two machines that register one tissue in the same second may both see the old
champion; the loser then keeps its version and `@previous` is a step behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s2s.contracts.release import Release
from s2s.errors import InputError, MissingError
from s2s.tracking.gate import Decision, best_classical, decide, own_score
from s2s.tracking.packaging import CARD_FILE, RELEASE_FILE
from s2s.tracking.releases import fetch_release
from s2s.tracking.server import Server
from s2s.tracking.spool import exclusive
from s2s.tracking.vendor import LoggedModel, LoggedModelOutput, MlflowException, vendor_errors

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
RECORD_TAG = "s2s.record"
GATE_TAG = "gate"
TRIAL_TAG = "trial"
MAX_DESCRIPTION = 5000
"""Characters that MLflow's tables hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One model folder of one run; `record_id` tells it from every other, for ever."""

    experiment_id: str
    run_id: str
    folder: Path
    record_id: str


def register_version(server: Server, registration: Registration) -> str:
    """Upload, register and judge a model; calling it again with the same record changes nothing.

    Returns:
        The version, which carries `@challenger`, or `@champion` where the gate lets it.

    Raises:
        TrackingError: the server is gone; call again.
    """
    release = Release.model_validate_json((registration.folder / "artifacts" / RELEASE_FILE).read_bytes())
    with vendor_errors(server.uri):
        version = _find_version(server, release.name, registration.record_id)
        if version is None:
            version = _create_version(server, registration, release, _upload(server, registration, release))
        with exclusive(server.home / "spool" / "registry.lock"):
            _judge(server, release, version)
    return version


def version_tags(release: Release) -> dict[str, str]:
    """What a version says about itself without being downloaded."""
    tags = {
        "tissue": release.tissue,
        "organism": release.organism,
        "technology": release.technology,
        "pitch_um": f"{release.pitch_um:g}",
        "section_id": release.section_id,
        "data_sha256": release.data_sha256,
        "code_version": release.code_version,
        "run_key": release.run_key,
        "is_leaky": str(release.is_leaky).lower(),
        "is_synthetic": str(release.is_synthetic).lower(),
        "weights_sha256": release.weights_sha256,
    }
    if release.trial is not None:
        tags[TRIAL_TAG] = release.trial.id
    return {**tags, **_score_tags(release)}


def _score_tags(release: Release) -> dict[str, str]:
    own, best = own_score(release), best_classical(release)
    tags: dict[str, str] = {}
    if own is not None:
        tags |= {"pcc": f"{own.pcc:.6g}", "mae": f"{own.mae:.6g}", "rmse": f"{own.rmse:.6g}", "num_genes": str(own.num_genes)}
    if best is not None:
        tags |= {"best_classical": best.method, "best_classical_pcc": f"{best.pcc:.6g}"}
    return tags


def _find_version(server: Server, name: str, record_id: str) -> str | None:
    found = server.client.search_model_versions(f"name = '{name}' and tags.`{RECORD_TAG}` = '{record_id}'")
    return str(found[0].version) if found else None


def _upload(server: Server, registration: Registration, release: Release) -> LoggedModel:
    client, tags = server.client, {RECORD_TAG: registration.record_id}
    found = client.search_logged_models([registration.experiment_id], f"tags.`{RECORD_TAG}` = '{registration.record_id}'")
    model = found[0] if found else client.create_logged_model(registration.experiment_id, release.name, registration.run_id, tags)
    client.log_model_artifacts(model.model_id, str(registration.folder))
    client.finalize_logged_model(model.model_id, "READY")
    outputs = client.get_run(registration.run_id).outputs
    if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
        client.log_outputs(registration.run_id, [LoggedModelOutput(model.model_id, 0)])
    return model


def _create_version(server: Server, registration: Registration, release: Release, model: LoggedModel) -> str:
    client = server.client
    try:
        client.create_registered_model(release.name, tags={"tissue": release.tissue, "organism": release.organism})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # The location and not models:/<id>: MLflow resolves the latter through the process-wide tracking URI.
    tags = {**version_tags(release), RECORD_TAG: registration.record_id}
    made = client.create_model_version(
        release.name,
        str(model.artifact_location),
        registration.run_id,
        tags,
        description=(registration.folder / CARD_FILE).read_text(encoding="utf-8")[:MAX_DESCRIPTION],
        await_creation_for=0,
        model_id=model.model_id,
    )
    return str(made.version)


def _judge(server: Server, release: Release, version: str) -> None:
    client, name = server.client, release.name
    if GATE_TAG in client.get_model_version(name, version).tags:
        return
    aliases: Mapping[str, object] = client.get_registered_model(name).aliases
    holder = str(aliases[CHAMPION]) if CHAMPION in aliases else None
    if holder == version:  # a crash came between the alias and the tag
        client.set_model_version_tag(name, version, GATE_TAG, "passed; the figures were lost in a crash")
        return
    decision = _decide(server, release, holder)
    client.set_registered_model_alias(name, CHALLENGER, version)
    if decision.is_champion:
        if holder is not None:
            client.set_registered_model_alias(name, PREVIOUS, holder)
        client.set_registered_model_alias(name, CHAMPION, version)
    client.set_model_version_tag(name, version, GATE_TAG, decision.reason)


def _decide(server: Server, release: Release, holder: str | None) -> Decision:
    if holder is None:
        return decide(release, None)
    try:
        champion = fetch_release(server, server.client.get_model_version_download_uri(release.name, holder))
    except (InputError, MissingError) as error:
        return Decision(is_champion=False, reason=f"the champion, version {holder}, cannot be read: {error}"[:1000])
    return decide(release, champion)
