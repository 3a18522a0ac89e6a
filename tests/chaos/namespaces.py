"""Linux namespaces, held by one process: they and everything in them end when it ends, and it ends with the test session.

Decision: no names (`ip netns`), so that even a session that is killed leaves no network and no process behind; the price is that
only `lsns` shows them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from chaos.places import ChaosError, Place
from chaos.programs import Program

KINDS = ("--net", "--pid", "--mount", "--uts")
TOOLS = ("ip", "unshare", "nsenter", "setpriv", "mount", "umount", "hostname")
FIRST_PROCESS = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print('ready', flush=True)\nwhile True: signal.pause()"
"""The parent of processes that lost theirs; it buries them when they end."""
BOOT = """
set -e
ip link set lo up
if [ -d "$1/$2" ]; then
    mount --bind "$1/$2" "$1/disk"
    mount --bind "$1/hosts" /etc/hosts
    hostname "$2"
fi
exec "$3" -S -c "$4"
"""


def obstacle() -> str | None:
    """Why hosts cannot be made here; None where they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts are Linux namespaces, which only root may make"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"hosts need {', '.join(missing)} (Debian: iproute2, util-linux, mount, hostname)"
    probe = "ip link add probe0 type bridge && ip link add probe1 type veth peer name probe2 && mount -t tmpfs tmpfs /mnt"
    done = subprocess.run(["unshare", *KINDS, "--fork", "sh", "-c", probe], capture_output=True, text=True, check=False)
    return f"namespaces, a bridge or a tmpfs cannot be made here: {done.stderr.strip()}" if done.returncode else None


def ip(words: str, *prefix: str) -> None:
    """Run `ip`, perhaps behind a command that enters other namespaces.

    Raises:
        ChaosError: it refuses; the message has its words.
    """
    done = subprocess.run([*prefix, "ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChaosError(f"`ip {words}` failed: {done.stderr.strip()}")


class Namespaces:
    """A set of namespaces and the process that holds them."""

    def __init__(self, place: Place, name: str) -> None:
        # The kernel's "kill me with my parent" means the thread that started us, not its process.
        assert threading.current_thread() is threading.main_thread(), "hosts are booted by the main thread"
        self.name = name
        hold = ["setpriv", "--pdeathsig", "KILL", "unshare", *KINDS, "--fork", "--mount-proc", "--kill-child=KILL"]
        boot = ["sh", "-c", BOOT, "boot", str(place.folder), name, sys.executable, FIRST_PROCESS]
        self._popen = subprocess.Popen(
            [*hold, *boot], env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._popen.stdout is not None
        if self._popen.stdout.readline() != "ready\n":
            _, said = self._popen.communicate(timeout=10)
            raise ChaosError(f"host {name} did not boot: {said.strip()}")
        (first,) = psutil.Process(self._popen.pid).children()
        self.pid = first.pid
        """Its first process, as seen from this process."""
        self.programs: list[Program] = []
        """What was started in them."""
        self._space = _pid_space(first.pid)

    @property
    def is_up(self) -> bool:
        """Whether they are there."""
        return self._popen.poll() is None

    def ip(self, words: str) -> None:
        """Run `ip` on their network.

        Raises:
            ChaosError: it refuses; the message has its words.
        """
        ip(words, "nsenter", f"--target={self.pid}", "--net", "--")

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path, folder: Path) -> Program:
        """Start a process in them.

        Args:
            name: For messages.
            command: Executable and arguments.
            env: Its whole environment.
            log: Where its output goes.
            folder: Its working folder, as it sees it.
        """
        enter = ["nsenter", f"--target={self.pid}", *KINDS, f"--wdns={folder}", "--"]
        self.programs.append(Program(f"{name} on {self.name}", [*enter, *command], env=env, log=log))
        return self.programs[-1]

    def processes(self) -> list[psutil.Process]:
        """Every living process in them but the first."""
        if not self.is_up:
            return []
        found = [process for process in psutil.process_iter() if process.pid != self.pid and _pid_space(process.pid) == self._space]
        return [process for process in found if _is_alive(process)]

    def end(self) -> None:
        """Kill -9 all of their processes at once and give the networks back."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        for program in self.programs:
            program.bury()
        self._popen.communicate(timeout=20)


def _pid_space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""  # it has ended


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
