"""Sections of a few bins, stored in memory, and what a method may see of them."""

import secrets
from collections.abc import Callable

import numpy as np
import pytest

from s2s.contracts.section import Lattice, SectionMeta
from s2s.contracts.settings import Settings
from s2s.lattice.measured import Measured
from s2s.lattice.sampling import sampled_positions
from s2s.storage.sections import Masks, NewSection, Section, commit_section, open_section

MakeSection = Callable[..., Section]
MakeMeasured = Callable[..., Measured]
SETTINGS = Settings()


@pytest.fixture
def make_section() -> MakeSection:
    """Store values `(gene, y, x)` as a section with everything filled in that a test does not care about."""

    def make(values, *, genes=None, tissue=None, observed=None, valid=None, stride=1, phase=(0, 0), shape="square") -> Section:
        array = np.asarray(values)
        size = array.shape[1:]
        on_tissue = np.ones(size, np.bool_) if tissue is None else np.asarray(tissue, np.bool_)
        masks = Masks(
            tissue=on_tissue,
            observed=on_tissue if observed is None else np.asarray(observed, np.bool_),
            valid=np.ones(size, np.bool_) if valid is None else np.asarray(valid, np.bool_),
        )
        meta = SectionMeta(
            id="tiny", tissue="test", organism="test", technology="synthetic", pitch_um=25, shape=size, num_genes=len(array),
            lattice=Lattice(shape=shape, stride=stride, phase=phase), values="counts" if array.dtype.kind in "ui" else "log1p",
            source="test", input_sha256="0" * 64, code_version="0",
        )  # fmt: skip
        uri = f"memory://streaming/{secrets.token_hex(6)}"
        names = genes or tuple("ABCDEFGH"[: len(array)])
        commit_section(uri, NewSection(meta=meta, genes=names, blocks=[array], masks=masks), SETTINGS)
        return open_section(uri, SETTINGS)

    return make


@pytest.fixture
def make_measured() -> MakeMeasured:
    """Measure one phase of a known map `(gene, y, x)`, everything on tissue unless told otherwise."""

    def make(values, *, phase=(0, 0), tissue=None, lattice="square") -> Measured:
        array = np.asarray(values, np.float32)
        on_tissue = np.ones(array.shape[1:], np.bool_) if tissue is None else np.asarray(tissue, np.bool_)
        observed = on_tissue & sampled_positions(on_tissue.shape, 2, phase, lattice)
        return Measured(
            expression=np.where(observed, array, np.float32(np.nan)),
            observed=observed,
            tissue=on_tissue,
            genes=tuple(f"G{index}" for index in range(len(array))),
            stride=2,
            phase=phase,
            pitch_um=25,
            lattice=lattice,
        )

    return make
