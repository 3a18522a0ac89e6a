"""Imputations of sections in the store, asked for over HTTP: taken down, done by whoever has a worker, looked at, cancelled.

    service/jobs/<id>.json            what was asked for
    service/jobs/<id>.cancelled       it is no longer wanted
    ledger/...                        who works on it, how attempts ended, its result
    <out>/<id>/attempt-.../           what an attempt wrote

Decision: a job is a run like any other, with a lease, attempts and a commit, so it survives whatever runs survive, a restart of the
service among it, and a later attempt takes over the tiles of an earlier one.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.contracts.service import JobRecord, JobRequest, JobSettings, JobStatus, ServiceConfig
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, LeaseError, MissingError
from s2s.recipes.attempt import Launch, attempt_at
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.imputing import ImputationRequest, check_values
from s2s.recipes.run import Progress, ledger_of, silent
from s2s.recipes.sources import in_atlas
from s2s.recipes.tiled.band import STORE
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.ledger import Ledger
from s2s.storage.location import join
from s2s.storage.objects import exists, list_names, read_bytes, write_bytes
from s2s.storage.sections import open_section
from s2s.tracking.releases import load_release

LOOK_S = 2.0
"""How often a worker looks whether its job is still wanted."""
MAX_RECORD_BYTES = 20_000_000
FOLDER = "served"
"""Below the root; where results go unless the service says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """A job that somebody asks for.

    Attributes:
        request: What.
        model: `models:/NAME/VERSION`.
        token_id: Whose it will be.
        idempotency_key: The same key of the same token names the same job; None makes a new one.
    """

    request: JobRequest
    model: str
    token_id: str
    idempotency_key: str | None = None


def create_job(order: JobOrder, config: ServiceConfig, settings: Settings) -> JobRecord:
    """Take a job down, after everything about it that can be checked at once.

    Raises:
        InputError: a URI outside the allowed prefixes, or a section of other values than the model's.
        MissingError: no such section or model.
        StorageError: the store does not answer.

    Writes:
        Its record.
    """
    request = order.request.model_copy(update={"section": in_atlas("sections", order.request.section, settings)})
    check_prefix(request.section, config.read_from or (join(settings.root, "sections"),), what="section")
    check_prefix(request.out, config.write_to or (join(settings.root, FOLDER),), what="out")
    section = open_section(request.section, settings)
    check_values(load_release(order.model, settings)[0], section, order.model)
    named = f"{order.token_id}/{order.idempotency_key}" if order.idempotency_key else secrets.token_hex(16)
    record = JobRecord(
        id=hashlib.sha256(named.encode()).hexdigest()[:16],
        token_id=order.token_id,
        model=order.model,
        request=request,
        created_at=time.time(),
    )
    try:
        write_bytes(_place(record.id, settings), record.model_dump_json(indent=2).encode(), settings, if_absent=True)
    except ExistsError:
        return read_job(record.id, settings)
    return record


def check_prefix(uri: str, prefixes: Sequence[str], *, what: str) -> None:
    """Refuse a URI that does not lie below one of some prefixes.

    Raises:
        InputError: it does not; says which are allowed.
    """
    parts = uri.partition("://")[2].split("/") if "://" in uri else uri.split("/")
    is_plain = not any(part in ("", ".", "..") for part in parts[1:]) and "%" not in uri and "\\" not in uri and uri.isprintable()
    if not is_plain or not any(uri.startswith(f"{prefix.rstrip('/')}/") for prefix in prefixes):
        raise InputError(f"expected {what} below {' or '.join(prefixes)}, without empty names, . or .., got {uri!r}")


def read_job(job_id: str, settings: Settings) -> JobRecord:
    """Read what was asked for.

    Raises:
        MissingError: no such job.
        InputError: the record is damaged.
    """
    try:
        data = read_bytes(_place(job_id, settings), settings, max_bytes=MAX_RECORD_BYTES)
    except MissingError:
        raise MissingError(f"expected the id of a job, there is none {job_id}") from None
    try:
        return JobRecord.model_validate_json(data)
    except ValidationError:
        raise InputError(f"expected a job in {_place(job_id, settings)}, it holds something else") from None


def job_status(record: JobRecord, config: JobSettings, settings: Settings) -> JobStatus:
    """Say how far a job is, from the ledger.

    Raises:
        StorageError: the store does not answer.
    """
    ledger = ledger_of(settings)
    status = JobStatus(id=record.id, state="waiting", model=record.model, section=record.request.section, created_at=record.created_at)
    if (commit := ledger.find_commit(record.id)) is not None:
        done = {"state": "done", "attempt": commit.token, "figures": commit.figures, "finished_at": commit.at}
        return status.model_copy(update={**done, "result": join(record.request.out, record.id, commit.attempt, STORE)})
    if exists(_cancelled(record.id, settings), settings):
        return status.model_copy(update={"state": "cancelled"})
    return status.model_copy(update=_unfinished(record.id, config, ledger))


def _unfinished(job_id: str, config: JobSettings, ledger: Ledger) -> dict[str, object]:
    """What the status of a job says that has no result and is still wanted."""
    last = ledger.last_lease(job_id)
    if last is None:
        return {}
    begun = {"attempt": last.token, "progress": last.note or None}
    is_last = last.token >= config.attempts
    if failures := ledger.read_failures([(job_id, last.token)]):
        is_over = is_last or failures[0].cause == "bad-input"
        return {**begun, "error": failures[0].message, **({"state": "failed", "finished_at": failures[0].at} if is_over else {})}
    if last.expires_at > ledger.clock():
        return {**begun, "state": "running"}
    lost = {"state": "failed", "error": "its worker was lost, again and again", "finished_at": last.expires_at}
    return {**begun, **(lost if is_last else {})}


def cancel_job(record: JobRecord, settings: Settings) -> None:
    """Say that a job is no longer wanted; its worker stops within some seconds and leaves nothing behind.

    Writes:
        A mark. A job that is done stays done.
    """
    with suppress(ExistsError):
        write_bytes(_cancelled(record.id, settings), b"", settings, if_absent=True)


def list_jobs(settings: Settings) -> list[str]:
    """Ids of all jobs there ever were.

    Raises:
        StorageError: the store does not answer.
    """
    names = list_names(join(settings.root, "service", "jobs"), settings)
    return [name.removesuffix(".json") for name in names if name.endswith(".json")]


def count_open(token_id: str, over: set[str], config: JobSettings, settings: Settings) -> int:
    """How many jobs of a token are neither done nor given up.

    Args:
        token_id: Whose.
        over: Jobs that are known to be over, or another's; grows.
        config: Of the service.
        settings: Where the store is.
    """
    open_jobs = 0
    for job_id in list_jobs(settings):
        if job_id in over:
            continue
        record = read_job(job_id, settings)
        if job_status(record, config, settings).state in ("waiting", "running"):
            open_jobs += record.token_id == token_id
        else:
            over.add(job_id)
    return open_jobs


def do_job(job_id: str, config: JobSettings, settings: Settings, on_progress: Progress = silent) -> None:
    """Do a job, unless another works on it or it is no longer wanted.

    Raises:
        LeaseError: another does, or it was cancelled meanwhile.
        S2SError: as `impute_tiled`; it is in the ledger.

    Writes:
        Below `<out>/<id>/`, then the commit.
    """
    record = read_job(job_id, settings)
    request = record.request
    launch = Launch(lease_s=config.lease_s, takes_over=False)
    with attempt_at(join(request.out, job_id), settings, _until_cancelled(record, settings, on_progress), launch) as attempt:
        release, weights = load_release(record.model, settings)
        asked = ImputationRequest(
            model=record.model,
            section=request.section,
            sampling=SamplingConfig(phase=(request.phase_y, request.phase_x)),
            genes=GeneConfig(names=request.genes),
        )
        figures = impute_tiled(
            TiledRequest(request=asked, section=open_section(request.section, settings), release=release, weights=weights),
            Destination(
                folder=attempt.folder,
                predecessors=tuple(join(attempt.place_uri, name) for name in attempt.lease.predecessors),
                settings=settings,
                on_progress=attempt.on_progress,
            ),
        )
        attempt.commit(figures, own_peak_memory_bytes())


def _until_cancelled(record: JobRecord, settings: Settings, on_progress: Progress) -> Progress:
    looked_at = 0.0

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at > LOOK_S:
            looked_at = time.monotonic()
            if exists(_cancelled(record.id, settings), settings):
                raise LeaseError(f"job {record.id} was cancelled")
        on_progress(stage, done, total, note)

    return report


def _place(job_id: str, settings: Settings) -> str:
    return join(settings.root, "service", "jobs", f"{job_id}.json")


def _cancelled(job_id: str, settings: Settings) -> str:
    return join(settings.root, "service", "jobs", f"{job_id}.cancelled")
