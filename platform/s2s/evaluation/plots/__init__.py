"""Figures as PNG bytes: a section's genes, a comparison of methods, training curves, a reviewers' panel.

Drawn through matplotlib's object interface on its Agg canvas: no window, no global state, safe in any thread.
"""

from s2s.evaluation.plots.charts import Curve, curves_figure, methods_figure
from s2s.evaluation.plots.panel import panel_figure
from s2s.evaluation.plots.section import choose_genes, section_figure

__all__ = ["Curve", "choose_genes", "curves_figure", "methods_figure", "panel_figure", "section_figure"]
