"""Figures as PNG bytes: genes of a section, methods compared, training curves, a panel, charts of a benchmark, the map of an atlas.

Drawn through matplotlib's object interface on its Agg canvas: no window, no global state, safe in any thread.
"""

from s2s.evaluation.plots.benchmark import accuracy_cost_figure, coverage_figure, is_constant, method_styles
from s2s.evaluation.plots.charts import Curve, curves_figure, methods_figure
from s2s.evaluation.plots.comparison import DistanceCurves, GenePairs, distance_figure, genes_figure, moran_figure
from s2s.evaluation.plots.completeness import completeness_figure
from s2s.evaluation.plots.panel import panel_figure
from s2s.evaluation.plots.section import choose_genes, section_figure

__all__ = [
    "Curve", "DistanceCurves", "GenePairs", "accuracy_cost_figure", "choose_genes", "completeness_figure", "coverage_figure",
    "curves_figure", "distance_figure", "genes_figure", "is_constant", "method_styles", "methods_figure", "moran_figure", "panel_figure",
    "section_figure",
]  # fmt: skip
