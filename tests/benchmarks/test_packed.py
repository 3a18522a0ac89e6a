"""Sixteen genes, a network each: one run that trains them all against sixteen runs one after another, at equal steps, in one process.

Whole runs, each of which opens, reads, trains, imputes, scores and records; and the training loops alone, which say what stacking brings
beside what is won by doing the rest once. The sixteen runs stand between two of the one, so that a machine that changes its pace favours
neither.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from s2s.contracts.loading import Tree, merge, read_preset
from s2s.contracts.run import RunConfig
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.profiling import StageClock
from s2s.recipes.run import silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source

NUM_GENES, SIDE = 16, 64
LAPTOP = read_preset("laptop")
PAPER = {
    "network": read_preset("paper")["network"] | {"features": 8, "growth": 8, "blocks": 1, "layers": 2},
    "training": {"batch": 4, "learning_rate": 1e-3, "max_steps": 100, "validate_every": 50},
}
FORMS = {
    "paper-smaller, windows of 16": merge(PAPER, {"training": {"window": 16}}),  # 2,560 bins a step: packs of six
    "paper-smaller, windows of 32": merge(PAPER, {"training": {"window": 32}}),  # 10,240: no room for a second
    "laptop": merge(LAPTOP, {"training": {"max_steps": 40, "validate_every": 40}}),  # 32,768
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds of a run, and of its training loop after the first step."""

    whole: float
    loop: float


def run(form: Tree, section: str, scheme: str, genes: list[str], settings: Settings) -> Took:
    given = {"name": f"{scheme}-{len(genes)}", "section": section, "genes": {"names": genes}, "tracking": {"register_model": False}}
    resources = {"training": {"precision": "float32", "scheme": scheme}, "resources": {"cpus": torch.get_num_threads()}}
    config = RunConfig.model_validate(merge(merge(form, resources), given))
    clock, started = StageClock(silent), time.perf_counter()
    single_shot(config, settings, clock)
    return Took(whole=time.perf_counter() - started, loop=clock.seconds["train"])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in FORMS])
def test_packed_against_one_after_another(benchmark, name: str) -> None:
    form, found = FORMS[name], dict[str, float]()

    def measure() -> None:
        with tempfile.TemporaryDirectory() as home:
            homes = [Settings(home=Path(home, str(number)), is_local=True) for number in range(3)]
            sections = [
                open_source(SyntheticTissue(kind="layers", height=SIDE, width=SIDE, num_genes=2 * NUM_GENES), settings, silent)
                for settings in homes
            ]
            genes = [str(gene) for gene in sections[0].genes[:NUM_GENES]]
            warm = merge(form, {"training": {"max_steps": 2}})
            for settings, section in zip(homes, sections, strict=True):  # libraries, photographs, MLflow's tables
                run(warm, section.uri, "per_gene", genes[:6], settings)
            first = run(form, sections[0].uri, "per_gene", genes, homes[0])
            alone = [run(form, sections[1].uri, "shared", [gene], homes[1]) for gene in genes]
            last = run(form, sections[2].uri, "per_gene", genes, homes[2])
            for part in ("whole", "loop"):
                each, both = [getattr(took, part) for took in alone], [getattr(took, part) for took in (first, last)]
                found[f"{part}, one after another, s"] = sum(each)
                found[f"{part}, one run, s"] = statistics.mean(both)
                found[f"{part}, x"] = sum(each) / statistics.mean(both)
                found[f"{part}, x at least"], found[f"{part}, x at most"] = sum(each) / max(both), sum(each) / min(both)
                found[f"{part}, median of a single, s"] = statistics.median(each)

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 3) for name, value in found.items()} | {"threads": torch.get_num_threads()}
    print(json.dumps({"form": name, **benchmark.extra_info}))  # noqa: T201
