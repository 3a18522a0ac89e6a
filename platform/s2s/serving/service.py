"""What the door works with, and the one thing it does that takes more than a line: finding a replica that answers.

Decision: a request that a replica took along when it died is given to another, for imputing changes nothing; `TRIES` times at most, for it
may be the request that kills. The price is a longer wait in that rare case.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from s2s.contracts.release import Release
from s2s.contracts.service import Action, ModelEntry, ServiceConfig, TokenRecord
from s2s.contracts.settings import Settings
from s2s.errors import S2SError
from s2s.recipes.serving.answering import Answer, Asked
from s2s.recipes.serving.tokens import Doorkeeper
from s2s.serving.access import Audit, Gate, Rate, require_tissue
from s2s.serving.draining import Drain
from s2s.serving.imputer import Described
from s2s.serving.metrics import Figures
from s2s.serving.problems import refusal_of
from s2s.serving.threads import Threads

TRIES = 3
PAUSE_S = 0.5
TOKEN_THREADS, TOKEN_PATIENCE_S = 16, 3.0
STORE_THREADS, STORE_PATIENCE_S = 16, 20.0
LOST = (S2SError, RayError, RayServeException, BackPressureError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything behind the door.

    Attributes:
        config: Of the service.
        settings: Where the store and the registry are.
        imputers: The replicas.
        gate: Lets requests in.
        audit: Writes them down.
        figures: Counts them.
        threads: For calls of the store and the registry.
        over: Jobs that are known to be over.
        drain: Ends it.
    """

    config: ServiceConfig
    settings: Settings
    imputers: DeploymentHandle[Any]
    gate: Gate
    audit: Audit
    figures: Figures
    threads: Threads
    over: set[str] = field(default_factory=set)
    drain: Drain = field(default_factory=Drain)

    async def enter(self, request: Request, action: Action) -> TokenRecord:
        """Say whose a request is; see `Gate.enter`."""
        return await self.gate.enter(request, action)

    async def describe(self) -> Described:
        """What a replica holds."""
        found: Described = await self._ask("describe")
        return found

    async def look_up(self, request: Request, record: TokenRecord, asked: str) -> ModelEntry:
        """The model that a caller means and may use.

        Raises:
            HTTPException: 404 where there is none, 403 where the token does not open it, 503 where no replica answers.
        """
        entry: ModelEntry = await self._ask("look_up", asked)
        require_tissue(record, entry.name, entry.tissue)
        request.state.model = entry.name
        return entry

    async def contract(self, name: str, version: int | None) -> Release:
        """The contract of a model."""
        return Release.model_validate_json(await self._ask("contract", name, version))

    async def impute(self, name: str, asked: Asked) -> Answer:
        """Have a section imputed.

        Raises:
            HTTPException: 422 where it cannot be, 503 where no replica is left, 504 where it took too long.
        """
        version = asked.parameters.model_version
        options = {} if version is None else {"multiplexed_model_id": f"models:/{name}/{version}"}
        found: Answer = await self._ask("impute", name, asked, **options)
        return found

    async def _ask(self, method: str, *arguments: object, **options: str) -> Any:  # noqa: ANN401 - what a replica returns, by its method
        handle = self.imputers.options(method_name=method, **options)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(self.config.limits.seconds):
                return await _persistently(lambda: handle.remote(*arguments))
        except LOST as error:
            raise refusal_of(error) from None


async def _persistently(ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - what a replica returns
    """Ask another replica where one dies over it."""
    for _ in range(TRIES - 1):
        with suppress(RayActorError):
            return await ask()
        await asyncio.sleep(PAUSE_S)
    return await ask()


def make_service(config: ServiceConfig, settings: Settings, imputers: DeploymentHandle[Any]) -> Service:
    """Put a service together."""
    return Service(
        config=config,
        settings=settings,
        imputers=imputers,
        gate=Gate(
            doorkeeper=Doorkeeper(settings),
            rate=Rate(config.limits.requests_per_minute),
            threads=Threads("tokens", TOKEN_THREADS, TOKEN_PATIENCE_S),
        ),
        audit=Audit(settings.home / "service" / "audit.jsonl"),
        figures=Figures(),
        threads=Threads("store", STORE_THREADS, STORE_PATIENCE_S),
    )
