"""Where the time of a run went, on one page: `profile.md` of `s2s train --profile`."""

import os
import time
from collections.abc import Mapping

from s2s.evaluation.tables import aligned_table
from s2s.recipes.fitting import Fitted
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.run import Progress, Run
from s2s.training.timing import Trace

FIRST_STAGE = "read"
MOST_OPERATIONS = 15

ADVICE = """\
**How to read it.** `data` is time in which the network waited for windows, which a thread cuts ahead of it: above 3 % of the loop, give the
run another core. `step` is the network; its operations stand below. `validation` shrinks with a larger `training.validate_every`,
`checkpoint` with a larger `training.checkpoint_every_s`. Convolutions and matrix products should lead the operations; where `copy_`, `add`
or `mul` do, memory is the limit and not arithmetic: try `training.precision=bfloat16`, or another `training.pass_bins`."""
READ = """\
Of the section {requests:.0f} objects were fetched, {mb:.1f} MB at {mb_per_s:.0f} MB/s with decoding; half of them took less than
{request_p50_s:.4f} s, all but one in a hundred less than {request_p99_s:.4f} s. {cache_hits:.0f} more were on this node already."""
TIMELINE = """\
`trace.json.gz` beside this page is the same on a time line: open it at https://ui.perfetto.dev, which keeps it in the browser."""


class StageClock:
    """Passes progress on, and learns how long each stage took.

    Attributes:
        seconds: Stage -> time until the next one began; the first is the reading of the inputs.
    """

    def __init__(self, on_progress: Progress) -> None:
        self._on_progress, self._stage, self._since = on_progress, FIRST_STAGE, time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` parts of `stage` are done."""
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
        self._on_progress(stage, done, total, note)


def profile_files(run: Run, fitted: Fitted, stages: Mapping[str, float]) -> dict[str, bytes]:
    """Account for the time of a run so far.

    Args:
        run: Names and sizes.
        fitted: What the loop and its traced steps took.
        stages: What the stages of the run took.

    Returns:
        File name -> content.
    """
    config = run.config
    about = f"{fitted.device}, {config.resources.cpus:g} of {os.cpu_count()} cores, peak memory {own_peak_memory_bytes() / 1e9:.2f} GB"
    parts = [f"# Where the time of {config.name} went", f"{about}; {fitted.steps} steps.", "## Stages of the run", _shares(stages)]
    if traffic := run.section.traffic.figures():
        parts.append(READ.format(**traffic, mb=traffic["bytes"] / 1e6, mb_per_s=traffic["bytes_per_s"] / 1e6))
    parts += ["## The training loop", _shares(fitted.phases.seconds), ADVICE]
    files: dict[str, bytes] = {}
    if fitted.trace is None:
        parts.append("Too few steps to trace any.")
    else:
        parts += [f"## Operations of {fitted.trace.num_steps} traced steps", _operations(fitted.trace)]
        parts.append(TIMELINE)
        files["trace.json.gz"] = fitted.trace.timeline
    files["profile.md"] = "\n\n".join(parts).encode() + b"\n"
    return files


def _shares(seconds: Mapping[str, float]) -> str:
    total = sum(seconds.values()) or 1.0
    rows = [[name, f"{value:.2f}", f"{value / total:.1%}"] for name, value in seconds.items()]
    return aligned_table([["", "seconds", "share"], *rows, ["all", f"{total:.2f}", ""]])


def _operations(trace: Trace) -> str:
    steps, total = trace.num_steps, sum(operation.seconds for operation in trace.operations) or 1.0
    rows = [
        [f"`{each.name}`", f"{1000 * each.seconds / steps:.1f}", f"{each.seconds / total:.1%}", f"{each.calls / steps:.0f}"]
        for each in trace.operations[:MOST_OPERATIONS]
    ]
    return aligned_table([["operation", "ms per step", "share", "calls per step"], *rows])
