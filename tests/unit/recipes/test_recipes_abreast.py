"""Trainings at the same time: their order, their progress as one, and how one stops all."""

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
import torch

from s2s.errors import PreemptedError
from s2s.recipes.abreast import Abreast
from s2s.recipes.run import silent

STEPS = 1000
LONG_S = 60


class Steps:
    """Trains in a thread: a step a millisecond, as long as it may."""

    def __init__(self, abreast: Abreast, fails: dict[str, Exception] | None = None) -> None:
        self._abreast, self._fails = abreast, fails or {}
        self.begun = threading.Barrier(2)
        self.last: dict[str, int] = {}

    def train(self, name: str) -> str:
        told = self._abreast.progress_of(name)
        self.begun.wait(timeout=LONG_S)
        for step in range(1, STEPS + 1):
            time.sleep(1e-3)
            if name in self._fails and step == 3:
                raise self._fails[name]
            told("train", step, STEPS)
            self.last[name] = step
        return name.upper()


def test_results_keep_their_order_and_steps_are_counted_as_one() -> None:
    said = list[tuple[str, int, int]]()
    abreast = Abreast(lambda stage, done, total, note="": said.append((stage, done, total)), 6)
    first_is_over = threading.Event()

    def train(name: str) -> str:
        told = abreast.progress_of(name)
        told("hide samples", 0, 5)
        if name == "a":
            assert first_is_over.wait(LONG_S)
        for step in range(1, 3 if name == "b" else 4):
            told("train", step, 3)
        abreast.over(name, 3)
        first_is_over.set()
        return name.upper()

    assert abreast.each(train, ["a", "b"], 2) == ["A", "B"]
    assert [done for stage, done, _ in said if stage == "train"] == [1, 2, 4, 5, 6]
    assert {total for stage, _, total in said if stage == "train"} == {6}
    assert said.count(("hide samples", 0, 5)) == 2


def test_one_that_fails_stops_the_others_and_its_error_is_the_runs() -> None:
    steps = Steps(abreast := Abreast(silent, 2 * STEPS), fails={"b": ValueError("b is broken")})
    with pytest.raises(ValueError, match="b is broken"):
        abreast.each(steps.train, ["a", "b", "c"], 2)
    assert steps.last["a"] < STEPS
    assert "c" not in steps.last


def test_who_is_told_the_progress_stops_all() -> None:
    def preempt(stage: str, done: int, total: int, note: str = "") -> None:
        if done > 10:
            raise PreemptedError("the machine is taken back")

    steps = Steps(abreast := Abreast(preempt, 2 * STEPS))
    with pytest.raises(PreemptedError):
        abreast.each(steps.train, ["a", "b"], 2)
    assert sum(steps.last.values()) <= 10


@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGINT), id="ctrl-c"),
        pytest.param(_thread.interrupt_main, id="ray"),
    ],
)
def test_an_interrupt_stops_all(interrupt: Callable[[], None]) -> None:
    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 10:
            interrupt()

    steps = Steps(abreast := Abreast(tell, 2 * STEPS))
    with pytest.raises(KeyboardInterrupt):
        abreast.each(steps.train, ["a", "b"], 2)
    assert max(steps.last.values()) < STEPS


def test_threads_of_torch_are_shared_and_given_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert Abreast(silent, 1).each(lambda _: torch.get_num_threads(), [0, 1, 2], 3) == [1, 1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
