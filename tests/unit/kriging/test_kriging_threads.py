"""Pieces of work side by side: all are done, on as many threads as BLAS has, and what goes wrong is told."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from s2s.kriging.threads import side_by_side


def blas_threads() -> int:
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


def test_two_threads_of_blas_become_two_pieces_at_once_with_one_each():
    both, seen = threading.Barrier(2, timeout=10), []

    def work(number):
        both.wait()
        seen.append((number, blas_threads()))

    with threadpool_limits(2, "blas"):
        side_by_side(work, range(4))
        assert blas_threads() == 2
    assert sorted(seen) == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_a_single_piece_keeps_the_threads():
    seen = []
    with threadpool_limits(2, "blas"):
        side_by_side(lambda item: seen.append((item, blas_threads())), ["whole"])
    assert seen == [("whole", 2)]


def test_an_error_of_a_piece_is_raised_and_the_rest_is_left():
    def work(number):
        raise ArithmeticError(f"piece {number}")

    with pytest.raises(ArithmeticError, match="piece 0"):
        side_by_side(work, range(100))
