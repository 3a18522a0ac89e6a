"""One run as one Ray task, with the resources its YAML asks for, from launch to report; or, where one worker is too few, as several.

Only the configuration travels, as JSON: the worker opens S3 and MLflow with its own settings, so no secret and no tensor
is ever a task argument. Decision: a worker that dies is started again by Ray and continues from the run's checkpoint; an
error of the user's is not retried.
"""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import S2SError, StackError
from s2s.orchestration.cluster import HeadWatch, check_resources, join, stop_tasks
from s2s.orchestration.large import train_on_workers
from s2s.orchestration.progress import EVERY_S, Poster, ProgressBoard
from s2s.recipes.attempt import Launch
from s2s.recipes.planning import announce, plan_run
from s2s.recipes.run import FINISHED_BEFORE, Progress
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_run
from s2s.training.single import Crew

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

MAX_RETRIES = 3


def train_on_ray(config: RunConfig, settings: Settings, on_progress: Progress) -> RunReport:
    """Plan a run, and do it as a Ray task, or on several workers, and wait for it.

    Args:
        config: Resolved.
        settings: Name the Ray head.
        on_progress: Told what the task says.

    Raises:
        MissingError: no such section or file.
        StackError: no Ray head is set, or it does not answer, or no longer does, or the worker died again and again.
        ConfigError: the cluster has fewer resources than the run asks for.
        S2SError: whatever the run itself raised.
    """
    # A file lies on the user's machine, not on the worker's: it is read here, and the task gets the URI.
    run = open_run(config, settings, on_progress)
    if (report := run.finished()) is not None:
        on_progress(FINISHED_BEFORE, 1, 1)
        return report
    config = config.model_copy(update={"section": run.section.uri})
    plan = plan_run(config)
    announce(plan, on_progress)
    if plan.chosen.strategy != "single":
        return train_on_workers(config, settings, on_progress, plan)
    join(settings)
    check_resources(config.resources)
    import ray
    from ray.exceptions import RayError, RayTaskError

    wanted = config.resources
    board: ActorHandle[Any] = ray.remote(num_cpus=0, max_restarts=1)(ProgressBoard).remote()  # type: ignore[assignment]
    launcher = ray.remote(num_cpus=wanted.cpus, num_gpus=wanted.gpus, memory=int(wanted.memory_gb * 1e9), max_retries=MAX_RETRIES)(
        _single_shot
    )
    task = launcher.options(name=f"s2s train {config.name}").remote(config.model_dump_json(), plan.chosen.recompute, board)
    head = HeadWatch(settings)
    try:
        return RunReport.model_validate_json(_follow(task, board, head, on_progress))
    except RayTaskError as error:
        if isinstance(error.cause, S2SError):
            raise error.cause from None
        raise
    except RayError as error:
        raise StackError(
            f"the Ray task of run {config.name} was lost: {type(error).__name__}. "
            "Look at `s2s doctor` and the logs of Ray, then run the same command: it resumes"
        ) from None
    except KeyboardInterrupt:
        stop_tasks([task], head)
        raise
    finally:
        if not head.is_lost:
            ray.kill(board)


def _follow(task: "ObjectRef[str]", board: "ActorHandle[Any]", head: HeadWatch, on_progress: Progress) -> str:
    import ray

    with redirect_stdout(sys.stderr):  # Ray says on stdout that a worker died, which is for results alone
        while not ray.wait([task], timeout=EVERY_S)[0]:
            if head.answers():
                on_progress(*ray.get(board.latest.remote()))
        return ray.get(task)


def _single_shot(config: str, recompute: bool, board: "ActorHandle[Any]") -> str:
    launch = Launch(crew=Crew(recompute=recompute))
    return single_shot(RunConfig.model_validate_json(config), load_settings(is_local=False), Poster(board), launch).model_dump_json()
