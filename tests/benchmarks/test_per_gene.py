"""One network for all genes of a section against one network per gene, as the paper trains: seconds per gene and accuracy, at equal steps.

Twice: preset `laptop`, and a network of the paper's form, smaller. Both ways are whole runs of this process, each reading, training,
imputing and scoring on positions that neither saw; of the runs per gene only some are done, their genes evenly spread.
"""

import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2s.contracts.loading import Tree, merge, read_preset
from s2s.contracts.run import GeneConfig, RunConfig, RunReport
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.run import silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source
from s2s.storage.objects import read_bytes

NUM_GENES, SIDE, STEPS = 300, 96, 400
LAPTOP = read_preset("laptop")
PAPER = {
    "network": read_preset("paper")["network"] | {"features": 8, "growth": 8, "blocks": 1, "layers": 2},
    "training": {"batch": 4, "window": 32, "learning_rate": 1e-3, "validate_every": 200},
}


def run(form: Tree, section: str, genes: GeneConfig, settings: Settings, steps: int = STEPS) -> tuple[RunReport, pd.DataFrame]:
    """Train, impute, score; the report, and what the run itself scored on each gene."""
    given = {"name": "per-gene", "section": section, "genes": genes, "tracking": {"register_model": False}}
    training = {"training": {"max_steps": steps, "precision": "float32"}}
    config = RunConfig.model_validate(merge(merge(form, training), given))
    report = single_shot(config, settings)
    table = pd.read_parquet(io.BytesIO(read_bytes(report.artifacts["genes.parquet"], settings)))
    return report, table[table["method"] == report.scores[0].method].set_index("gene")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("form", "some_genes"), [pytest.param(LAPTOP, 8, id="laptop"), pytest.param(PAPER, 3, id="paper-smaller")])
def test_shared_against_per_gene(benchmark, form: Tree, some_genes: int) -> None:
    found: dict[str, float] = {}

    def measure() -> None:
        with tempfile.TemporaryDirectory() as home:
            settings = Settings(home=Path(home), is_local=True)
            tissue = SyntheticTissue(kind="layers", height=SIDE, width=SIDE, num_genes=NUM_GENES)
            section = open_source(tissue, settings, silent)
            run(form, section.uri, GeneConfig(limit=4), settings, steps=4)  # libraries, photographs
            started = time.perf_counter()
            report, shared = run(form, section.uri, GeneConfig(), settings)
            of_all = time.perf_counter() - started
            some = [shared.index[place] for place in np.linspace(0, len(shared) - 1, some_genes).round().astype(int)]
            started = time.perf_counter()
            alone = [run(form, section.uri, GeneConfig(names=(gene,)), settings)[1] for gene in some]
            of_one = (time.perf_counter() - started) / some_genes
            found["genes"] = len(shared)
            found["shared, s"], found["per gene, s"] = of_all, of_one
            found["per gene, x shared"] = of_one / (of_all / len(shared))
            found["steps, shared"] = report.steps
            for score in ("pcc", "mae", "rmse"):
                found[f"{score}, shared"] = float(shared.loc[some, score].mean())
                found[f"{score}, per gene"] = float(pd.concat(alone).loc[some, score].mean())

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 4) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201
