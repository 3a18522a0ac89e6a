"""Scores as text for a terminal or a README, and as Parquet for whoever wants every gene. Plain: no colour, no terminal library."""

import io
from collections.abc import Sequence

import pandas as pd

from s2s.contracts.panel import PanelReport
from s2s.contracts.run import ScoreRow
from s2s.evaluation.protocol import GeneScores

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("pcc", "PCC", 1),
    ("mae", "MAE", -1),
    ("median_mae", "MAE of median", -1),
    ("rmse", "RMSE", -1),
    ("marker_pcc", "PCC markers", 1),
    ("marker_mae", "MAE markers", -1),
    ("marker_rmse", "RMSE markers", -1),
    ("ssim", "SSIM", 1),
    ("moran_imputed", "Moran's I", 0),
)
"""Field of `ScoreRow`, heading, and whether more (1), less (-1) or neither (0) is better."""


MARKS = {"bicubic_misregistered": "half a bin off"}
"""What a reader must know of a method beside its name."""


def markdown_table(rows: Sequence[ScoreRow]) -> str:
    """Render scores as an aligned Markdown table, the best of each column in bold.

    Columns that no row fills are left out. Moran's I has no best: the truth's stands in its heading.

    Args:
        rows: At least one; the order is kept.
    """
    columns = [column for column in COLUMNS if any(getattr(row, column[0]) is not None for row in rows)]
    cells = [["method", *(_heading(column, rows) for column in columns), "seconds"]]
    best = {field: _best(rows, field, sign) for field, _, sign in columns}
    for row in rows:
        cells.append([_label(row.method), *(_cell(getattr(row, field), best[field]) for field, _, _ in columns), f"{row.seconds:.2f}"])
    return aligned_table(cells)


def panel_table(reports: Sequence[PanelReport]) -> str:
    """Render reviewers' panels as an aligned Markdown table, a row per method.

    Nothing is in bold: which of these figures matters is the reader's question.

    Args:
        reports: At least one, of the same held-out bins; the order is kept.
    """
    rows = [_panel_cells(report) for report in reports]
    return aligned_table([list(rows[0]), *(list(row.values()) for row in rows)])


def aligned_table(cells: Sequence[Sequence[str]]) -> str:
    """Render cells as an aligned Markdown table: the first column to the left, all others to the right.

    Args:
        cells: The heading, then the rows, all of one length.
    """
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = [
        "| " + " | ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) + " |"
        for line in cells
    ]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def gene_parquet(scores: Sequence[GeneScores]) -> bytes:
    """Encode every method's per-gene table as one Parquet file, with a leading column `method`.

    Args:
        scores: At least one method.
    """
    tables = []
    for scored in scores:
        table = scored.table.copy()
        table.insert(0, "method", scored.name)
        tables.append(table)
    buffer = io.BytesIO()
    pd.concat(tables, ignore_index=True).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _label(method: str) -> str:
    return f"{method} ({MARKS[method]})" if method in MARKS else method


def _number(value: float | None) -> str:
    # + 0.0 turns a rounded -0.0 into 0.0.
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"


def _panel_cells(report: PanelReport) -> dict[str, str]:
    """Heading and cell of every column. SVG: spatially variable genes."""
    pairs, permuted = report.gene_correlation, report.permuted_genes
    return {
        "method": report.method,
        "Moran's I bias": _number(report.moran.bias),
        "SVG precision": _number(report.variable_genes.precision),
        "SVG recall": _number(report.variable_genes.recall),
        "ARI": _number(report.clusters.ari),
        "NMI": _number(report.clusters.nmi),
        "clusters (truth)": f"{report.clusters.in_imputed} ({report.clusters.in_truth})",
        "gene-gene distortion": _number(pairs.distortion if pairs else None),
        "Mantel": _number(pairs.mantel if pairs else None),
        "PCC": _number(permuted.pcc if permuted else None),
        "PCC permuted": _number(permuted.pcc_permuted if permuted else None),
    }


def _heading(column: tuple[str, str, int], rows: Sequence[ScoreRow]) -> str:
    truth = rows[0].moran_truth
    return f"{column[1]} (truth {truth:.3f})" if column[0] == "moran_imputed" and truth is not None else column[1]


def _best(rows: Sequence[ScoreRow], field: str, sign: int) -> float | None:
    values = [sign * round(value, 4) for row in rows if (value := getattr(row, field)) is not None]
    return sign * max(values) if sign else None


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return "-"
    # + 0.0 turns a rounded -0.0 into 0.0.
    text = f"{round(value, 4) + 0.0:.4f}"
    return f"**{text}**" if best is not None and round(value, 4) == best else text
