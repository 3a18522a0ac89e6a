"""Rates, scopes, formats and refusals: what the door decides by itself."""

import json
import stat
from pathlib import Path

import pytest
from fastapi import HTTPException
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError
from starlette.requests import Request

from s2s.contracts.service import TokenRecord
from s2s.errors import ConfigError, InputError, MissingError, StorageError, TrackingError
from s2s.serving.access import Audit, Rate, opens, require_tissue
from s2s.serving.bodies import format_sent, format_wanted, read_body
from s2s.serving.problems import refusal_of


def request(*pieces: bytes, **headers: str) -> Request:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces] + [{"type": "http.request", "body": b""}]
    rest = iter(messages)

    async def receive() -> dict[str, object]:
        return next(rest)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/impute", "headers": raw, "client": ("127.0.0.1", 1), "query_string": b"x"}
    return Request(scope, receive)


def record(tissues: tuple[str, ...] | None) -> TokenRecord:
    return TokenRecord(id="0" * 12, name="lab", secret_sha256="0" * 64, tissues=tissues, created_at=0)


def test_a_minutes_worth_may_come_at_once_and_then_steadily() -> None:
    now = [0.0]
    rate = Rate(60, lambda: now[0])
    assert [rate.take("a") for _ in range(61)] == [True] * 60 + [False]
    assert rate.take("b")
    now[0] += 1.0
    assert [rate.take("a"), rate.take("a")] == [True, False]


@pytest.mark.parametrize(
    ("tissues", "is_open"),
    [(None, True), (("breast",), True), (("human-breast",), True), (("s2s-human-breast",), True), (("brain",), False), ((), False)],
)
def test_scopes_name_models_in_three_ways(tissues: tuple[str, ...] | None, is_open: bool) -> None:
    assert opens(record(tissues), "s2s-human-breast", "breast") is is_open
    if not is_open:
        with pytest.raises(HTTPException, match="expected a token for human-breast") as caught:
            require_tissue(record(tissues), "s2s-human-breast", "breast")
        assert caught.value.status_code == 403


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/x-hdf5", "h5ad"),
        ("Application/X-NPZ; charset=x", "npz"),
        ("application/vnd.apache.arrow.stream", "arrow"),
        ("application/json", None),
    ],
)
def test_the_format_that_is_sent(content_type: str, form: str | None) -> None:
    assert format_sent(request(content_type=content_type)) == form


@pytest.mark.parametrize("headers", [{}, {"content_type": "text/html"}])
def test_other_formats_are_not_spoken(headers: dict[str, str]) -> None:
    with pytest.raises(HTTPException) as caught:
        format_sent(request(**headers))
    assert caught.value.status_code == 415


@pytest.mark.parametrize(
    ("accept", "form"), [("*/*", "npz"), ("application/x-hdf5", "h5ad"), ("text/html, application/vnd.apache.arrow.stream;q=0.5", "arrow")]
)
def test_the_format_that_is_wanted(accept: str, form: str) -> None:
    assert format_wanted(request(accept=accept), "npz") == form


async def sized(maximum: int, *pieces: bytes, **headers: str) -> bytes | int:
    try:
        return await read_body(request(*pieces, **headers), maximum)
    except HTTPException as error:
        return error.status_code


@pytest.mark.parametrize(
    ("pieces", "headers", "found"),
    [
        pytest.param((b"ab", b"cd"), {}, b"abcd", id="whole"),
        pytest.param((b"ab", b"cde"), {}, 413, id="one-too-many"),
        pytest.param((b"a",), {"content_length": "5"}, 413, id="declared-too-large"),
        pytest.param((), {}, 422, id="empty"),
    ],
)
def test_bodies_end_at_the_limit(pieces: tuple[bytes, ...], headers: dict[str, str], found: bytes | int) -> None:
    import asyncio  # noqa: PLC0415

    assert asyncio.run(sized(4, *pieces, **headers)) == found


@pytest.mark.parametrize(
    ("error", "status", "is_retryable"),
    [
        (InputError("x"), 422, False),
        (ConfigError("x"), 422, False),
        (MissingError("x"), 404, False),
        (StorageError("x"), 503, True),
        (TrackingError("x"), 503, True),
        (BackPressureError(num_queued_requests=1, max_queued_requests=1), 503, True),
        (TimeoutError(), 504, True),
        (ActorDiedError(), 503, True),
        (MemoryError(), 503, True),
        (ZeroDivisionError("secret"), 500, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_went_wrong_below_is_said_in_http(error: BaseException, status: int, is_retryable: bool) -> None:
    found = refusal_of(error)
    assert found.status_code == status
    assert ("Retry-After" in (found.headers or {})) is is_retryable
    assert "secret" not in str(found.detail)


def test_every_request_is_written_down_for_the_owner_alone(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "service" / "audit.jsonl")
    asked = request()
    asked.state.token_id = "0123456789ab"
    audit.write(asked, 200, 0.25)
    audit.close()
    line = json.loads(audit.path.read_text())
    assert {name: line[name] for name in ("token", "client", "method", "path", "status", "seconds")} == {
        "token": "0123456789ab",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/impute",
        "status": 200,
        "seconds": 0.25,
    }
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600
