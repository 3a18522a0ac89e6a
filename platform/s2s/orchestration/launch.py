"""One run as one Ray task, with the resources its YAML asks for, from launch to report.

Only the configuration travels, as JSON: the worker opens S3 and MLflow with its own settings, so no secret and no tensor
is ever a task argument. Decision: a worker that dies is started again by Ray and continues from the run's checkpoint; an
error of the user's is not retried.
"""

import logging
import os
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from s2s.contracts.run import Resources, RunConfig, RunReport
from s2s.contracts.settings import NO_STACK, Settings, load_settings
from s2s.errors import ConfigError, S2SError, StackError
from s2s.orchestration.progress import EVERY_S, Poster, ProgressBoard
from s2s.recipes.run import Progress
from s2s.recipes.single_shot import single_shot

MAX_RETRIES = 3


def train_on_ray(config: RunConfig, settings: Settings, on_progress: Progress) -> RunReport:
    """Run `single_shot` as a Ray task and wait for it.

    Args:
        config: Resolved.
        settings: Name the Ray head.
        on_progress: Told what the task says.

    Raises:
        StackError: no Ray head is set or it does not answer, or the worker died again and again.
        ConfigError: the cluster has fewer resources than the run asks for.
        S2SError: whatever the run itself raised.
    """
    connect(settings)
    _check_resources(config.resources)
    board: ActorHandle[Any] = ProgressBoard.remote()  # type: ignore[attr-defined]  # ray.remote hides what it adds
    wanted = config.resources
    options: dict[str, Any] = {
        "num_cpus": wanted.cpus,
        "num_gpus": wanted.gpus,
        "memory": wanted.memory_gb * 1e9,
        "max_retries": MAX_RETRIES,
    }
    task = _single_shot.options(name=f"s2s train {config.name}", **options).remote(config.model_dump_json(), board)
    try:
        while not ray.wait([task], timeout=EVERY_S)[0]:
            on_progress(*ray.get(board.latest.remote()))
        return RunReport.model_validate_json(ray.get(task))
    except RayTaskError as error:
        if isinstance(error.cause, S2SError):
            raise error.cause from None
        raise
    except RayError as error:
        raise StackError(
            f"the Ray task of run {config.name} was lost: {type(error).__name__}. "
            "Look at `s2s stack status` and its logs, then run the same command: it resumes"
        ) from None
    except KeyboardInterrupt:
        ray.cancel(task, force=False)
        raise
    finally:
        ray.kill(board)


def connect(settings: Settings) -> None:
    """Join the cluster as a driver; joining again does nothing.

    Raises:
        StackError: no head is set, or it does not answer.
    """
    if ray.is_initialized():
        return
    if settings.ray_address is None:
        raise StackError(NO_STACK.format(what="Ray head", name="S2S_RAY_ADDRESS"))
    if settings.ray_token_path is not None:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(settings.ray_token_path)
    try:
        ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StackError(
            f"expected a Ray head at {settings.ray_address}, it does not let us in: {reason}; look at `s2s stack status`, `s2s stack up` starts one"
        ) from None


def _check_resources(wanted: Resources) -> None:
    have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked = {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": wanted.memory_gb * 1e9}
    short = {name: amount for name, amount in asked.items() if amount > have.get(name, 0)}
    if short:
        words = ", ".join(f"{name} {amount:g} of {have.get(name, 0):g}" for name, amount in short.items())
        raise ConfigError(
            f"the run asks for more than the cluster has: {words}; lower it, for instance --set resources.cpus={have.get('CPU', 1):g}"
        )


@ray.remote
def _single_shot(config: str, board: ActorHandle[Any]) -> str:
    return single_shot(RunConfig.model_validate_json(config), load_settings(is_local=False), Poster(board)).model_dump_json()
