"""What is made of runs whose worker was lost, on a ledger in memory: what the launcher hears and what the ledger says agree."""

import uuid
from dataclasses import replace

import pytest

from s2s.contracts.settings import Settings
from s2s.errors import StorageError
from s2s.recipes.atlas.settling import Loss, settle
from s2s.storage.ledger import Ledger

KEYS = ("0" * 16, "1" * 16, "2" * 16)
BEGUN = 1_000_000.0
LOSS = Loss(cause="lost", message="its worker was lost: WorkerCrashedError", since=BEGUN)


class Clock:
    def __init__(self) -> None:
        self.now = BEGUN

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(root=f"memory://{uuid.uuid4().hex}/atlas", settings=Settings(), clock=clock, holder="launcher")


def told(outcomes):
    return [(outcome.state, outcome.cause, outcome.message) for outcome in outcomes]


def failures(ledger: Ledger):
    """Key -> what the ledger says of each attempt."""
    tokens = [(key, token) for key, some in ledger.survey().failures.items() for token in some]
    return [(failure.key, failure.token, failure.cause) for failure in ledger.read_failures(tokens)]


def test_one_is_done_one_was_at_work_and_the_rest_was_never_begun(ledger):
    ledger.commit(ledger.take(KEYS[0], lease_s=60))
    ledger.take(KEYS[1], lease_s=60)
    outcomes = settle(KEYS, LOSS, ledger)
    assert told(outcomes) == [("done", None, ""), ("failed", "lost", LOSS.message), ("failed", "preempted", "never begun")]
    assert [outcome.key for outcome in outcomes] == list(KEYS)
    assert failures(ledger) == [(KEYS[1], 1, "lost")]
    assert ledger.take(KEYS[1], lease_s=60) is not None, "nobody waits for the lease of a dead worker"


def test_a_worker_that_could_still_speak_said_it_better(ledger):
    ledger.fail(ledger.take(KEYS[0], lease_s=60), "diverged", "loss is nan")
    assert told(settle(KEYS[:1], LOSS, ledger)) == [("failed", "diverged", "loss is nan")]
    assert failures(ledger) == [(KEYS[0], 1, "diverged")]


def test_of_runs_that_were_never_begun_the_first_is_blamed_and_the_ledger_knows(ledger, clock):
    for attempt in (1, 2, 3):
        clock.now += 10
        outcomes = settle(KEYS, replace(LOSS, since=clock.now), ledger)
        assert told(outcomes)[0] == ("failed", "lost", LOSS.message)
        assert {outcome.cause for outcome in outcomes[1:]} == {"preempted"}
        assert failures(ledger)[-1] == (KEYS[0], attempt, "lost")
    assert ledger.survey().counted(KEYS[0]) == [1, 2, 3]
    assert KEYS[1] not in ledger.survey().leases


def test_the_failure_of_an_earlier_attempt_is_not_taken_for_this_one(ledger, clock):
    clock.now = BEGUN - 30
    ledger.fail(ledger.take(KEYS[0], lease_s=60), "storage", "503")
    clock.now = BEGUN + 5
    assert told(settle(KEYS[:1], LOSS, ledger)) == [("failed", "lost", LOSS.message)]
    assert failures(ledger) == [(KEYS[0], 1, "storage"), (KEYS[0], 2, "lost")]


def test_a_run_that_another_holds_is_waited_for(ledger, clock):
    clock.now = BEGUN - 30
    lease = ledger.take(KEYS[0], lease_s=60)
    clock.now = BEGUN + 5
    assert [outcome.state for outcome in settle(KEYS[:1], LOSS, ledger)] == ["elsewhere"]
    assert ledger.commit(lease).token == 1, "its holder works on unharmed"


def test_a_store_that_does_not_answer_is_survived(ledger, caplog, monkeypatch):
    def refuse(*_: object) -> None:
        raise StorageError("503 Slow Down")

    monkeypatch.setattr(Ledger, "find_commit", refuse)
    assert told(settle(KEYS[:2], LOSS, ledger)) == [("failed", "lost", LOSS.message)] * 2
    assert caplog.text.count("503 Slow Down") == 2
