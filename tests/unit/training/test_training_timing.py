"""Where the time goes: phases add up, and a trace holds the steps it says."""

import gzip
import json

import pytest
import torch

from s2s.training.step import Device
from s2s.training.timing import SKIPPED_STEPS, TRACED_STEPS, Phases, Tracer


def test_phases_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 3.0, 3.0, 4.0, 10.0, 12.0])
    monkeypatch.setattr("s2s.training.timing.time.perf_counter", lambda: next(now))
    phases = Phases()
    for name in ("step", "data", "step"):
        with phases.of(name):
            pass
    assert phases.seconds == {"step": 5.0, "data": 1.0}


def test_what_fails_is_counted_too() -> None:
    phases = Phases()
    with pytest.raises(RuntimeError), phases.of("step"):
        raise RuntimeError
    assert phases.seconds.keys() == {"step"}


def traced(num_steps: int) -> Tracer:
    with Tracer(Device(name="cpu", precision="float32")) as tracer:
        for number in range(num_steps):
            for _ in range(number + 1):
                torch.eye(4) @ torch.eye(4)
            tracer.step()
    return tracer


def test_a_trace_is_of_the_steps_after_the_first() -> None:
    trace = traced(SKIPPED_STEPS + TRACED_STEPS + 3).trace
    assert trace is not None
    calls = {operation.name: operation.calls for operation in trace.operations}
    assert calls["aten::mm"] == sum(range(SKIPPED_STEPS + 1, SKIPPED_STEPS + TRACED_STEPS + 1))
    assert [operation.seconds for operation in trace.operations] == sorted((each.seconds for each in trace.operations), reverse=True)
    assert "aten::mm" in {event.get("name") for event in json.loads(gzip.decompress(trace.timeline))["traceEvents"]}


def test_too_few_steps_give_no_trace() -> None:
    assert traced(1).trace is None
