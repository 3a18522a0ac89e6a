"""A curve of any length becomes at most 100 points, the same ones each time, and never without its last."""

import itertools

import pytest

from s2s.tracking.thinning import MAX_LIVE, MAX_POINTS, Curve, Point


def recorded(num_points: int) -> tuple[list[int], list[int]]:
    curve = Curve()
    points = [Point(at_ms=step, step=step, value=step / 2) for step in range(num_points)]
    live = [point.step for point in points if curve.offer(point)]
    return live, [point.step for point in curve.rest()]


@pytest.mark.parametrize(
    ("num_points", "live", "rest"),
    [
        pytest.param(0, [], [], id="none"),
        pytest.param(1, [0], [], id="one, not twice"),
        pytest.param(21, list(range(21)), [], id="short curves are whole and live"),
        pytest.param(25, list(range(21)), [21, 22, 23, 24], id="after 20 the live points thin out, the rest follows"),
        pytest.param(32, [*range(21), 30], [*range(21, 30), 31], id="20 + 20 // 2 = 30 is the next live one"),
        # 60 points overflow the 59 even ones once: stride 2, so the even ones and the last, 59, remain.
        pytest.param(60, [*range(21), 30, 45], [22, 24, 26, 28, *range(32, 60, 2), 59], id="even selection and the last"),
    ],
)
def test_points_of_short_curves_by_hand(num_points: int, live: list[int], rest: list[int]) -> None:
    assert recorded(num_points) == (live, rest)


@pytest.mark.parametrize("num_points", [pytest.param(n, id=str(n)) for n in (99, 100, 101, 2_000, 100_000)])
def test_long_curves_are_bounded_cover_all_and_end_with_the_last_point(num_points: int) -> None:
    live, rest = recorded(num_points)
    assert len(live) <= MAX_LIVE
    assert len(live) + len(rest) <= MAX_POINTS
    assert not set(live) & set(rest)
    steps = sorted(live + rest)
    assert steps[0] == 0
    assert steps[-1] == num_points - 1
    assert max(b - a for a, b in itertools.pairwise(steps)) <= max(1, num_points / 25)


def test_the_same_curve_gives_the_same_points() -> None:
    assert recorded(3_333) == recorded(3_333)
