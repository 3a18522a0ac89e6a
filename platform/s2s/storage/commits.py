"""When a set of arrays exists: a small object, `commit.json`, says so and names the folder they lie in.

Arrays are written below `<uri>/attempt-<random>/`, which no reader looks at; then the commit object is written, on
condition that there is none. So a reader sees all of a section or nothing, and of two writers exactly one wins.
Sections and photographs share this; what the arrays are is not known here.

Decision: a writer that dies without cleaning up, or is cut off in the very moment of its commit, leaves its attempt
behind. That costs storage, never correctness; `objects.delete_prefix` on the URI removes it with everything else.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar
from uuid import uuid4

from pydantic import Field, ValidationError

from s2s.contracts.document import Document
from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError, S2SError
from s2s.storage.location import join
from s2s.storage.objects import delete_prefix, list_names, read_bytes, write_bytes

COMMIT = "commit.json"
LIST_THREADS = 32
M = TypeVar("M", SectionMeta, PhotographsMeta)

log = logging.getLogger(__name__)


class Commit(Document):
    """What `commit.json` holds: which attempt is the one that counts, and its contract."""

    kind: Literal["commit"] = "commit"
    version: Literal[1] = 1
    attempt: str = Field(pattern=r"^attempt-[0-9a-f]{32}$", description="name of the folder beside this object")
    meta: Annotated[SectionMeta | PhotographsMeta, Field(discriminator="kind")]


def now_utc() -> str:
    """The present time, ISO 8601, in UTC and whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def commit_atomically(uri: str, settings: Settings, fill: Callable[[str], M], *, replace: bool) -> M:
    """Write arrays aside and make them visible in one step.

    Args:
        uri: Where the commit object will lie.
        settings: Endpoint and credentials.
        fill: Writes the arrays below the URI it is given and returns their contract.
        replace: Take the place of what is committed there; its arrays are deleted afterwards.

    Returns:
        What `fill` returned.

    Raises:
        ExistsError: something is committed there and `replace` was not asked for.
        StorageError: the store refused or broke off; nothing became visible. Cut off while committing, the
            outcome is unknown: the attempt is kept, and the commit object tells.

    Writes:
        `<uri>/attempt-*/` and `<uri>/commit.json`.
    """
    if not replace and (found := find_commit(uri, settings)):
        raise ExistsError(_exists_message(uri, found))
    attempt = f"attempt-{uuid4().hex}"
    attempt_uri = join(uri, attempt)
    with ExitStack() as on_failure:
        on_failure.callback(_sweep, attempt_uri, settings)
        meta = fill(attempt_uri)
        on_failure.pop_all()
    former = find_commit(uri, settings) if replace else None
    _publish(uri, Commit(attempt=attempt, meta=meta), settings, replace=replace)
    if former is not None:
        _sweep(join(uri, former.attempt), settings)
    return meta


def find_commit(uri: str, settings: Settings) -> Commit | None:
    """Read the commit object of a URI; None where nothing is committed.

    Raises:
        InputError: it does not parse.
        StorageError: the store refused or does not answer.
    """
    try:
        data = read_bytes(join(uri, COMMIT), settings)
    except MissingError:
        return None
    try:
        return Commit.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InputError(
            f"expected a commit of version 1 at {join(uri, COMMIT)}, {where}: {first['msg']}; was it written by a newer s2s?"
        ) from None


def open_commit(uri: str, settings: Settings, model: type[M]) -> tuple[str, M]:
    """Find what is committed at a URI.

    Args:
        uri: Of a section or a set of photographs.
        settings: Endpoint and credentials.
        model: The kind of contract that is expected.

    Returns:
        URI of the attempt that counts, and its contract.

    Raises:
        MissingError: nothing is committed there.
        InputError: it is of another kind.
        StorageError: the store refused or does not answer.
    """
    commit = find_commit(uri, settings)
    expected = model.model_fields["kind"].default
    if commit is None:
        raise MissingError(f"expected a committed {expected} at {uri}, found none; check the name, or ingest it first")
    if not isinstance(commit.meta, model):
        raise InputError(f"expected a {expected} at {uri}, found a {commit.meta.kind}; check the name")
    return join(uri, commit.attempt), commit.meta


def list_commits(root_uri: str, settings: Settings, model: type[M]) -> list[M]:
    """Contracts of one kind that are committed immediately below a prefix, ordered by name.

    Raises:
        InputError: a commit object does not parse.
        StorageError: the store refused or does not answer.
    """
    uris = [join(root_uri, name) for name in list_names(root_uri, settings)]
    with ThreadPoolExecutor(max_workers=LIST_THREADS) as pool:
        commits = pool.map(lambda uri: find_commit(uri, settings), uris)
        return [commit.meta for commit in commits if commit is not None and isinstance(commit.meta, model)]


def _publish(uri: str, commit: Commit, settings: Settings, *, replace: bool) -> None:
    data = commit.model_dump_json(indent=2).encode()
    try:
        write_bytes(join(uri, COMMIT), data, settings, if_absent=not replace)
    except ExistsError:
        # A write whose answer was lost on the way is sent again, and then meets itself.
        found = find_commit(uri, settings)
        if found is not None and found.attempt == commit.attempt:
            return
        _sweep(join(uri, commit.attempt), settings)
        raise ExistsError(_exists_message(uri, found)) from None


def _sweep(attempt_uri: str, settings: Settings) -> None:
    try:
        delete_prefix(attempt_uri, settings)
    except S2SError as error:
        log.warning("left behind, to be deleted by hand: %s (%s)", attempt_uri, error)


def _exists_message(uri: str, found: Commit | None) -> str:
    what = f"a {found.meta.kind} committed at {found.meta.created_at}" if found else "another writer's commit"
    return f"expected nothing at {uri}, found {what}; choose another id, or replace it with --replace"
