"""Hosts on one machine: each with its own network, processes, name and disk, and an address on one bridge.

A host dies as a real one does, all at once, and a host that is cut off is a black hole, as in a cloud: addresses of the link
layer are fixed and known to all, so nobody hears "no route to host". Decision: the bridge stands in namespaces of its own,
without an address, so that nothing reaches a host around it; this process has one more address on it, as an operator would.
"""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from chaos.namespaces import Namespaces, ip
from chaos.places import OPERATOR, ChaosError, Place, lay_out
from chaos.programs import Program
from s2s.stack.processes import inherited_environment

FOREIGN = ("AWS_", "S2S_", "MLFLOW_", "RAY_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
"""What a process on a host must not inherit from the machine that the host stands on."""
BRIDGE = "bridge"
DISK_BYTES = 512 * 1024**2


class Host:
    """One host, made by `Network.add_host`.

    Attributes:
        name: Its host name.
        address: Its address; every host and this process reach it there.
        disk: Its disk, as this process sees it. It lies in memory and outlives the host.
        disk_inside: Its disk, as its own processes see it: one path on every host, each with its own content.
    """

    def __init__(self, place: Place, switch: Namespaces, name: str, number: int) -> None:
        self.name, self.address = name, place.address(number)
        self.disk, self.disk_inside = place.folder / name, place.folder / "disk"
        self._place, self._switch, self._number = place, switch, number
        self._spaces: Namespaces | None = None

    # --- life

    @property
    def is_up(self) -> bool:
        """Whether it runs; it may be cut off all the same."""
        return self._spaces is not None and self._spaces.is_up

    def boot(self) -> None:
        """Start it, without a process, with the disk that it had, on the network.

        Raises:
            ChaosError: it runs already, or the kernel refuses; the message has its words.
        """
        if self.is_up:
            raise ChaosError(f"expected host {self.name} to be down to boot it, but it runs")
        spaces = self._spaces = Namespaces(self._place, self.name)
        mac = self._place.mac
        self._switch.ip(f"link add {self.name} type veth peer name eth0 address {mac(self._number)} netns {spaces.pid}")
        self._switch.ip(f"link set {self.name} master {BRIDGE} up")
        spaces.ip(f"addr add {self.address}/24 dev eth0")
        spaces.ip("link set eth0 up")
        for number in self._place.numbers - {self._number}:
            spaces.ip(f"neigh add {self._place.address(number)} lladdr {mac(number)} dev eth0 nud permanent")

    def kill(self) -> None:
        """Lose power: kill -9 of everything at once; the disk stays. `boot` starts it again."""
        if self._spaces is None:
            return
        self._spaces.end()
        if self._switch.is_up:
            self._forget_link()
        self._spaces = None

    def reset(self) -> None:
        """Make it a fresh host: kill it, empty its disk, boot it."""
        self.kill()
        lay_out(self.disk)
        self.boot()

    # --- processes

    @property
    def environment(self) -> dict[str, str]:
        """What every process on it gets: this one's environment less servers and keys, with homes on its own disk."""
        disk = self.disk_inside
        own = {"HOME": disk / "home", "S2S_HOME": disk / "home" / ".s2s", "TMPDIR": disk / "tmp", "OMP_NUM_THREADS": 1}
        return inherited_environment(without=FOREIGN) | {name: str(value) for name, value in own.items()}

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None, *, user: int = 0) -> Program:
        """Start a process on it; its output goes to a log outside of the host's disk.

        Args:
            name: For messages and the log.
            command: Executable and arguments.
            env: Added to `environment`.
            user: Numeric id of the user that it runs as.

        Raises:
            ChaosError: the host is down.
        """
        if self._spaces is None or not self._spaces.is_up:
            raise ChaosError(f"expected host {self.name} to be up to start {name}, but it is down; call boot()")
        words = [str(word) for word in command]
        if user:
            words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *words]
        log = self._place.log(f"{self.name}-{name}")
        return self._spaces.start(name, words, env={**self.environment, **(env or {})}, log=log, folder=self.disk_inside)

    def run(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None, *, user: int = 0, timeout_s: float = 120
    ) -> str:
        """Run a command on it, as `start` does, to its end and return what it printed.

        Raises:
            ChaosError: it failed or took longer; the message has its last words.
        """
        program = self.start(name, command, env, user=user)
        try:
            code = program.wait(timeout_s)
        finally:
            program.kill()
        if code != 0:
            raise ChaosError(f"{program.name} ended with {code}\n{program.tail()}")
        return program.output()

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Its living processes whose command line has the word; pids are this process's view of them."""
        return [process for process in (self._spaces.processes() if self._spaces else ()) if word in _words(process)]

    def orphans(self) -> list[str]:
        """Its processes whose parents no longer lead to a program that a test started, with pid and command line."""
        alive = {program.popen.pid for program in (self._spaces.programs if self._spaces else ()) if program.is_running}
        return [f"{self.name}: {process.pid} {_words(process)}" for process in self.processes() if not alive & _line_of(process)]

    # --- network and disk

    def cut(self) -> None:
        """Take it off the network: what it sends and what is sent to it vanishes without a word."""
        self._switch.ip(f"link set {self.name} nomaster")

    def give_back(self) -> None:
        """Put it back on the network."""
        self._switch.ip(f"link set {self.name} master {BRIDGE}")

    def ip(self, words: str) -> None:
        """Run `ip` on its network, for instance to add an address.

        Raises:
            ChaosError: the host is down, or `ip` refuses; the message has its words.
        """
        if self._spaces is None:
            raise ChaosError(f"expected host {self.name} to be up to run `ip {words}`, but it is down; call boot()")
        self._spaces.ip(words)

    def fill_disk(self, *, leave_bytes: int = 0) -> None:
        """Leave no more than some bytes free on its disk."""
        with (self.disk / "filler").open("ab") as file:
            size = file.tell() + shutil.disk_usage(self.disk).free - leave_bytes
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def empty_disk(self) -> None:
        """Undo `fill_disk`."""
        (self.disk / "filler").unlink(missing_ok=True)

    def _forget_link(self) -> None:
        # The kernel takes a network apart in its own time; until then the next `boot` would find the name taken.
        try:
            self._switch.ip(f"link del {self.name}")
        except ChaosError:
            return


class Network:
    """A bridge with hosts on it, and this process's own address there.

    Attributes:
        hosts: By name.
    """

    def __init__(self, place: Place) -> None:
        self.hosts: dict[str, Host] = {}
        self._place = place
        self._switch = Namespaces(place, "switch")
        self._switch.ip(f"link add {BRIDGE} type bridge")
        self._switch.ip(f"link set {BRIDGE} up")
        ip(f"link add {place.name} address {place.mac(OPERATOR)} type veth peer name operator netns {self._switch.pid}")
        self._switch.ip(f"link set operator master {BRIDGE} up")
        ip(f"addr add {place.address(OPERATOR)}/24 dev {place.name}")
        ip(f"link set {place.name} up")
        for other in place.numbers - {OPERATOR}:
            ip(f"neigh add {place.address(other)} lladdr {place.mac(other)} dev {place.name} nud permanent")

    def add_host(self, name: str, number: int, *, disk_bytes: int = DISK_BYTES) -> Host:
        """Make a host and boot it.

        Args:
            name: Its host name, lower case.
            number: Last part of its address; one of the place's numbers.
            disk_bytes: Size of its disk, which lies in memory.
        """
        self._place.add_disk(name, number, disk_bytes)
        host = self.hosts[name] = Host(self._place, self._switch, name, number)
        host.boot()
        return host

    def orphans(self, *, patience_s: float = 15) -> list[str]:
        """Processes left behind on any host, once those that are just ending have had their time."""
        deadline = time.monotonic() + patience_s
        while (left := [line for host in self.hosts.values() for line in host.orphans()]) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left

    def close(self) -> None:
        """Kill every host and the bridge."""
        for host in self.hosts.values():
            host.kill()
        self._switch.end()


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.NoSuchProcess:
        return ""


def _line_of(process: psutil.Process) -> set[int]:
    try:
        return {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return set()
