"""Small sources, written to disk the way users' tools write them."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from s2s.contracts.run import SectionSource
from s2s.contracts.section import Lattice

WriteH5ad = Callable[..., Path]
MakeSource = Callable[..., SectionSource]


@pytest.fixture
def write_h5ad(tmp_path: Path) -> WriteH5ad:
    """Write an AnnData of the given matrix and positions; returns its path."""

    def write(matrix, positions, *, genes=None, names=None, layers=None) -> Path:
        rows, columns = matrix.shape
        data = anndata.AnnData(
            X=matrix,
            obs=pd.DataFrame(index=names or [f"c{i}" for i in range(rows)]),
            var=pd.DataFrame(index=genes or [f"G{i}" for i in range(columns)]),
            layers=layers or {},
        )
        if positions is not None:
            data.obsm["spatial"] = np.asarray(positions)
        path = tmp_path / "section.h5ad"
        data.write_h5ad(path)
        return path

    return write


@pytest.fixture
def make_source() -> MakeSource:
    """Make a source with everything that a test does not care about filled in."""

    def make(file: Path, reader: str, pitch_um: float, *, stride=1, phase=(0, 0), shape="square", **fields) -> SectionSource:
        lattice = Lattice(shape=shape, stride=stride, phase=phase)
        about = {"id": "test-1", "tissue": "breast", "organism": "human", "technology": "test"}
        return SectionSource(file=str(file), reader=reader, pitch_um=pitch_um, lattice=lattice, **about, **fields)

    return make
