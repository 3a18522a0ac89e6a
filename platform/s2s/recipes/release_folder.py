"""Releases in folders of the root, for workers that know no MLflow: put there once, by the hash of their weights; checked when read.

    releases/<sha256 of the weights>/weights.safetensors, release.json

Decision: what is written first stays; the same weights are the same release, whoever registered them again.
"""

from contextlib import suppress

from s2s.contracts.release import Release
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError
from s2s.storage.location import join
from s2s.storage.objects import read_bytes, write_bytes
from s2s.tracking.packaging import RELEASE_FILE, WEIGHTS_FILE
from s2s.tracking.releases import MAX_BYTES, checked_contract, checked_release


def store_release(release: Release, weights: bytes, settings: Settings) -> str:
    """Put a release where workers find it; returns the URI of its folder.

    Raises:
        StorageError: the store refused or does not answer.

    Writes:
        The weights, then the contract, unless they are there.
    """
    folder = join(settings.root, "releases", release.weights_sha256)
    # The contract comes last: where it is, the weights are.
    for name, data in ((WEIGHTS_FILE, weights), (RELEASE_FILE, release.model_dump_json(indent=2).encode())):
        with suppress(ExistsError):
            write_bytes(join(folder, name), data, settings, if_absent=True)
    return folder


def read_release(folder: str, settings: Settings) -> tuple[Release, bytes]:
    """Read a release from its folder, with the checks of `tracking.releases.load_release`.

    Args:
        folder: URI that holds `release.json` and `weights.safetensors`.
        settings: Where it lies.

    Raises:
        MissingError: nothing there.
        InputError: too large, damaged, or not what the contract says.
        StorageError: the store refused or does not answer.
    """
    return checked_release(lambda name: _fetch(folder, name, settings), where=folder)


def read_contract(folder: str, settings: Settings) -> Release:
    """Read the contract of a release alone; see `read_release`."""
    return checked_contract(lambda name: _fetch(folder, name, settings), where=folder)


def _fetch(folder: str, name: str, settings: Settings) -> bytes:
    return read_bytes(join(folder, name), settings, max_bytes=MAX_BYTES[name])
