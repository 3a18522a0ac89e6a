"""The keys of the stack: made once, kept 0600 under `$S2S_HOME/stack`, the same after every restart."""

import json
import secrets
from pathlib import Path

from pydantic import SecretStr, ValidationError

from s2s.contracts.document import Part
from s2s.errors import StackError
from s2s.stack.private_files import write_private


class S3Keys(Part):
    """The access key and secret that the S3 server accepts; no other is valid."""

    access_key_id: str
    secret_access_key: SecretStr


def generate_s3_keys() -> S3Keys:
    """Fresh keys from the system's random source."""
    return S3Keys(access_key_id=secrets.token_hex(10).upper(), secret_access_key=SecretStr(secrets.token_hex(20)))


def s3_keys(path: Path) -> S3Keys:
    """The keys kept in a file.

    Args:
        path: The file; made, with fresh keys, where it is missing.

    Raises:
        StackError: the file does not hold keys.

    Writes:
        `path`, mode 0600, the first time.
    """
    if not path.exists():
        fresh = generate_s3_keys()
        content = {"access_key_id": fresh.access_key_id, "secret_access_key": fresh.secret_access_key.get_secret_value()}
        write_private(path, json.dumps(content))
    try:
        return S3Keys.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError:
        raise StackError(f"expected the S3 keys in {path}, but the file does not hold them; delete it and fresh ones are made") from None


def ray_token(path: Path) -> Path:
    """The file with Ray's token; made, mode 0600, where it is missing."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path
