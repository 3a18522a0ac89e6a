"""What every test stands on: a home of its own, a clean environment, and real servers for those that ask."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from s2s.contracts.release import Release, release_name
from s2s.contracts.run import NetworkConfig
from s2s.contracts.settings import Settings
from s2s.stack import mlflow_server as mlflow_part
from s2s.stack import seaweedfs
from s2s.stack.credentials import generate_s3_keys
from s2s.stack.ports import choose_ports
from s2s.stack.processes import spawn, stop, wait_until_healthy
from s2s.storage.bucket import ensure_bucket

# Tiny tensors on two threads of a busy machine are thirty times slower than on one; torch and BLAS read this once, when imported.
os.environ["OMP_NUM_THREADS"] = "1"

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
BUCKET = "atlas-test"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `shared` reads ../shared/data and skips where it is absent."""
    if item.get_closest_marker("shared") and not SHARED_DATA.is_dir():
        pytest.skip(f"needs {SHARED_DATA}")


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No test sees the user's servers or keys."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith(("AWS_", "S2S_", "MLFLOW_", "RAY_")):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def s2s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`$S2S_HOME` of this test; no test sees the user's, or another test's."""
    folder = tmp_path / "s2s_home"
    monkeypatch.setenv("S2S_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def package_logger() -> Iterator[None]:
    """A test that goes through the door sets the level of the package's logger; the next one finds it as it was."""
    logger = logging.getLogger("s2s")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real sections; tests that use it carry the marker `shared`."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def make_release() -> Callable[..., Release]:
    """Build a release; a test says by name what it is about, and the registry name follows organism and tissue."""

    def make(*, organism: str = "human", tissue: str = "breast", **changes: object) -> Release:
        usual = {
            "technology": "xenium",
            "pitch_um": 25,
            "stride": 2,
            "normalisation": "log1p_median_total",
            "expression_scale": 10,
            "network": NetworkConfig(),
            "weights_sha256": "0" * 64,
            "is_leaky": False,
            "is_synthetic": False,
            "run_key": "0123456789abcdef",
            "section_id": "section",
            "data_sha256": "a" * 64,
            "photographs": None,
            "code_version": "0.1.0",
        }
        return Release.model_validate({"name": release_name(organism, tissue), "organism": organism, "tissue": tissue, **usual, **changes})

    return make


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short-lived folder with a short path, for the servers of this session."""
    folder = Path(tempfile.mkdtemp(prefix="s2s-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_settings(server_folder: Path) -> Iterator[Settings]:
    """Settings of a real S3 server (SeaweedFS) with generated keys and an empty bucket."""
    keys = generate_s3_keys()
    ports = choose_ports(seaweedfs.PORTS, last={})
    record = spawn(seaweedfs.launch(server_folder / "s3", server_folder / "s3.log", ports, keys))
    try:
        url = seaweedfs.endpoint(ports)
        wait_until_healthy(record, lambda: seaweedfs.is_healthy(url), timeout_s=seaweedfs.START_TIMEOUT_S)
        settings = Settings(
            home=server_folder / "home",
            s3_endpoint=url,
            bucket=BUCKET,
            aws_access_key_id=SecretStr(keys.access_key_id),
            aws_secret_access_key=keys.secret_access_key,
        )
        ensure_bucket(settings)
        yield settings
    finally:
        stop(record)


@pytest.fixture(scope="session")
def mlflow_server(server_folder: Path) -> Iterator[str]:
    """URL of a real MLflow server: SQLite, artifacts proxied to a local folder."""
    archive = mlflow_part.Archive(
        database=server_folder / "mlflow" / "mlflow.db", artifacts=(server_folder / "mlflow" / "artifacts").as_uri(), env={}
    )
    ports = choose_ports(mlflow_part.PORTS, last={})
    record = spawn(mlflow_part.launch(archive, server_folder / "mlflow.log", ports))
    try:
        url = mlflow_part.endpoint(ports)
        wait_until_healthy(record, lambda: mlflow_part.is_healthy(url), timeout_s=mlflow_part.START_TIMEOUT_S)
        yield url
    finally:
        stop(record)
