"""From what went wrong to what HTTP says: a status, a kind for programs, a sentence for people, and whether to try again."""

import logging
import secrets
from dataclasses import dataclass

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, RayServeException, RequestCancelledError

from s2s.contracts.service import Problem
from s2s.errors import MissingError, S2SError, StackError, StorageError, TrackingError

logger = logging.getLogger(__name__)
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    name: str
    is_retryable: bool = False


BAD_INPUT = _Kind(422, "bad-input")
TOO_LARGE = _Kind(413, "too-large")
UNSUPPORTED = _Kind(415, "unsupported-format")
UNAUTHORIZED = _Kind(401, "unauthorized")
FORBIDDEN = _Kind(403, "forbidden")
MISSING = _Kind(404, "missing")
METHOD = _Kind(405, "method")
BUSY = _Kind(429, "busy", is_retryable=True)
UNAVAILABLE = _Kind(503, "unavailable", is_retryable=True)
TIMEOUT = _Kind(504, "timeout", is_retryable=True)
DEFECT = _Kind(500, "defect")
KINDS = {kind.status: kind for kind in (BAD_INPUT, TOO_LARGE, UNSUPPORTED, UNAUTHORIZED, FORBIDDEN, MISSING, METHOD, BUSY, UNAVAILABLE)}


def problem(kind: _Kind, words: str) -> HTTPException:
    """An exception that becomes an answer."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if kind.is_retryable else {}
    if kind is UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return HTTPException(kind.status, detail=words, headers=headers)


_REFUSALS: tuple[tuple[tuple[type[BaseException], ...], _Kind, str | None], ...] = (
    ((StorageError, TrackingError, StackError), UNAVAILABLE, None),
    ((MissingError,), MISSING, None),
    ((S2SError,), BAD_INPUT, None),
    ((BackPressureError,), UNAVAILABLE, "expected room in the queue, there is none; try again"),
    ((TimeoutError, RequestCancelledError), TIMEOUT, "expected an answer in time, it took longer; send fewer genes, or ask for a job"),
    ((MemoryError, RayActorError, RayServeException), UNAVAILABLE, "expected a replica to answer, it was lost; try again"),
)
"""In order: what was raised, what HTTP says of it, and in which words, where its own are not for the caller."""


def refusal_of(error: BaseException) -> HTTPException:
    """Say in HTTP what went wrong below.

    Args:
        error: What was raised, here or in a replica.
    """
    if isinstance(error, HTTPException):
        return error
    for types, kind, words in _REFUSALS:
        if isinstance(error, types):
            return problem(kind, words or str(error))
    mark = secrets.token_hex(4)
    logger.error("defect %s", mark, exc_info=error)
    return problem(DEFECT, f"a defect of ours; the service's log has it as {mark}")


async def answer_http(request: Request, error: Exception) -> JSONResponse:
    """Write a refusal as a `Problem`."""
    assert isinstance(error, HTTPException) or hasattr(error, "status_code")
    status = int(getattr(error, "status_code", 500))
    kind = KINDS.get(status, TIMEOUT if status == TIMEOUT.status else DEFECT if status >= 500 else BAD_INPUT)
    body = Problem(error=str(getattr(error, "detail", "")), kind=kind.name, is_retryable=kind.is_retryable)
    return JSONResponse(body.model_dump(), status, headers=getattr(error, "headers", None))


async def answer_invalid(request: Request, error: Exception) -> JSONResponse:
    """Write what is wrong with parameters or with a JSON body as a `Problem`."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    body = Problem(error=f"{where}: {first['msg']}", kind=BAD_INPUT.name, is_retryable=False)
    return JSONResponse(body.model_dump(), BAD_INPUT.status)


async def answer_other(request: Request, error: Exception) -> JSONResponse:
    """Write whatever was raised below as a `Problem`; what nobody foresaw becomes one sentence, and a traceback in our log."""
    return await answer_http(request, refusal_of(error))
