"""The map of a very large atlas: a column stands for several sections and shows the least of them."""

import pytest

from s2s.evaluation.completeness import SectionRow
from s2s.evaluation.plots import completeness as figure


def rows_of(num: int, failed: set[int]) -> list[SectionRow]:
    return [
        SectionRow(
            section_id=f"{n}",
            tissue="breast",
            looks=("done", "failed" if n in failed else "done", "none" if n in failed else "done"),
            why="",
        )
        for n in range(num)
    ]


@pytest.mark.parametrize(
    ("num", "failed", "shown"),
    [
        pytest.param(100, {7}, "map", id="a column each"),
        pytest.param(200, {14, 199}, "map; a column is 2 sections and shows the least of them", id="two in a column"),
    ],
)
def test_as_many_columns_as_a_picture_holds(monkeypatch: pytest.MonkeyPatch, num: int, failed: set[int], shown: str) -> None:
    monkeypatch.setattr(figure, "MOST_COLUMNS", 100)
    drawn = figure.completeness_figure(rows_of(num, failed), title="map")
    by_hand = rows_of(100, {each * 100 // num for each in failed})
    assert drawn == figure.completeness_figure(by_hand, title=shown)
    assert drawn != figure.completeness_figure(rows_of(100, set()), title=shown)
