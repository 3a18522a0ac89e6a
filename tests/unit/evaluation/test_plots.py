import io
import struct

import numpy as np
import pytest
from matplotlib.image import imread

from s2s.contracts.run import ScoreRow
from s2s.errors import MissingError
from s2s.evaluation.baselines.constant import Mean
from s2s.evaluation.baselines.interpolation import Bilinear, Nearest
from s2s.evaluation.panel import review
from s2s.evaluation.plots import choose_genes, curves_figure, methods_figure, panel_figure, section_figure
from s2s.evaluation.plots.canvas import ACCENT
from s2s.evaluation.plots.maps import MAX_SIDE_OF_DOTS, OFF_TISSUE
from s2s.lattice.prediction import Prediction

OFF_TISSUE_RGB = [int(OFF_TISSUE[i : i + 2], 16) for i in (1, 3, 5)]


def draw(measured, imputed, std=None, **words):
    return section_figure(measured, Prediction(mean=imputed, std=std), **words)


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def pixels(png: bytes) -> np.ndarray:
    return np.round(imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def row(method: str, pcc: float, marker: float | None = None) -> ScoreRow:
    return ScoreRow(method=method, pcc=pcc, mae=0.4, rmse=0.5, marker_pcc=marker, marker_rmse=marker, num_genes=3)


def test_truth_adds_two_columns(split_counts, counts):
    measured, held_out = split_counts(counts)
    imputed = Mean().impute(measured)
    std = np.full_like(imputed, 0.5)
    assert size(draw(measured, imputed, std=std))[0] > size(draw(measured, imputed))[0]
    with_truth, without = draw(measured, imputed, held_out=held_out), draw(measured, imputed)
    assert size(with_truth)[0] > 1.7 * size(without)[0]


def test_a_row_for_each_gene(split_counts, counts):
    measured, _ = split_counts(counts)
    imputed = Mean().impute(measured)
    heights = [size(draw(measured, imputed, genes=measured.genes[:n]))[1] for n in (1, 3)]
    assert heights[1] > 2 * heights[0]


def test_off_tissue_is_gray_and_only_there(split):
    tissue = np.ones((12, 12), bool)
    full, _ = split(np.ones((1, 12, 12)))
    tissue[:6] = False
    half, _ = split(np.ones((1, 12, 12)), tissue=tissue)
    gray = [(pixels(draw(m, np.ones((1, 12, 12), np.float32))) == OFF_TISSUE_RGB).all(axis=2).sum() for m in (full, half)]
    panel = gray[1] / 2
    assert gray[0] < 0.02 * panel
    assert panel > 10_000


def test_hexagons_are_drawn_where_they_lie(split):
    # Ten rows of hexagons are 9 x 0.866 + 1.155 pitches high and 10.5 wide; of squares, 10 and 10.
    values = np.ones((1, 10, 10), np.float32)
    areas = []
    for lattice in ("square", "hexagonal"):
        measured, _ = split(values, tissue=np.zeros((10, 10), bool), lattice=lattice)
        gray = (pixels(draw(measured, values, genes=("G0",))) == OFF_TISSUE_RGB).all(axis=2)
        # The first panel ends where columns without gray begin.
        first = np.flatnonzero(gray.any(axis=0))[0]
        width = np.flatnonzero(~gray[:, first:].any(axis=0))[0]
        areas.append((np.ptp(np.flatnonzero(gray.any(axis=1))) + 1) / width)
    assert areas[0] == pytest.approx(1, abs=0.02)
    assert areas[1] == pytest.approx(8.949 / 10.5, abs=0.02)


def test_a_panel_is_about_its_first_method(split_counts, counts):
    measured, held_out = split_counts(counts)
    panels = [review(baseline.name, baseline.impute(measured), measured, held_out) for baseline in (Nearest(), Bilinear())]
    accent = [int(ACCENT[i : i + 2], 16) for i in (1, 3, 5)]
    both, alone = panel_figure(panels), panel_figure(panels[:1])
    assert size(both)[0] > 2 * size(both)[1]
    coloured = [(pixels(png) == accent).all(axis=2).sum() for png in (both, alone)]
    assert min(coloured) > 100
    gray = [(pixels(png) == [0x5C, 0x5C, 0x68]).all(axis=2).sum() for png in (both, alone)]
    assert gray[0] > 100 > gray[1]
    assert panel_figure(panels[::-1]) != both


def test_what_an_imputation_says_off_tissue_is_not_drawn(split_counts, counts):
    measured, held_out = split_counts(counts)
    imputed = Mean().impute(measured)
    wild = np.where(measured.tissue, imputed, np.float32(99))
    assert draw(measured, imputed, held_out=held_out) == draw(measured, wild, held_out=held_out)


def test_an_unknown_gene_is_named(split_counts, counts):
    measured, _ = split_counts(counts)
    with pytest.raises(MissingError, match="imputed genes, got NOPE"):
        draw(measured, Mean().impute(measured), genes=("G0", "NOPE"))


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 2), id="two-bins"),
        pytest.param((60, 4), id="tall"),
        pytest.param((4, 60), id="wide"),
        pytest.param((MAX_SIDE_OF_DOTS + 3, MAX_SIDE_OF_DOTS + 2), id="samples-as-blocks"),
    ],
)
def test_any_size_and_a_gene_that_is_nowhere(split, shape):
    measured, held_out = split(np.zeros((1, *shape)), phase=(0, 1))
    assert min(size(draw(measured, Mean().impute(measured), held_out=held_out))) > 50


def test_genes_are_chosen_by_markers_then_structure(split):
    y, x = np.mgrid[:16, :16]
    noise = np.random.default_rng(0).random((16, 16))
    measured, _ = split([noise, y / 16, noise.T, x + noise], genes=["NOISE", "SMOOTH", "KRT7", "LUM"])
    assert choose_genes(measured, 3) == ("LUM", "KRT7", "SMOOTH")


def test_methods_figure_grows_with_methods_and_leaves_out_the_zero_floor():
    rows = [row("mean", 0.0, 0.6), row("nearest", 0.2, 0.7), row("cdcin", 0.3, 0.5)]
    figure = methods_figure(rows, highlight="cdcin")
    assert size(methods_figure(rows[:1]))[1] < size(figure)[1]
    assert methods_figure([row("zero", 0.0, 9.0), *rows], highlight="cdcin") == figure
    assert methods_figure(rows) != figure


def test_methods_figure_without_markers():
    assert size(methods_figure([row("mean", 0.0), row("nearest", 0.2)]))[0] > 1000


def test_curves_figure_marks_the_kept_step():
    training, validation = [(0, 1.0), (10, 0.5)], [(5, 0.6), (10, 0.4)]
    assert curves_figure(training, validation, best_step=10) != curves_figure(training, validation)


def test_curves_figure_without_records():
    assert size(curves_figure([], [], best_step=0))[0] > 1000
