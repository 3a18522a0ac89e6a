"""How often a task speaks: every stage, every end, and twice per second in between."""

import pytest

from s2s.orchestration import progress
from s2s.orchestration.progress import Poster, ProgressBoard


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Post:
    """Stands for the remote method of an actor; keeps what was posted."""

    def __init__(self) -> None:
        self.words: list[tuple[str, int, int, str]] = []

    def remote(self, word: tuple[str, int, int, str]) -> None:
        self.words.append(word)


class Board:
    """Stands for the handle of a board."""

    def __init__(self) -> None:
        self.post = Post()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(progress, "time", fake)
    return fake


def test_within_a_stage_twice_per_second(clock):
    board = Board()
    post = Poster(board)
    for step in range(1, 31):  # a step every tenth of a second: 100.1, 100.2, ...
        clock.now = 100 + step / 10
        post("train", step, 1000)
    # The first at once, then the first that is more than half a second later.
    assert [done for _, done, _, _ in board.post.words] == [1, 7, 13, 19, 25]


def test_a_new_stage_and_the_end_of_one_are_always_posted(clock):
    board = Board()
    post = Poster(board)
    post("read", 1, 3)
    post("read", 2, 3)
    post("read", 3, 3)
    post("train", 1, 9, "loss 2")
    post("train", 2, 9, "loss 1")
    post("read", 1, 3)
    assert board.post.words == [("read", 1, 3, ""), ("read", 3, 3, ""), ("train", 1, 9, "loss 2"), ("read", 1, 3, "")]


def test_a_board_keeps_the_latest_word():
    board = ProgressBoard()
    assert board.latest() == ("wait for resources", 0, 0, "")
    board.post(("train", 1, 9, "loss 2"))
    board.post(("train", 2, 9, "loss 1"))
    assert board.latest() == ("train", 2, 9, "loss 1")
