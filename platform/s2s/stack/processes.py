"""Start a server, remember it on disk, tell whether it is alive, and end all of its processes.

Decision: a process is ours if pid and creation time are those recorded, or if its environment carries the mark that we gave
at the start. The mark finds the orphans of a killed parent (Ray leaves several); the creation time saves a stranger who got
a recycled pid. The price is a look at every process of this user at `down`, some milliseconds each hundred.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from s2s.contracts.document import Document
from s2s.errors import StackError

MARK = "S2S_STACK_MARK"
CLOCK_SLACK_S = 2.0
"""psutil derives creation times from the boot time, which follows clock corrections."""

KILL_WAIT_S = 10.0


class ProcessRecord(Document):
    """One started server, as kept in `$S2S_HOME/stack/<name>.json`."""

    kind: Literal["stack_process"] = "stack_process"
    version: Literal[1] = 1
    name: str
    pid: int
    created_s: float
    mark: str
    recipe: str
    ports: dict[str, int]
    log: Path
    scratch: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start.

    Attributes:
        name: The part's name.
        command: Executable and arguments.
        inherited: What it gets of this process's environment.
        env: What it gets besides; wins over `inherited`.
        ports: The ports it will listen on.
        log: Where its output goes.
        folders: Folders that it must find; made, readable only to this user, where they are missing.
        scratch: Files and folders outside `$S2S_HOME` that it makes; removed at the stop.
    """

    name: str
    command: tuple[str, ...]
    inherited: dict[str, str]
    env: dict[str, str]
    ports: dict[str, int]
    log: Path
    folders: tuple[Path, ...] = ()
    scratch: tuple[Path, ...] = ()

    @property
    def recipe(self) -> str:
        """Digest of command and environment: a server started by another recipe must be started anew."""
        return hashlib.sha256(json.dumps([self.command, sorted(self.env.items())]).encode()).hexdigest()


def spawn(launch: Launch) -> ProcessRecord:
    """Start a server in a session of its own, so that closing the terminal or Ctrl+C does not reach it.

    Returns:
        The record by which `is_alive` and `stop` know it again.

    Raises:
        StackError: the executable cannot be run, or one of its folders belongs to another user.

    Writes:
        Its folders, and the log, after moving the one before to `<name>.log.previous`.
    """
    for folder in launch.folders:
        _make_private(folder)
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    if launch.log.exists():
        launch.log.replace(launch.log.with_name(launch.log.name + ".previous"))
    mark = uuid.uuid4().hex
    with launch.log.open("wb") as log:
        try:
            process = subprocess.Popen(
                launch.command,
                env={**launch.inherited, **launch.env, MARK: mark},
                cwd=launch.log.parent,  # not the caller's folder: it must stay free to go, and must not shadow modules
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"{launch.name} could not be started: {launch.command[0]}: {error.strerror}") from None
    process.returncode = 0  # from here on the record watches the process; this object must not complain that it still runs
    try:
        created_s = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        raise StackError(f"{launch.name} ended at once\n{tail(launch.log)}") from None
    return ProcessRecord(
        name=launch.name, pid=process.pid, created_s=created_s, mark=mark, recipe=launch.recipe,
        ports=launch.ports, log=launch.log, scratch=launch.scratch,
    )  # fmt: skip


def is_alive(record: ProcessRecord) -> bool:
    """Whether the recorded process itself, not a stranger with its pid, still runs."""
    return any(process.pid == record.pid and _is_ours(process, record) for process in _find([record.pid]))


def members(record: ProcessRecord) -> list[psutil.Process]:
    """Every living process of the server: itself, its descendants, and orphans that carry its mark; never this process or its parents."""
    ours = {process for process in _find(psutil.pids()) if _is_ours(process, record)}
    for process in tuple(ours):
        try:
            ours.update(child for child in process.children(recursive=True) if _is_running(child))
        except psutil.NoSuchProcess:
            continue
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in ours if process.pid not in spared]


def stop(record: ProcessRecord, *, grace_s: float = 10.0) -> int:
    """End every process of the server and wait until none is left.

    Args:
        record: What `spawn` returned.
        grace_s: Time to end in good order before the kill.

    Returns:
        How many processes were ended.

    Raises:
        StackError: some are still there after the kill.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + grace_s
    while (left := members(record)) and time.monotonic() < deadline:
        for process in left:
            if process.pid not in ended:  # once: a second SIGTERM makes some servers drop what they were saving
                _signal(process, psutil.Process.terminate)
        ended.update(process.pid for process in left)
        time.sleep(0.1)
    deadline += KILL_WAIT_S
    while (left := members(record)) and time.monotonic() < deadline:
        for process in left:
            _signal(process, psutil.Process.kill)
        ended.update(process.pid for process in left)
        time.sleep(0.1)
    if not members(record):
        _remove(record.scratch)
        return len(ended)
    raise StackError(f"{record.name}: processes {sorted(process.pid for process in members(record))} could not be ended; end them yourself")


def wait_until_healthy(record: ProcessRecord, is_healthy: Callable[[], bool], *, timeout_s: float) -> None:
    """Return as soon as the server answers.

    Raises:
        StackError: it ended or did not answer in time; the message shows the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not is_healthy():
        if not is_alive(record):
            raise StackError(f"{record.name} ended before it answered\n{tail(record.log)}")
        if time.monotonic() > deadline:
            raise StackError(f"{record.name} did not answer within {timeout_s:.0f} s\n{tail(record.log)}")
        time.sleep(0.1)


def tail(log: Path, *, num_lines: int = 20) -> str:
    """The last lines of a log, under a line that says where it is."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"--- last lines of {log} ---", *lines[-num_lines:]])


def inherited_environment(*, without: Sequence[str]) -> dict[str, str]:
    """This process's environment, less the variables that begin with one of the given prefixes."""
    return {name: value for name, value in os.environ.items() if not name.startswith(tuple(without))}


def _find(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue
        if _is_running(process):
            yield process


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_ours(process: psutil.Process, record: ProcessRecord) -> bool:
    try:
        if process.pid == record.pid and abs(process.create_time() - record.created_s) < CLOCK_SLACK_S:
            return True
        return _environment(process).get(MARK) == record.mark
    except psutil.NoSuchProcess:
        return False


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.AccessDenied, OSError):  # another user's process, or one that is just ending
        return {}


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if {folder.lstat().st_uid, folder.stat().st_uid} != {os.getuid()}:  # the link, if it is one, and what it leads to
        raise StackError(f"expected {folder} to be yours, but another user made it; have it removed")


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return
