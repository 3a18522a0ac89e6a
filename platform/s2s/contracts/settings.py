"""Where the servers are and who we are to them: environment first, then the local stack's file, then `--local` defaults.

`$S2S_HOME/stack.env` is written by `s2s stack up` (mode 0600) and removed by `s2s stack down`; every process of the laptop,
Ray workers included, finds the stack through it, so no secret ever travels as a task argument. On a cluster the same
names come from the environment, and AWS credentials from the instance's role.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from s2s.errors import ConfigError, StackError

STACK_ENV = "stack.env"
LOOPBACK_ENV: Mapping[str, str] = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch for "every node is 127.0.0.1": 0 turns clusters of several hosts off. Head and drivers need it before they import ray."""


class _Home(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore")
    home: Path = Field(Path.home() / ".s2s", validation_alias="S2S_HOME")


class Settings(BaseSettings):
    """Endpoints and credentials; absent ones mean "no such server"."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_file_encoding="utf-8", populate_by_name=True)

    home: Path = Field(
        Path.home() / ".s2s", validation_alias="S2S_HOME", description="folder of the stack, of --local data and of spooled records"
    )
    is_local: bool = Field(False, validation_alias="S2S_LOCAL", description="true: file system, MLflow on SQLite in process, no Ray")
    s3_endpoint: str | None = Field(
        None, validation_alias="S2S_S3_ENDPOINT", description="URL of the S3 server; on AWS https://s3.REGION.amazonaws.com"
    )
    bucket: str = Field("atlas", validation_alias="S2S_BUCKET", description="bucket of the atlas")
    mlflow_uri: str | None = Field(None, validation_alias="S2S_MLFLOW_URI", description="URL of the MLflow server")
    ray_address: str | None = Field(None, validation_alias="S2S_RAY_ADDRESS", description="host:port of the Ray head")
    ray_token_path: Path | None = Field(None, validation_alias="RAY_AUTH_TOKEN_PATH", description="file with Ray's token")
    zarr_client: Literal["obstore", "s3fs"] = Field(
        "obstore", validation_alias="S2S_ZARR_CLIENT", description="library that moves Zarr chunks; obstore is about twice as fast"
    )
    zarr_concurrency: int = Field(64, ge=1, le=1024, validation_alias="S2S_ZARR_CONCURRENCY", description="chunks in flight per process")
    cache_bytes: int = Field(
        4 * 2**30,
        ge=0,
        validation_alias="S2S_CACHE_BYTES",
        description="chunks of S3 kept on disk in S2S_HOME/cache; 0: none",
    )
    aws_access_key_id: SecretStr | None = Field(
        None, validation_alias="AWS_ACCESS_KEY_ID", description="S3 key; absent: the role of the machine"
    )
    aws_secret_access_key: SecretStr | None = Field(None, validation_alias="AWS_SECRET_ACCESS_KEY", description="its secret")
    aws_session_token: SecretStr | None = Field(None, validation_alias="AWS_SESSION_TOKEN", description="of temporary keys")
    aws_region: str = Field("us-east-1", validation_alias="AWS_DEFAULT_REGION", description="region of the bucket")

    @property
    def root(self) -> str:
        """URI below which sections, photographs and runs lie.

        Raises:
            StackError: no S3 server is set and `--local` was not asked for.
        """
        if self.is_local:
            return (self.home / "local").as_posix()
        if self.s3_endpoint is None:
            raise StackError(NO_STACK.format(what="an S3 server", name="S2S_S3_ENDPOINT"))
        return f"s3://{self.bucket}"

    @property
    def tracking_uri(self) -> str:
        """What MLflow is told: the server's URL, or SQLite under the home folder in `--local` mode.

        Raises:
            StackError: no server is set and `--local` was not asked for.
        """
        if self.is_local:
            return f"sqlite:///{(self.home / 'local' / 'mlflow.db').as_posix()}"
        if self.mlflow_uri is None:
            raise StackError(NO_STACK.format(what="an MLflow server", name="S2S_MLFLOW_URI"))
        return self.mlflow_uri


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION")
NO_STACK = "expected {what}, but {name} is not set and no local stack is up; run `s2s stack up`, set {name}, or add --local"


def load_settings(*, is_local: bool | None = None) -> Settings:
    """Read the settings of this process.

    Args:
        is_local: Force `--local` mode on or off; None leaves it to `S2S_LOCAL`.

    Reads:
        The environment, then `$S2S_HOME/stack.env`.

    Raises:
        ConfigError: a variable does not parse; the message names it.
    """
    home = _Home().home.expanduser()
    try:
        settings = Settings(_env_file=home / STACK_ENV, **_keys_of_stack(home / STACK_ENV))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"setting {first['loc'][0]}: {first['msg']}, got {first['input']!r}; mend the variable or {home / STACK_ENV}"
        ) from None
    changes: dict[str, object] = {"home": home}
    if is_local is not None:
        changes["is_local"] = is_local
    return settings.model_copy(update=changes)


def _keys_of_stack(file: Path) -> dict[str, Any]:
    """Keys belong to their endpoint: where the endpoint comes from the stack's file, a user's own AWS keys must not go there."""
    given = dotenv_values(file) if file.is_file() else {}
    if "S2S_S3_ENDPOINT" in os.environ or "S2S_S3_ENDPOINT" not in given:
        return {}
    return {name: given.get(name) for name in KEYS if name in given or name == "AWS_SESSION_TOKEN"}
