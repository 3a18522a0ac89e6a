"""What a spool holds, as documents: the records of a run, what the run is, and how far shipping has come."""

import time
import uuid
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from s2s.contracts.document import Document, Part
from s2s.tracking.tracker import Status


class ParamsRecord(Part):
    """Settings of the run."""

    kind: Literal["params"] = "params"
    values: dict[str, str]


class MetricsRecord(Part):
    """Numbers at one step."""

    kind: Literal["metrics"] = "metrics"
    at_ms: int
    step: int
    values: dict[str, float]


class ArtifactRecord(Part):
    """A file of the run."""

    kind: Literal["artifact"] = "artifact"
    name: str = Field(description="relative POSIX path within the run")
    file: str = Field(description="where its bytes lie, relative to the spool")


class ModelRecord(Part):
    """A model folder that is to become a registered version."""

    kind: Literal["model"] = "model"
    name: str = Field(description="registered name")
    folder: str = Field(description="where it lies, relative to the spool; also tells this record from every other")


class CloseRecord(Part):
    """The end of the run."""

    kind: Literal["close"] = "close"
    at_ms: int
    status: Status


Record = ParamsRecord | MetricsRecord | ArtifactRecord | ModelRecord | CloseRecord
RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


class SpoolHeader(Document):
    """What a run is, said before its first record."""

    kind: Literal["spool"] = "spool"
    version: Literal[1] = 1
    id: str = Field(default_factory=lambda: uuid.uuid4().hex, pattern=r"^[0-9a-f]{32}$")
    experiment: str
    run_name: str
    tags: dict[str, str]
    is_local: bool = Field(description="belongs to MLflow on SQLite in process, not to a server")
    started_ms: int = Field(default_factory=lambda: time.time_ns() // 1_000_000)


class SpoolState(Part):
    """How far shipping has come."""

    experiment_id: str | None = None
    run_id: str | None = None
    offset: int = Field(0, ge=0, description="bytes of the records that the server has")
    model_name: str | None = None
    model_version: str | None = None
    num_refused: int = Field(0, ge=0, description="records that the server will never take")
    is_closed: bool = False
