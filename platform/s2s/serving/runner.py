"""Looks after jobs: each that is open becomes a Ray task, so that it has resources and a process of its own.

Decision: nothing of a job is kept here. Who works on what stands in the ledger, so a runner that is new, or one of two, does no harm.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from s2s.contracts.service import JobSettings, ServiceConfig
from s2s.contracts.settings import load_settings
from s2s.errors import S2SError, reason_of
from s2s.recipes.serving.jobs import do_job, job_status, list_jobs, read_job

if TYPE_CHECKING:
    from ray import ObjectRef

logger = logging.getLogger(__name__)


class JobRunner:
    """Starts jobs, some at a time, as long as it lives."""

    def __init__(self, config: str) -> None:
        self._config = ServiceConfig.model_validate_json(config).jobs
        self._settings = load_settings(is_local=False)
        self._over: set[str] = set()
        self._tasks: dict[str, ObjectRef[None]] = {}
        self._loop = asyncio.get_running_loop().create_task(self._work())

    def check_health(self) -> None:
        """Fail, so that Serve starts this process anew, where jobs are no longer looked after."""
        if self._loop.done():
            raise RuntimeError("the loop that starts jobs has ended; its last words stand in the log of this replica")

    async def _work(self) -> None:
        while True:
            try:
                await self._look_after()
            except S2SError as error:
                logger.warning("jobs cannot be looked after: %s", error)
            await asyncio.sleep(self._config.poll_s)

    async def _look_after(self) -> None:
        await self._settle()
        room = self._config.at_once - len(self._tasks)
        for job_id in (await asyncio.to_thread(self._waiting))[:room]:
            self._start(job_id)

    async def _settle(self) -> None:
        """Forget tasks that have ended; how is in the ledger, and where it is not, the lease runs out."""
        from ray.exceptions import RayError

        for job_id, task in list(self._tasks.items()):
            try:
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(task.future())), 0.01)
            except TimeoutError:
                continue
            except (RayError, S2SError) as error:
                logger.warning("job %s: %s", job_id, reason_of(error, -1))
            del self._tasks[job_id]

    def _waiting(self) -> list[str]:
        waiting = []
        for job_id in list_jobs(self._settings):
            if job_id in self._over or job_id in self._tasks:
                continue
            state = job_status(read_job(job_id, self._settings), self._config, self._settings).state
            if state == "waiting":
                waiting.append(job_id)
            elif state != "running":
                self._over.add(job_id)
        return waiting

    def _start(self, job_id: str) -> None:
        import ray

        wanted = self._config
        options = {"num_cpus": wanted.cpus, "max_retries": 0, "name": f"s2s job {job_id}"}
        if wanted.memory_gb:
            options["memory"] = int(wanted.memory_gb * 1e9)
        self._tasks[job_id] = ray.remote(_do).options(**options).remote(job_id, wanted.model_dump_json())


def _do(job_id: str, config: str) -> None:
    do_job(job_id, JobSettings.model_validate_json(config), load_settings(is_local=False))
