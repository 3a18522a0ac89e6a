"""Is an HDF5 file of a stranger safe to read? Nothing in it may point outside it, and nothing may become larger than a limit.

Decision: links are looked at, never followed: HDF5 opens other files by itself where an external link, external storage or a virtual
dataset says so.
"""

from math import prod
from pathlib import Path

import h5py

from s2s.errors import InputError, reason_of

MAX_OBJECTS = 5_000
MAX_DEPTH = 12


def check_hdf5(path: Path, *, max_bytes: int) -> None:
    """Refuse a file that is no HDF5, points outside itself, or unpacks to more than a limit.

    Args:
        path: The file.
        max_bytes: Of one array, and of all together, once they are read.

    Raises:
        InputError: as said.
    """
    try:
        with h5py.File(path, "r") as file:
            _Walk(max_bytes).group(file, "", 0)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, UnicodeError) as error:
        raise InputError(f"expected an AnnData file (h5ad) that is whole, the body cannot be read: {reason_of(error)}") from None


class _Walk:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes, self._objects = max_bytes, 0, 0

    def group(self, group: h5py.Group, where: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InputError(f"expected at most {MAX_DEPTH} folders inside one another in the h5ad, found more at {where}")
        for name in group:
            self._objects += 1
            if self._objects > MAX_OBJECTS:
                raise InputError(f"expected at most {MAX_OBJECTS} objects in the h5ad, there are more; leave out of uns what is not needed")
            inside = f"{where}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"expected no links in the h5ad, {inside} is one; write it anew with adata.write_h5ad")
            item = group[name]
            if isinstance(item, h5py.Group):
                self.group(item, inside, depth + 1)
            elif isinstance(item, h5py.Dataset):
                self._dataset(item, inside)

    def _dataset(self, dataset: h5py.Dataset, where: str) -> None:
        if dataset.is_virtual or dataset.external:
            raise InputError(f"expected arrays that lie in the h5ad itself, {where} lies elsewhere; write it anew with adata.write_h5ad")
        size = prod(dataset.shape or ()) * dataset.dtype.itemsize
        chunk = prod(dataset.chunks or ()) * dataset.dtype.itemsize
        self._bytes += size
        if max(self._bytes, chunk) > self._max_bytes:
            raise InputError(f"expected an h5ad of at most {self._max_bytes} bytes once unpacked, {where} goes beyond it")
