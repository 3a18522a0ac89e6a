"""S3 as a file system of pyarrow's, for a library that keeps small files of its own there: Ray Train, which hands it to its workers.

Decision: it travels without credentials; whoever unpickles it opens S3 with the settings of its own machine.
"""

from pyarrow.fs import S3FileSystem

from s2s.contracts.settings import load_settings
from s2s.storage.clients import CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S


class OwnS3FileSystem(S3FileSystem):  # type: ignore[misc]
    """S3 as the settings of this machine say; paths are `bucket/key`."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        settings = load_settings(is_local=False)
        key, secret, token = settings.aws_access_key_id, settings.aws_secret_access_key, settings.aws_session_token
        super().__init__(
            access_key=key and key.get_secret_value(),
            secret_key=secret and secret.get_secret_value(),
            session_token=token and token.get_secret_value(),
            endpoint_override=settings.s3_endpoint,
            region=settings.aws_region,
            connect_timeout=CONNECT_TIMEOUT_S,
            request_timeout=REQUEST_TIMEOUT_S,
        )

    def __reduce__(self) -> tuple[type["OwnS3FileSystem"], tuple[()]]:
        return OwnS3FileSystem, ()
