"""One network on several workers: a run as a group of Ray Train's, from launch to report.

As of a run on one worker, only the configuration travels, as JSON. Decision: a group that loses a worker is started again by Ray Train,
with as many workers as there are by then, and goes on from the run's own checkpoints, which belong to no number of workers; an error of
the user's ends the run, and the group that Ray Train starts all the same returns at once.
"""

import sys
import threading
import time
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, cast

from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.contracts.sharding import MemoryPlan
from s2s.errors import PreemptedError, S2SError, StackError, StorageError, reason_of
from s2s.orchestration.cluster import HeadWatch, asked_of, check_resources, join
from s2s.orchestration.progress import EVERY_S, Poster, ProgressBoard
from s2s.recipes.run import Progress
from s2s.storage.filesystem import OwnS3FileSystem
from s2s.storage.location import join as join_uri
from s2s.storage.objects import delete_prefix
from s2s.training.world import World

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from ray.train.torch import TorchTrainer

TRAIN_FOLDER = "ray_train"
"""In the bucket: what Ray Train remembers of its groups while they work; nothing of ours."""

DRAIN_S = 180.0
"""How long a worker whose machine is taken back waits, its state saved, for Ray Train to start the group elsewhere."""


class Board(ProgressBoard):
    """Also keeps how the run ended, as a Ray actor: its report or the user's error."""

    def __init__(self) -> None:
        super().__init__()
        self._outcome: str | S2SError | None = None

    def settle(self, outcome: str | S2SError) -> None:
        """Say how it ended; the first word counts."""
        self._outcome = self._outcome or outcome

    def outcome(self) -> str | S2SError | None:
        """Give how it ended; None before."""
        return self._outcome


def train_on_workers(config: RunConfig, settings: Settings, on_progress: Progress, plan: MemoryPlan) -> RunReport:
    """Run `sharded` on a group of workers and wait for it.

    Args:
        config: Resolved; its section is a URI.
        settings: Name the Ray head.
        on_progress: Told what the first worker says.
        plan: How the work is shared.

    Raises:
        StackError: no Ray head is set, it does not answer, or workers died again and again.
        ConfigError: the cluster has fewer resources than the smallest group asks for.
        S2SError: whatever the run itself raised.
    """
    join(settings)
    least = config.sharding.min_workers or plan.chosen.workers
    check_resources(config.resources, workers=least)
    import ray

    board: ActorHandle[Any] = ray.remote(num_cpus=0, max_restarts=1)(Board).remote()  # type: ignore[assignment]
    name = f"{config.name}-{time.time_ns()}"
    head, group = HeadWatch(settings), _Group(_trainer(name, config, settings, plan, board))
    try:
        _follow(group, board, head, on_progress)
        outcome = cast(str | S2SError | None, ray.get(board.outcome.remote()))
    finally:
        if not head.is_lost:
            ray.kill(board)
        with suppress(StorageError):  # what is left there is small, and how the run ended says more
            delete_prefix(join_uri(settings.root, TRAIN_FOLDER, name), settings)
    if isinstance(outcome, S2SError):
        raise outcome
    if outcome is None:
        raise StackError(
            f"expected at most sharding.max_failures={config.sharding.max_failures} lost workers, run {config.name} lost more: "
            f"{group.words}. Look at `s2s doctor` and the logs of Ray, then run the same command: it resumes"
        )
    return RunReport.model_validate_json(outcome)


def _follow(group: "_Group", board: "ActorHandle[Any]", head: HeadWatch, on_progress: Progress) -> None:
    import ray

    with redirect_stdout(sys.stderr):  # Ray says on stdout what it does, which is for results alone
        group.start()
        while group.is_alive():
            group.join(EVERY_S)
            if head.answers():
                on_progress(*ray.get(board.latest.remote()))


class _Group(threading.Thread):
    """Waits for Ray Train, which does not tell what goes on meanwhile."""

    def __init__(self, trainer: "TorchTrainer") -> None:
        super().__init__(name="s2s-train", daemon=True)
        self._trainer = trainer
        self.words = ""

    def run(self) -> None:
        from ray.exceptions import RayError
        from ray.train import TrainingFailedError

        try:
            self._trainer.fit()
        except (TrainingFailedError, RayError) as error:
            self.words = reason_of(error, -1)


def _trainer(name: str, config: RunConfig, settings: Settings, plan: MemoryPlan, board: "ActorHandle[Any]") -> "TorchTrainer":
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    wanted, sharding = config.resources, config.sharding
    # Ray's types here are those of Train v1, which is not what runs.
    workers = plan.chosen.workers
    return TorchTrainer(
        _work,
        train_loop_config={"config": config.model_dump_json(), "plan": plan.model_dump_json(), "board": board},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if wanted.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=(sharding.min_workers, workers) if sharding.min_workers else workers,  # type: ignore[arg-type]
            use_gpu=wanted.gpus > 0,
            resources_per_worker={name: amount for name, amount in asked_of(wanted).items() if amount},
        ),
        run_config=TrainConfig(
            name=name,
            storage_path=f"{settings.bucket}/{TRAIN_FOLDER}",
            storage_filesystem=OwnS3FileSystem(),
            failure_config=FailureConfig(max_failures=sharding.max_failures, max_preemption_failures=-1),  # type: ignore[call-arg]
        ),
    )


def _work(given: dict[str, Any]) -> None:
    """What every worker does."""
    import ray.train

    from s2s.recipes.sharded import sharded  # DeepSpeed takes seconds to import, and the launching process needs none of it

    board: ActorHandle[Any] = given["board"]
    if ray.get(board.outcome.remote()) is not None:
        return
    context = ray.train.get_context()
    world = World(rank=context.get_world_rank(), size=context.get_world_size())
    config, plan = RunConfig.model_validate_json(given["config"]), MemoryPlan.model_validate_json(given["plan"])
    try:
        report = sharded(config, load_settings(is_local=False), Poster(board), plan, world)
    except PreemptedError:
        time.sleep(DRAIN_S)
        raise
    except S2SError as error:
        ray.get(board.settle.remote(error))
        raise
    if report is not None:
        ray.get(board.settle.remote(report.model_dump_json()))
