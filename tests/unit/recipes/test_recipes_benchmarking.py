"""The story of a benchmark with its cells run in this process: what is run, what is found, what is tried again."""

import pytest

from s2s.contracts.benchmark import BenchmarkConfig
from s2s.errors import InputError
from s2s.recipes.benchmark.cell import cell_folder, run_cell
from s2s.recipes.benchmarking import benchmark, forget_benchmark
from s2s.recipes.run import silent
from s2s.storage.location import join
from s2s.storage.objects import list_names, read_bytes


class Here:
    """Runs cells in this process, and remembers which; those of a method that is `away` are lost."""

    def __init__(self, away: str = "") -> None:
        self.ran: list[tuple[str, tuple[int, int]]] = []
        self.away = away

    def __call__(self, cells, settings, tell) -> dict[str, str]:
        for done, cell in enumerate(cells):
            tell(done, cell.method)
            self.ran.append((cell.method, cell.phase))
            if cell.method != self.away:
                run_cell(cell, settings)
        return {cell.key: "the store is gone" for cell in cells if cell.method == self.away}


@pytest.fixture
def config_of(make_section):
    uri = make_section().uri

    def make(methods=("zero", "nearest"), **changes) -> BenchmarkConfig:
        section = {"section": uri, "genes": {"min_detected": 0}}
        tree = {"name": "b", "sections": [section], "methods": methods, "phases": [[0, 0], [1, 1]], **changes}
        return BenchmarkConfig.model_validate({**tree, "bootstrap": {"resamples": 100, "block": 3}})

    return make


def test_a_finished_benchmark_runs_nothing_and_gives_the_same_report(config_of, settings) -> None:
    here = Here()
    report = benchmark(config_of(), settings, run_cells=here)
    assert here.ran == [("zero", (0, 0)), ("zero", (1, 1)), ("nearest", (0, 0)), ("nearest", (1, 1))]
    stages = []
    assert benchmark(config_of(), settings, lambda *words: stages.append(words[0]), run_cells=here) == report
    assert (len(here.ran), stages) == (4, ["finished before; --again trains anew"])
    assert b"| nearest" in read_bytes(report.artifacts["table.md"], settings)


def test_another_benchmark_runs_only_the_cells_that_are_new(config_of, settings) -> None:
    benchmark(config_of(), settings, run_cells=Here())
    here = Here()
    report = benchmark(config_of(["zero", "mean"], phases=[[1, 1], [0, 1]], name="other"), settings, run_cells=here)
    assert here.ran == [("zero", (0, 1)), ("mean", (1, 1)), ("mean", (0, 1))]
    assert (report.num_cells, report.num_cells_run) == (4, 3)


def test_a_lost_cell_is_a_dash_and_is_tried_again(config_of, settings) -> None:
    report = benchmark(config_of(), settings, run_cells=Here(away="nearest"))
    zero, nearest = report.rows
    assert zero.score is not None
    assert (nearest.score, nearest.failure, nearest.num_failed) == (None, "the store is gone", 2)
    here = Here()
    again = benchmark(config_of(), settings, run_cells=here)
    assert here.ran == [("nearest", (0, 0)), ("nearest", (1, 1))]
    assert again.rows[1].score is not None


def test_a_forgotten_benchmark_starts_anew_and_leaves_others_alone(config_of, settings) -> None:
    first = benchmark(config_of(["zero"]), settings, run_cells=Here())
    other = benchmark(config_of(["mean"], name="other"), settings, run_cells=Here())
    forget_benchmark(config_of(["zero"]), settings)
    cells = list_names(join(settings.root, "benchmarks", "cells"), settings)
    assert len(cells) == 2
    here = Here()
    assert benchmark(config_of(["zero"]), settings, run_cells=here).rows[0].score is not None
    assert len(here.ran) == 2
    assert first.benchmark_key != other.benchmark_key
    assert benchmark(config_of(["mean"], name="other"), settings, silent, Here()) == other


def test_a_method_alone_has_a_table_without_differences(config_of, settings) -> None:
    report = benchmark(config_of(["nearest"]), settings, run_cells=Here())
    assert report.rows[0].pcc_difference is None
    assert set(report.artifacts) == {"table.md", "table.parquet", "cells.parquet", "accuracy_cost.png"}


def test_no_cell_is_run_where_no_gene_can_be_chosen(config_of, make_section, settings) -> None:
    here = Here()
    sections = [{"section": make_section().uri, "genes": {"min_detected": 1.0}}]
    with pytest.raises(InputError, match=r"lower genes\.min_detected"):
        benchmark(config_of(sections=sections), settings, run_cells=here)
    assert here.ran == []
    assert list_names(cell_folder("", settings), settings) == []
