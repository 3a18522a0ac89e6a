"""A table on the local disk between the units that make it and the chunks it is stored in.

Decision: a file without a name, read and written piece by piece: the memory that a band of tiles would take is the disk's, and a
process that is killed leaves nothing behind.
"""

import os
import tempfile
from types import TracebackType

import numpy as np
from jaxtyping import Float32

from s2s.contracts.settings import Settings
from s2s.errors import StorageError

ITEM = np.dtype(np.float32)


class Scratch:
    """Rows of float32, written in any order, each whole.

    Raises:
        StorageError: the disk refused; from every method.
    """

    def __init__(self, num_columns: int, settings: Settings) -> None:
        self._num_columns, self._folder = num_columns, settings.home / "scratch"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `__exit__`
        except OSError as error:
            raise self._refused(error) from None

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def write(self, first: int, rows: Float32[np.ndarray, "row column"]) -> None:
        """Write rows from `first` on."""
        data, place = np.ascontiguousarray(rows, ITEM).data.cast("B"), first * self._num_columns * ITEM.itemsize
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data, place)
                data, place = data[written:], place + written
        except OSError as error:
            raise self._refused(error) from None

    def read(self, first: int, stop: int) -> Float32[np.ndarray, "row column"]:
        """Read rows from `first` to before `stop`; all of them were written."""
        rows = np.empty((stop - first, self._num_columns), ITEM)
        data, place = rows.data.cast("B"), first * self._num_columns * ITEM.itemsize
        try:
            while data:
                got = os.preadv(self._file.fileno(), [data], place)
                assert got > 0, "rows are read after they were written"
                data, place = data[got:], place + got
        except OSError as error:
            raise self._refused(error) from None
        return rows

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"expected room for a band of tiles in {self._folder}, the disk refused: {error}; free space, or move S2S_HOME")
