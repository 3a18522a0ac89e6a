"""How an axis is cut into tiles and how their seams are weighted, by hand."""

import numpy as np
import pytest

from s2s.contracts.run import ImputationConfig
from s2s.imputation.slide import _ramp, _spans


def cut(length: int, overlap: int) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in _spans(length, ImputationConfig(tile=32, overlap=overlap))]


@pytest.mark.parametrize(
    ("length", "overlap", "expected"),
    [
        pytest.param(1, 16, [(0, 1)], id="one-bin"),
        pytest.param(32, 16, [(0, 32)], id="one-tile"),
        pytest.param(33, 16, [(0, 32), (16, 33)], id="one-over"),
        pytest.param(48, 16, [(0, 32), (16, 48)], id="two-tiles"),
        pytest.param(49, 16, [(0, 32), (16, 48), (32, 49)], id="three-tiles"),
        pytest.param(64, 0, [(0, 32), (32, 64)], id="no-overlap"),
        pytest.param(33, 0, [(0, 32), (32, 33)], id="no-overlap-one-over"),
        pytest.param(60, 5, [(0, 32), (26, 58), (52, 60)], id="odd-overlap-starts-even"),
        pytest.param(48, 512, [(0, 32), (16, 48)], id="at-most-half-a-tile"),
    ],
)
def test_spans(length, overlap, expected):
    assert cut(length, overlap) == expected


@pytest.mark.parametrize("overlap", [pytest.param(number, id=f"overlap-{number}") for number in (0, 1, 7, 16, 31, 100)])
def test_spans_cover_every_bin_and_start_on_the_lattice(overlap):
    for length in range(1, 140):
        spans = cut(length, overlap)
        assert {place for start, stop in spans for place in range(start, stop)} == set(range(length))
        assert all(start % 2 == 0 for start, _ in spans)
        assert all(stop - start <= 32 for start, stop in spans)


@pytest.mark.parametrize(
    ("span", "length", "overlap", "expected"),
    [
        pytest.param((0, 4), 4, 3, [1, 1, 1, 1], id="no-neighbour"),
        pytest.param((0, 4), 8, 1, [1, 1, 1, 0.5], id="first"),
        pytest.param((4, 8), 8, 1, [0.5, 1, 1, 1], id="last"),
        pytest.param((2, 6), 8, 3, [0.25, 0.5, 0.5, 0.25], id="between"),
        pytest.param((2, 6), 8, 0, [1, 1, 1, 1], id="no-overlap"),
    ],
)
def test_ramp(span, length, overlap, expected):
    np.testing.assert_allclose(_ramp(slice(*span), length, overlap), expected)


def test_neighbours_share_their_overlap_in_full():
    left, right = _ramp(slice(0, 32), 48, 16), _ramp(slice(16, 48), 48, 16)
    np.testing.assert_allclose(left[16:] + right[:16], np.ones(16))
    assert (np.diff(left[15:]) < 0).all()
