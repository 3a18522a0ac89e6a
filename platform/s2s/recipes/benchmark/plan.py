"""From a benchmark's YAML to its cells: every one with its key, before any of them is run.

Decision: everything that can be known to be wrong is found here (a method that does not exist, a section that is sparse
or has no genes), at the price of one reading of each section that still has work to do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from s2s import __version__
from s2s.contracts.benchmark import BenchmarkCell, BenchmarkConfig, BenchmarkSection, NetworkMethod, Phase
from s2s.contracts.loading import network_run
from s2s.contracts.run import SamplingConfig
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.evaluation.baselines import baseline_named
from s2s.recipes.benchmark.fingerprint import code_fingerprint
from s2s.recipes.methods import is_trained
from s2s.recipes.run import SECTION_IN_KEY, Progress, Run, key_of, silent
from s2s.recipes.sources import open_run, open_source
from s2s.storage.sections import Section
from s2s.streaming.sections import measure_with_truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a benchmark is going to do.

    Attributes:
        config: Resolved.
        sections: Label -> open section.
        cells: `(section, method)` labels -> cells, in the order of the table.
    """

    config: BenchmarkConfig
    sections: Mapping[str, Section]
    cells: Mapping[tuple[str, str], tuple[BenchmarkCell, ...]]

    @property
    def distinct_cells(self) -> tuple[BenchmarkCell, ...]:
        """Every key once: two rows may ask for the same."""
        return tuple({cell.key: cell for cells in self.cells.values() for cell in cells}.values())

    @property
    def key(self) -> str:
        """16 hexadecimal digits: the same for the same rows, compared in the same way, under the same name."""
        what = {
            "name": [self.config.name, self.config.tracking.experiment],
            "rows": [[*labels, [cell.key for cell in cells]] for labels, cells in self.cells.items()],
            "reference": self.config.reference_label,
            "bootstrap": self.config.bootstrap.model_dump(),
        }
        return key_of(what)


def make_plan(config: BenchmarkConfig, settings: Settings, on_progress: Progress) -> Plan:
    """Open every section and name every cell.

    Args:
        config: Resolved.
        settings: Where sections lie.
        on_progress: Told about files that are ingested.

    Raises:
        ConfigError: a method that is neither a baseline nor a network; the nearest baseline is named.
        MissingError: no such section, file, photographs or preset.
        ExistsError: the id of a section is taken by other data.
        InputError: a section was measured sparsely, so that nothing of it is held out.

    Writes:
        Sections whose file was named, synthetic ones, and the bundled photographs, on first use.
    """
    for method in config.methods:
        if isinstance(method, str):
            baseline_named(method)
    sections: dict[str, Section] = {}
    for wanted in config.sections:
        sections[wanted.label] = section = open_source(wanted.section, settings, on_progress)
        if section.meta.lattice.stride != 1:
            raise InputError(
                f"expected fully measured sections to hold bins out of, {section.uri} was measured at stride "
                f"{section.meta.lattice.stride}; leave it out of the benchmark"
            )
    cells = {
        (wanted.label, label): tuple(_cells(config, wanted, method, sections[wanted.label], settings))
        for wanted in config.sections
        for label, method in zip(config.labels, config.methods, strict=True)
    }
    return Plan(config=config, sections=sections, cells=cells)


def check_section(section: Section, cell: BenchmarkCell) -> None:
    """Refuse a section that no method could impute as asked.

    Raises:
        InputError: no observed bin with counts, no gene passes the choice, or nothing is held out.
        MissingError: a gene asked for by name is not in the section.

    Reads:
        The section once.
    """
    _, truth = measure_with_truth(section, SamplingConfig(phase=cell.phase), cell.genes)
    if truth is None or not truth.positions.any():
        height, width = section.meta.shape
        raise InputError(
            f"expected bins to hold out in {section.uri}, but on its grid of {height} x {width} all tissue is sampled at phase "
            f"{cell.phase}; it is too small for a benchmark"
        )


def _cells(
    config: BenchmarkConfig, wanted: BenchmarkSection, method: str | NetworkMethod, section: Section, settings: Settings
) -> Iterator[BenchmarkCell]:
    label = method if isinstance(method, str) else method.name
    seeds = config.seeds if isinstance(method, NetworkMethod) or is_trained(method) else (0,)
    run: Run | None = None
    for phase, seed in ((phase, seed) for phase in config.phases for seed in seeds):
        cell = BenchmarkCell(
            key="0" * 16, section=section.uri, genes=wanted.genes, phase=phase, seed=seed, method=label, resources=config.resources
        )
        if isinstance(method, str):
            yield cell.model_copy(update={"key": _baseline_key(section, wanted, method, phase, seed)})
            continue
        resolved = network_run(method, cell)
        run = replace(run, config=resolved) if run else open_run(resolved, settings, silent)
        yield cell.model_copy(
            update={
                "key": key_of({"code": code_fingerprint(is_network=True), "run": run.key}),
                "network": resolved,
                "resources": resolved.resources,
            }
        )


def _baseline_key(section: Section, wanted: BenchmarkSection, name: str, phase: Phase, seed: int) -> str:
    what = {
        "code": [__version__, code_fingerprint(is_network=False)],
        "baseline": name,
        "genes": wanted.genes.model_dump(mode="json"),
        "phase": phase,
        "seed": seed,
        "section": section.meta.model_dump(mode="json", include=SECTION_IN_KEY),
    }
    return key_of(what)
