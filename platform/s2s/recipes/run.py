"""What one run is: its configuration, its inputs, its key, and the folder that everything it leaves behind goes to.

Decision: the key is a hash of code version, resolved configuration, data and seed, so the same command finds its own
checkpoint and its own report; what does not change a result (resources, names in MLflow) is left out of the hash.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

from s2s import __version__
from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.settings import Settings
from s2s.errors import MissingError
from s2s.storage.location import join
from s2s.storage.objects import read_bytes, write_bytes
from s2s.storage.photographs import Photographs
from s2s.storage.sections import Section

NOT_PART_OF_KEY = {"name", "resources", "tracking", "section", "photographs"}

FINISHED_BEFORE = "finished before; --again trains anew"
"""Stage that tells of a run whose report was there already."""


class Progress(Protocol):
    """Told what is going on; never needed for a result."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` parts of `stage` are done."""
        ...


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run with its inputs open.

    Attributes:
        config: Resolved.
        settings: Where the servers are.
        section: Open.
        photographs: Open, or None.
        on_progress: Told what is going on.
    """

    config: RunConfig
    settings: Settings
    section: Section
    photographs: Photographs | None
    on_progress: Progress

    @property
    def key(self) -> str:
        """16 hexadecimal digits: the same for the same code, configuration, data and seed."""
        what = {
            "code": __version__,
            "config": self.config.model_dump(mode="json", exclude=NOT_PART_OF_KEY),
            "data": self.section.meta.data_sha256,
            "photographs": self.photographs.meta.input_sha256 if self.photographs else None,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        """URI of the run's folder: checkpoint, report, figures, tables."""
        return join(self.settings.root, "runs", self.key)

    @property
    def checkpoint(self) -> str:
        """URI of the run's only checkpoint, replaced atomically."""
        return join(self.folder, "checkpoint.safetensors")

    def finished(self) -> RunReport | None:
        """Give the report when this very run has been done before.

        Reads:
            `report.json` in the run's folder.
        """
        try:
            return RunReport.model_validate_json(read_bytes(join(self.folder, "report.json"), self.settings))
        except MissingError:
            return None

    def write(self, name: str, data: bytes) -> str:
        """Put a file into the run's folder and give its URI."""
        uri = join(self.folder, name)
        write_bytes(uri, data, self.settings)
        return uri
