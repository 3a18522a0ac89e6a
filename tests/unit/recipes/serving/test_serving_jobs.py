"""Jobs: which URIs they may touch, what becomes of them, and what their status says, from the ledger alone."""

import time
from pathlib import Path

import pytest

from s2s.contracts.service import JobRecord, JobRequest, JobSettings
from s2s.contracts.settings import Settings
from s2s.errors import InputError, LeaseError, MissingError
from s2s.recipes.run import ledger_of
from s2s.recipes.serving import jobs
from s2s.recipes.serving.jobs import cancel_job, check_prefix, count_open, do_job, job_status, read_job
from s2s.storage.location import join
from s2s.storage.objects import write_bytes

CONFIG = JobSettings(lease_s=2, attempts=2)
ID = "0123456789abcdef"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, is_local=True)


@pytest.fixture
def record(settings: Settings) -> JobRecord:
    request = JobRequest(section=join(settings.root, "sections", "a"), out=join(settings.root, "served"), tissue="breast")
    record = JobRecord(id=ID, token_id="me", model="models:/s2s-human-breast/1", request=request, created_at=time.time())
    write_bytes(join(settings.root, "service", "jobs", f"{ID}.json"), record.model_dump_json().encode(), settings)
    return record


@pytest.mark.parametrize("uri", ["s3://atlas/served/mine", "s3://atlas/served/a/b.zarr"])
def test_what_lies_below_a_prefix_is_allowed(uri: str) -> None:
    check_prefix(uri, ("s3://atlas/sections", "s3://atlas/served/"), what="out")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://atlas/served",
        "s3://atlas/served/",
        "s3://atlas/servedmore/x",
        "s3://atlas/served/../sections/a",
        "s3://atlas/served/./a",
        "s3://atlas/served//a",
        "s3://atlas/served/%2e%2e/a",
        "s3://atlas/served/a\\..\\b",
        "s3://atlas/served/a\n",
        "s3://other/served/a",
        "S3://atlas/served/a",
        "file:///etc/passwd",
        "/etc/passwd",
        "../etc/passwd",
        "http://127.0.0.1/x",
        "memory://atlas/served/a",
        "",
    ],
)
def test_anything_else_is_not(uri: str) -> None:
    with pytest.raises(InputError, match="expected out below s3://atlas/served"):
        check_prefix(uri, ("s3://atlas/served",), what="out")


def test_a_job_waits_runs_and_is_done(record: JobRecord, settings: Settings) -> None:
    ledger = ledger_of(settings)
    assert job_status(record, CONFIG, settings).state == "waiting"
    lease = ledger.take(ID, lease_s=60)
    assert lease is not None
    ledger.renew(lease, lease_s=60, note="tiles 3/9")
    running = job_status(record, CONFIG, settings)
    assert (running.state, running.attempt, running.progress) == ("running", 1, "tiles 3/9")
    ledger.commit(lease, figures={"num_bins": 9.0})
    done = job_status(record, CONFIG, settings)
    assert (done.state, done.figures) == ("done", {"num_bins": 9.0})
    assert done.result == join(record.request.out, ID, lease.attempt, "section.zarr")


def test_a_failure_is_tried_again_and_not_for_ever(record: JobRecord, settings: Settings) -> None:
    ledger = ledger_of(settings)
    for attempt, state in ((1, "waiting"), (2, "failed")):
        lease = ledger.take(ID, lease_s=60)
        assert lease is not None
        ledger.fail(lease, "storage", "S3 went away")
        status = job_status(record, CONFIG, settings)
        assert (status.state, status.attempt, status.error) == (state, attempt, "S3 went away")


def test_bad_input_is_not_tried_again(record: JobRecord, settings: Settings) -> None:
    lease = ledger_of(settings).take(ID, lease_s=60)
    assert lease is not None
    ledger_of(settings).fail(lease, "bad-input", "no gene")
    assert job_status(record, CONFIG, settings).state == "failed"


def test_a_worker_that_went_silent_gives_the_job_back(record: JobRecord, settings: Settings) -> None:
    for state in ("waiting", "failed"):
        assert ledger_of(settings).take(ID, lease_s=0.01) is not None
        time.sleep(0.05)
        assert job_status(record, CONFIG, settings).state == state


def test_a_cancelled_job_is_not_begun(record: JobRecord, settings: Settings) -> None:
    cancel_job(record, settings)
    cancel_job(record, settings)
    assert job_status(record, CONFIG, settings).state == "cancelled"
    with pytest.raises(LeaseError, match="was cancelled"):
        jobs._until_cancelled(record, settings, lambda *_: None)("tiles", 0, 1)


def test_a_job_whose_section_is_gone_says_so(record: JobRecord, settings: Settings) -> None:
    with pytest.raises(MissingError):
        do_job(ID, CONFIG, settings)
    status = job_status(record, CONFIG, settings)
    assert status.state == "failed"
    assert status.error


def test_a_job_that_nobody_asked_for_is_missing(settings: Settings) -> None:
    with pytest.raises(MissingError, match="there is none fedcba9876543210"):
        read_job("fedcba9876543210", settings)


def test_open_jobs_are_counted_per_token(record: JobRecord, settings: Settings) -> None:
    over: set[str] = set()
    assert count_open("me", over, CONFIG, settings) == 1
    assert count_open("you", over, CONFIG, settings) == 0
    cancel_job(record, settings)
    assert count_open("me", over, CONFIG, settings) == 0
    assert over == {ID}
