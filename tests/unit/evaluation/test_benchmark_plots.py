import io

import numpy as np
import pytest
from matplotlib.image import imread

from s2s.contracts.benchmark import BenchmarkRow, Coverage
from s2s.contracts.run import ScoreRow
from s2s.evaluation.distance import DistanceCurve
from s2s.evaluation.plots import (
    DistanceCurves,
    GenePairs,
    accuracy_cost_figure,
    coverage_figure,
    distance_figure,
    genes_figure,
    method_styles,
    moran_figure,
)
from s2s.evaluation.plots.canvas import ACCENT

METHODS = ("zero", "nearest", "ours")
STYLES = method_styles(METHODS, "ours")
ACCENT_RGB = [int(ACCENT[i : i + 2], 16) for i in (1, 3, 5)]


def row(method: str, pcc: float, *, section="one", seconds=1.0, coverage=()) -> BenchmarkRow:
    score = ScoreRow(method=method, pcc=pcc, mae=1, rmse=1, seconds=seconds, num_genes=3)
    return BenchmarkRow(section=section, method=method, is_reference=method == "ours", score=score, num_cells=1, coverage=coverage)


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.round(imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def accented(png: bytes | None) -> int:
    return int((pixels(png) == ACCENT_RGB).all(axis=2).sum())


def pair(section: str, num_genes: int = 20) -> GenePairs:
    rng = np.random.default_rng(0)
    return GenePairs(section=section, rival="nearest", pcc=rng.random((2, num_genes)), moran=rng.random((3, num_genes)))


def curves(section: str) -> DistanceCurves:
    some = {name: DistanceCurve(distance_um=np.array([25.0, 50.0]), rmse=np.array([0.5, 0.6])) for name in ("ours", "nearest")}
    return DistanceCurves(section=section, to_sample=some, to_edge=some)


def test_every_method_looks_different_and_only_the_reference_has_the_accent() -> None:
    methods = [f"method {number}" for number in range(20)]
    styles = method_styles(methods, "method 7")
    assert len({(style.colour, style.marker) for style in styles.values()}) == 20
    assert [name for name, style in styles.items() if style.colour == ACCENT] == ["method 7"]


def test_accuracy_against_cost_has_a_panel_per_section_and_leaves_constants_out() -> None:
    rows = [row("nearest", 0.2, seconds=0.01), row("ours", 0.4, seconds=60)]
    figure = accuracy_cost_figure(rows, STYLES)
    assert accuracy_cost_figure([row("zero", 0.0), *rows], STYLES) == figure
    assert accented(figure) > 2 * accented(accuracy_cost_figure([*rows[:1], row("ours", 0.0)], STYLES))
    four = accuracy_cost_figure([row("ours", 0.4, section=name) for name in ("a", "b", "c", "d")], STYLES)
    assert pixels(four).shape[0] > 1.6 * pixels(figure).shape[0]
    assert accuracy_cost_figure([row("zero", 0.0)], STYLES) is None


def test_a_method_that_took_no_time_is_drawn() -> None:
    assert accented(accuracy_cost_figure([row("ours", 0.4, seconds=0.0)], STYLES)) > 100


def test_coverage_is_drawn_for_methods_that_give_intervals() -> None:
    levels = (Coverage(level=0.5, measured=0.4, width=1), Coverage(level=0.9, measured=0.95, width=1))
    with_intervals = coverage_figure([row("nearest", 0.2), row("ours", 0.4, coverage=levels)], STYLES)
    assert accented(with_intervals) > 100
    assert coverage_figure([row("nearest", 0.2)], STYLES) is None


@pytest.mark.parametrize("number", [pytest.param(1, id="one"), pytest.param(4, id="four")])
def test_comparisons_have_a_panel_per_section(number: int) -> None:
    names = [f"section {place}" for place in range(number)]
    figures = [
        genes_figure([pair(name) for name in names], "ours"),
        moran_figure([pair(name) for name in names], STYLES, "ours"),
        distance_figure([curves(name) for name in names], STYLES),
    ]
    for figure in figures:
        height, width, _ = pixels(figure).shape
        assert height > 400 * (1 + (number > 3))
        assert width > 500
    assert accented(figures[2]) > 100 * number


def test_genes_that_are_all_alike_can_be_drawn() -> None:
    same = GenePairs(section="one", rival="nearest", pcc=np.zeros((2, 3)), moran=np.zeros((3, 3)))
    assert pixels(genes_figure([same], "ours")).shape[0] > 300
    assert pixels(moran_figure([same], STYLES, "ours")).shape[0] > 300
