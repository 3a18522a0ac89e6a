"""The vendors' clients: credentials, retries and timeouts, said once for obstore, s3fs and boto3.

Decision: a client that meets a dead server gives up after about `PATIENCE_S`; long enough for a server to restart,
short enough for a person to wait. Clients are made once per process and settings, because a connection pool is what
makes them fast; the price is that they live until the process ends. Keys absent from the settings come from AWS's
default chain (environment, profile, instance role).
"""

import atexit
import functools
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import s3fs
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import LocalStore, MemoryStore, S3Store
from pydantic import SecretStr
from zarr.core.sync import sync

from s2s.contracts.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

PATIENCE_S = 15
CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 60
MAX_ATTEMPTS = 4
"""Of botocore: four connects of five seconds and the pauses between them come to about as long as obstore's patience."""

BytesStore = S3Store | LocalStore | MemoryStore


@functools.cache
def memory_store(name: str) -> MemoryStore:
    """One store per name for the life of the process, shared by its threads."""
    return MemoryStore()


def local_store(folder: Path, *, make: bool) -> LocalStore:
    """A folder as a store of objects.

    Args:
        folder: Absolute path.
        make: Make the folder where it is missing.

    Raises:
        FileNotFoundError: no such folder, and it is not to be made.
    """
    if not make and not folder.is_dir():
        raise FileNotFoundError(folder)
    return LocalStore(folder, mkdir=make)


def s3_store(bucket: str, prefix: str, settings: Settings) -> S3Store:
    """Obstore's client of one bucket, all keys below `prefix`."""
    return _s3_store(bucket, prefix, settings, os.getpid())


@functools.lru_cache(maxsize=256)
def _s3_store(bucket: str, prefix: str, settings: Settings, pid: int) -> S3Store:
    # The process id is part of the key: a client that survived a fork would hang.
    client: ClientConfig = {
        "allow_http": (settings.s3_endpoint or "").startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
    }
    retry: RetryConfig = {
        "max_retries": 100,  # more than fit into the patience: time is what bounds it
        "retry_timeout": timedelta(seconds=PATIENCE_S),
        "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    store = functools.partial(S3Store, bucket, prefix=prefix or None, region=settings.aws_region, client_options=client, retry_config=retry)
    if settings.s3_endpoint:
        store = functools.partial(store, endpoint=settings.s3_endpoint)
    if settings.aws_access_key_id is None:
        session = boto3.Session(region_name=settings.aws_region)
        if session.get_credentials() is None:
            raise NoCredentialsError
        return store(credential_provider=Boto3CredentialProvider(session))
    if settings.aws_session_token is not None:
        store = functools.partial(store, session_token=settings.aws_session_token.get_secret_value())
    return store(access_key_id=_plain(settings.aws_access_key_id), secret_access_key=_plain(settings.aws_secret_access_key) or "")


def s3_filesystem(settings: Settings) -> s3fs.S3FileSystem:
    """s3fs for Zarr's event loop only: asynchronous, so never to be used by plain fsspec calls."""
    return _s3_filesystem(settings, os.getpid())


@functools.cache
def _s3_filesystem(settings: Settings, pid: int) -> s3fs.S3FileSystem:
    filesystem = s3fs.S3FileSystem(
        key=_plain(settings.aws_access_key_id),
        secret=_plain(settings.aws_secret_access_key),
        token=_plain(settings.aws_session_token),
        endpoint_url=settings.s3_endpoint,
        client_kwargs={"region_name": settings.aws_region},
        config_kwargs=_botocore_options(settings),
        asynchronous=True,
        skip_instance_cache=True,
    )
    filesystem.retries = 1  # botocore already tries again; both together would wait for minutes
    atexit.register(_close, filesystem, pid)
    return filesystem


def _close(filesystem: s3fs.S3FileSystem, pid: int) -> None:
    # s3fs closes only sessions of its own loop; this one was opened on Zarr's, which `sync` runs on.
    creator = getattr(filesystem, "_s3creator", None)
    if creator is not None and pid == os.getpid():
        sync(creator.__aexit__(None, None, None), timeout=5)


def s3_client(settings: Settings) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """boto3's client, for buckets and conditional writes."""
    return _s3_client(settings, os.getpid())


@functools.lru_cache(maxsize=16)
def _s3_client(settings: Settings, pid: int) -> Any:  # noqa: ANN401
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.aws_region,
        aws_access_key_id=_plain(settings.aws_access_key_id),
        aws_secret_access_key=_plain(settings.aws_secret_access_key),
        aws_session_token=_plain(settings.aws_session_token),
        config=Config(**_botocore_options(settings)),
    )


def _botocore_options(settings: Settings) -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": REQUEST_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
        "max_pool_connections": settings.zarr_concurrency,
        "s3": {"addressing_style": "path" if settings.s3_endpoint else "auto"},
    }


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
