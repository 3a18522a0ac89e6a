"""The figures of a fleet for Prometheus, through the endpoint that every Ray node has (`--metrics-export-port`).

Ray puts `ray_` in front of each name, and `_total` behind that of a counter; `infra/grafana/s2s-atlas.json` shows them.
Decision: the launcher alone tells them, from the outcomes it gets, and not each worker. A worker on a graphics processor is a
process per task, and every process is a label of its own: an atlas of a thousand runs would leave tens of thousands of series.

One word costs two microseconds and goes to the node's agent in the background; where Ray's metrics are switched off, it goes
nowhere. Ray sends sums of histograms as the middle of each bucket: `_count` and `_bucket` are exact, `_sum` is not.
"""

from s2s.contracts.atlas import AtlasConfig, AtlasRun, RunOutcome
from s2s.contracts.ledger import Cause

SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0)
BYTES = tuple(float(2**power) for power in range(28, 38))
"""256 MiB to 128 GiB."""


class FleetMetrics:
    """What one launch tells; made once Ray is joined."""

    def __init__(self, config: AtlasConfig) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        about, run = ("atlas",), ("atlas", "stage")
        self._atlas, self._budget_usd = {"atlas": config.name}, config.budget_usd
        self._runs = Gauge("s2s_atlas_runs", "Runs of this launch by state", ("atlas", "state"))
        self._done = Counter("s2s_atlas_runs_done", "Runs finished", about)
        self._failed = Counter("s2s_atlas_runs_failed", "Runs given up", ("atlas", "cause"))
        self._retried = Counter("s2s_atlas_runs_retried", "Attempts that failed and are tried again", ("atlas", "cause"))
        self._cost = Counter("s2s_atlas_cost_usd", "Cost of work, by the prices of the atlas", about)
        self._budget = Gauge("s2s_atlas_budget_usd", "Cost at which no further run is started; absent without a cap", about)
        self._seconds = Histogram("s2s_run_seconds", "Time of a finished run", list(SECONDS), run)
        self._memory = Histogram("s2s_run_peak_memory_bytes", "Main memory of the process of a finished run", list(BYTES), run)
        self._gpu = Histogram("s2s_run_peak_gpu_bytes", "Memory of the graphics processor that torch reserved for it", list(BYTES), run)

    def states(self, *, done: int, failed: int, handed_in: int, total: int) -> None:
        """Say where the runs of the launch stand; what is neither ended nor handed in waits. Ray forgets a gauge that is not set again."""
        counts = {"done": done, "failed": failed, "handed_in": handed_in, "waiting": total - done - failed - handed_in}
        for state, number in counts.items():
            self._runs.set(number, {**self._atlas, "state": state})
        if self._budget_usd is not None:
            self._budget.set(self._budget_usd, self._atlas)

    def done(self, run: AtlasRun, outcome: RunOutcome) -> None:
        """Say that a run has its commit, and what it took where that is known."""
        self._done.inc(1, self._atlas)
        tags = {**self._atlas, "stage": run.stage}
        for histogram, value in (
            (self._seconds, outcome.seconds),
            (self._memory, outcome.peak_memory_bytes),
            (self._gpu, outcome.gpu.peak_bytes if outcome.gpu else 0),
        ):
            if value:
                histogram.observe(value, tags)

    def cost(self, usd: float) -> None:
        """Say what an attempt cost."""
        if usd > 0:
            self._cost.inc(usd, self._atlas)

    def failed(self, cause: Cause, *, is_given_up: bool) -> None:
        """Say that an attempt failed."""
        (self._failed if is_given_up else self._retried).inc(1, {**self._atlas, "cause": cause})
