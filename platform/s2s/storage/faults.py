"""How a vendor's exception becomes one of ours: the single place that knows them all.

Every public function of the folder, and every read of a stored array, runs inside `translated`, so that nothing above
this folder ever names a vendor. Decision: the vendor's own first line is kept in the message; the price is that its
wording changes with the vendor's releases, so tests look at our part only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, MissingError, S2SError, StorageError, reason_of

REFUSALS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "403 Forbidden",
    "401 Unauthorized",
    "ExpiredToken",
    "(403)",
    "locate credentials",
)


@contextmanager
def translated(uri: str, settings: Settings) -> Iterator[None]:
    """Turn what obstore, s3fs, botocore and the file system raise into errors of `s2s.errors`.

    Args:
        uri: What was being read or written; named in the message.
        settings: Names the endpoint that was asked.

    Raises:
        MissingError: the object or the bucket is not there.
        ExistsError: a conditional write found something.
        StorageError: the store refused the keys, broke off, or does not answer.
    """
    try:
        yield
    except S2SError:
        raise
    except AlreadyExistsError as error:
        raise ExistsError(f"expected nothing at {uri}, found an object; choose another name or replace it") from error
    except FileNotFoundError as error:
        raise MissingError(_missing(uri, error, settings)) from error
    except (BaseError, ClientError, BotoCoreError, OSError) as error:
        raise StorageError(_broken(uri, error, settings)) from error


def _missing(uri: str, error: Exception, settings: Settings) -> str:
    if "NoSuchBucket" in str(error) or "bucket does not exist" in str(error):
        return f"expected the bucket of {uri} at {_endpoint(settings)}, it does not exist; run `s2s stack up` or set S2S_BUCKET"
    return f"expected something at {uri}, found nothing; check the name"


def _broken(uri: str, error: Exception, settings: Settings) -> str:
    reason = reason_of(error)
    if not uri.startswith("s3://"):
        return f"cannot use {uri}: {reason}; check permissions and free space"
    where = f"S3 at {_endpoint(settings)}, bucket {uri.removeprefix('s3://').partition('/')[0]}"
    if _is_refusal(error):
        return f"{where} refused the keys for {uri}: {reason}; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `s2s stack status`"
    return f"{where} broke off or does not answer for {uri}: {reason}; run `s2s stack status`, or check S2S_S3_ENDPOINT and the network"


def _is_refusal(error: Exception) -> bool:
    is_denied = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    return is_denied or any(word in str(error) for word in REFUSALS)


def _endpoint(settings: Settings) -> str:
    return settings.s3_endpoint or f"AWS ({settings.aws_region})"
