"""What it takes to impute a section tile by tile: memory against size, and seams and accuracy against the whole in one piece.

    python tests/benchmarks/tiled_imputation.py memory smallest
    python tests/benchmarks/tiled_imputation.py memory laptop
    python tests/benchmarks/tiled_imputation.py seams /path/to/breast_xenium_cells.h5ad

Every line of `memory` is a process of its own; the section is made and stored by another. Results stand in
`results/tiled_imputation_2core_202611.md`.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from s2s.contracts.release import Release
from s2s.contracts.run import GeneConfig, ImputationConfig, NetworkConfig, SamplingConfig, SectionSource
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.imputation.slide import Imputer
from s2s.imputation.tiling import Tiling, UnitSize, cut
from s2s.imputation.unit import UnitImputer, describe_elsewhere
from s2s.lattice.measured import HeldOut
from s2s.network import CDCIN
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.imputing import ImputationRequest
from s2s.recipes.run import silent
from s2s.recipes.sources import open_source
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.sections import Masks, NewSection, Window, commit_section, open_section
from s2s.streaming.sections import measure_with_truth
from s2s.streaming.survey import Survey, as_measured, read_values, survey_section

SMALLEST = NetworkConfig(features=2, blocks=1, layers=1, growth=2, cascades=1, has_attention=False, fill="copy")
LAPTOP = NetworkConfig(features=12, blocks=2, layers=2, growth=12, cascades=3, has_attention=False, fill="krige", symmetries=2)
NETWORKS = {"smallest": SMALLEST, "laptop": LAPTOP}
SIDES = {"smallest": (128, 288, 576), "laptop": (128,)}
"""Of the sections: one unit, 3 x 3 and 6 x 6 units. The smallest network makes many units of the usual size bearable."""

NUM_GENES = 256
EVERY_GENE = GeneConfig(min_detected=0)
SIZES = {
    "whole": UnitSize(core=4096, halo=0, genes=4096),
    "core 24, halo 16": UnitSize(core=24, halo=16, genes=4096),
    "core 24, halo 8": UnitSize(core=24, halo=8, genes=4096),
    "core 24, halo 0": UnitSize(core=24, halo=0, genes=4096),
    "core 24, halo 16, 16 genes": UnitSize(core=24, halo=16, genes=16),
    "whole, 16 genes": UnitSize(core=4096, halo=0, genes=16),
}


def release_of(config: NetworkConfig) -> tuple[Release, bytes]:
    """A fresh network as a release: what it says is worth nothing, what it takes is what a trained one takes."""
    network = CDCIN(config, torch.Generator().manual_seed(0))
    weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    release = Release(
        name="s2s-synthetic-test", tissue="test", organism="synthetic", technology="synthetic", pitch_um=10, stride=2,
        normalisation="log1p_median_total", expression_scale=10, network=config, weights_sha256=hashlib.sha256(weights).hexdigest(),
        is_leaky=False, is_synthetic=True, run_key="0" * 16, section_id="none", data_sha256="", photographs=None, code_version="0",
    )  # fmt: skip
    return release, weights


def store(side: int, uri: str, settings: Settings, num_genes: int = NUM_GENES) -> None:
    """Store a synthetic section of `side` x `side` bins."""
    rng, everywhere, rows = np.random.default_rng(0), np.ones((side, side), np.bool_), np.arange(side)
    meta = SectionMeta(
        id="wide", tissue="test", organism="synthetic", technology="synthetic", pitch_um=10, shape=(side, side), num_genes=num_genes,
        is_synthetic=True, source="benchmark", input_sha256="0" * 64, code_version="0",
    )  # fmt: skip
    blocks = (
        rng.poisson(1 + np.sin(rows / (5 + gene % 7))[None, :, None] * np.cos(rows / (6 + gene % 5))[None, None] + 1).astype(np.uint16)
        for gene in range(num_genes)
    )
    masks = Masks(tissue=everywhere, observed=everywhere, valid=everywhere)
    commit_section(uri, NewSection(meta=meta, genes=[f"G{gene}" for gene in range(num_genes)], blocks=blocks, masks=masks), settings)


def one(network: str, home: str) -> None:
    """In a process of its own: impute, and say what that took."""
    settings = Settings(home=Path(home), is_local=True)
    release, weights = release_of(NETWORKS[network])
    section, request = open_section(f"{home}/section", settings), ImputationRequest(model="none", section="", genes=EVERY_GENE)
    before, started = own_peak_memory_bytes(), time.monotonic()
    figures = impute_tiled(
        TiledRequest(request=request, section=section, release=release, weights=weights),
        Destination(folder=f"{home}/out", predecessors=(), settings=settings, on_progress=silent),
    )
    took = {"before_mb": before / 2**20, "peak_mb": own_peak_memory_bytes() / 2**20, "seconds": time.monotonic() - started}
    say({"network": network, "shape": section.meta.shape, **figures, **{name: round(value, 1) for name, value in took.items()}})


def say(line: dict[str, object]) -> None:
    """Print a line of results."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def make(side: str, home: str) -> None:
    """In a process of its own: store a synthetic section."""
    store(int(side), f"{home}/section", Settings(home=Path(home), is_local=True))


def memory(network: str) -> None:
    """Impute sections of several sizes, each in a fresh process."""
    for side in SIDES[network]:
        with tempfile.TemporaryDirectory() as home:
            subprocess.run([sys.executable, __file__, "make", str(side), home], check=True)
            subprocess.run([sys.executable, __file__, "one", network, home], check=True)


def seams(file: str) -> None:
    """Krige a real section whole and in tiles, and compare both with what was held out."""
    source = SectionSource(file=file, reader="cells", id="breast", tissue="breast", organism="human", technology="xenium", pitch_um=30)
    with tempfile.TemporaryDirectory() as home:
        section = open_source(source, Settings(home=Path(home), is_local=True), silent)
        genes = GeneConfig(limit=64)
        survey = survey_section(section, SamplingConfig(), genes)
        _, truth = measure_with_truth(section, SamplingConfig(), genes)
        assert truth is not None
        whole: np.ndarray | None = None
        for name, size in SIZES.items():
            started = time.monotonic()
            tiling = cut(survey.tissue.shape, len(survey.chosen), size, stride=2, lattice="square")
            imputed = krige_tiles(survey, tiling)
            whole = imputed if whole is None else whole
            seconds = round(time.monotonic() - started)
            say({"cut": name, "units": tiling.num_units, **judge(imputed, whole, truth, tiling), "seconds": seconds})


def krige_tiles(survey: Survey, tiling: Tiling) -> np.ndarray:
    """Impute a section unit by unit with nothing but kriging, `(gene, y, x)`."""
    imputer = Imputer(network=CDCIN(LAPTOP, torch.Generator()), expression_scale=10, trust=0)
    unit = UnitImputer(imputer=imputer, config=ImputationConfig(), num_observed=int(survey.observed.sum()), on_progress=silent)
    imputed = np.zeros((len(survey.chosen), *survey.tissue.shape), np.float32)
    for rows, columns, group in product(tiling.rows, tiling.columns, tiling.genes):
        height, width = (span.reach.stop - span.reach.start for span in (rows, columns))
        window, chosen = Window(y=rows.reach.start, x=columns.reach.start, height=height, width=width), survey.chosen[group]
        part = as_measured(survey, chosen, read_values(survey, chosen, window), window)
        known = describe_elsewhere(np.zeros((len(chosen), 3), np.float32))
        prediction, _ = unit.impute(part, rows, columns, lambda known=known: known)
        imputed[group, rows.core, columns.core] = prediction.mean
    return imputed


def judge(imputed: np.ndarray, whole: np.ndarray, truth: HeldOut, tiling: Tiling) -> dict[str, object]:
    """Accuracy on what was held out, and steps between neighbours in a row: across seams, and elsewhere."""
    at, pairs = truth.positions, zip(imputed, truth.expression, strict=True)
    pcc = [np.corrcoef(given[at], real[at])[0, 1] for given, real in pairs if real[at].std() > 0 and given[at].std() > 0]
    places = np.arange(1, imputed.shape[2])
    is_seam = np.isin(places, [span.core.start for span in tiling.columns][1:])
    step = np.abs(np.diff(imputed, axis=2)).mean(axis=(0, 1))
    # A seam lies between an odd column and an even one.
    across, inside = (step[where & (places % 2 == 0)] for where in (is_seam, ~is_seam))
    figures = {
        "pcc": np.mean(pcc),
        "rmse": np.sqrt(np.square(imputed[:, at] - truth.expression[:, at]).mean()),
        "from_whole": np.abs(imputed - whole)[:, at].mean(),
        "step_across_seams": across.mean() if across.size else np.nan,
        "step_inside": inside.mean(),
    }
    return {"shape": imputed.shape, **{name: round(float(value), 4) for name, value in figures.items()}}


if __name__ == "__main__":
    {"memory": memory, "seams": seams, "one": one, "make": make}[sys.argv[1]](*sys.argv[2:])
