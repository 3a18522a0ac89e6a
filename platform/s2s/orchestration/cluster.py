"""Joining a Ray cluster as a driver.

Ray reads some of its environment when it is imported, so nothing of this package imports it at the top: `join` sets the
environment first. Decision: a head on this machine is talked to over loopback and nothing else; without `LOOPBACK_ENV`
Ray would look for it at the machine's outer address. And a host that falls silent is given up after 90 s instead of Ray's 420 s:
the driver waits for the answer of the worker itself, whatever the head knows of its host, so nothing else would wake it.
"""

import logging
import os
import socket
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from s2s.contracts.run import Resources
from s2s.contracts.settings import LOOPBACK_ENV, NO_STACK, Settings
from s2s.errors import ConfigError, StackError, reason_of

if TYPE_CHECKING:
    from ray import ObjectRef

KNOCK_S = 5.0
PATIENCE_S = 20.0
"""How long a head may be silent: well below the minute after which Ray ends its drivers."""

GRACE_S = 10.0
"""How long tasks have to write down that they were stopped."""

LOOPBACK = "127."
KEEPALIVE_ENV: Mapping[str, str] = {"RAY_grpc_client_keepalive_time_ms": "70000", "RAY_grpc_client_keepalive_timeout_ms": "20000"}
"""Of the driver alone: no node needs it. Not below a minute: Ray's servers break off with a client that asks more often, and the worker
is lost ("too many pings", seen after 101 s of a quiet task at 20 s, after 227 s at 45 s, not within 400 s at 60 s)."""


def join(settings: Settings) -> None:
    """Join the cluster as a driver; joining again does nothing.

    Raises:
        StackError: no head is set, or it does not answer.
    """
    address = settings.ray_address
    if address is None:
        raise StackError(NO_STACK.format(what="a Ray head", name="S2S_RAY_ADDRESS"))
    _knock(address)
    if settings.ray_token_path is not None:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(settings.ray_token_path)
    if address.startswith(LOOPBACK):
        os.environ.update(LOOPBACK_ENV)
    for name, value in KEEPALIVE_ENV.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_DEDUP_LOGS"] = "0"  # a line held back would come out at the end, on stdout, behind the result

    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise StackError(f"expected a Ray head at {address}, it does not let us in: {reason_of(error)}; {_advice(address)}") from None


class HeadWatch:
    """Tells whether the head that a driver has joined answers, and gives it up in good time.

    Ray ends a driver whose head is gone after a minute, amidst whatever it does and without a word to Python. So a driver that
    works for hours asks here before it asks Ray.

    Attributes:
        is_lost: It was given up; nothing of Ray answers any more.
    """

    def __init__(self, settings: Settings) -> None:
        self.is_lost = False
        self._address = str(settings.ray_address)
        self._silent_since: float | None = None

    def answers(self) -> bool:
        """Knock at the head.

        Raises:
            StackError: it has been silent for `PATIENCE_S`.
        """
        try:
            _knock(self._address)
        except StackError:
            now = time.monotonic()
            self._silent_since = self._silent_since or now
            if now - self._silent_since < PATIENCE_S:
                return False
            self.is_lost = True
            raise StackError(
                f"expected the Ray head at {self._address} to answer, it has been silent for {PATIENCE_S:.0f} s; "
                "start the cluster again, then say the same command: it goes on where it was"
            ) from None
        self._silent_since = None
        return True


def stop_tasks(tasks: Collection["ObjectRef[Any]"], head: HeadWatch) -> None:
    """Interrupt tasks, and give them time to write down that they were stopped: they end with this process.

    Args:
        tasks: Of this driver.
        head: Where it is lost, nothing can be told.
    """
    import ray

    if not tasks or head.is_lost:
        return
    for task in tasks:
        ray.cancel(task, force=False)
    ray.wait(list(tasks), num_returns=len(tasks), timeout=GRACE_S, fetch_local=False)


def check_resources(wanted: Resources, workers: int = 1) -> None:
    """Refuse a run that the cluster could never start.

    Args:
        wanted: What each worker asks for.
        workers: That must be there at the same time.

    Raises:
        ConfigError: it asks for more than all nodes have together; says what is missing.
    """
    import ray

    have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked = {name: workers * amount for name, amount in asked_of(wanted).items()}
    short = {name: amount for name, amount in asked.items() if amount > have.get(name, 0)}
    if short:
        words = ", ".join(f"{name} {amount:g} of {have.get(name, 0):g}" for name, amount in short.items())
        raise ConfigError(f"the run asks for more than the cluster has: {words}; {_less(wanted, workers, have)}")


def _less(wanted: Resources, workers: int, have: dict[str, float]) -> str:
    if workers == 1:
        return f"lower it, for instance --set resources.cpus={have.get('CPU', 1):g}"
    room = room_for(wanted)
    begin = f"begin with --set sharding.min_workers={room}, and an autoscaler brings the others" if room else "ask for less each"
    return (
        f"{workers} workers were asked for, there is room for {room}. Machines are started only for a run that waits for them: {begin}; "
        f"where nothing starts machines, --set sharding.workers={max(1, room)} or add some"
    )


def room_for(wanted: Resources) -> int:
    """How many runs of these resources all nodes together have room for; the machines' borders are not looked at."""
    import ray

    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(min(have.get(name, 0) / amount for name, amount in asked_of(wanted).items() if amount))


def asked_of(wanted: Resources) -> dict[str, float]:
    """Say by Ray's names what a run asks for."""
    return {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": wanted.memory_gb * 1e9}


def _knock(address: str) -> None:
    """Fail at once where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except (OSError, ValueError) as error:
        raise StackError(f"expected a Ray head at {address}, got {error}; {_advice(address)}") from None


def _advice(address: str) -> str:
    if address.removeprefix("ray://").startswith(LOOPBACK):
        return "look at `s2s stack status`, `s2s stack up` starts one"
    return (
        "say this on a machine that belongs to the cluster, with its token (RAY_AUTH_TOKEN_PATH), while its head is up, or hand the "
        "command in with jobs/submit.py; for a cluster of this machine alone, unset S2S_RAY_ADDRESS and say `s2s stack up`"
    )
