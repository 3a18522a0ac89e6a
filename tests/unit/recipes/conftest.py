"""Runs on a section of a few bins, in memory and in a home of their own."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from s2s.contracts.loading import validate
from s2s.contracts.run import RunConfig, ScoreRow
from s2s.contracts.section import Lattice, SectionMeta
from s2s.contracts.settings import Settings
from s2s.imputation.calibration import Calibration
from s2s.imputation.predict import Imputation
from s2s.imputation.reliability import Reliability
from s2s.imputation.slide import Imputer
from s2s.kriging.folds import Hidden
from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Prediction
from s2s.network import CDCIN
from s2s.recipes.fitting import Fitted
from s2s.recipes.judging import Judgement
from s2s.recipes.run import Run, silent
from s2s.storage.sections import Masks, NewSection, Section, commit_section, open_section
from s2s.streaming.sections import measure
from s2s.training.timing import Phases

MakeSection = Callable[..., Section]
MakeRun = Callable[..., Run]
GENES = ("A", "B", "C")
SHAPE = (11, 13)
TINY = {
    "kind": "run",
    "version": 1,
    "name": "tiny",
    "section": "tiny",
    "photographs": None,
    "genes": {"min_detected": 0},
    "network": {"features": 2, "blocks": 1, "layers": 1, "growth": 2, "has_attention": False, "cascades": 2},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost these small tensors more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings(s2s_home: Path) -> Settings:
    """Everything under the home of this test."""
    return Settings(is_local=True, home=s2s_home)


@pytest.fixture
def make_section(settings: Settings) -> MakeSection:
    """Store random counts drawn with a seed; `about` replaces parts of the contract."""

    def make(seed: int = 0, *, stride: int = 1, **about: object) -> Section:
        counts = np.random.default_rng(seed).poisson(3, (len(GENES), *SHAPE)).astype(np.uint16)
        everywhere = np.ones(SHAPE, np.bool_)
        observed = np.zeros(SHAPE, np.bool_)
        observed[::stride, ::stride] = True
        meta = SectionMeta(
            id="tiny", tissue="breast", organism="human", technology="synthetic", pitch_um=25, shape=SHAPE, num_genes=len(GENES),
            lattice=Lattice(stride=stride), source="test", input_sha256="0" * 64, code_version="0", licence="CC-BY-4.0",
        )  # fmt: skip
        masks = Masks(tissue=everywhere, observed=observed, valid=everywhere)
        new = NewSection(meta=meta.model_copy(update=about), genes=GENES, blocks=[counts], masks=masks)
        uri = f"memory://recipes/{hashlib.sha256(repr((seed, stride, about)).encode()).hexdigest()[:12]}"
        commit_section(uri, new, settings, replace=True)
        return open_section(uri, settings)

    return make


@pytest.fixture
def make_run(make_section: MakeSection, settings: Settings) -> MakeRun:
    """Make a run; `changes` replace parts of its configuration."""

    def make(stored: Section | None = None, **changes: object) -> Run:
        config = validate(RunConfig, {**TINY, **changes}, where="test")
        return Run(config=config, settings=settings, section=stored or make_section(), photographs=None, on_progress=silent)

    return make


@pytest.fixture
def make_measured() -> Callable[[Run], Measured]:
    """Read what a run may see."""
    return lambda run: measure(run.section, run.config.sampling, run.config.genes)


@pytest.fixture
def make_fitted() -> Callable[..., Fitted]:
    """Stand for a training: a fresh network that corrects visibly, and the numbers of a fit."""

    def make(run: Run) -> Fitted:
        generator = torch.Generator().manual_seed(3)
        network = CDCIN(run.config.network, generator)
        for stage in network.stages:
            torch.nn.init.normal_(stage.last.weight, std=0.3, generator=generator)
        return Fitted(
            imputer=Imputer(network=network, expression_scale=run.config.expression_scale), known=Hidden(folds=(), fill=None), steps=9,
            best_step=6, validation_error=0.125, device="cpu float32", losses=((1, 2.0), (2, 1.0)), errors=((2, 0.5),),
            phases=Phases(),
        )  # fmt: skip

    return make


@pytest.fixture
def make_imputed() -> Callable[..., Imputation]:
    """Stand for what a network says of its section: as little as a release repeats of it."""

    def make(pcc: tuple[float, ...] = (0.5, -0.25, float("nan"))) -> Imputation:
        reliability = Reliability(pcc=np.array(pcc), lower=np.array(pcc) - 0.1)
        nothing = Prediction(mean=np.zeros((len(pcc), *SHAPE), np.float32))
        return Imputation(
            prediction=nothing, reliability=reliability, calibration=Calibration(coverage={0.9: 0.875}), guess=nothing.mean[:, 0]
        )

    return make


@pytest.fixture
def judgement() -> Judgement:
    """A run between two classical methods."""
    rows = [("CDCIN (laptop)", 0.5, 0.25, None), ("kriging", 0.25, 0.5, 0.75), ("smoothing", 0.375, 0.625, None)]
    return Judgement(rows=tuple(ScoreRow(method=name, pcc=pcc, mae=mae, rmse=1, ssim=ssim, num_genes=3) for name, pcc, mae, ssim in rows))
