"""The contract of what `s2s doctor layout` says: how a section lies on its store, and what reading it takes."""

from typing import Literal

from pydantic import Field

from s2s.contracts.document import Document, Part


class Reading(Part):
    """One way to read a section, predicted."""

    what: str
    requests: int = Field(ge=0, description="chunks fetched")
    fetched_bytes: int = Field(ge=0, description="as stored, compressed")
    needed_bytes: int = Field(ge=0, description="of what was fetched, the values asked for")

    @property
    def amplification(self) -> float:
        """Bytes fetched per byte needed."""
        return self.fetched_bytes / max(1, self.needed_bytes)


class LayoutReport(Document):
    """How the counts of a section lie on their store, and what reading them takes."""

    kind: Literal["layout_report"] = "layout_report"
    version: Literal[1] = 1
    uri: str
    shape: tuple[int, int, int] = Field(description="genes, rows, columns")
    chunks: tuple[int, int, int] = Field(description="of the section")
    best_chunks: tuple[int, int, int] = Field(description="as `s2s ingest` would choose today")
    num_chunks: int
    stored_bytes: int
    readings: tuple[Reading, ...]

    @property
    def is_good(self) -> bool:
        """Whether a rewrite would change nothing."""
        return self.chunks == self.best_chunks
