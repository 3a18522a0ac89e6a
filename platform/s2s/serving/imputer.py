"""A replica that imputes: it holds the champions, follows the registry, and takes requests together as long as their pixels are few.

Decision: champions are held in every replica, for a network is a few megabytes and a request must not wait for a download; other
versions come and go, some at a time. The price is that a new champion is loaded once per replica.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from ray import serve
from threadpoolctl import threadpool_limits

from s2s.contracts.service import ModelEntry, ServiceConfig
from s2s.contracts.settings import load_settings
from s2s.errors import MissingError, S2SError
from s2s.recipes.serving.answering import Answer, Asked, Opened, finish, open_request
from s2s.recipes.serving.champions import Champions, Served, load_served

logger = logging.getLogger(__name__)
LONG_TAIL = 4
"""Versions that are no champions, or of models that are not pinned, which a replica holds at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a replica holds."""

    entries: tuple[ModelEntry, ...]
    is_ready: bool


@dataclass(frozen=True, slots=True)
class _Work:
    opened: Opened
    given_up: threading.Event

    @property
    def pixels(self) -> int:
        return int(self.opened.measured.expression.size)


def total_pixels(works: Sequence[_Work]) -> int:
    """Genes x bins of some requests."""
    return sum(work.pixels for work in works)


class ImputerReplica:
    """Imputes sections with the models of the registry."""

    def __init__(self, config: str) -> None:
        self._config = ServiceConfig.model_validate_json(config)
        self._settings = load_settings(is_local=False)
        threads = self._config.replicas.threads
        torch.set_num_threads(threads)
        self._limits = threadpool_limits(threads)
        self._pool = ThreadPoolExecutor(self._config.replicas.ongoing, thread_name_prefix="s2s-request")
        self._champions = Champions(self._settings, self._config.pinned)
        self._begin()
        self._together.set_max_batch_size(self._config.batching.pixels)  # type: ignore[attr-defined]
        self._together.set_batch_wait_timeout_s(self._config.batching.wait_ms / 1000)  # type: ignore[attr-defined]
        self._follower = threading.Thread(target=self._follow, name="s2s-registry", daemon=True)
        self._follower.start()

    def check_health(self) -> None:
        """Fail, so that Serve starts this replica anew, where the registry is no longer followed."""
        if not self._follower.is_alive():
            raise RuntimeError("the thread that follows the registry has ended; its last words stand in the log of this replica")

    async def describe(self) -> Described:
        """Say which models there are, and whether the registry was ever read."""
        return Described(entries=self._champions.entries(), is_ready=self._champions.is_complete)

    async def look_up(self, asked: str) -> ModelEntry:
        """The model that a caller means; see `Champions.find`."""
        name = self._champions.find(asked)
        return next(entry for entry in self._champions.entries() if entry.name == name)

    async def served(self, name: str, version: int | None) -> Served:
        """The model that answers: its champion, or a version that was asked for."""
        held = self._champions.champion(name)
        if held is not None and version in (None, held.version):
            return held
        if version is None:
            entry = next((entry for entry in self._champions.entries() if entry.name == name), None)
            version = entry.version if entry else None
            if version is None:
                raise MissingError(f"expected a champion of {name}, there is none: {entry.problem if entry else 'no such model'}")
        found: Served = await self._long_tail(f"models:/{name}/{version}")
        return found

    async def contract(self, name: str, version: int | None) -> str:
        """The contract of a model, as JSON."""
        return (await self.served(name, version)).release.model_dump_json()

    async def impute(self, name: str, asked: Asked) -> Answer:
        """Answer a request.

        Args:
            name: In the registry.
            asked: The request.

        Raises:
            S2SError: as `answering.open_request` and `answering.finish`.
        """
        served = await self.served(name, asked.parameters.model_version)
        loop, given_up = asyncio.get_running_loop(), threading.Event()
        try:
            opened = await loop.run_in_executor(self._pool, open_request, asked, served)
            return await self._together(_Work(opened, given_up))
        except asyncio.CancelledError:
            given_up.set()
            raise

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0, batch_size_fn=total_pixels, max_concurrent_batches=2)
    async def _together(self, works: list[_Work]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        done = [loop.run_in_executor(self._pool, finish, work.opened, work.given_up.is_set) for work in works]
        # An exception in the list is raised for its own request.
        return await asyncio.gather(*done, return_exceptions=True)  # type: ignore[return-value]

    @serve.multiplexed(max_num_models_per_replica=LONG_TAIL)  # type: ignore[untyped-decorator]
    async def _long_tail(self, uri: str) -> Served:
        return await asyncio.get_running_loop().run_in_executor(self._pool, load_served, uri, self._settings)

    def _begin(self) -> None:
        try:
            self._champions.refresh()
        except S2SError as error:
            logger.warning("the registry does not answer, the service begins with what it held last: %s", error)
            try:
                self._champions.recall()
            except S2SError as problem:
                logger.warning("nothing is held yet: %s", problem)

    def _follow(self) -> None:
        while True:
            time.sleep(self._config.follow_s)
            try:
                self._champions.refresh()
            except S2SError as error:  # what is held goes on
                logger.warning("the registry cannot be followed: %s", error)
