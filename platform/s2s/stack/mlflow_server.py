"""The MLflow server: records in SQLite, artifacts proxied to the bucket, one worker, on 127.0.0.1.

Decision: clients speak only to the server, which alone holds the artifact store's keys; the price is that every artifact
passes through it. Unpickling is switched off on the server: models are code and safetensors.
"""

from pathlib import Path

from s2s.contracts.document import Part
from s2s.stack.executables import executable
from s2s.stack.ports import HOST
from s2s.stack.probe import answers
from s2s.stack.processes import Launch, inherited_environment

NAME = "mlflow"
START_TIMEOUT_S = 180.0
PORTS = ("http",)


class Archive(Part):
    """Where the server keeps things: its database file, its artifact URI, and the environment that opens the latter."""

    database: Path
    artifacts: str
    env: dict[str, str]


def launch(archive: Archive, log: Path, ports: dict[str, int]) -> Launch:
    """Say how the server is started.

    Args:
        archive: Where it keeps its records.
        log: Where its output goes.
        ports: One free port per name of `PORTS`.

    Raises:
        StackError: mlflow is not installed beside this Python.
    """
    port = ports["http"]
    command = (
        executable("mlflow", install="pip install 's2s-atlas[platform]'"), "server",
        "--backend-store-uri", f"sqlite:///{archive.database}", "--artifacts-destination", archive.artifacts,
        "--host", HOST, "--port", str(port), "--workers", "1",
        "--allowed-hosts", f"{HOST}:{port},localhost:{port}",
    )  # fmt: skip
    return Launch(
        name=NAME,
        command=command,
        inherited=inherited_environment(without=("MLFLOW_", "AWS_") if "AWS_ACCESS_KEY_ID" in archive.env else ("MLFLOW_",)),
        env={
            **archive.env,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its model-judging jobs: more processes, and nothing here uses them
        },
        ports=ports,
        log=log,
        folders=(archive.database.parent,),
    )


def endpoint(ports: dict[str, int]) -> str:
    """URL of the server."""
    return f"http://{HOST}:{ports['http']}"


def is_healthy(url: str) -> bool:
    """Whether an MLflow server answers at the URL."""
    return answers(f"{url.rstrip('/')}/health")
