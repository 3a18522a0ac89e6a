"""Single objects: bytes in, bytes out, on S3, files and memory alike. Zarr arrays are not handled here.

Every write is atomic: a reader sees the old bytes or the new ones. Decision: `if_absent` on S3 goes through boto3's
`If-None-Match`, whose answer says who won; Zarr's own `set_if_not_exists` hides it.
"""

import hashlib
import json
import shutil
import time
from contextlib import suppress
from pathlib import Path

import obstore
from botocore.exceptions import ClientError
from obstore.exceptions import GenericError

from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError
from s2s.storage.clients import PATIENCE_S, s3_client
from s2s.storage.faults import translated
from s2s.storage.location import Place, bytes_store, parse

CONFLICT_ATTEMPTS = 5
BROKEN_ATTEMPTS = 4


def read_bytes(uri: str, settings: Settings, *, max_bytes: int | None = None) -> bytes:
    """Read one object whole.

    Args:
        uri: Of the object.
        settings: Endpoint and credentials.
        max_bytes: Refuse a larger one before it is fetched.

    Raises:
        MissingError: nothing there.
        InputError: it is larger.
        StorageError: the store refused or does not answer.
    """
    place = _keyed(uri)
    with translated(uri, settings):
        found = obstore.get(bytes_store(place, settings), place.key)
        if max_bytes is not None and found.meta["size"] > max_bytes:
            raise InputError(f"expected at most {max_bytes} bytes at {uri}, there are {found.meta['size']}")
        return bytes(found.bytes())


def write_bytes(uri: str, data: bytes, settings: Settings, *, if_absent: bool = False) -> None:
    """Write one object atomically.

    Args:
        uri: Where; folders are made.
        data: All of it.
        settings: Endpoint and credentials.
        if_absent: Refuse to overwrite; of several writers at once exactly one succeeds.

    Raises:
        ExistsError: `if_absent` and something is there.
        StorageError: the store refused or does not answer; it may or may not hold the object.
    """
    place = _keyed(uri)
    with translated(uri, settings):
        if if_absent and place.scheme == "s3":
            _put_if_absent(place, data, settings)
        elif if_absent:
            obstore.put(bytes_store(place, settings, make=True), place.key, data, mode="create")
        else:
            _put(place, data, settings)


def copy_object(uri: str, to_uri: str, settings: Settings) -> None:
    """Copy one object within its store, which moves the bytes itself.

    Args:
        uri: What to copy.
        to_uri: Where to; what is there is replaced.
        settings: Endpoint and credentials.

    Raises:
        InputError: the two lie in different stores.
        MissingError: nothing there.
        StorageError: the store refused or does not answer.
    """
    place, to = _keyed(uri), _keyed(to_uri)
    if (place.scheme, place.root) != (to.scheme, to.root) and place.scheme != "file":
        raise InputError(f"expected two places in one bucket, got {uri} and {to_uri}")
    with translated(uri, settings):
        if place.scheme == "file":
            Path(to.root).mkdir(parents=True, exist_ok=True)
            obstore.put(bytes_store(to, settings), to.key, Path(place.root, place.key), mode="overwrite")
        else:
            obstore.copy(bytes_store(place, settings), place.key, to.key)


def exists(uri: str, settings: Settings) -> bool:
    """Whether there is an object of exactly this name; a prefix or a folder is none.

    Raises:
        StorageError: the store refused or does not answer.
    """
    place = _keyed(uri)
    with translated(uri, settings):
        try:
            obstore.head(bytes_store(place, settings), place.key)
        except FileNotFoundError:
            return False
    return True


def list_names(uri: str, settings: Settings) -> list[str]:
    """Names of the objects and prefixes immediately below a prefix, sorted; none where there is nothing.

    A prefix whose last object was just deleted is still named by some servers (SeaweedFS) for a while.

    Raises:
        StorageError: the store refused or does not answer.
    """
    place = parse(uri)
    with translated(uri, settings):
        if place.scheme == "file":
            folder = Path(place.root, place.key)
            return sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
        found = obstore.list_with_delimiter(bytes_store(place, settings), place.key or None)
        paths = [*found["common_prefixes"], *(item["path"] for item in found["objects"])]
    return sorted(path.rpartition("/")[2] for path in paths)


def list_below(uri: str, settings: Settings) -> list[str]:
    """Paths of all objects below a prefix, relative to it, sorted; none where there is nothing.

    Raises:
        StorageError: the store refused or does not answer.
    """
    place = parse(uri)
    with translated(uri, settings):
        try:
            pages = list(obstore.list(bytes_store(place, settings), f"{place.key}/" if place.key else None))
        except FileNotFoundError:
            return []
        return sorted(item["path"].removeprefix(f"{place.key}/") for page in pages for item in page)


def digest_of(uri: str, settings: Settings) -> str:
    """SHA-256 of the names, sizes and ETags of one object, or of all below a prefix: the same only while nothing there changes.

    Raises:
        MissingError: nothing there.
        StorageError: the store refused or does not answer.
    """
    place = _keyed(uri)
    with translated(uri, settings):
        store = bytes_store(place, settings)
        found = [item for page in obstore.list(store, f"{place.key}/") for item in page] or [obstore.head(store, place.key)]
    told = sorted((item["path"], item["size"], item["e_tag"] or "") for item in found)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def delete_object(uri: str, settings: Settings) -> None:
    """Delete one object; nothing there is no error.

    Raises:
        StorageError: the store refused or does not answer.
    """
    place = _keyed(uri)
    with translated(uri, settings), suppress(FileNotFoundError):
        obstore.delete(bytes_store(place, settings), place.key)


def delete_prefix(uri: str, settings: Settings) -> None:
    """Delete every object below a prefix; nothing there is no error.

    Raises:
        InputError: the URI names a whole bucket.
        StorageError: the store refused or does not answer.
    """
    place = _keyed(uri)
    with translated(uri, settings):
        if place.scheme == "file":
            _delete_folder(Path(place.root, place.key))
            return
        store = bytes_store(place, settings)
        for page in obstore.list(store, place.key):
            obstore.delete(store, [item["path"] for item in page])


def _delete_folder(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    # As in an object store, a folder exists only through what lies in it.
    with suppress(OSError):
        folder.parent.rmdir()


def _put(place: Place, data: bytes, settings: Settings) -> None:
    """Obstore does not send again what broke off in the middle of a body; to overwrite twice is the same as once."""
    store, started = bytes_store(place, settings, make=True), time.monotonic()
    for attempt in range(BROKEN_ATTEMPTS):
        try:
            obstore.put(store, place.key, data, mode="overwrite")
        except GenericError:
            # A server that is gone has had its patience already: obstore itself tried again for that long.
            if attempt == BROKEN_ATTEMPTS - 1 or time.monotonic() - started > PATIENCE_S / 2:
                raise
            time.sleep(0.1 * 2**attempt)
        else:
            return


def _put_if_absent(place: Place, data: bytes, settings: Settings) -> None:
    client = s3_client(settings)
    for attempt in range(CONFLICT_ATTEMPTS):
        try:
            client.put_object(Bucket=place.root, Key=place.key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 412:
                raise ExistsError(
                    f"expected nothing at s3://{place.root}/{place.key}, found an object; choose another name or replace it"
                ) from error
            # AWS answers 409 while another conditional write of the key is in flight, and asks to try again.
            if status != 409 or attempt == CONFLICT_ATTEMPTS - 1:
                raise
            time.sleep(0.1 * 2**attempt)
        else:
            return


def _keyed(uri: str) -> Place:
    place = parse(uri)
    if not place.key:
        raise InputError(f"expected a key below {uri}, got none; name an object or a prefix")
    return place
