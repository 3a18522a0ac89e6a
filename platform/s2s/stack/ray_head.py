"""The Ray head: one node with all of this machine's cores, a token for whoever connects, nothing beyond 127.0.0.1.

Decision: no dashboard (it costs eleven processes and 210 MB; `s2s train` shows progress itself), and the head in the foreground
of a process of ours, which ends the rest of Ray when it ends. Ray takes loopback addresses for a mistake and swaps in the
machine's outer one, here and in every driver that connects; `LOOPBACK_ENV` stops that and must be set for both.
"""

import hashlib
from pathlib import Path

from s2s.contracts.settings import LOOPBACK_ENV
from s2s.stack.executables import executable
from s2s.stack.ports import HOST
from s2s.stack.probe import answers
from s2s.stack.processes import Launch, inherited_environment

NAME = "ray"
START_TIMEOUT_S = 180.0
PORTS = (
    "gcs", "client", "raylet", "objects", "runtime_env",
    "agent", "agent_grpc", "agent_metrics", "autoscaler_metrics", "dashboard_metrics",
)  # fmt: skip
OBJECT_STORE_BYTES = 512 * 1024**2
"""Tasks exchange URIs, not arrays."""


def launch(home: Path, log: Path, ports: dict[str, int], token: Path, without: tuple[str, ...]) -> Launch:
    """Say how the head is started.

    Args:
        home: `$S2S_HOME`; tasks read their settings there.
        log: Where its output goes.
        ports: One free port per name of `PORTS`.
        token: File with the token that drivers must have.
        without: Prefixes of variables that tasks must not inherit, because `$S2S_HOME/stack.env` has them up to date.

    Raises:
        StackError: ray is not installed beside this Python.
    """
    folder = _short_folder(home)
    sessions = folder / "r"  # Ray opens the folder that it is given to everyone; the one around it stays private
    command = (
        executable("ray", install="pip install 's2s-atlas[platform]'"), "start", "--head", "--block", "--log-color=false",
        f"--node-ip-address={HOST}", f"--port={ports['gcs']}", f"--ray-client-server-port={ports['client']}",
        f"--node-manager-port={ports['raylet']}", f"--object-manager-port={ports['objects']}",
        f"--dashboard-agent-listen-port={ports['agent']}", f"--dashboard-agent-grpc-port={ports['agent_grpc']}",
        f"--metrics-export-port={ports['agent_metrics']}", f"--runtime-env-agent-port={ports['runtime_env']}",
        "--min-worker-port=0", "--max-worker-port=0", "--include-dashboard=false", "--disable-usage-stats",
        f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={sessions}",
    )  # fmt: skip
    env = {
        **driver_environment(token),
        "S2S_HOME": str(home),
        "AUTOSCALER_METRIC_PORT": str(ports["autoscaler_metrics"]),
        "DASHBOARD_METRIC_PORT": str(ports["dashboard_metrics"]),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # there is no other node that tasks could move to
        "SPT_NOENV": "1",  # workers rename themselves; this keeps their environment, and our mark in it, readable
    }
    inherited = inherited_environment(without=("RAY_", *without))
    return Launch(
        name=NAME, command=command, inherited=inherited, env=env, ports=ports, log=log, folders=(folder,), scratch=(folder,)
    )  # fmt: skip


def driver_environment(token: Path) -> dict[str, str]:
    """What a process must have in its environment, before it imports ray, to connect to the head."""
    return {**LOOPBACK_ENV, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def address(ports: dict[str, int]) -> str:
    """`host:port` for `ray.init`."""
    return f"{HOST}:{ports['gcs']}"


def metrics_address(ports: dict[str, int]) -> str:
    """`host:port` of the figures for Prometheus. Ray serves them to whoever asks, so it matters that it keeps them on loopback here."""
    return f"{HOST}:{ports['agent_metrics']}"


def is_healthy(ports: dict[str, int]) -> bool:
    """Whether the head's agent says that its scheduler and its control store are well."""
    return answers(f"http://{HOST}:{ports['agent']}/api/healthz")


def _short_folder(home: Path) -> Path:
    # A Unix socket's path holds about 100 characters and Ray adds 64: $S2S_HOME, and TMPDIR on macOS, may be too long for it.
    return Path("/tmp") / f"s2s-ray-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"  # noqa: S108 - `spawn` makes it private
