"""Requests to the service: time-outs, tries again where that may help, and its refusals as our errors."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import httpx

from s2s.contracts.service import Problem
from s2s.errors import ConfigError, InputError, MissingError, S2SError, StackError

TRIES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
PIECE_BYTES = 2**18
CONNECT_S = 5.0
Progress = Callable[[str, int, int], None]
ERRORS: Mapping[str, type[S2SError]] = {
    "missing": MissingError,
    "unauthorized": ConfigError,
    "forbidden": ConfigError,
    "bad-input": InputError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        method: Of HTTP.
        path: Below the service's URL.
        parameters: Of the query; those that are None are left out.
        headers: Beside the token.
        body: What is sent.
    """

    method: str
    path: str
    parameters: Mapping[str, str | int | float | bool | None]
    headers: Mapping[str, str]
    body: bytes = b""


class Connection:
    """A connection to a service; may be used by several threads."""

    def __init__(self, url: str, token: str, timeout_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"expected the service's URL, http:// or https://, got {url!r}")
        if not token.isascii() or not token.startswith("s2s_"):
            raise ConfigError("expected a token that begins with s2s_, as `s2s tokens create` shows it")
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
        )

    def close(self) -> None:
        """Close it."""
        self._client.close()

    def send(self, call: Call, on_progress: Progress) -> httpx.Response:
        """Send a request, again and again where the service says that this may help.

        Args:
            call: What.
            on_progress: Told of bytes sent (`send`) and received (`receive`).

        Returns:
            A success.

        Raises:
            InputError: the service cannot use what was sent.
            MissingError: there is no such model, gene, section or job.
            ConfigError: the token is not good, or not for this.
            StackError: the service does not answer, or is too busy for too long.
        """
        pause = FIRST_PAUSE_S
        for left in reversed(range(TRIES)):
            try:
                answer = self._once(call, on_progress)
            except httpx.TransportError as error:
                words, wait, may_help = f"{self._client.base_url} does not answer: {error or type(error).__name__}", pause, True
            else:
                if answer.is_success:
                    return answer
                words, may_help = self._refusal(answer)
                wait = max(pause, _seconds(answer.headers.get("retry-after")))
            if not may_help or not left:
                raise StackError(f"expected an answer of the service, {words}; is this the URL of `s2s serve`, and is it up?")
            on_progress(f"again in {wait:.0f} s: {words}", TRIES - left, TRIES)
            self._sleep(min(wait, LONGEST_PAUSE_S))
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _once(self, call: Call, on_progress: Progress) -> httpx.Response:
        parameters = {name: value for name, value in call.parameters.items() if value is not None}
        headers = {**call.headers, "Content-Length": str(len(call.body))}
        content = _pieces(call.body, on_progress) if call.body else b""
        request = self._client.build_request(call.method, call.path, params=parameters, headers=headers, content=content)
        answer = self._client.send(request, stream=True)
        received, total = bytearray(), int(answer.headers.get("content-length", 0))
        try:
            for piece in answer.iter_bytes(PIECE_BYTES):
                received += piece
                on_progress("receive", len(received), max(total, len(received)))
        finally:
            answer.close()
        return httpx.Response(answer.status_code, headers=_plain(answer.headers), content=bytes(received), request=request)

    @staticmethod
    def _refusal(answer: httpx.Response) -> tuple[str, bool]:
        try:
            problem = Problem.model_validate_json(answer.content)
        except ValueError:
            return f"it said {answer.status_code} {answer.reason_phrase}, not in our words", False
        if not problem.is_retryable:
            raise ERRORS.get(problem.kind, InputError)(problem.error)
        return problem.error, True


def _pieces(body: bytes, on_progress: Progress) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
        on_progress("send", min(start + PIECE_BYTES, len(body)), len(body))


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Headers of a body that is decoded already."""
    return {
        name: value for name, value in headers.items() if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
    }


def _seconds(header: str | None) -> float:
    return float(header) if header and header.isdigit() else 0.0
