"""The table of a benchmark as Markdown for readers and as Parquet for programs."""

import io
from collections.abc import Iterable, Sequence

import pandas as pd

from s2s.contracts.benchmark import BenchmarkRow, BootstrapConfig, CellResult, Difference
from s2s.evaluation.tables import COLUMNS, aligned_table

HEADLINE_LEVEL = 0.9
"""Nominal level whose measured coverage stands in the table; the others stand in the figure and in the Parquet file."""

WITH_SPREAD = {"pcc": "pcc_spread", "rmse": "rmse_spread"}
NONE = "-"
MEGABYTE = 1_000_000


def benchmark_markdown(rows: Sequence[BenchmarkRow], bootstrap: BootstrapConfig) -> str:
    """Render one table per section, the best of each column in bold, what failed as a dash with a footnote.

    Args:
        rows: Of every section, in the order of the tables.
        bootstrap: Named below the tables.
    """
    sections = dict.fromkeys(row.section for row in rows)
    parts = [_section_markdown(name, [row for row in rows if row.section == name]) for name in sections]
    notes = (
        "Means over genes, phases and seeds on held-out bins; ± standard deviation over seeds. Δ: the row minus the reference, with the "
        f"95 % interval of a paired bootstrap ({bootstrap.resamples} draws of blocks of {bootstrap.block} x {bootstrap.block} bins). "
        "Seconds: one cell, training included. MB: largest resident memory of a cell's process."
    )
    return "\n\n".join([*parts, notes]) + "\n"


def benchmark_parquet(rows: Iterable[BenchmarkRow]) -> bytes:
    """Encode the rows, one line each: nested values get names joined by underscores, coverage one column per level."""
    return _parquet(_row_record(row) for row in rows)


def cells_parquet(named: Iterable[tuple[str, str, CellResult]]) -> bytes:
    """Encode every cell, one line each.

    Args:
        named: Label of the section, label of the method, and the result.
    """
    return _parquet(_cell_record(section, method, result) for section, method, result in named)


def coverage_at(row: BenchmarkRow, level: float) -> float | None:
    """Measured coverage of a nominal level; None where the row has none."""
    return next((item.measured for item in row.coverage if abs(item.level - level) < 1e-6), None)


def _section_markdown(name: str, rows: Sequence[BenchmarkRow]) -> str:
    scored = [row.score for row in rows if row.score is not None]
    columns = [column for column in COLUMNS if column[0] != "ssim" and any(getattr(score, column[0]) is not None for score in scored)]
    best = {field: _best([getattr(score, field) for score in scored], sign) for field, _, sign in columns}
    has_coverage = any(row.coverage for row in rows)
    has_differences = any(row.pcc_difference for row in rows)
    headings = [_heading(title, field, rows) for field, title, _ in columns]
    head = [
        "method",
        *headings,
        *(["coverage of 90 %"] if has_coverage else []),
        "seconds",
        "MB",
        *(["Δ PCC", "Δ RMSE"] if has_differences else []),
    ]
    cells: list[list[str]] = [head]
    notes: list[str] = []
    for row in rows:
        if row.failure is not None:
            notes.append(
                f"[{len(notes) + 1}] {row.method}: {row.num_failed} of {row.num_cells} cells failed: {' '.join(row.failure.split())}"
            )
        mark = f" [{len(notes)}]" if row.failure is not None else ""
        line = [f"{row.method}{' (reference)' if row.is_reference else ''}{mark}"]
        line += [_score_cell(row, field, best[field]) for field, _, _ in columns]
        line += [_number(coverage_at(row, HEADLINE_LEVEL), 3)] if has_coverage else []
        line += [_seconds(row), NONE if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / MEGABYTE:.0f}"]
        line += [_difference(row.pcc_difference), _difference(row.rmse_difference)] if has_differences else []
        cells.append(line)
    return "\n\n".join([f"### {name}", aligned_table(cells), *notes])


def _heading(title: str, field: str, rows: Sequence[BenchmarkRow]) -> str:
    if field != "moran_imputed":
        return title
    truth = next((row.score.moran_truth for row in rows if row.score and row.score.moran_truth is not None), None)
    return title if truth is None else f"{title} (truth {truth:.3f})"


def _best(values: Sequence[float | None], sign: int) -> float | None:
    present = [sign * round(value, 4) for value in values if value is not None]
    return sign * max(present) if sign and present else None


def _score_cell(row: BenchmarkRow, field: str, best: float | None) -> str:
    value = getattr(row.score, field) if row.score else None
    if value is None:
        return NONE
    text = _number(value, 4)
    text = f"**{text}**" if best is not None and round(value, 4) == best else text
    spread = getattr(row, WITH_SPREAD[field]) if field in WITH_SPREAD else None
    return text if spread is None else f"{text} ± {spread:.4f}"


def _number(value: float | None, digits: int) -> str:
    # + 0.0 turns a rounded -0.0 into 0.0.
    return NONE if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _seconds(row: BenchmarkRow) -> str:
    if row.score is None:
        return NONE
    return f"{row.score.seconds:.2f}" if row.score.seconds < 10 else f"{row.score.seconds:.0f}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return NONE
    value, lower, upper = (f"{round(number, 4) + 0.0:+.4f}" for number in (difference.value, difference.lower, difference.upper))
    return f"{value} [{lower}, {upper}]"


def _row_record(row: BenchmarkRow) -> dict[str, object]:
    record = row.model_dump(exclude={"score", "coverage", "pcc_difference", "rmse_difference"})
    record |= {} if row.score is None else row.score.model_dump(exclude={"method"})
    for name, difference in (("pcc_difference", row.pcc_difference), ("rmse_difference", row.rmse_difference)):
        record |= {} if difference is None else {f"{name}_{key}": value for key, value in difference.model_dump().items()}
    return record | {f"coverage_{item.level:g}": item.measured for item in row.coverage}


def _cell_record(section: str, method: str, result: CellResult) -> dict[str, object]:
    cell = result.cell
    record: dict[str, object] = {
        "section": section,
        "method": method,
        "phase_y": cell.phase[0],
        "phase_x": cell.phase[1],
        "seed": cell.seed,
        "key": cell.key,
        "failure": result.failure,
        "peak_memory_bytes": result.peak_memory_bytes,
        "device": result.device,
        "code_version": result.code_version,
    }
    record |= {"seconds": result.seconds} if result.score is None else result.score.model_dump(exclude={"method"})
    return record | {f"coverage_{item.level:g}": item.measured for item in result.coverage}


def _parquet(records: Iterable[dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(list(records)).to_parquet(buffer, index=False)
    return buffer.getvalue()
