"""In a process of its own: store a synthetic section and photographs of noise, train on them, or impute the section tile by tile.

    cd tests && python -m benchmarks.one_job make HOME 272 16 64     a side in bins, genes, photographs
    cd tests && python -m benchmarks.one_job train HOME
    cd tests && python -m benchmarks.one_job impute HOME

The last two say seconds, and the memory that was taken beyond what the libraries take; JSON.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from s2s.contracts.loading import read_preset
from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.release import Release
from s2s.contracts.run import GeneConfig, NetworkConfig, RunConfig
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.network import CDCIN
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.imputing import ImputationRequest
from s2s.recipes.run import silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.photographs import write_photographs
from s2s.storage.sections import Masks, NewSection, commit_section, open_section

PIXELS = 128
STEPS = 20
EVERY_GENE = GeneConfig(min_detected=0)
NETWORK = NetworkConfig(features=4, blocks=1, layers=1, growth=4, cascades=1, has_attention=False, fill="smooth")
"""Small: what is imputed with it shows what tiles cost."""


def make(home: Path, side: int, num_genes: int, num_photographs: int) -> None:
    """Store a section of smooth genes and photographs of noise."""
    settings, rng, rows = Settings(home=home, is_local=True), np.random.default_rng(0), np.arange(side)
    everywhere = np.ones((side, side), np.bool_)
    meta = SectionMeta(
        id="wide", tissue="test", organism="synthetic", technology="synthetic", pitch_um=10, shape=(side, side), num_genes=num_genes,
        is_synthetic=True, source="benchmark", input_sha256="0" * 64, code_version="0",
    )  # fmt: skip
    blocks = (
        rng.poisson(1 + np.sin(rows / (5 + gene % 7))[None, :, None] * np.cos(rows / (6 + gene % 5))[None, None]).astype(np.uint16)
        for gene in range(num_genes)
    )
    masks = Masks(tissue=everywhere, observed=everywhere, valid=everywhere)
    new = NewSection(meta=meta, genes=[f"G{gene}" for gene in range(num_genes)], blocks=blocks, masks=masks)
    commit_section(str(home / "section"), new, settings)
    photographs = PhotographsMeta(
        id="noise", num_photographs=num_photographs, side=PIXELS, source="benchmark", input_sha256="0" * 64, code_version="0"
    )
    write_photographs(
        str(home / "photographs"), photographs, (rng.random((PIXELS, PIXELS), np.float32) for _ in range(num_photographs)), settings
    )


def train(home: Path) -> None:
    """The usual run, of few steps."""
    config = RunConfig.model_validate(
        {
            **read_preset("laptop"),
            "training": {**read_preset("laptop")["training"], "max_steps": STEPS},
            "name": "scaling", "section": str(home / "section"), "photographs": str(home / "photographs"), "genes": EVERY_GENE,
            "resources": {"cpus": 1},
        }
    )  # fmt: skip
    single_shot(config, Settings(home=home, is_local=True))


def impute(home: Path) -> None:
    """All of the section with a fresh network: what it says is worth nothing, what it takes is what a trained one takes."""
    weights = save({name: tensor.contiguous() for name, tensor in CDCIN(NETWORK, torch.Generator().manual_seed(0)).state_dict().items()})
    release = Release(
        name="s2s-synthetic-test", tissue="test", organism="synthetic", technology="synthetic", pitch_um=10, stride=2,
        normalisation="log1p_median_total", expression_scale=10, network=NETWORK, weights_sha256=hashlib.sha256(weights).hexdigest(),
        is_leaky=False, is_synthetic=True, run_key="0" * 16, section_id="none", data_sha256="", photographs=None, code_version="0",
    )  # fmt: skip
    settings = Settings(home=home, is_local=True)
    request = ImputationRequest(model="none", section="", genes=EVERY_GENE)
    asked = TiledRequest(request=request, section=open_section(str(home / "section"), settings), release=release, weights=weights)
    impute_tiled(asked, Destination(folder=str(home / "out"), predecessors=(), settings=settings, on_progress=silent))


def main(what: str, home: str, *sizes: str) -> None:
    """Do one thing, and say what it took."""
    if what == "make":
        make(Path(home), *map(int, sizes))
        return
    before, started = own_peak_memory_bytes(), time.perf_counter()
    {"train": train, "impute": impute}[what](Path(home))
    sys.stdout.write(json.dumps({"s": time.perf_counter() - started, "bytes": own_peak_memory_bytes() - before}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
