"""Where the time of a training goes: seconds per phase of the loop, always; operations and a trace of some steps where asked for."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch import profiler

from s2s.training.step import Device

SKIPPED_STEPS = 2
"""Before a trace: the first steps fault memory in and choose kernels."""
TRACED_STEPS = 2
"""Few: a step of the paper's network has some 300,000 operations, and a trace names each."""


@dataclass(slots=True)
class Phases:
    """A stopwatch for the parts of a loop, which do not overlap.

    Attributes:
        seconds: Phase -> time spent in it so far.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count what happens inside as part of a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._count(name, time.perf_counter() - started)

    def add(self, other: "Phases") -> None:
        """Count what another stopwatch has counted; beside this one, it may have gone at the same time."""
        for name, seconds in other.seconds.items():
            self._count(name, seconds)

    def _count(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one kind of operation took in the traced steps.

    Attributes:
        name: As torch names it.
        seconds: In itself, not in what it calls; on the graphics processor where the training runs on one.
        calls: How often.
    """

    name: str
    seconds: float
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Some steps of a training, operation by operation.

    Attributes:
        num_steps: Steps that were traced.
        operations: Longest first.
        timeline: Gzipped JSON for Perfetto or `chrome://tracing`.
    """

    num_steps: int
    operations: tuple[Operation, ...]
    timeline: bytes


class Tracer:
    """Traces some steps of a training that is going on; tell it of every step."""

    def __init__(self, device: Device) -> None:
        self.trace: Trace | None = None
        self._own_time = "self_device_time_total" if device.name == "cuda" else "self_cpu_time_total"
        self._profiler = profiler.profile(
            schedule=profiler.schedule(skip_first=SKIPPED_STEPS - 1, wait=0, warmup=1, active=TRACED_STEPS, repeat=1),
            on_trace_ready=self._keep,
        )

    def __enter__(self) -> "Tracer":
        self._profiler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._profiler.stop()

    def step(self) -> None:
        """Say that a step is over."""
        self._profiler.step()

    def _keep(self, ended: profiler.profile) -> None:
        operations = [
            Operation(name=event.key, seconds=getattr(event, self._own_time) / 1e6, calls=event.count)
            for event in ended.key_averages()
            if not event.key.startswith("ProfilerStep")
        ]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json.gz"
            ended.export_chrome_trace(str(file))
            self.trace = Trace(
                num_steps=TRACED_STEPS,
                operations=tuple(sorted(operations, key=lambda operation: -operation.seconds)),
                timeline=file.read_bytes(),
            )
