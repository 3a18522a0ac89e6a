"""Checkpoints: tensors and a few plain values as one object in safetensors format.

What they mean is known to `training`. Decision: one object, so that a checkpoint is there whole or not at all, and
no pickle, so that reading one runs no code; the price is that only tensors and plain values fit.
"""

import json
import struct
from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError
from s2s.storage.objects import read_bytes, write_bytes

STATE = "state"
Value = str | int | float | None


class Tensor(Protocol):
    """What is asked of a torch tensor; torch itself is not imported here."""

    def detach(self) -> Self:
        """Cut it from its graph."""

    def cpu(self) -> Self:
        """Bring it to main memory."""

    def numpy(self) -> np.ndarray:
        """See it as an array; bfloat16 cannot be."""


def write_checkpoint(uri: str, tensors: Mapping[str, Tensor | np.ndarray], state: Mapping[str, Value], settings: Settings) -> None:
    """Write a checkpoint atomically, in the place of a former one.

    Args:
        uri: Of the object, for instance ending in `.safetensors`.
        tensors: Of any shape and any dtype that numpy has.
        state: Plain values; floats come back bit for bit.
        settings: Endpoint and credentials.

    Raises:
        StorageError: the store refused or does not answer; a former checkpoint is still whole.

    Writes:
        One object.
    """
    write_bytes(uri, pack_checkpoint(tensors, state), settings)


def pack_checkpoint(tensors: Mapping[str, Tensor | np.ndarray], state: Mapping[str, Value]) -> bytes:
    """Serialise a checkpoint; nothing in it changes any more when the tensors do.

    Args:
        tensors: As of `write_checkpoint`.
        state: As of `write_checkpoint`.
    """
    arrays = {name: np.asarray(_array(tensor), order="C") for name, tensor in tensors.items()}
    data: bytes = save(arrays, metadata={STATE: json.dumps(dict(state))})
    return data


def read_checkpoint(uri: str, settings: Settings) -> tuple[dict[str, np.ndarray], dict[str, Value]] | None:
    """Read a checkpoint: its tensors and its state; None where there is none.

    Raises:
        InputError: the object is not a checkpoint of ours.
        StorageError: the store refused or does not answer.
    """
    try:
        data = read_bytes(uri, settings)
    except MissingError:
        return None
    try:
        return load(data), _state(data)
    except (SafetensorError, KeyError, ValueError, struct.error) as error:
        raise InputError(
            f"expected a checkpoint in safetensors format with its state at {uri}, got {len(data)} bytes: {error}; delete it"
        ) from error


def _state(data: bytes) -> dict[str, Value]:
    # The library gives the header's metadata for files only: eight bytes of length, then JSON.
    (length,) = struct.unpack("<Q", data[:8])
    state: dict[str, Value] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][STATE])
    return state


def _array(tensor: Tensor | np.ndarray) -> np.ndarray:
    return tensor if isinstance(tensor, np.ndarray) else tensor.detach().cpu().numpy()
