"""A launch of runs that only say what they took of a graphics processor; `test_fleet_gpus.py` starts it as a process of its own.

Ray counts its processors without having any, so a fleet is scheduled here as on a machine with two. What each worker was given
goes to stdout, a line of JSON per attempt, in the order in which they began.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, RunOutcome
from s2s.contracts.run import GpuUse
from s2s.contracts.settings import Settings, load_settings
from s2s.orchestration.fleet import Follower, run_fleet

CARD = 80 * 10**9
PEAK = 14 * 10**9
"""Of every run: four of them share a card (0.85 * 80 over 14.6)."""


def work(folder: str, run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    """Write down what this attempt was given, then succeed, but for two sections."""
    import ray  # noqa: PLC0415 - this is a worker of it

    given = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
    earlier = len(list(Path(folder).glob(f"{run.section_id}-*")))
    attempt = {"section": run.section_id, "asked": config.resources.gpus, "given": given, "at": time.time()}
    Path(folder, f"{run.section_id}-{earlier}").write_text(json.dumps(attempt), encoding="utf-8")
    took = {"seconds": 36.0, "peak_memory_bytes": 10**9, "gpu": GpuUse(share=config.resources.gpus, peak_bytes=PEAK, total_bytes=CARD)}
    if run.section_id == "faulty":
        return RunOutcome(key=run.key, state="failed", cause="bad-input", message="no", **took)
    if run.section_id == "greedy" and not earlier:
        return RunOutcome(key=run.key, state="failed", cause="out-of-memory", message="no", **took)
    return RunOutcome(key=run.key, state="done", **took)


def main(plan_file: str, pending: str, folder: str) -> None:
    """Do the runs of a plan whose sections are named."""
    plan = AtlasPlan.model_validate_json(Path(plan_file).read_text())
    runs = [run for run in plan.runs if run.section_id in pending.split(",")]
    follower = Follower(finished=lambda run: None, tick=lambda tally: None)
    tally = run_fleet(plan, runs, load_settings(is_local=False), follower, partial(work, folder))
    attempts = sorted((json.loads(path.read_text()) for path in Path(folder).iterdir()), key=lambda attempt: attempt["at"])
    sys.stdout.write(json.dumps({"attempts": attempts, "done": tally.done, "cost_usd": tally.cost_usd}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
