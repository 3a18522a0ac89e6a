"""What one run is: its configuration, its inputs, its key, and the folder that everything it leaves behind goes to.

    runs/<key>/attempt-000001-.../    what one attempt left: checkpoint, figures, tables, release, report
    ledger/commits/<key>.json         which attempt is the result (`storage/ledger.py`)

Decision: the key is a hash of code version, resolved configuration, data and seed, so the same command finds its own
checkpoint and its own report; what does not change a result (resources, names in MLflow) is left out of the hash.
"""

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from s2s import __version__
from s2s.contracts.ledger import Lease
from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.settings import Settings
from s2s.storage.ledger import Ledger
from s2s.storage.location import join
from s2s.storage.objects import read_bytes, write_bytes
from s2s.storage.photographs import Photographs
from s2s.storage.sections import Section

NOT_PART_OF_KEY: Mapping[str, bool | set[str]] = {
    "name": True,
    "resources": True,
    "tracking": True,
    "section": True,
    "photographs": True,
    "sharding": True,
    "training": {"checkpoint_every_s", "keep_checkpoints"},
}
SECTION_IN_KEY = {"data_sha256", "tissue", "organism", "technology", "pitch_um", "lattice", "values", "is_synthetic", "licence"}
"""What a release repeats of its section: correcting one of these makes a new run."""

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
        place: Where its folder lies, below the root.
        lease: Of the attempt that works on it; None where nobody else could.
        part: Folder below its checkpoints, where a run trains several networks.
    """

    config: RunConfig
    settings: Settings
    section: Section
    photographs: Photographs | None
    on_progress: Progress
    place: str = "runs"
    lease: Lease | None = None
    part: str = ""

    @property
    def key(self) -> str:
        """16 hexadecimal digits: the same for the same code, configuration, data and seed."""
        what: dict[str, object] = {
            "code": __version__,
            "config": self.config.model_dump(mode="json", exclude=dict(NOT_PART_OF_KEY)),
            "section": self.section.meta.model_dump(mode="json", include=SECTION_IN_KEY),
            "photographs": self.photographs.meta.model_dump(include={"input_sha256", "side"}) if self.photographs else None,
        }
        return key_of(what)

    def at(self, place: str) -> "Run":
        """The same run with its folder elsewhere below the root."""
        return replace(self, place=place)

    @property
    def place_uri(self) -> str:
        """URI below which all attempts at the run lie."""
        return join(self.settings.root, self.place, self.key)

    @property
    def folder(self) -> str:
        """URI of the folder of this attempt: checkpoint, report, figures, tables."""
        return join(self.place_uri, self.lease.attempt) if self.lease else self.place_uri

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """URIs of folders of checkpoints to go on from, in this order: this attempt's, the only one it writes, then earlier attempts'."""
        earlier = self.lease.predecessors if self.lease else ()
        below = join("checkpoint", self.part) if self.part else "checkpoint"
        return tuple(join(folder, below) for folder in (self.folder, *(join(self.place_uri, name) for name in earlier)))

    def finished(self) -> RunReport | None:
        """Give the report when this very run has been done before.

        Reads:
            The commit of the run, then `report.json` of the attempt that it names.
        """
        if (commit := ledger_of(self.settings).find_commit(self.key)) is None:
            return None
        return RunReport.model_validate_json(read_bytes(join(self.place_uri, commit.attempt, "report.json"), self.settings))

    def write(self, name: str, data: bytes) -> str:
        """Put a file into the run's folder and give its URI."""
        uri = join(self.folder, name)
        write_bytes(uri, data, self.settings)
        return uri


def key_of(what: Mapping[str, object]) -> str:
    """Name a run of any kind by what decides its result: 16 hexadecimal digits, the same for the same, in any order.

    Args:
        what: JSON.
    """
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def ledger_of(settings: Settings, holder: str | None = None) -> Ledger:
    """The ledger of the atlas that the settings name.

    Args:
        settings: Where it lies.
        holder: Who asks, for people to read; this host and process when absent.
    """
    return Ledger(root=settings.root, settings=settings, holder=holder or f"{socket.gethostname()}:{os.getpid()}")
