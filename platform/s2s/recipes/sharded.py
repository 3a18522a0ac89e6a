"""One network on several workers: the first of them tells the story of `single_shot`, the others learn beside it.

Every worker reads the same section, cuts the same windows and takes its share of them; what one worker could not hold is spread over
all. What comes of it is what one worker alone would have learnt, and it is judged, recorded and registered once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from s2s.contracts.loading import read_deepspeed
from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.settings import Settings
from s2s.contracts.sharding import MemoryPlan
from s2s.recipes.attempt import Launch, stopping_when_drained
from s2s.recipes.learning import learn
from s2s.recipes.recording import open_run_tracker
from s2s.recipes.run import Progress, Run, silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_run
from s2s.streaming.sections import measure_with_truth
from s2s.tracking.recording import MLflowTracker
from s2s.tracking.tracker import NullTracker
from s2s.training.memory import LIBRARIES_BYTES
from s2s.training.sharded import shard
from s2s.training.single import Crew
from s2s.training.world import World


def sharded(config: RunConfig, settings: Settings, on_progress: Progress, plan: MemoryPlan, world: World) -> RunReport | None:
    """Do one worker's part of a run.

    Args:
        config: Resolved; the same on every worker.
        settings: Where S3 and MLflow are.
        on_progress: Told what the first worker does.
        plan: What the workers share, and what each should take.
        world: Which of them this is; torch's process group is there.

    Returns:
        On the first worker, what was done, where it lies and how good it is.

    Raises, reads, writes:
        As `single_shot`.
    """
    options = config.sharding.deepspeed or read_deepspeed(plan.chosen.strategy)
    crew = Crew(world=world, start=partial(shard, options=options, world=world), recompute=plan.chosen.recompute)
    if world.rank == 0:
        return single_shot(config, settings, on_progress, Launch(crew=crew, open_tracker=partial(_open_tracker, plan)))
    run = open_run(config, settings, stopping_when_drained(silent, settings))
    if run.finished() is None:
        measured, truth = measure_with_truth(run.section, config.sampling, config.genes)
        learn(run, measured, truth, NullTracker(), crew)
    return None


@contextmanager
def _open_tracker(plan: MemoryPlan, run: Run) -> Iterator[MLflowTracker]:
    """Record how the work is shared beside what is recorded of every run."""
    chosen = plan.chosen
    with open_run_tracker(run) as tracker:
        tracker.params({"plan.strategy": chosen.strategy, "plan.zero_stage": str(chosen.stage), "plan.recompute": str(chosen.recompute)})
        tracker.metrics(
            {"memory/estimate_mb": (chosen.total + LIBRARIES_BYTES) / 2**20, "memory/num_parameters": plan.num_parameters}, step=0
        )
        tracker.artifact("plan.json", plan.model_dump_json(indent=2).encode())
        yield tracker
