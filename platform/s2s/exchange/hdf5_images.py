"""Reading photographs from the HDF5 layout in which DIV2K is commonly packed: one dataset per image, `hr/0`, `hr/1`, ...

Images come out as they lie in the file; turning them gray and cutting them is the business of `ingest.photographs`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Num

from s2s.errors import InputError, S2SError

GROUP = "hr"


class Hdf5Images:
    """An open HDF5 file of images.

    Attributes:
        shapes: Of every image, `(y, x)` or `(y, x, channel)`, in the order of their numbers.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        group = file.get(GROUP)
        if not isinstance(group, h5py.Group) or not len(group):
            raise InputError(f"expected images in datasets {GROUP}/0, {GROUP}/1, ... of {path}, found: {', '.join(file) or 'nothing'}")
        names = sorted(group, key=lambda name: (len(name), name))
        self._datasets = [group[name] for name in names]
        self.shapes: list[tuple[int, ...]] = []
        for name, dataset in zip(names, self._datasets, strict=True):
            if not isinstance(dataset, h5py.Dataset) or dataset.ndim not in (2, 3):
                raise InputError(
                    f"expected an image of shape (y, x) or (y, x, channel) at {GROUP}/{name} of {path}, "
                    f"found {getattr(dataset, 'shape', 'a group')}"
                )
            self.shapes.append(tuple(int(side) for side in dataset.shape))

    def read(self, index: int) -> Num[np.ndarray, "..."]:
        """Read one image as it is stored."""
        return np.asarray(self._datasets[index])


@contextmanager
def open_hdf5_images(path: Path) -> Iterator[Hdf5Images]:
    """Open an HDF5 file of images.

    Raises:
        InputError: not HDF5, truncated, or without the group `hr`.

    Reads:
        Shapes at once, an image when asked for it.
    """
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5Images(file, path)
    except S2SError:  # some are OSErrors too, and they already say what is wrong
        raise
    except OSError as error:
        raise InputError(f"expected an HDF5 file, {path} cannot be read ({error}); copy or download it again") from None
