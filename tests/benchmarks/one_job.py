"""In a process of its own: store a synthetic section and photographs of noise, train on them, or impute the section tile by tile.

    cd tests && python -m benchmarks.one_job make HOME 272 16 64     a side in bins, genes, photographs
    cd tests && python -m benchmarks.one_job train HOME
    cd tests && python -m benchmarks.one_job impute HOME

The last two say seconds, and the memory that was taken beyond what the libraries take; JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.tiled_imputation import EVERY_GENE, release_of, store
from s2s.contracts.loading import read_preset
from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.run import NetworkConfig, RunConfig
from s2s.contracts.settings import Settings
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.imputing import ImputationRequest
from s2s.recipes.run import silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.photographs import write_photographs
from s2s.storage.sections import open_section

PIXELS = 128
STEPS = 20
NETWORK = NetworkConfig(features=4, blocks=1, layers=1, growth=4, cascades=1, has_attention=False, fill="smooth")
"""Small: what is imputed with it shows what tiles cost."""


def make(home: Path, side: int, num_genes: int, num_photographs: int) -> None:
    """Store a section and photographs of noise."""
    settings, rng = Settings(home=home, is_local=True), np.random.default_rng(0)
    store(side, str(home / "section"), settings, num_genes)
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
    release, weights = release_of(NETWORK)
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
