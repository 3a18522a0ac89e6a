"""What one test session takes of this machine for its hosts: a folder, an address range, disks; given back whatever happens.

The folder's name is the claim: `/run/s2s-chaos-N` belongs to one session, and with it 10.77.N.0/24 and the device of that name.
What a killed session left (a folder and disks in memory; its processes and networks died with it) the next session clears.
"""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import IO

RUN = Path("/run")
PREFIX = "s2s-chaos-"
OPERATOR = 254
"""Last part of the address of the test process itself."""


class ChaosError(RuntimeError):
    """The harness could not do what a test asked; never a finding about the platform."""


class Place:
    """The claim of one session.

    Attributes:
        folder: `<host>/` is the disk of a host, `disk/` where each host finds its own, `logs/` what processes printed.
        numbers: Last parts of all addresses that may be used, the operator's included.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = frozenset(numbers) | {OPERATOR}
        sweep()
        self._number, self._lock = _claim()
        self.folder = _folder(self._number)
        self.name = f"s2schaos{self._number}"
        (self.folder / "disk").mkdir()
        (self.folder / "logs").mkdir()
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
        self._num_logs = 0

    def address(self, number: int) -> str:
        """Address of a host."""
        return f"10.77.{self._number}.{number}"

    def mac(self, number: int) -> str:
        """Address of a host on the link layer."""
        return f"02:00:0a:4d:{self._number:02x}:{number:02x}"

    def add_disk(self, name: str, number: int, size_bytes: int) -> None:
        """Make the disk of a host, in memory, and let every host know its name."""
        disk = self.folder / name
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=755", "tmpfs", str(disk)], check=True)
        lay_out(disk)
        with (self.folder / "hosts").open("a", encoding="utf-8") as file:
            file.write(f"{self.address(number)} {name}\n")

    def log(self, name: str) -> Path:
        """A fresh file for what a process prints."""
        self._num_logs += 1
        return self.folder / "logs" / f"{self._num_logs:03d}-{name}.log"

    def clear(self) -> None:
        """Give everything back."""
        _clear(self.folder)
        self.abandon()

    def abandon(self) -> None:
        """Give the claim back and leave everything where it is, as a killed session does."""
        self._lock.close()


def lay_out(disk: Path) -> None:
    """Make a disk as a fresh host has it; what was on it is gone."""
    for entry in disk.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (disk / "home").mkdir()
    (disk / "tmp").mkdir()
    (disk / "tmp").chmod(0o1777)


def sweep() -> None:
    """Clear what killed sessions left behind."""
    for folder in RUN.glob(f"{PREFIX}*"):
        if folder.is_dir() and (lock := _lock(folder)) is not None:
            _clear(folder)
            lock.close()


def _folder(number: int) -> Path:
    return RUN / f"{PREFIX}{number}"


def _claim() -> tuple[int, IO[str]]:
    taken = {route.get("dst", "") for route in json.loads(subprocess.check_output(["ip", "-json", "-4", "route"]))}
    for number in range(256):
        if any(str(network).startswith(f"10.77.{number}.") for network in taken):
            continue
        folder = _folder(number)
        try:
            folder.mkdir(mode=0o755)
        except FileExistsError:
            continue
        lock = _lock(folder)
        if lock is not None:
            return number, lock
    raise ChaosError(f"expected a free network below 10.77.0.0/16, but all are taken; look into {RUN}/{PREFIX}*")


def _lock(folder: Path) -> IO[str] | None:
    """Take a folder for this process; None where a living one has it. The kernel gives it back when its owner dies."""
    try:
        file = (folder / "owner").open("a", encoding="utf-8")
    except FileNotFoundError:
        return None  # just cleared by its owner
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _clear(folder: Path) -> None:
    for mount in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        target = Path(mount.split()[1])
        if folder in target.parents:
            subprocess.run(["umount", "--lazy", str(target)], check=False)
    shutil.rmtree(folder, ignore_errors=True)
