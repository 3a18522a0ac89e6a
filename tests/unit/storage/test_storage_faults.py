import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError

from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError, StorageError
from s2s.storage.faults import translated

SETTINGS = Settings(s3_endpoint="http://127.0.0.1:1")
NO_BUCKET = FileNotFoundError("The specified bucket does not exist")
DEAD = GenericError("error sending request\nDebug source:")
REFUSED = ClientError({"Error": {"Code": "SignatureDoesNotMatch", "Message": "no"}}, "PutObject")


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        pytest.param(FileNotFoundError("x"), MissingError, ["s3://atlas/a", "found nothing"], id="object-missing"),
        pytest.param(NO_BUCKET, MissingError, ["S2S_BUCKET", "http://127.0.0.1:1"], id="bucket-missing"),
        pytest.param(AlreadyExistsError("x"), ExistsError, ["s3://atlas/a", "replace"], id="exists"),
        pytest.param(PermissionDeniedError("x"), StorageError, ["AWS_ACCESS_KEY_ID", "bucket atlas"], id="obstore-refused"),
        pytest.param(PermissionError("Forbidden"), StorageError, ["AWS_ACCESS_KEY_ID"], id="s3fs-refused"),
        pytest.param(REFUSED, StorageError, ["AWS_ACCESS_KEY_ID"], id="boto3-refused"),
        pytest.param(NoCredentialsError(), StorageError, ["AWS_ACCESS_KEY_ID"], id="no-keys"),
        pytest.param(
            GenericError("error sending request\nDebug source:"), StorageError, ["S2S_S3_ENDPOINT", "not answer"], id="obstore-dead"
        ),
        pytest.param(EndpointConnectionError(endpoint_url="u"), StorageError, ["S2S_S3_ENDPOINT", "not answer"], id="boto3-dead"),
        pytest.param(TimeoutError(), StorageError, ["TimeoutError"], id="no-words"),
    ],
)
def test_vendors_are_translated(raised: Exception, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught, translated("s3://atlas/a", SETTINGS):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised
    assert "Debug" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "raised",
    [
        pytest.param(InputError("ours"), id="input"),
        pytest.param(MissingError("ours"), id="missing"),
        pytest.param(ZeroDivisionError("a defect"), id="defect"),
        pytest.param(KeyboardInterrupt(), id="interrupt"),
    ],
)
def test_everything_else_passes_as_it_is(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught, translated("s3://atlas/a", SETTINGS):
        raise raised
    assert caught.value is raised


def test_no_advice_on_keys_for_files() -> None:
    with pytest.raises(StorageError, match=r"cannot use /data/a: No space left") as caught, translated("/data/a", SETTINGS):
        raise OSError("No space left on device")
    assert "AWS" not in str(caught.value)
