"""How long stages took, as told by the progress that a user sees anyway."""

import pytest

from s2s.recipes.profiling import StageClock


def test_a_stage_lasts_until_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 2.0, 3.0, 7.0, 8.0])
    monkeypatch.setattr("s2s.recipes.profiling.time.perf_counter", lambda: next(now))
    told: list[tuple[object, ...]] = []
    clock = StageClock(lambda *words: told.append(words))
    for words in (("train", 0, 2), ("train", 1, 2, "loss 1"), ("record", 0, 1), ("train", 0, 1)):
        clock(*words)
    assert clock.seconds == {"read": 2.0, "train": 5.0, "record": 1.0}
    assert told == [("train", 0, 2, ""), ("train", 1, 2, "loss 1"), ("record", 0, 1, ""), ("train", 0, 1, "")]
