"""The spool: a folder per run that holds its records until a server has them, and the lock that gives it one owner.

    $S2S_HOME/spool/<id>/header.json    what the run is
                         records.jsonl  one record per line, in order
                         files/         bytes of artifacts, folders of models
                         state.json     the MLflow run, and up to which byte its records were shipped
                         lock           held by the recording process for its life, then by whoever replays

Not here: threads and MLflow. Decision: the lock is the kernel's (`flock`), so that a killed process leaves none behind;
the price is that a home folder on a network file system needs one that supports it. Lines are flushed, not synced: they
survive a killed process, not a power cut.
"""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import uuid4

from pydantic import ValidationError

from s2s.errors import ExistsError, InputError
from s2s.tracking.records import RECORD, CloseRecord, Record, SpoolHeader, SpoolState

HEADER, RECORDS, STATE, LOCK, FILES = "header.json", "records.jsonl", "state.json", "lock", "files"
NEW, REFUSED = ".new", ".refused"


class Spool:
    """One run's folder, owned by this process until `release`. `append` may be called from any thread."""

    def __init__(self, folder: Path, header: SpoolHeader, lock: BinaryIO) -> None:
        self.folder = folder
        self.header = header
        self._lock = lock
        self._mutex = threading.Lock()
        self._num_files = sum(1 for _ in (folder / FILES).iterdir())
        self.num_bytes = (folder / RECORDS).stat().st_size

    def append(self, record: Record) -> None:
        """Add one record, whole or not at all.

        Raises:
            OSError: the disk did not take it.

        Writes:
            One line of `records.jsonl`.
        """
        line = record.model_dump_json().encode() + b"\n"
        path = self.folder / RECORDS
        with self._mutex:
            try:
                with path.open("ab") as file:
                    file.write(line)
            except OSError:
                with suppress(OSError):
                    os.truncate(path, self.num_bytes)
                raise
            self.num_bytes += len(line)

    def reserve(self, name: str) -> str:
        """Choose a place for a file or folder; returns its path relative to the spool.

        Args:
            name: Relative POSIX path; only its last part is used.
        """
        path = PurePosixPath(name)
        assert path.name and not path.is_absolute() and ".." not in path.parts, f"not a relative path: {name!r}"
        with self._mutex:
            self._num_files += 1
            place = f"{FILES}/{self._num_files:06d}"
        (self.folder / place).mkdir()
        return f"{place}/{path.name}"

    def read(self, offset: int) -> list[tuple[Record, int]]:
        """List the complete records from a byte on, each with the byte where it ends.

        Raises:
            InputError: a line is not a record of this version.
        """
        with (self.folder / RECORDS).open("rb") as file:
            file.seek(offset)
            data = file.read()
        records = []
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            try:
                records.append((RECORD.validate_json(line), offset))
            except ValidationError as error:
                raise InputError(f"expected a record in {self.folder / RECORDS} before byte {offset}, got {line[:80]!r}: {error}") from None
        return records

    def load_state(self) -> SpoolState:
        """Read how far shipping has come; the beginning if nothing was shipped."""
        path = self.folder / STATE
        return SpoolState.model_validate_json(path.read_bytes()) if path.exists() else SpoolState()

    def save_state(self, state: SpoolState) -> None:
        """Replace the state.

        Writes:
            `state.json`, atomically.
        """
        new = self.folder / (STATE + NEW)
        new.write_text(state.model_dump_json(), encoding="utf-8")
        new.replace(self.folder / STATE)

    def is_closed(self) -> bool:
        """Whether the run said how it ended; a killed one did not."""
        return any(isinstance(record, CloseRecord) for record, _ in self.read(0))

    def touched_ms(self) -> int:
        """When the last record was written."""
        return int((self.folder / RECORDS).stat().st_mtime * 1000)

    def remove(self) -> None:
        """Delete the folder: a server has everything."""
        shutil.rmtree(self.folder)
        self.release()

    def set_aside(self) -> Path:
        """Keep the folder under a name that replay does not look at, and no earlier one has; returns it."""
        names = (f"{self.folder.name}{REFUSED}{number or ''}" for number in count())
        kept = next(path for name in names if not (path := self.folder.with_name(name)).exists())
        self.folder.rename(kept)
        self.release()
        return kept

    def release(self) -> None:
        """Give up ownership."""
        self._lock.close()


def create_spool(home: Path, header: SpoolHeader) -> Spool:
    """Make and own the spool of a run.

    Raises:
        ExistsError: there is one already: another process was first, or a server lacks its records still.

    Writes:
        `<home>/spool/<id>/`, visible to replay only once it is locked.
    """
    root = home / "spool"
    new, folder = root / (NEW + uuid4().hex), root / header.id
    (new / FILES).mkdir(parents=True)
    (new / HEADER).write_text(header.model_dump_json(), encoding="utf-8")
    (new / RECORDS).touch()
    lock = _lock((new / LOCK).open("xb"), wait=False)
    assert lock is not None, "a new folder cannot be locked by another"
    try:
        new.rename(folder)
    except OSError as error:
        lock.close()
        shutil.rmtree(new)
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise ExistsError(f"expected no records of run {header.run_name} in {folder}, found some") from None
    return Spool(folder, header, lock)


def left_over(home: Path) -> list[Path]:
    """List the folders of runs whose records some server may lack, oldest last word first."""
    root, found = home / "spool", []
    for path in root.iterdir() if root.is_dir() else ():
        if len(path.name) == 32:
            with suppress(FileNotFoundError):  # another process has just sent and deleted it
                found.append(((path / RECORDS).stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def claim_spool(folder: Path) -> Spool | None:
    """Own a left-over spool; None when a live process does, or when it has just been shipped.

    Raises:
        InputError: its header is not one of this version.

    Writes:
        `records.jsonl`, cut behind its last complete line: a killed process may have been writing.
    """
    try:
        lock = _lock((folder / LOCK).open("rb"), wait=False)
    except FileNotFoundError:
        return None
    if lock is None:
        return None
    if not (folder / RECORDS).exists():
        lock.close()
        return None
    try:
        header = SpoolHeader.model_validate_json((folder / HEADER).read_bytes())
    except ValidationError as error:
        lock.close()
        raise InputError(f"expected the header of a run in {folder / HEADER}: {error}; delete the folder if nothing misses it") from None
    records = folder / RECORDS
    data = records.read_bytes()
    if not data.endswith(b"\n"):
        os.truncate(records, data.rfind(b"\n") + 1)
    return Spool(folder, header, lock)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Let one process of this machine at a time through; the others wait.

    Writes:
        `path`, an empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path.open("ab"), wait=True)
    assert lock is not None, "a waiting lock is always granted"
    with lock:
        yield


def now_ms() -> int:
    """The time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000


def _lock(file: BinaryIO, *, wait: bool) -> BinaryIO | None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    return file
