"""The cloud's two-minute notice: a daemon on every spot machine hears it, tells the runs to save themselves, and drains the node.

Ray of itself does not listen to the cloud. Decision: runs are told through a file in `$S2S_HOME` that they look at with every
word of progress, because a run must save its checkpoint before the machine goes, which Ray's drain alone does not ask of it.
"""

import json
import logging
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from s2s.contracts.settings import Settings
from s2s.errors import StackError
from s2s.orchestration.cluster import join
from s2s.recipes.attempt import DRAINING

logger = logging.getLogger(__name__)
METADATA = "http://169.254.169.254"
"""AWS: the instance metadata service, version 2 (a token first)."""

TOKEN_S = 21600
TIMEOUT_S = 2.0
NOTICE_S = 120.0
"""What AWS promises, and what is assumed where the notice does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The machine is going to be taken back."""

    reason: str
    seconds_left: float


def ask_cloud(metadata: str) -> Notice | None:
    """Ask the metadata service whether this machine is going to be taken back.

    Args:
        metadata: URL of the service.

    Raises:
        StackError: it does not answer, or not as expected.
    """
    try:
        token = _request(f"{metadata}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}, method="PUT")
        told = _request(f"{metadata}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token.decode()})
    except urllib.error.HTTPError as error:
        if error.code == 404:  # the usual answer: nothing is planned
            return None
        raise StackError(f"expected an answer of the metadata service at {metadata}, got {error}") from None
    except OSError as error:
        raise StackError(f"expected the metadata service at {metadata}, got {error}; is this machine on AWS?") from None
    return _notice(told)


def watch(settings: Settings, metadata: str, *, every_s: float, drain: Callable[[Notice], None] | None = None) -> Notice:
    """Wait for the notice, or for SIGTERM, then tell the runs of this machine and drain its Ray node.

    Args:
        settings: `home` holds the file that runs look at; the Ray head is named here too.
        metadata: URL of the metadata service.
        every_s: Pause between two questions.
        drain: Takes the node out of the cluster; Ray's own way where it is not given.

    Returns:
        What was heard.

    Writes:
        `$S2S_HOME/draining`.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    flag = settings.home / DRAINING
    flag.unlink(missing_ok=True)  # of a machine that had this disk before
    with _terminated() as terminated:
        notice = _wait(metadata, every_s, terminated)
    flag.write_text(f"{notice.reason}\n", encoding="utf-8")
    logger.warning("%s: runs of this machine save their state and stop, %.0f s are left", notice.reason, notice.seconds_left)
    (drain or (lambda heard: drain_this_node(settings, heard)))(notice)
    return notice


def drain_this_node(settings: Settings, notice: Notice) -> None:
    """Ask Ray to start nothing more on this machine, and to take it out at the deadline.

    Raises:
        StackError: no Ray head is set, it does not answer, or it refuses.
    """
    import ray

    join(settings)
    node_id = ray.get_runtime_context().get_node_id()
    ray.shutdown()
    command = [
        str(Path(sys.executable).with_name("ray")), "drain-node", "--address", str(settings.ray_address), "--node-id", node_id,
        "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", notice.reason,
        "--deadline-remaining-seconds", str(max(1, int(notice.seconds_left))),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"expected Ray to drain node {node_id}, got: {done.stderr.strip() or done.stdout.strip()}")


def _wait(metadata: str, every_s: float, terminated: threading.Event) -> Notice:
    is_silent = False
    while not terminated.wait(every_s):
        try:
            if (notice := ask_cloud(metadata)) is not None:
                return notice
            is_silent = False
        except StackError as error:
            if not is_silent:
                logger.warning("%s", error)
            is_silent = True
    return Notice(reason="SIGTERM", seconds_left=NOTICE_S)


@contextmanager
def _terminated() -> Iterator[threading.Event]:
    heard = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: heard.set())
    try:
        yield heard
    finally:
        signal.signal(signal.SIGTERM, before)


def _request(url: str, headers: dict[str, str], method: str = "GET") -> bytes:
    if not url.startswith(("http://", "https://")):
        raise StackError(f"expected the metadata service as http://HOST, got {url}")
    asked = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - the scheme is checked above
    with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310
        data: bytes = answer.read(10_000)
    return data


def _notice(data: bytes) -> Notice:
    try:
        told = json.loads(data)
        at = datetime.fromisoformat(str(told["time"]).replace("Z", "+00:00"))
        action = str(told["action"])
    except (ValueError, KeyError, TypeError):
        return Notice(reason=f"the cloud says {data[:100]!r}", seconds_left=NOTICE_S)
    return Notice(reason=f"the cloud will {action} this machine at {at.isoformat()}", seconds_left=(at - datetime.now(UTC)).total_seconds())
