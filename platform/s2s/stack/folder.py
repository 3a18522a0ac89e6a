"""What the stack keeps under `$S2S_HOME`: records of its processes, its ports, its keys, its logs, and the lock.

stack/<part>.json    what runs (pid, creation time, mark); gone after `down`
stack/ports.json     the ports, kept so that addresses stay the same
stack/s3_keys.json   0600        stack/ray_token   0600
stack/s3/            S3's data   stack/mlflow.db   MLflow's records
stack/logs/          one log per part, and the one before it
stack.env            0600, what `load_settings` reads; gone after `down`
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from s2s.contracts.document import Document
from s2s.contracts.settings import STACK_ENV
from s2s.errors import StackError
from s2s.stack.private_files import write_private
from s2s.stack.processes import ProcessRecord

LOCK_TIMEOUT_S = 600.0


class PortBook(Document):
    """The ports of every part: part, then purpose, then port."""

    kind: Literal["stack_ports"] = "stack_ports"
    version: Literal[1] = 1
    ports: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class StackFolder:
    """The stack's folder below `home` (`$S2S_HOME`)."""

    home: Path

    @property
    def path(self) -> Path:
        """Where everything but `stack.env` lies."""
        return self.home / "stack"

    @property
    def env_file(self) -> Path:
        """The file through which every other process finds the stack."""
        return self.home / STACK_ENV

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.path / "logs" / f"{part}.log"

    def record(self, part: str) -> ProcessRecord | None:
        """What was started last for a part; None after `down`, and for a file that cannot be read."""
        try:
            return ProcessRecord.model_validate_json(self._record_file(part).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None

    def remember(self, record: ProcessRecord) -> None:
        """Keep the record of a started part."""
        write_private(self._record_file(record.name), record.model_dump_json(indent=2))

    def forget(self, part: str) -> None:
        """Drop the record of a part that was ended."""
        self._record_file(part).unlink(missing_ok=True)

    def last_ports(self) -> dict[str, dict[str, int]]:
        """The ports of last time; empty the first time."""
        try:
            return PortBook.model_validate_json((self.path / "ports.json").read_text(encoding="utf-8")).ports
        except (FileNotFoundError, ValidationError):
            return {}

    def keep_ports(self, ports: dict[str, dict[str, int]]) -> None:
        """Keep the ports for next time."""
        write_private(self.path / "ports.json", PortBook(ports=ports).model_dump_json(indent=2))

    @contextmanager
    def lock(self, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Let only one `up` or `down` work on this folder at a time.

        Args:
            on_wait: Told once that another one is at work.

        Raises:
            StackError: the other one did not end in ten minutes.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        with (self.path / "lock").open("w") as file:
            while not _try_lock(file.fileno()):
                on_wait("another `s2s stack` to finish")
                if time.monotonic() > deadline:
                    raise StackError(f"another `s2s stack` holds {self.path / 'lock'} since {LOCK_TIMEOUT_S:.0f} s; end it and try again")
                time.sleep(0.2)
            yield

    def _record_file(self, part: str) -> Path:
        return self.path / f"{part}.json"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
