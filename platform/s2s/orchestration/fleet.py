"""The fleet: the runs of an atlas as Ray tasks, each a bundle of runs, a limited number of them handed in at a time.

Ray decides where a task runs and tells when it was lost; the ledger decides what is done. So nothing here has to survive:
a launcher that dies is started again, two launchers share the work. Decision: Ray retries nothing itself, because only the
cause of a failure tells whether another attempt makes sense; the price is one word with the driver per failure.
"""

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from s2s.contracts.atlas import AtlasBundle, AtlasConfig, AtlasPlan, AtlasRun, RunOutcome
from s2s.contracts.ledger import Cause
from s2s.contracts.run import Resources
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import StorageError
from s2s.orchestration.cluster import HeadWatch, check_resources, join, room_for, stop_tasks
from s2s.orchestration.metrics import FleetMetrics
from s2s.orchestration.packing import PROBES, Packer, largest_first
from s2s.orchestration.progress import EVERY_S
from s2s.orchestration.retries import decide
from s2s.recipes.atlas.settling import Loss, settle
from s2s.recipes.atlas.status import cost_usd, survey_atlas
from s2s.recipes.atlas.work import Finished, RunAll, do_run
from s2s.recipes.run import ledger_of

if TYPE_CHECKING:
    from ray import ObjectRef

Work = Callable[[AtlasRun, AtlasConfig, Settings], RunOutcome]
"""Does one run in a worker; `do_run`, or something lighter in a benchmark of the fleet itself."""


@dataclass(slots=True)
class Tally:
    """How a launch goes, for whoever looks on.

    Attributes:
        total: Runs that had to be done.
        done: Runs finished, by this launch or another meanwhile.
        failed: Cause -> runs given up.
        retried: Attempts that failed and are tried again.
        running: Runs in tasks that are handed in.
        cost_usd: Of finished work, that of earlier launches too where there is a budget.
        is_over_budget: No further run is started.
    """

    total: int
    done: int = 0
    failed: Counter[Cause] = field(default_factory=Counter)
    retried: int = 0
    running: int = 0
    cost_usd: float = 0.0
    is_over_budget: bool = False


@dataclass(slots=True)
class _Job:
    run: AtlasRun
    num_failures: int = 0
    factor: float = 1.0
    ready_at: float = 0.0
    handed_in_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Told what happens: the door draws it, records are sent on.

    Attributes:
        finished: A run has its commit.
        tick: Something changed, or half a second passed.
    """

    finished: Callable[[AtlasRun], None]
    tick: Callable[[Tally], None]


def on_ray(tick: Callable[[Tally], None]) -> RunAll:
    """Do the runs of an atlas as Ray tasks.

    Args:
        tick: Told how it goes, twice a second.
    """

    def run_all(plan: AtlasPlan, pending: Sequence[AtlasRun], settings: Settings, finished: Finished) -> None:
        run_fleet(plan, pending, settings, Follower(finished=finished, tick=tick))

    return run_all


def run_fleet(plan: AtlasPlan, pending: Sequence[AtlasRun], settings: Settings, follower: Follower, work: Work = do_run) -> Tally:
    """Do runs on the cluster until all are done or given up, or the budget is spent.

    Args:
        plan: Of the atlas.
        pending: Its runs that are not done.
        settings: Name the Ray head.
        follower: Told what happens.
        work: Does one run in a worker.

    Raises:
        StackError: no Ray head is set, or it does not answer, or no longer does.
        ConfigError: the cluster has fewer resources than a run asks for.
        KeyboardInterrupt: the user stopped it; runs at work were told to stop.
    """
    join(settings)
    check_resources(plan.config.resources)
    with redirect_stdout(sys.stderr):  # Ray says on stdout that a worker died, which is for results alone
        return _Fleet(plan, pending, settings, follower, work).run()


class _Fleet:
    """One launch. The driver's only loop; every step of it is a method."""

    def __init__(self, plan: AtlasPlan, pending: Sequence[AtlasRun], settings: Settings, follower: Follower, work: Work) -> None:
        self._plan, self._settings, self._follower, self._work = plan, settings, follower, work
        self._config = plan.config
        self._packer = Packer(self._config.resources, self._config.fleet.max_per_gpu)
        self._waiting: deque[_Job] = deque(_Job(run) for run in (largest_first(pending) if self._packer.is_on else pending))
        self._resting: list[_Job] = []
        self._running: dict[ObjectRef[str], list[_Job]] = {}
        self._pace = _Pace(self._config)
        self._head = HeadWatch(settings)
        self._ledger = ledger_of(settings, holder="launcher")
        self._metrics = FleetMetrics(self._config)
        self.tally = Tally(total=len(pending))

    def run(self) -> Tally:
        self._look_back()
        try:
            while self._waiting or self._resting or self._running:
                self._tell()
                if not self._head.answers():
                    time.sleep(EVERY_S)
                    continue
                self._wake()
                self._hand_in()
                if not self._running and self.tally.is_over_budget:
                    break
                self._wait()
        finally:
            stop_tasks(self._running, self._head)
            self._running.clear()
            self._tell()
        return self.tally

    def _look_back(self) -> None:
        """Learn from runs that are done, the pilot's for instance, what they have cost and what one takes of a graphics processor."""
        if self._config.budget_usd is not None:
            self.tally.cost_usd = survey_atlas(self._plan, self._settings).cost_usd
        if not self._packer.is_on:
            return
        pending = {job.run.key for job in self._waiting}
        done = [run.key for run in largest_first(self._plan.runs) if run.key not in pending]
        for commit in self._ledger.read_commits(done[:PROBES]).values():
            self._packer.learn(commit.gpu)

    def _tell(self) -> None:
        tally = self.tally
        tally.running = sum(map(len, self._running.values()))
        self._metrics.states(done=tally.done, failed=sum(tally.failed.values()), handed_in=tally.running, total=tally.total)
        self._follower.tick(tally)

    def _wait(self) -> None:
        """Until a task has ended, or for half a second; take back all that have, so that no slot waits for the next look."""
        import ray

        if not self._running:
            time.sleep(EVERY_S)
            return
        tasks = list(self._running)
        if not ray.wait(tasks, num_returns=1, timeout=EVERY_S, fetch_local=False)[0]:
            return
        ready, _ = ray.wait(tasks, num_returns=len(tasks), timeout=0, fetch_local=False)
        for task in ready:
            self._take_back(task, self._running.pop(task))

    def _wake(self) -> None:
        now = time.monotonic()
        self._waiting.extend(job for job in self._resting if job.ready_at <= now)
        self._resting = [job for job in self._resting if job.ready_at > now]

    def _hand_in(self) -> None:
        budget = self._config.budget_usd
        self.tally.is_over_budget = budget is not None and self.tally.cost_usd >= budget
        if self.tally.is_over_budget:
            return
        slots = max(1, room_for(self._packer.resources))
        ahead = 1 if self._packer.is_measuring else self._config.fleet.ahead  # what waits in Ray's queue asks for a whole GPU
        window = slots * ahead
        while self._waiting and len(self._running) < window:
            jobs = list(self._next_bundle(window))
            self._running[self._submit(jobs)] = jobs

    def _next_bundle(self, window: int) -> Iterator[_Job]:
        # At the end the last runs are spread over the window, not bundled: Ray does not promise to start tasks in their order.
        size = min(self._pace.bundle_size, max(1, len(self._waiting) // window))
        first = self._waiting.popleft()
        yield first
        while size > 1 and first.factor == 1 and self._waiting and self._waiting[0].factor == 1:
            yield self._waiting.popleft()
            size -= 1

    def _submit(self, jobs: Sequence[_Job]) -> "ObjectRef[str]":
        import ray

        for job in jobs:
            job.handed_in_at = time.time()
        wanted = _raised(self._packer.resources, jobs[0].factor)
        bundle = AtlasBundle(config=self._config.model_copy(update={"resources": wanted}), runs=tuple(job.run for job in jobs))
        launcher = ray.remote(num_cpus=wanted.cpus, num_gpus=wanted.gpus, memory=int(wanted.memory_gb * 1e9), max_retries=0)(_do_bundle)
        task: ObjectRef[str] = launcher.options(name=f"s2s atlas {self._config.name}").remote(bundle.model_dump_json(), self._work)
        return task

    def _take_back(self, task: "ObjectRef[str]", jobs: Sequence[_Job]) -> None:
        outcomes = self._outcomes(task, jobs)
        self._pace.learn([outcome.seconds for outcome in outcomes if outcome.state == "done"])
        for job, outcome in zip(jobs, outcomes, strict=True):
            usd = cost_usd(self._plan, outcome.seconds, outcome.gpu.share if outcome.gpu else None)
            self.tally.cost_usd += usd
            self._metrics.cost(usd)
            if outcome.state == "done":
                self._finish(job, outcome)
            elif outcome.state == "elsewhere":
                self._look_later(job)
            else:
                self._retry(job, outcome.cause or "defect")

    def _outcomes(self, task: "ObjectRef[str]", jobs: Sequence[_Job]) -> list[RunOutcome]:
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

        cause: Cause
        try:
            return [RunOutcome.model_validate_json(line) for line in ray.get(task).splitlines()]
        except OutOfMemoryError as error:
            cause, message = "out-of-memory", str(error)
        except RayTaskError as error:
            cause, message = "defect", f"{type(error.cause).__name__}: {error.cause}"
        except RayError as error:
            cause, message = "lost", f"its worker was lost: {type(error).__name__}"
        loss = Loss(cause=cause, message=message, since=jobs[0].handed_in_at)
        return settle([job.run.key for job in jobs], loss, self._ledger)

    def _finish(self, job: _Job, outcome: RunOutcome) -> None:
        self.tally.done += 1
        self._packer.learn(outcome.gpu)
        self._metrics.done(job.run, outcome)
        self._follower.finished(job.run)

    def _look_later(self, job: _Job) -> None:
        with suppress(StorageError):  # looked up again next time
            if self._ledger.find_commit(job.run.key) is not None:
                self._finish(job, RunOutcome(key=job.run.key, state="done"))
                return
        job.ready_at = time.monotonic() + self._config.fleet.lease_s / 4
        self._resting.append(job)

    def _retry(self, job: _Job, cause: Cause) -> None:
        retry = decide(cause, job.num_failures + 1, self._config.fleet.max_attempts)
        self._metrics.failed(cause, is_given_up=retry is None)
        if retry is None:
            self.tally.failed[cause] += 1
            return
        self.tally.retried += 1
        job.num_failures += retry.counts
        job.factor *= retry.factor
        job.ready_at = time.monotonic() + retry.after_s
        self._resting.append(job)


class _Pace:
    """Learns how long a run takes, and how many of them make a bundle."""

    def __init__(self, config: AtlasConfig) -> None:
        self._target_s, self._most = config.fleet.bundle_s, config.fleet.max_bundle
        self._mean_s: float | None = None

    @property
    def bundle_size(self) -> int:
        if self._mean_s is None:
            return 1
        return int(min(self._most, max(1.0, self._target_s / max(self._mean_s, 1e-3))))

    def learn(self, seconds: Sequence[float]) -> None:
        for value in seconds:
            self._mean_s = value if self._mean_s is None else 0.8 * self._mean_s + 0.2 * value


def _raised(wanted: Resources, factor: float) -> Resources:
    """Ask for more, but never for more than one graphics processor, or than the largest machine has memory for."""
    if factor == 1:
        return wanted
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    most = max([wanted.memory_gb, *(0.9 * node.get("memory", 0) / 1e9 for node in nodes)])
    gpus = min(1.0, wanted.gpus * factor) if 0 < wanted.gpus < 1 else wanted.gpus
    return wanted.model_copy(update={"memory_gb": min(most, wanted.memory_gb * factor), "gpus": gpus})


def _do_bundle(bundle: str, work: Work) -> str:
    """In the worker: one run after the other; a line of JSON per outcome."""
    asked, settings = AtlasBundle.model_validate_json(bundle), load_settings(is_local=False)
    return "\n".join(work(run, asked.config, settings).model_dump_json() for run in asked.runs)
