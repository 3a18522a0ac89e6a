"""A benchmark: sections times methods times phases times seeds, every cell run once, one table, some figures.

Named here in order is everything that is done; how stands in `recipes/benchmark/`. A cell that is finished is never run
again: it is found by a key made of code, configuration and data, whichever benchmark asked for it first.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from s2s import __version__
from s2s.contracts.benchmark import BenchmarkCell, BenchmarkConfig, BenchmarkReport, BenchmarkRow, CellResult
from s2s.contracts.settings import Settings
from s2s.errors import MissingError
from s2s.evaluation.benchmark_table import benchmark_markdown, benchmark_parquet, cells_parquet
from s2s.recipes.benchmark.cell import find_result, forget_cell
from s2s.recipes.benchmark.here import Tell, run_cells_here
from s2s.recipes.benchmark.plan import Plan, check_section, make_plan
from s2s.recipes.benchmark.records import open_benchmark_tracker, record_rows, record_table
from s2s.recipes.benchmark.rows import Outcomes, gather
from s2s.recipes.benchmark.summary import SectionSummary, draw_figures, summarise_section
from s2s.recipes.run import FINISHED_BEFORE, Progress, silent
from s2s.storage.location import join
from s2s.storage.objects import delete_prefix, read_bytes, write_bytes

RunCells = Callable[[Sequence[BenchmarkCell], Settings, Tell], dict[str, str]]
"""Runs cells somewhere; returns key -> why of those that left no result."""

READERS = 16
"""Results that are looked up at once."""


def benchmark(
    config: BenchmarkConfig, settings: Settings, on_progress: Progress = silent, run_cells: RunCells = run_cells_here
) -> BenchmarkReport:
    """Run what has not been run of a benchmark, and make its table and figures.

    Interrupted, it goes on with the first unfinished cell; finished before, it gives its report at once.

    Args:
        config: Resolved from a YAML.
        settings: Where S3 and MLflow are, or `--local`.
        on_progress: Told how many cells are done and which is at work.
        run_cells: Where cells are run.

    Raises:
        ConfigError: a method that does not exist; the nearest is named.
        MissingError: no such section, file or gene.
        InputError: a section that no method could impute: sparse, without genes, too small.
        StorageError: S3 cannot be reached.

    Reads:
        The sections.

    Writes:
        Cells, table, figures and report below `benchmarks/`; one MLflow run, and one below it per row.
    """
    started = time.monotonic()
    plan = make_plan(config, settings, on_progress)
    if (report := _finished(plan, settings)) is not None:
        on_progress(FINISHED_BEFORE, 1, 1)
        return report
    results = _find_results(plan.distinct_cells, settings)
    missing = [cell for cell in plan.distinct_cells if cell.key not in results]
    _check_sections(plan, missing, on_progress)

    with open_benchmark_tracker(plan, settings) as tracker:
        # Every cell in a process of its own, where `run_cells` says.
        total, before = len(plan.distinct_cells), len(results)
        lost = run_cells(missing, settings, lambda done, note: on_progress("cells", before + done, total, note)) if missing else {}
        results |= _find_results(missing, settings)

        # One section after another: means, differences with their intervals, and what the figures show.
        outcomes = gather(plan, results, lost)
        summaries = _summaries(plan, outcomes, settings, on_progress)
        rows = tuple(row for summary in summaries for row in summary.rows)
        files = _files(plan, outcomes, rows, summaries)
        record_table(tracker, rows, files)
    record_rows(plan, tracker, rows, settings)

    report = BenchmarkReport(
        benchmark_key=plan.key,
        config=config,
        reference=config.reference_label,
        code_version=__version__,
        rows=rows,
        num_cells=len(plan.distinct_cells),
        num_cells_run=len(missing),
        seconds=time.monotonic() - started,
        mlflow_run_id=tracker.receipt.run_id,
        artifacts={name: _write(plan, name, data, settings) for name, data in files.items()},
    )
    if not lost:  # a cell that was lost is tried again by the same command
        _write(plan, "report.json", report.model_dump_json(indent=2).encode(), settings)
    return report


def forget_benchmark(config: BenchmarkConfig, settings: Settings, on_progress: Progress = silent) -> None:
    """Delete the cells and the report of a benchmark, so that it starts anew; other benchmarks lose the cells they share.

    Raises:
        ConfigError: a method that does not exist.
        MissingError: no such section or file.
    """
    plan = make_plan(config, settings, on_progress)
    delete_prefix(_folder(plan, settings), settings)
    for done, cell in enumerate(plan.distinct_cells):
        on_progress("forget", done, len(plan.distinct_cells))
        forget_cell(cell.key, settings)


def _find_results(cells: Sequence[BenchmarkCell], settings: Settings) -> dict[str, CellResult]:
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        found = pool.map(lambda cell: find_result(cell.key, settings), cells)
        return {cell.key: result for cell, result in zip(cells, found, strict=True) if result is not None}


def _check_sections(plan: Plan, missing: Sequence[BenchmarkCell], on_progress: Progress) -> None:
    firsts = {cell.section: cell for cell in reversed(missing)}
    for done, section in enumerate(section for section in plan.sections.values() if section.uri in firsts):
        on_progress("check sections", done, len(firsts), section.meta.id)
        check_section(section, firsts[section.uri])


def _summaries(plan: Plan, outcomes: Sequence[Outcomes], settings: Settings, on_progress: Progress) -> list[SectionSummary]:
    summaries = []
    for done, label in enumerate(plan.sections):
        on_progress("compare", done, len(plan.sections), label)
        summaries.append(summarise_section(plan, label, [item for item in outcomes if item.section == label], settings))
    return summaries


def _files(plan: Plan, outcomes: Sequence[Outcomes], rows: Sequence[BenchmarkRow], summaries: Sequence[SectionSummary]) -> dict[str, bytes]:
    cells = [(item.section, item.method, result) for item in outcomes for result in item.results]
    return {
        "table.md": benchmark_markdown(rows, plan.config.bootstrap).encode(),
        "table.parquet": benchmark_parquet(rows),
        "cells.parquet": cells_parquet(cells),
        **draw_figures(plan, summaries),
    }


def _finished(plan: Plan, settings: Settings) -> BenchmarkReport | None:
    try:
        return BenchmarkReport.model_validate_json(read_bytes(join(_folder(plan, settings), "report.json"), settings))
    except MissingError:
        return None


def _folder(plan: Plan, settings: Settings) -> str:
    return join(settings.root, "benchmarks", "reports", plan.key)


def _write(plan: Plan, name: str, data: bytes, settings: Settings) -> str:
    uri = join(_folder(plan, settings), name)
    write_bytes(uri, data, settings)
    return uri
