"""Checkpoints of a training in parts: the workers that train together write some each, and any number of workers reads them all.

    checkpoint/000000120-1-of-2.safetensors     second of the two parts of step 120, see `checkpoints`

Decision: that a checkpoint is whole is seen from the names of its parts, so no worker waits for another to say so; the price is one
listing per checkpoint. A part is serialised at once and sent in the background, while the training goes on or the next is taken down.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.storage.checkpoints import Tensor, Value, pack_checkpoint, read_checkpoint
from s2s.storage.location import join
from s2s.storage.objects import delete_object, list_names, write_bytes

_NAME = re.compile(r"(\d{9})-(\d+)-of-(\d+)\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Checkpoint:
    """A checkpoint all of whose parts are there.

    Attributes:
        step: Optimiser steps done.
        num_parts: Of how many parts it is.
        folder: URI of the folder that they lie in.
    """

    step: int
    num_parts: int
    folder: str

    def uri(self, part: int) -> str:
        """Where a part lies, counted from 0."""
        return join(self.folder, f"{self.step:09d}-{part}-of-{self.num_parts}.safetensors")

    def parts(self, settings: Settings) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Value]]]:
        """Read part by part: tensors and state.

        Raises:
            InputError: a part is not what was written, or is gone.
            StorageError: the store refused or does not answer.
        """
        for part in range(self.num_parts):
            if (found := read_checkpoint(self.uri(part), settings)) is None:
                raise InputError(f"expected part {part + 1} of {self.num_parts} of a checkpoint at {self.uri(part)}, found none")
            yield found


def find_checkpoints(folder: str, settings: Settings) -> list[Checkpoint]:
    """Find the whole checkpoints of a folder, the newest first; none where there is no such folder.

    Raises:
        StorageError: the store refused or does not answer.
    """
    return _whole(_parts_in(folder, settings))


class CheckpointWriter:
    """Writes parts of checkpoints, one at a time; leaving its block waits for the last one to be stored."""

    def __init__(self, folder: str, settings: Settings, *, keep: int) -> None:
        """Write nothing yet.

        Args:
            folder: URI.
            settings: Endpoint and credentials.
            keep: Newest whole checkpoints that stay; whoever writes a first part deletes older ones.
        """
        self._folder, self._settings, self._keep = folder, settings, keep
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="s2s-checkpoint")
        self._sending: Future[None] | None = None

    def at(self, step: int, num_parts: int) -> Checkpoint:
        """Say where a checkpoint will lie."""
        return Checkpoint(step=step, num_parts=num_parts, folder=self._folder)

    def write(self, checkpoint: Checkpoint, part: int, tensors: Mapping[str, Tensor | np.ndarray], state: Mapping[str, Value]) -> None:
        """Take down a part as it is now and begin to store it.

        Raises:
            StorageError: the part before this one could not be stored.
        """
        self.wait()
        self._sending = self._sender.submit(self._store, checkpoint, part, pack_checkpoint(tensors, state))

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sender.shutdown()
        if error is None:  # else that error says more
            self.wait()

    def wait(self) -> None:
        """Wait until what was taken down is stored.

        Raises:
            StorageError: it could not be.
        """
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.result()

    def _store(self, checkpoint: Checkpoint, part: int, data: bytes) -> None:
        write_bytes(checkpoint.uri(part), data, self._settings)
        if part == 0:
            self._forget_old()

    def _forget_old(self) -> None:
        parts = _parts_in(self._folder, self._settings)
        kept = _whole(parts)[: self._keep]
        if len(kept) < self._keep:
            return
        for checkpoint, part in parts:
            if checkpoint.step < kept[-1].step:
                delete_object(checkpoint.uri(part), self._settings)


def _parts_in(folder: str, settings: Settings) -> list[tuple[Checkpoint, int]]:
    """Every part that is there, with the checkpoint that it is of, whole or not."""
    found = (_NAME.fullmatch(name) for name in list_names(folder, settings))
    named = [tuple(map(int, match.groups())) for match in found if match]
    return [(Checkpoint(step=step, num_parts=total, folder=folder), part) for step, part, total in named]


def _whole(parts: list[tuple[Checkpoint, int]]) -> list[Checkpoint]:
    """The checkpoints of which every part is there, the newest first."""
    counted = Counter(checkpoint for checkpoint, _ in parts)
    return sorted((checkpoint for checkpoint, number in counted.items() if number == checkpoint.num_parts), reverse=True)
