"""Sixteen genes, a network each: one run that trains them all against sixteen runs one after another, at equal steps, in one process.

Whole runs, each of which opens, reads, trains, imputes, scores and records; and the training loops alone, which say what stacking brings
beside what is won by doing the rest once. Single runs stand between two of the one, so that a change of the machine's pace favours neither;
of some forms only a few are done, their genes evenly spread, and counted as sixteen. Processor time is told beside wall time, for machines
that others use too.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from s2s.contracts.loading import Tree, merge, read_preset
from s2s.contracts.run import RunConfig
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.run import silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source

NUM_GENES, SIDE = 16, 64
PAPER = {
    "network": read_preset("paper")["network"] | {"features": 8, "growth": 8, "blocks": 1, "layers": 2},
    "training": {"batch": 4, "learning_rate": 1e-3, "max_steps": 30, "validate_every": 15},
}
SMALL_WINDOWS = merge(PAPER, {"training": {"window": 16}})
LARGE_WINDOWS = merge(PAPER, {"training": {"window": 32}})
LAPTOP = merge(read_preset("laptop"), {"training": {"max_steps": 10, "validate_every": 10}})


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@dataclass
class Loop:
    """Wall and processor time of the steps of a run, without the first of a training and what is done between trainings."""

    steps: int
    took: tuple[float, float] = (0.0, 0.0)
    last: tuple[float, float] = (0.0, 0.0)

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage != "train":
            return
        at = now()
        if (done - 1) % self.steps:
            self.took = (self.took[0] + at[0] - self.last[0], self.took[1] + at[1] - self.last[1])
        self.last = at


def run(form: Tree, section: str, genes: list[str], settings: Settings) -> dict[str, float]:
    """Seconds of a run, and of its loop; with several genes of scheme per_gene."""
    scheme = "per_gene" if len(genes) > 1 else "shared"
    given = {"name": scheme, "section": section, "genes": {"names": genes}, "tracking": {"register_model": False}}
    config = RunConfig.model_validate(merge(merge(form, {"training": {"precision": "float32", "scheme": scheme}}), given))
    loop, started = Loop(config.training.max_steps), now()
    single_shot(config, settings, loop)
    spans = {"whole": tuple(b - a for a, b in zip(started, now(), strict=True)), "loop": loop.took}
    return {f"{part}, {kind}": took[i] for part, took in spans.items() for i, kind in enumerate(("wall s", "processor s"))}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(
    ("form", "num_alone"),
    [
        pytest.param(SMALL_WINDOWS, NUM_GENES, id="windows-of-16"),  # 2,560 bins a step: four packs of four
        pytest.param(LARGE_WINDOWS, 4, id="windows-of-32"),  # 10,240: no room for a second
        pytest.param(LAPTOP, 4, id="laptop"),  # 32,768
    ],
)
def test_packed_against_one_after_another(benchmark, form: Tree, num_alone: int, cores: int) -> None:
    form = merge(form, {"resources": {"cpus": cores}})
    found: dict[str, float] = {"cores": cores}

    def measure() -> None:
        with tempfile.TemporaryDirectory() as home:
            homes = [Settings(home=Path(home, str(number)), is_local=True) for number in range(2)]
            tissue = SyntheticTissue(kind="layers", height=SIDE, width=SIDE, num_genes=2 * NUM_GENES)
            sections = [open_source(tissue, settings, silent) for settings in homes]
            genes = [str(gene) for gene in sections[0].genes[:NUM_GENES]]
            warm = merge(form, {"training": {"max_steps": 2}})
            for section, settings in zip(sections, homes, strict=True):  # libraries, photographs, MLflow's tables
                run(warm, section.uri, genes[:1], settings)
            some = [genes[place] for place in np.linspace(0, NUM_GENES - 1, num_alone).round().astype(int)]
            together = [run(form, sections[0].uri, genes, homes[0])]
            alone = [run(form, sections[0].uri, [gene], homes[0]) for gene in some]
            together.append(run(form, sections[1].uri, genes, homes[1]))
            for part in together[0] if cores == 1 else ("whole, wall s", "whole, processor s"):  # several loops go on at once
                singles, ones = [took[part] for took in alone], [took[part] for took in together]
                found[f"{part}, one after another"] = NUM_GENES * statistics.mean(singles)
                found[f"{part}, one after another, by the median"] = NUM_GENES * statistics.median(singles)
                found[f"{part}, one run, first"], found[f"{part}, one run, last"] = ones
                found[f"{part}, x"] = NUM_GENES * statistics.mean(singles) / statistics.mean(ones)

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 3) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201


@pytest.mark.timeout(1800)
def test_one_command_against_sixteen(benchmark) -> None:
    """The same as somebody at a terminal has it: `s2s train --local`, in a process each, which starts and imports as well."""
    found: dict[str, float] = {}

    def say(folder: Path, tree: Tree) -> tuple[float, float]:
        path = folder / f"{tree['name']}.yaml"
        path.write_text(yaml.safe_dump({"kind": "run", "version": 1, **tree}))
        words = (sys.executable, "-m", "s2s", "train", str(path), "--local", "--out", str(folder / str(tree["name"])))
        environment = {**os.environ, "S2S_HOME": str(folder), "OMP_NUM_THREADS": "1"}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def measure() -> None:
        with tempfile.TemporaryDirectory() as home:
            tissue = SyntheticTissue(kind="layers", height=SIDE, width=SIDE, num_genes=2 * NUM_GENES)
            section = open_source(tissue, Settings(home=Path(home), is_local=True), silent)
            usual = {"section": section.uri, "tracking": {"register_model": False}, "resources": {"cpus": 1}}
            form = merge(merge(SMALL_WINDOWS, usual), {"training": {"precision": "float32"}})
            say(Path(home), merge(form, {"name": "warm", "genes": {"names": [section.genes[0]]}, "training": {"max_steps": 2}}))
            genes = [str(gene) for gene in section.genes[:NUM_GENES]]
            packed = merge(form, {"genes": {"names": genes}, "training": {"scheme": "per_gene"}})
            together = [say(Path(home), merge(packed, {"name": "first"}))]
            alone = [say(Path(home), merge(form, {"name": f"alone-{gene.lower()}", "genes": {"names": [gene]}})) for gene in genes]
            together.append(say(Path(home), merge(packed, {"name": "last", "seed": 1})))
            for kind, index in (("wall s", 0), ("processor s", 1)):
                singles, ones = sum(took[index] for took in alone), statistics.mean(took[index] for took in together)
                found[f"{kind}, sixteen commands"], found[f"{kind}, one command"], found[f"{kind}, x"] = singles, ones, singles / ones

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 3) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201
