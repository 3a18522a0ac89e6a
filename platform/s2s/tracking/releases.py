"""How a release is fetched: from the registry by version or alias, from a run, or from a plain folder; checked before it is believed.

Not here: building a network from it (`imputation`, by way of `recipes`). Decision: only the contract and the weights are
downloaded, with a ceiling on their size, and nothing of a release is ever executed; the price is that a model whose
code differs from the installed package's must be served by `mlflow.pyfunc` instead.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from s2s.contracts.release import Release
from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError
from s2s.tracking.packaging import RELEASE_FILE, WEIGHTS_FILE
from s2s.tracking.server import Server, connect
from s2s.tracking.vendor import MlflowException, is_missing, mlflow, vendor_errors

MAX_BYTES = {RELEASE_FILE: 64 * 2**20, WEIGHTS_FILE: 4 * 2**30}
URI_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID or a folder with release.json and weights.safetensors"
_BY_ALIAS = re.compile(r"^models:/([^/@]+)@([^/@]+)$")
_BY_VERSION = re.compile(r"^models:/([^/@]+)/(\d+)$")
_BY_RUN = re.compile(r"^runs:/([0-9a-f]{32})(/.*)?$")


def load_release(model_uri: str, settings: Settings) -> tuple[Release, bytes]:
    """Fetch a release and its weights.

    Args:
        model_uri: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN_ID`, or a folder.
        settings: Where MLflow is; not looked at for a folder.

    Returns:
        The contract, and the safetensors file, whose SHA-256 is the one in the contract.

    Raises:
        InputError: not such a URI; or a file that is too large, damaged, or not what the contract says.
        MissingError: no such model, version, alias, run or folder; the message lists those there are.
        TrackingError: MLflow is gone.
        StackError: neither a server nor `--local` is set.
    """
    return checked_release(_fetcher(model_uri, settings), where=model_uri)


def checked_release(fetch: Callable[[str], bytes], *, where: str) -> tuple[Release, bytes]:
    """Fetch a release and its weights from anywhere, and believe them only if they belong together.

    Args:
        fetch: Gives a file by its name, and refuses one that is larger than `MAX_BYTES` allows.
        where: For messages.

    Raises:
        InputError: damaged, or not what the contract says.
    """
    release = checked_contract(fetch, where=where)
    weights = fetch(WEIGHTS_FILE)
    found = hashlib.sha256(weights).hexdigest()
    if found != release.weights_sha256:
        expected = f"expected weights with SHA-256 {release.weights_sha256} in {where}"
        raise InputError(f"{expected}, got {found}: damaged or exchanged; train or register the run again")
    return release, weights


def checked_contract(fetch: Callable[[str], bytes], *, where: str) -> Release:
    """The contract alone; see `checked_release`."""
    return _parse(fetch(RELEASE_FILE), where=where)


def resolve_alias(model_uri: str, settings: Settings) -> str:
    """Say which version an alias stands for now.

    Args:
        model_uri: `models:/NAME@ALIAS`.
        settings: Where MLflow is.

    Returns:
        `models:/NAME/VERSION`.

    Raises:
        InputError: not such a URI.
        MissingError: no such model or alias; the message lists those there are.
        TrackingError: MLflow is gone.
        StackError: neither a server nor `--local` is set.
    """
    if (match := _BY_ALIAS.match(model_uri)) is None:
        raise InputError(f"expected models:/NAME@ALIAS, got {model_uri!r}")
    server = connect(settings)
    with vendor_errors(server.uri):
        return f"models:/{match[1]}/{_version_of_alias(server, match[1], match[2])}"


def fetch_release(server: Server, artifact_uri: str) -> Release:
    """Fetch only the contract of a model.

    Args:
        server: Where.
        artifact_uri: Of the model folder.

    Raises:
        InputError: it is not the contract of this version.
        MissingError: the folder holds none.
        TrackingError: MLflow or its artifact store is gone.
    """
    return _parse(_download(server, artifact_uri, RELEASE_FILE), where=artifact_uri)


def _fetcher(model_uri: str, settings: Settings) -> Callable[[str], bytes]:
    if model_uri.startswith(("models:", "runs:")):
        server = connect(settings)
        location = _resolve(server, model_uri)
        return lambda name: _download(server, location, name)
    if "://" in model_uri:
        raise InputError(f"expected {URI_FORMS}, got {model_uri!r}")
    folder = Path(model_uri).expanduser()
    if not folder.is_dir():
        raise MissingError(f"expected {URI_FORMS}; there is no folder {model_uri!r}")
    return lambda name: _read(folder, name)


def _resolve(server: Server, model_uri: str) -> str:
    client = server.client
    with vendor_errors(server.uri):
        if match := _BY_VERSION.match(model_uri):
            name, version = match.groups()
        elif match := _BY_ALIAS.match(model_uri):
            name, version = match[1], _version_of_alias(server, match[1], match[2])
        elif match := _BY_RUN.match(model_uri):
            return _model_of_run(server, match[1])
        else:
            raise InputError(f"expected {URI_FORMS}, got {model_uri!r}")
        try:
            return str(client.get_model_version_download_uri(name, version))
        except MlflowException as error:
            if is_missing(error):
                _raise_missing(server, name, f"version {version}")
            raise


def _version_of_alias(server: Server, name: str, alias: str) -> str:
    try:
        return str(server.client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if is_missing(error):
            _raise_missing(server, name, f"alias {alias!r}")
        raise


def _model_of_run(server: Server, run_id: str) -> str:
    try:
        outputs = server.client.get_run(run_id).outputs
    except MlflowException as error:
        if is_missing(error):
            raise MissingError(f"expected a run at {server.uri}, there is none with id {run_id}; `s2s models` lists the models") from None
        raise
    if outputs is None or not outputs.model_outputs:
        raise MissingError(
            f"expected a run with a model, run {run_id} at {server.uri} has none; it failed, or its registration still waits"
        )
    return str(server.client.get_logged_model(outputs.model_outputs[-1].model_id).artifact_location)


def _raise_missing(server: Server, name: str, what: str) -> NoReturn:
    known = [model.name for model in server.client.search_registered_models(max_results=1000)]
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise MissingError(f"expected a registered model at {server.uri}, there is no {name!r}{hint}; there are: {_listed(known)}")
    aliases = server.client.get_registered_model(name).aliases
    numbers = sorted(int(version.version) for version in server.client.search_model_versions(f"name = '{name}'"))
    versions = _listed(map(str, numbers))
    shown = _listed(f"@{alias} (version {version})" for alias, version in sorted(aliases.items()))
    raise MissingError(f"expected {what} of {name} at {server.uri}, there is none; aliases: {shown}; versions: {versions}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none yet, `s2s train` registers one"


def _download(server: Server, artifact_uri: str, name: str) -> bytes:
    folder = f"{artifact_uri}/artifacts"
    with vendor_errors(server.uri):
        listed = mlflow.artifacts.list_artifacts(artifact_uri=folder, tracking_uri=server.uri) or ()
        sizes = {Path(item.path).name: item.file_size or 0 for item in listed}
        if name not in sizes:
            raise MissingError(f"expected {name} in {folder}, there is {_listed(sizes)}; was the model registered by `s2s train`?")
        _check_size(sizes[name], name, where=folder)
        with tempfile.TemporaryDirectory(prefix="s2s-release-") as place:
            path = mlflow.artifacts.download_artifacts(f"{folder}/{name}", dst_path=place, tracking_uri=server.uri)
            return Path(path).read_bytes()


def _read(folder: Path, name: str) -> bytes:
    path = next((path for path in (folder / name, folder / "artifacts" / name) if path.is_file()), None)
    if path is None:
        raise MissingError(f"expected {name} in {folder} or in its folder artifacts/, there is none")
    _check_size(path.stat().st_size, name, where=str(folder))
    return path.read_bytes()


def _check_size(size: int, name: str, *, where: str) -> None:
    if size > MAX_BYTES[name]:
        raise InputError(f"expected {name} of at most {MAX_BYTES[name]} bytes in {where}, it has {size}")


def _parse(data: bytes, *, where: str) -> Release:
    try:
        return Release.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InputError(f"expected a release of version 1 in {where}/{RELEASE_FILE}; {place}: {first['msg']}") from None
