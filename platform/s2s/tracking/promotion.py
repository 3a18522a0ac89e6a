"""A person's word over the gate's: make a version champion, or take the last change back.

Decision: a leaky version can never be champion, whoever asks. What is done is written on the version as its gate's reason, so
that the registry tells who decided.
"""

from dataclasses import dataclass

from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError
from s2s.tracking.registration import CHALLENGER, CHAMPION, GATE_TAG, PREVIOUS
from s2s.tracking.server import Server, connect
from s2s.tracking.spool import exclusive
from s2s.tracking.vendor import MlflowException, is_missing, vendor_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Who is champion of a tissue now, and who was."""

    name: str
    champion: int
    previous: int | None


def promote(settings: Settings, name: str, version: int) -> Promotion:
    """Make a version the champion of its tissue; the champion so far becomes `@previous`.

    Args:
        settings: The server, or `--local`.
        name: Of the model.
        version: That shall be champion.

    Raises:
        MissingError: no such model or version.
        InputError: the version is leaky, or champion already.
        TrackingError: MLflow is gone.

    Writes:
        Aliases `@champion` and `@previous`, and the version's gate.
    """
    server = connect(settings)
    with vendor_errors(server.uri), exclusive(server.home / "spool" / "registry.lock"):
        aliases = _aliases(server, name)
        tags = _tags(server, name, version)
        if tags.get("is_leaky") == "true":
            raise InputError(
                f"expected a version that was trained without held-out bins, {name} version {version} is leaky; choose another"
            )
        if aliases.get(CHAMPION) == version:
            raise InputError(f"expected a version that is not champion yet, {name} version {version} is; `s2s models {name}` lists them")
        return _crown(server, name, version, aliases.get(CHAMPION), "promoted by hand")


def rollback(settings: Settings, name: str) -> Promotion:
    """Make the former champion champion again; the two change places, so that a second call takes the first back.

    Args:
        settings: The server, or `--local`.
        name: Of the model.

    Raises:
        MissingError: no such model, or it never had another champion.
        TrackingError: MLflow is gone.

    Writes:
        Aliases `@champion` and `@previous`, and the version's gate.
    """
    server = connect(settings)
    with vendor_errors(server.uri), exclusive(server.home / "spool" / "registry.lock"):
        aliases = _aliases(server, name)
        if PREVIOUS not in aliases:
            raise MissingError(f"expected a former champion of {name}, it has had no other; `s2s models {name}` lists its versions")
        return _crown(server, name, aliases[PREVIOUS], aliases.get(CHAMPION), "rolled back to by hand")


def _crown(server: Server, name: str, version: int, former: int | None, reason: str) -> Promotion:
    client = server.client
    if former is not None:
        client.set_registered_model_alias(name, PREVIOUS, str(former))
    client.set_registered_model_alias(name, CHAMPION, str(version))
    client.set_model_version_tag(name, str(version), GATE_TAG, reason)
    return Promotion(name=name, champion=version, previous=former)


def _aliases(server: Server, name: str) -> dict[str, int]:
    try:
        found = server.client.get_registered_model(name).aliases
    except MlflowException as error:
        if is_missing(error):
            raise MissingError(f"expected a registered model, there is no {name!r} at {server.uri}; `s2s models` lists them") from None
        raise
    return {alias: int(version) for alias, version in found.items() if alias in (CHAMPION, CHALLENGER, PREVIOUS)}


def _tags(server: Server, name: str, version: int) -> dict[str, str]:
    try:
        return dict(server.client.get_model_version(name, str(version)).tags)
    except MlflowException as error:
        if is_missing(error):
            raise MissingError(f"expected a version of {name}, there is no {version}; `s2s models {name}` lists them") from None
        raise
