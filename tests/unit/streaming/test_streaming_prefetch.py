"""Batches made ahead are those that would have been made, in their order."""

import itertools
import threading
from contextlib import closing

import pytest

from s2s.streaming.prefetch import AHEAD, prefetched


def test_order_is_kept_and_some_are_made_before_anyone_asks():
    made, is_made = [], threading.Event()

    def make():
        for number in itertools.count():
            made.append(number)
            if len(made) == AHEAD + 1:
                is_made.set()
            yield number

    with closing(prefetched(make())) as batches:
        assert next(batches) == 0
        assert next(batches) == 1
        assert is_made.wait(10), "the third is made while the second is at work"
        assert list(itertools.islice(batches, 5)) == [2, 3, 4, 5, 6]
    assert len(made) <= 7 + AHEAD


def test_what_goes_wrong_in_the_making_is_raised_where_the_batch_was_wanted():
    def make():
        yield "good"
        raise ValueError("no more windows")

    with closing(prefetched(make())) as batches:
        assert next(batches) == "good"
        with pytest.raises(ValueError, match="no more windows"):
            next(batches)


def test_the_thread_ends_with_the_taker():
    with closing(prefetched(itertools.repeat("batch"))) as batches:
        next(batches)
        assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())
