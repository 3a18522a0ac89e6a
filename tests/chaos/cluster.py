"""A Ray cluster of hosts: a head without CPUs and workers, started by `ray start` with a token, as on real machines."""

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from chaos.hosts import Host, Network
from chaos.places import ChaosError
from chaos.programs import Program
from s2s.stack.executables import executable

PORT = 6379
OBJECT_STORE_BYTES = 100 * 1024**2
READY_TIMEOUT_S = 120.0
WATCH = Path(__file__).parent / "ray_nodes.py"
FAST_HEALTH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
"""A lost host is given up after about 10 s; Ray's own settings take up to a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node as Ray's head knows it; a host that came back is another node with the same address."""

    node_id: str
    address: str
    is_alive: bool
    cpus: float


class Cluster:
    """Head and workers.

    Attributes:
        head: Its host.
        workers: Their hosts.
        env: What drivers and tasks find in their environment: the token, and the settings given at the start.
    """

    def __init__(self, head: Host, workers: Sequence[Host], settings: Mapping[str, str], *, cpus_per_worker: int = 1) -> None:
        self.head, self.workers = head, tuple(workers)
        self.address = f"{head.address}:{PORT}"
        token = secrets.token_hex(32)
        self._token, self._cpus = token, cpus_per_worker
        path = head.disk_inside / "home" / "ray_token"
        self.env = {**settings, "S2S_RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
        self._members: dict[str, Program] = {}

    # --- members

    def start(self) -> None:
        """Start every member and wait until tasks can run on every worker.

        Raises:
            ChaosError: a member ended or did not join in time; the message says which, with its last words.
        """
        for host in (self.head, *self.workers):
            self.start_member(host)
        self.wait_ready()

    def start_member(self, host: Host) -> None:
        """Start Ray on one host, without waiting; boots the host where it is down. A worker does not outlive its head for long.

        Raises:
            ChaosError: Ray runs there already.
        """
        if not host.is_up:
            host.boot()
        if self.is_member(host):
            raise ChaosError(f"{self._members[host.name].name} runs already")
        token = host.disk / "home" / "ray_token"
        token.touch(mode=0o600)
        token.write_text(self._token, encoding="utf-8")
        is_head = host is self.head
        command = (
            executable("ray", install="make setup"), "start", "--block", "--log-color=false", "--disable-usage-stats",
            f"--node-ip-address={host.address}", f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={host.disk_inside / 'ray'}", f"--num-cpus={0 if is_head else self._cpus}", "--num-gpus=0",
            *(("--head", f"--port={PORT}", "--include-dashboard=false") if is_head else (f"--address={self.address}",)),
        )  # fmt: skip
        self._members[host.name] = host.start("ray", command, {**self.env, **FAST_HEALTH})

    def member(self, host: Host) -> Program:
        """Ray's first process on a host, `ray start`; it ends the rest when it gets SIGTERM."""
        return self._members[host.name]

    def is_member(self, host: Host) -> bool:
        """Whether Ray runs on a host; the head may have given it up all the same."""
        return host.name in self._members and self._members[host.name].is_running

    def stop_member(self, host: Host) -> None:
        """SIGTERM: Ray ends there in good order."""
        if host.name in self._members:
            self._members[host.name].terminate()

    def kill_member(self, host: Host) -> None:
        """Kill -9 every process of Ray on a host; the host stays."""
        if host.name in self._members:
            self._members[host.name].kill()
        for process in host.processes("ray"):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """End Ray on every host in good order."""
        for host in (*self.workers, self.head):
            self.stop_member(host)

    def heal(self) -> None:
        """Put hosts that were cut off back on the network and empty disks that were filled; starts nothing."""
        for host in (self.head, *self.workers):
            host.empty_disk()
            if host.is_up:
                host.give_back()

    # --- what the head knows

    def nodes(self) -> list[Node]:
        """Every node that the head has known, dead ones included."""
        return self.wait_for(lambda _: True, "an answer", timeout_s=READY_TIMEOUT_S)

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> list[Node]:
        """Wait until the head and all workers are alive.

        Raises:
            ChaosError: one ended or did not join in time; the message says which, with its last words.
        """
        wanted = {host.address for host in (self.head, *self.workers)}
        return self.wait_for(lambda nodes: wanted <= alive(nodes), f"{sorted(wanted)} alive", timeout_s=timeout_s)

    def wait_for(self, is_reached: Callable[[list[Node]], bool], what: str, *, timeout_s: float) -> list[Node]:
        """Wait until the head's list of nodes is as a test wants it; returns that list.

        Raises:
            ChaosError: it is not in time; the message has the list and the last words of members that ended.
        """
        deadline = time.monotonic() + timeout_s
        watcher = self.head.start("nodes", [sys.executable, WATCH, self.address], self.env)
        try:
            while time.monotonic() < deadline:
                lines = watcher.output().splitlines()
                if lines and is_reached(nodes := _parse(lines[-1])):
                    return nodes
                if not watcher.is_running or not self.is_member(self.head):
                    break
                time.sleep(0.2)
        finally:
            watcher.kill()
        raise ChaosError(self._account(what, watcher))

    # --- tasks

    def run(self, name: str, command: Sequence[str | Path], *, timeout_s: float = 300) -> str:
        """Run a driver on the head's host to its end and return what it printed."""
        return self.head.run(name, command, self.env, timeout_s=timeout_s)

    def start_driver(self, name: str, command: Sequence[str | Path]) -> Program:
        """Start a driver on the head's host, without waiting."""
        return self.head.start(name, command, self.env)

    def _account(self, what: str, watcher: Program) -> str:
        lines = [f"expected {what} at the Ray head {self.address}; it last said:", watcher.tail()]
        for program in self._members.values():
            if not program.is_running:
                lines += [f"{program.name} has ended with {program.wait(1)}", program.tail()]
        return "\n".join(lines)


@contextmanager
def running(network: Network, settings: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster on a network's hosts `head`, `worker1` and `worker2`; at the end it is healed and stopped, and the hosts are fresh again.

    Raises:
        ChaosError: the cluster does not start.
        AssertionError: it left processes behind, though it was stopped in good order.
    """
    head, *workers = (network.hosts[name] for name in ("head", "worker1", "worker2"))
    cluster = Cluster(head, workers, settings)
    try:
        cluster.start()
        yield cluster
        cluster.heal()
        cluster.stop()
        assert network.orphans() == []
    finally:
        for host in (head, *workers):
            host.reset()


def alive(nodes: Sequence[Node]) -> set[str]:
    """Addresses of the nodes that are alive."""
    return {node.address for node in nodes if node.is_alive}


def _parse(line: str) -> list[Node]:
    try:
        return [Node(**node) for node in json.loads(line)]
    except ValueError:
        return []
