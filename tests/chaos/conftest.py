"""Three hosts with Ray and one with S3, Postgres and MLflow; nothing of them is left behind, whatever happens."""

import atexit
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.cluster import Cluster, running
from chaos.doubles import FaultyS3
from chaos.hosts import Network
from chaos.namespaces import obstacle
from chaos.places import Place
from chaos.services import S3, MLflow, Postgres
from s2s.contracts.settings import Settings
from s2s.stack.credentials import generate_s3_keys

ARTIFACTS = "mlflow-artifacts"
HEAD, SERVICES = 1, 4
WORKERS = {"worker1": 2, "worker2": 3}
SERVICES_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What an atlas needs besides Ray, on one host."""

    s3: S3
    faulty_s3: FaultyS3
    postgres: Postgres
    mlflow: MLflow

    def settings(self, home: Path, bucket: str) -> Settings:
        """Settings of this process, straight to S3, with a bucket that is made."""
        return self.s3.settings(home, bucket).model_copy(update={"mlflow_uri": self.mlflow.endpoint})

    def heal(self) -> None:
        """Let those that hang go on, start those that ended, stop the faults."""
        for service in (self.s3, self.faulty_s3, self.postgres, self.mlflow):
            if service.program.is_running:
                service.go_on()
                service.wait_until_healthy()
            else:
                service.start()
        self.faulty_s3.order()

    def environment(self, bucket: str, *, is_faulty: bool = False) -> dict[str, str]:
        """What drivers and tasks must find in their environment; faulty: they reach S3 through the proxy."""
        keys = self.s3.keys
        return {
            "S2S_S3_ENDPOINT": self.faulty_s3.endpoint if is_faulty else self.s3.endpoint,
            "S2S_BUCKET": bucket,
            "S2S_MLFLOW_URI": self.mlflow.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key.get_secret_value(),
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The bridge with four hosts: head, worker1, worker2, services."""
    if (reason := obstacle()) is not None:
        pytest.skip(reason)
    place = Place({HEAD, SERVICES, *WORKERS.values()})
    atexit.register(place.clear)
    try:
        network = Network(place)
        try:
            for name, number in {"head": HEAD, **WORKERS}.items():
                network.add_host(name, number)
            network.add_host("services", SERVICES, disk_bytes=SERVICES_DISK_BYTES)
            yield network
        finally:
            network.close()
    finally:
        place.clear()
        atexit.unregister(place.clear)


@pytest.fixture(scope="session")
def servers(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """S3, the way to it on which calls fail, Postgres and MLflow, all up."""
    host = network.hosts["services"]
    s3 = S3(host, generate_s3_keys())
    faulty_s3 = FaultyS3(host, s3)
    postgres = Postgres(host)
    mlflow = MLflow(host, postgres, s3, ARTIFACTS)
    services = (s3, faulty_s3, postgres, mlflow)
    try:
        for service in services:
            service.start()
        s3.settings(tmp_path_factory.mktemp("operator"), ARTIFACTS)
        yield Servers(s3=s3, faulty_s3=faulty_s3, postgres=postgres, mlflow=mlflow)
    finally:
        for service in reversed(services):
            service.terminate()


@pytest.fixture
def operator(servers: Servers, tmp_path: Path) -> Settings:
    """Settings of this process, straight to S3 and MLflow, with a bucket that only this test has."""
    return servers.settings(tmp_path / "operator", f"atlas-{secrets.token_hex(4)}")


@pytest.fixture
def bare_cluster(network: Network) -> Iterator[Cluster]:
    """Ray on head and workers, without other servers."""
    with running(network, {}) as cluster:
        yield cluster


@pytest.fixture
def cluster(network: Network, servers: Servers, operator: Settings) -> Iterator[Cluster]:
    """A fresh cluster whose drivers and tasks have the servers and the bucket of `operator`."""
    with running(network, servers.environment(operator.bucket)) as cluster:
        yield cluster
        servers.heal()


@pytest.fixture
def faulty_cluster(network: Network, servers: Servers, operator: Settings) -> Iterator[Cluster]:
    """As `cluster`, but it reaches S3 through `servers.faulty_s3`; a test orders the faults."""
    with running(network, servers.environment(operator.bucket, is_faulty=True)) as cluster:
        yield cluster
        servers.heal()
