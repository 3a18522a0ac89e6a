"""Which parts there are, which of them the user replaced, and how each of the others is started.

A part is replaced by setting its variable (`S2S_S3_ENDPOINT`, ...) in the environment. The stack's own address there, as left
by `eval "$(s2s stack env)"` in this shell, does not count: otherwise `up` after `down` would wait for itself.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from s2s.contracts.settings import Settings, load_settings
from s2s.stack import mlflow_server, ray_head, seaweedfs
from s2s.stack.credentials import ray_token, s3_keys
from s2s.stack.folder import StackFolder
from s2s.stack.probe import accepts
from s2s.stack.processes import Launch

Ports = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One server of the stack, and how to tell that it, or its replacement, is well."""

    name: str
    title: str
    variable: str
    ports: tuple[str, ...]
    start_timeout_s: float
    address: Callable[[Ports], str]
    is_healthy: Callable[[Ports], bool]
    is_replacement_healthy: Callable[[str], bool]


PARTS = (
    Part(
        name=seaweedfs.NAME,
        title="S3 (SeaweedFS)",
        variable="S2S_S3_ENDPOINT",
        ports=seaweedfs.PORTS,
        start_timeout_s=seaweedfs.START_TIMEOUT_S,
        address=seaweedfs.endpoint,
        is_healthy=lambda ports: seaweedfs.is_healthy(seaweedfs.endpoint(ports)),
        is_replacement_healthy=seaweedfs.is_healthy,
    ),
    Part(
        name=ray_head.NAME,
        title="Ray head",
        variable="S2S_RAY_ADDRESS",
        ports=ray_head.PORTS,
        start_timeout_s=ray_head.START_TIMEOUT_S,
        address=ray_head.address,
        is_healthy=ray_head.is_healthy,
        is_replacement_healthy=accepts,
    ),
    Part(
        name=mlflow_server.NAME,
        title="MLflow server",
        variable="S2S_MLFLOW_URI",
        ports=mlflow_server.PORTS,
        start_timeout_s=mlflow_server.START_TIMEOUT_S,
        address=mlflow_server.endpoint,
        is_healthy=lambda ports: mlflow_server.is_healthy(mlflow_server.endpoint(ports)),
        is_replacement_healthy=mlflow_server.is_healthy,
    ),
)
"""In the order of their start; MLflow's artifacts lie in S3."""


def replacement(part: Part, place: StackFolder) -> str | None:
    """The address that the user gave for a part; None where the stack runs its own."""
    given = os.environ.get(part.variable)
    own = place.last_ports().get(part.name)
    return None if not given or (own and given == part.address(own)) else given


@dataclass(frozen=True, slots=True)
class Plan:
    """The ports of every part that the stack runs itself; a part that is missing here was replaced."""

    place: StackFolder
    ports: dict[str, Ports]

    def launch(self, part: Part) -> Launch:
        """Say how a part is started.

        Raises:
            StackError: its executable is missing.

        Writes:
            Its data folder, and its keys the first time.
        """
        ports, log = self.ports[part.name], self.place.log(part.name)
        if part.name == seaweedfs.NAME:
            return seaweedfs.launch(self.place.path / "s3", log, ports, s3_keys(self._keys_file))
        if part.name == mlflow_server.NAME:
            return mlflow_server.launch(self._archive(), log, ports)
        outdated = (*self.environment(), *(("AWS_",) if seaweedfs.NAME in self.ports else ()))
        return ray_head.launch(self.place.home, log, ports, ray_token(self._token_file), outdated)

    def environment(self) -> dict[str, str]:
        """What other processes must know, by the names that `Settings` and the vendors' libraries read."""
        found: dict[str, str] = {}
        if seaweedfs.NAME in self.ports:
            keys = s3_keys(self._keys_file)
            url = seaweedfs.endpoint(self.ports[seaweedfs.NAME])
            found |= {
                "S2S_S3_ENDPOINT": url,
                "S2S_BUCKET": load_settings().bucket,
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_ACCESS_KEY_ID": keys.access_key_id,
                "AWS_SECRET_ACCESS_KEY": keys.secret_access_key.get_secret_value(),
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        if mlflow_server.NAME in self.ports:
            url = mlflow_server.endpoint(self.ports[mlflow_server.NAME])
            found |= {"S2S_MLFLOW_URI": url, "MLFLOW_TRACKING_URI": url}
        if ray_head.NAME in self.ports:
            ports = self.ports[ray_head.NAME]
            found |= {"S2S_RAY_ADDRESS": ray_head.address(ports), **ray_head.driver_environment(self._token_file)}
            found["S2S_RAY_METRICS"] = ray_head.metrics_address(ports)
        return found

    def s3_settings(self) -> Settings:
        """Settings of the stack's own S3 server, whatever keys the environment holds."""
        keys = s3_keys(self._keys_file)
        return load_settings(is_local=False).model_copy(
            update={
                "s3_endpoint": seaweedfs.endpoint(self.ports[seaweedfs.NAME]),
                "aws_access_key_id": SecretStr(keys.access_key_id),
                "aws_secret_access_key": keys.secret_access_key,
                "aws_session_token": None,
                "aws_region": "us-east-1",
            }
        )

    def _archive(self) -> mlflow_server.Archive:
        settings = load_settings()
        env = {}
        if seaweedfs.NAME in self.ports:
            mine = self.environment()
            env = {name: mine[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")}
            env["MLFLOW_S3_ENDPOINT_URL"] = mine["S2S_S3_ENDPOINT"]
        elif settings.s3_endpoint:
            env = {"MLFLOW_S3_ENDPOINT_URL": settings.s3_endpoint}
        return mlflow_server.Archive(database=self.place.path / "mlflow.db", artifacts=f"s3://{settings.bucket}/mlflow", env=env)

    @property
    def _keys_file(self) -> Path:
        return self.place.path / "s3_keys.json"

    @property
    def _token_file(self) -> Path:
        return self.place.path / "ray_token"
