"""The body of a request, no larger than allowed, and which format it has and which is wanted."""

from fastapi import Request
from starlette.requests import ClientDisconnect

from s2s.contracts.service import FORMATS, Format
from s2s.serving.problems import BAD_INPUT, TOO_LARGE, UNSUPPORTED, problem

ALIASES: dict[str, Format] = {media: form for form, media in FORMATS.items()} | {  # type: ignore[assignment]
    "application/x-h5ad": "h5ad",
    "application/hdf5": "h5ad",
    "application/vnd.apache.arrow.file": "arrow",
}
JSON = "application/json"
ANY = ("", "*/*", "application/*")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a body, and stop where it is too large.

    Raises:
        HTTPException: 413 where it is, 422 where it is empty or broken off.
    """
    too_large = problem(TOO_LARGE, f"expected a body of at most {max_bytes} bytes; ingest the section and send its URI")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > max_bytes:
                raise too_large
    except ClientDisconnect:
        raise problem(BAD_INPUT, "expected the whole body, it was broken off") from None
    if not body:
        raise problem(BAD_INPUT, "expected a section in the body, got nothing")
    return bytes(body)


def format_sent(request: Request) -> Format | None:
    """The format of the body; None for JSON.

    Raises:
        HTTPException: 415 for any other.
    """
    media = _media(request.headers.get("content-type", ""))
    if media == JSON:
        return None
    if media not in ALIASES:
        raise problem(UNSUPPORTED, f"expected Content-Type {', '.join(FORMATS.values())} or {JSON}, got {media[:80] or 'none'}")
    return ALIASES[media]


def format_wanted(request: Request, sent: Format) -> Format:
    """The format of the answer: the first of `Accept` that we write; that of the body where any will do.

    Raises:
        HTTPException: 415 where none will.
    """
    medias = [_media(part) for part in request.headers.get("accept", "*/*").split(",")]
    for media in medias:
        if media in ANY:
            return sent
        if media in ALIASES:
            return ALIASES[media]
    raise problem(UNSUPPORTED, f"expected Accept {', '.join(FORMATS.values())}, got {', '.join(medias)[:200]}")


def _media(header: str) -> str:
    return header.partition(";")[0].strip().lower()
