"""Who may do what, how often, and what is written down about it."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fastapi import Request

from s2s.contracts.service import Action, TokenRecord
from s2s.errors import StorageError
from s2s.recipes.serving.tokens import Doorkeeper
from s2s.serving.problems import BUSY, FORBIDDEN, UNAUTHORIZED, problem
from s2s.serving.threads import Threads

AUDIT_BYTES, AUDIT_FILES = 50_000_000, 10
PREFIX = "s2s-"
LONGEST_TOKEN = 200


class Rate:
    """A bucket per token: it holds a minute's worth of requests and fills steadily."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, token_id: str) -> bool:
        """Take one request; False where none is left."""
        now = self._clock()
        left, since = self._left.get(token_id, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - since) * self._per_minute / 60)
        self._left[token_id] = (left - 1 if left >= 1 else left, now)
        return left >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Lets requests in."""

    doorkeeper: Doorkeeper
    rate: Rate
    threads: Threads

    async def enter(self, request: Request, action: Action) -> TokenRecord:
        """Say whose a request is.

        Raises:
            HTTPException: 401 without a good token, 403 where it is not for this, 429 where it comes too often, 503 where nobody can tell.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= LONGEST_TOKEN:
            raise problem(UNAUTHORIZED, "expected the header Authorization: Bearer s2s_..., got none; `s2s tokens create` makes one")
        record = await self._holder(token.strip())
        if record is None:
            raise problem(UNAUTHORIZED, "expected a token that is good, this one is unknown, expired or revoked")
        request.state.token_id = record.id
        if action not in record.actions:
            raise problem(FORBIDDEN, f"expected a token for {action}, this one is for {', '.join(record.actions)}")
        if not self.rate.take(record.id):
            raise problem(BUSY, "expected fewer requests per minute from this token; wait a little")
        return record

    async def _holder(self, token: str) -> TokenRecord | None:
        try:
            return await self.threads.run(self.doorkeeper.holder, token)
        except StorageError:
            self.doorkeeper.find_silent()
        return await self.threads.run(self.doorkeeper.holder, token)  # now without asking the store, where it was seen lately


def require_tissue(record: TokenRecord, name: str, tissue: str) -> None:
    """Refuse a model that a token does not open.

    Args:
        record: Of the token.
        name: Of the model, in the registry.
        tissue: Of the model.

    Raises:
        HTTPException: 403.
    """
    if not opens(record, name, tissue):
        raise problem(FORBIDDEN, f"expected a token for {name.removeprefix(PREFIX)}, this one is for {', '.join(record.tissues or ())}")


def opens(record: TokenRecord, name: str, tissue: str) -> bool:
    """Whether a token is for a model."""
    return record.tissues is None or not {name, name.removeprefix(PREFIX), tissue}.isdisjoint(record.tissues)


@dataclass(frozen=True, slots=True)
class Audit:
    """A line of JSON per request, in files that do not grow for ever."""

    path: Path
    _log: logging.Logger = field(init=False)

    def __post_init__(self) -> None:
        """Open the file, for the owner alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        log = logging.Logger("s2s.audit")
        log.addHandler(RotatingFileHandler(self.path, maxBytes=AUDIT_BYTES, backupCount=AUDIT_FILES, encoding="utf-8"))
        object.__setattr__(self, "_log", log)

    def write(self, request: Request, status: int, seconds: float) -> None:
        """Write one request down: who, from where, what, and how it ended."""
        line = {
            "at": time.time(),
            "token": getattr(request.state, "token_id", None),
            "client": request.client.host if request.client else None,
            "method": request.method,
            "path": request.url.path[:500],
            "model": getattr(request.state, "model", None),
            "status": status,
            "seconds": round(seconds, 4),
        }
        self._log.info(json.dumps(line))

    def close(self) -> None:
        """Close the file."""
        for handler in self._log.handlers:
            handler.close()
