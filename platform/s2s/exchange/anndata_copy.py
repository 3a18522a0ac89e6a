"""An AnnData-Zarr as one `.h5ad` file, band by band: what is large never lies in memory whole."""

from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from anndata.io import read_elem, write_elem

BAND_BYTES = 64 * 2**20
"""Copied at once."""

COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}
"""As `write_imputed`: off tissue is all zeros."""


def pack_h5ad(tree: object, path: Path) -> None:
    """Write an open AnnData-Zarr to an `.h5ad` file; not atomic.

    Args:
        tree: Its root, an open `zarr.Group`; arrays keep values, types and encodings.
        path: Of the new file.

    Raises:
        OSError: the disk refused.
    """
    root = cast("Any", tree)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name in ("obs", "var", "obsm", "uns"):
            if name in root:
                write_elem(file, name, read_elem(root[name]), dataset_kwargs=COMPRESSION if name in ("obs", "obsm") else {})
        for name in ("obsp", "varm", "varp"):
            write_elem(file, name, {})
        _copy(root["X"], file, "X")
        layers = file.create_group("layers")
        layers.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        for name in root["layers"]:
            _copy(root["layers"][name], layers, str(name))


def _copy(found: object, target: h5py.Group, name: str) -> None:
    """Copy an array, or a sparse matrix, which is a group of three arrays."""
    source = cast("Any", found)
    if not hasattr(source, "shape"):
        group = target.create_group(name)
        group.attrs.update({key: np.asarray(value) if isinstance(value, list) else value for key, value in source.attrs.items()})
        for part in ("data", "indices", "indptr"):
            _copy(source[part], group, part)
        return
    row_bytes = source.dtype.itemsize * int(np.prod(source.shape[1:]))
    rows = max(1, BAND_BYTES // max(1, row_bytes))
    packing = {"chunks": True, **COMPRESSION} if 0 not in source.shape else {}
    copied = target.create_dataset(name, source.shape, source.dtype, **packing)
    copied.attrs.update(dict(source.attrs))
    for start in range(0, source.shape[0], rows):
        copied[start : start + rows] = source[start : start + rows]
