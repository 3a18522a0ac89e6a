"""Small sections and small runs for the numerics: seconds on one core."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from s2s.contracts.loading import validate
from s2s.contracts.run import RunConfig
from s2s.contracts.section import Lattice, SectionMeta
from s2s.contracts.settings import Settings
from s2s.lattice.geometry import LatticeShape
from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.sampling import sampled_positions
from s2s.recipes.run import Run, silent
from s2s.storage.sections import Masks, NewSection, commit_section, open_section

SHAPE = (36, 40)
GENES = ("A", "B", "C")
NAMES = (*GENES, "D", "E")
TINY = {
    "kind": "run",
    "version": 1,
    "name": "tiny",
    "section": "tiny",
    "photographs": None,
    "genes": {"min_detected": 0},
    "network": {"features": 4, "blocks": 1, "layers": 1, "growth": 4, "heads": 2, "cascades": 2, "has_mask_inputs": True, "fill": "smooth"},
    "training": {"max_steps": 6, "batch": 2, "window": 16, "validate_every": 2, "precision": "float32", "hide_fraction": 0.5},
    "resources": {"cpus": 1},
}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost these small tensors more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def expression() -> np.ndarray:
    """Smooth log1p fields with noise, `(gene, y, x)`."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(SHAPE)
    waves = [2 + np.sin(rows / 5 + phase) + np.cos(columns / 7 - phase) for phase in range(len(GENES))]
    return np.clip(np.stack(waves) + 0.1 * rng.normal(size=(len(GENES), *SHAPE)), 0, None).astype(np.float32)


@pytest.fixture
def make_run(s2s_home: Path) -> Callable[..., Run]:
    """Make a run on a log1p section stored in memory, with a home of its own; `changes` replace parts of the configuration."""

    def make(values: np.ndarray, name: str, changes: dict[str, object] | None = None) -> Run:
        settings = Settings(is_local=True, home=s2s_home / name)
        uri = f"memory://{name}/section"
        everywhere = np.ones(SHAPE, np.bool_)
        meta = SectionMeta(
            id="tiny", tissue="test", organism="test", technology="synthetic", pitch_um=25, shape=SHAPE, num_genes=len(values),
            lattice=Lattice(), values="log1p", is_synthetic=True, source="test", input_sha256="0" * 64, code_version="0",
        )  # fmt: skip
        masks = Masks(tissue=everywhere, observed=everywhere, valid=everywhere)
        new = NewSection(meta=meta, genes=NAMES[: len(values)], blocks=[values], masks=masks)
        commit_section(uri, new, settings, replace=True)
        config = validate(RunConfig, {**TINY, **(changes or {})}, where="test")
        return Run(config=config, settings=settings, section=open_section(uri, settings), photographs=None, on_progress=silent)

    return make


@pytest.fixture
def make_measured() -> Callable[..., tuple[Measured, HeldOut]]:
    """Split a full field into what is measured at one phase, and the rest."""

    def make(
        values: np.ndarray, phase: tuple[int, int] = (0, 0), tissue: np.ndarray | None = None, lattice: LatticeShape = "square"
    ) -> tuple[Measured, HeldOut]:
        on_tissue = np.ones(values.shape[1:], np.bool_) if tissue is None else tissue
        observed = on_tissue & sampled_positions(values.shape[1:], 2, phase, lattice)
        seen = np.where(observed, values, np.float32(np.nan))
        measured = Measured(
            expression=seen,
            observed=observed,
            tissue=on_tissue,
            genes=tuple(map(str, range(len(values)))),
            stride=2,
            phase=phase,
            pitch_um=25,
            lattice=lattice,
        )
        positions = on_tissue & ~observed
        return measured, HeldOut(expression=np.where(positions, values, np.float32(np.nan)), positions=positions)

    return make
