"""Setting up the bucket, once per stack; everything else takes it as given."""

from botocore.exceptions import ClientError

from s2s.contracts.settings import Settings
from s2s.storage.clients import s3_client
from s2s.storage.faults import translated


def ensure_bucket(settings: Settings) -> None:
    """Make the atlas's bucket unless it is there; `--local` needs none.

    Raises:
        StorageError: the server refused or does not answer.

    Writes:
        `settings.bucket`.
    """
    if settings.is_local:
        return
    client = s3_client(settings)
    with translated(f"s3://{settings.bucket}", settings):
        if _has_bucket(settings):
            return
        # AWS alone wants the region said, and only where it is not its first one.
        is_elsewhere = settings.s3_endpoint is None and settings.aws_region != "us-east-1"
        options = {"CreateBucketConfiguration": {"LocationConstraint": settings.aws_region}} if is_elsewhere else {}
        try:
            client.create_bucket(Bucket=settings.bucket, **options)
        except client.exceptions.BucketAlreadyOwnedByYou:
            return


def _has_bucket(settings: Settings) -> bool:
    try:
        s3_client(settings).head_bucket(Bucket=settings.bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return False
    return True
