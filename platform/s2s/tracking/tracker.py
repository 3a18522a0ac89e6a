"""The seam between a training and its records: four methods, no vendor.

Not here: MLflow (`recording`). Decision: training imports this module only, so it needs no tracking library at all; the
price is that registering a model, which only MLflow does, is not part of the seam (`registry`).
"""

from collections.abc import Mapping
from typing import Literal, Protocol

Status = Literal["finished", "failed", "killed"]


class Tracker(Protocol):
    """Takes what a run has to say. No method blocks on a network, none fails a training, and several threads may call `metrics`."""

    def params(self, values: Mapping[str, str]) -> None:
        """Record settings, once each."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step."""

    def artifact(self, name: str, data: bytes) -> None:
        """Record a file; `name` is its relative POSIX path within the run."""

    def close(self, status: Status) -> None:
        """Say how the run ended; nothing may be recorded after it."""


class NullTracker:
    """Records nothing: for tests and for trainings that nobody asked to track."""

    def params(self, values: Mapping[str, str]) -> None:
        """Forget the settings."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Forget the numbers."""

    def artifact(self, name: str, data: bytes) -> None:
        """Forget the file."""

    def close(self, status: Status) -> None:
        """Do nothing."""
