"""The ledger: worked-out cases, then a state machine that lets workers do anything at any time."""

import uuid

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from s2s.contracts.ledger import Lease, RunCommit
from s2s.contracts.run import GpuUse
from s2s.contracts.settings import Settings
from s2s.errors import InputError, LeaseError
from s2s.storage import ledger as ledger_module
from s2s.storage.ledger import Ledger
from s2s.storage.location import join
from s2s.storage.objects import list_below, write_bytes

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"
LEASE_S = 60.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make_ledger(clock: Clock | None = None, holder: str = "host-a:1", root: str | None = None) -> Ledger:
    return Ledger(root=root or f"memory://{uuid.uuid4().hex}/atlas", settings=Settings(), clock=clock or Clock(), holder=holder)


def test_a_run_is_taken_committed_and_never_taken_again():
    ledger = make_ledger()
    lease = ledger.take(KEY, lease_s=LEASE_S)
    assert lease is not None and (lease.token, lease.predecessors) == (1, ())
    assert ledger.take(KEY, lease_s=LEASE_S) is None
    gpu = GpuUse(share=0.5, peak_bytes=3, total_bytes=9)
    commit = ledger.commit(lease, peak_memory_bytes=7, gpu=gpu, figures={"pcc": 0.5})
    assert ledger.find_commit(KEY) == commit
    assert commit.gpu == gpu
    assert (commit.attempt, commit.figures, commit.peak_memory_bytes) == (lease.attempt, {"pcc": 0.5}, 7)
    assert ledger.take(KEY, lease_s=LEASE_S, takes_over=True) is None


@pytest.mark.parametrize("is_written", [True, False])
def test_whoever_is_interrupted_while_it_takes_a_run_leaves_no_lease_to_be_waited_for(monkeypatch, is_written: bool):
    def interrupted(*args: object, **more: object) -> None:
        if is_written:
            write_bytes(*args, **more)
        monkeypatch.undo()
        raise KeyboardInterrupt

    ledger = make_ledger()
    monkeypatch.setattr(ledger_module, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.take(KEY, lease_s=LEASE_S)
    assert [(failure.cause, failure.token) for failure in ledger.read_failures([(KEY, 1)])] == [("stopped", 1)] * is_written
    lease = ledger.take(KEY, lease_s=LEASE_S)
    assert lease is not None and lease.token == 1 + is_written


def test_a_lease_runs_out_at_its_moment_unless_it_is_renewed():
    clock = Clock()
    ledger = make_ledger(clock)
    lease = ledger.take(KEY, lease_s=LEASE_S)
    clock.now += 59.9
    assert ledger.take(KEY, lease_s=LEASE_S) is None
    lease = ledger.renew(lease, lease_s=LEASE_S, note="train 3/60")
    assert ledger.last_lease(KEY) == lease
    assert lease.note == "train 3/60"
    assert len(ledger.renew(lease, lease_s=LEASE_S, note="x" * 999).note) == 200
    clock.now += 59.9
    assert ledger.take(KEY, lease_s=LEASE_S) is None
    clock.now += 0.1
    second = ledger.take(KEY, lease_s=LEASE_S)
    assert second is not None and (second.token, second.predecessors) == (2, (lease.attempt,))


def test_who_was_presumed_dead_can_neither_renew_nor_commit():
    clock = Clock()
    ledger = make_ledger(clock)
    late = ledger.take(KEY, lease_s=LEASE_S)
    clock.now += LEASE_S
    second = ledger.take(KEY, lease_s=LEASE_S)
    with pytest.raises(LeaseError, match="taken over"):
        ledger.renew(late, lease_s=LEASE_S)
    with pytest.raises(LeaseError, match="taken over"):
        ledger.commit(late)
    assert ledger.find_commit(KEY) is None
    assert ledger.commit(second).token == 2


def test_a_late_commit_that_passed_the_check_still_loses_to_the_first(monkeypatch):
    """Between the look at the leases and the commit another may have finished: the store decides."""
    clock = Clock()
    ledger = make_ledger(clock)
    late = ledger.take(KEY, lease_s=LEASE_S)
    clock.now += LEASE_S
    winner = ledger.commit(ledger.take(KEY, lease_s=LEASE_S))
    monkeypatch.setattr(Ledger, "_check_not_fenced", lambda self, lease: None)
    with pytest.raises(LeaseError, match="finished by"):
        ledger.commit(late)
    assert ledger.find_commit(KEY) == winner


def test_a_commit_whose_answer_was_lost_meets_itself():
    ledger = make_ledger()
    lease = ledger.take(KEY, lease_s=LEASE_S)
    first = ledger.commit(lease)
    assert ledger.commit(lease) == first


def test_a_failure_ends_the_lease_at_once_and_the_first_word_stays():
    ledger = make_ledger()
    lease = ledger.take(KEY, lease_s=LEASE_S)
    ledger.fail(lease, "out-of-memory", "9 GB")
    ledger.fail(lease, "lost", "silent")
    assert [failure.cause for failure in ledger.read_failures([(KEY, 1)])] == ["out-of-memory"]
    assert ledger.take(KEY, lease_s=LEASE_S).token == 2


def test_taking_over_needs_no_waiting():
    ledger = make_ledger()
    first = ledger.take(KEY, lease_s=LEASE_S)
    second = ledger.take(KEY, lease_s=LEASE_S, takes_over=True)
    assert second.token == 2
    with pytest.raises(LeaseError):
        ledger.commit(first)


def test_the_survey_counts_what_was_not_pardoned():
    clock = Clock()
    ledger = make_ledger(clock)
    for _ in range(2):
        ledger.fail(ledger.take(KEY, lease_s=LEASE_S), "defect", "no")
    ledger.commit(ledger.take(OTHER, lease_s=LEASE_S))
    survey = ledger.survey()
    assert survey.commits == {OTHER}
    assert (survey.leases, survey.counted(KEY), survey.counted(OTHER)) == ({KEY: [1, 2], OTHER: [1]}, [1, 2], [])
    ledger.pardon(KEY)
    ledger.fail(ledger.take(KEY, lease_s=LEASE_S), "defect", "no")
    assert ledger.survey().counted(KEY) == [3]


def test_an_entry_of_another_version_is_named():
    ledger = make_ledger()
    write_bytes(join(ledger.root, "ledger", "commits", f"{KEY}.json"), b'{"kind": "run_commit", "version": 9}', ledger.settings)
    with pytest.raises(InputError, match=f"RunCommit, at .*{KEY}"):
        ledger.find_commit(KEY)


class Workers(RuleBasedStateMachine):
    """Three workers with clocks of their own do, in any order, what live, slow and presumed-dead workers may do."""

    def __init__(self) -> None:
        super().__init__()
        root = f"memory://{uuid.uuid4().hex}/atlas"
        self.clocks = [Clock() for _ in range(3)]
        self.ledgers = [make_ledger(clock, f"host-{place}:1", root) for place, clock in enumerate(self.clocks)]
        self.leases: list[tuple[int, Lease]] = []
        self.committed: dict[str, RunCommit] = {}

    @rule(worker=st.integers(0, 2), key=st.sampled_from([KEY, OTHER]), takes_over=st.booleans())
    def take(self, worker: int, key: str, takes_over: bool) -> None:
        before = [lease.token for _, lease in self.leases if lease.key == key]
        lease = self.ledgers[worker].take(key, lease_s=LEASE_S, takes_over=takes_over)
        if key in self.committed:
            assert lease is None
        if lease is not None:
            assert lease.token == max(before, default=0) + 1
            self.leases.append((worker, lease))

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]), worker=st.integers(0, 2))
    def pass_time(self, seconds: float, worker: int) -> None:
        self.clocks[worker].now += seconds

    @rule(pick=st.integers(0, 10**6))
    def renew(self, pick: int) -> None:
        if self.leases:
            worker, lease = self.leases[pick % len(self.leases)]
            if self._is_newest(lease):
                longer = self.ledgers[worker].renew(lease, lease_s=LEASE_S, note=f"step {pick}")
                assert self.ledgers[worker].last_lease(lease.key) == longer
                assert longer.note == f"step {pick}"
            else:
                with pytest.raises(LeaseError):
                    self.ledgers[worker].renew(lease, lease_s=LEASE_S)

    @rule(pick=st.integers(0, 10**6))
    def commit(self, pick: int) -> None:
        if not self.leases:
            return
        worker, lease = self.leases[pick % len(self.leases)]
        before = self.committed.get(lease.key)
        if not self._is_newest(lease) or (before is not None and before.attempt != lease.attempt):
            with pytest.raises(LeaseError):
                self.ledgers[worker].commit(lease)
            return
        made = self.ledgers[worker].commit(lease)
        assert before in (None, made)
        self.committed[lease.key] = made

    @rule(pick=st.integers(0, 10**6))
    def fail(self, pick: int) -> None:
        if self.leases:
            worker, lease = self.leases[pick % len(self.leases)]
            self.ledgers[worker].fail(lease, "defect", "no")

    @invariant()
    def a_result_never_changes(self) -> None:
        for ledger in self.ledgers:
            assert {key: ledger.find_commit(key) for key in self.committed} == self.committed
        assert self.ledgers[0].survey().commits == set(self.committed)

    @invariant()
    def a_token_is_given_once(self) -> None:
        given = [(lease.key, lease.token) for _, lease in self.leases]
        assert len(given) == len(set(given))
        names = list_below(join(self.ledgers[0].root, "ledger", "leases"), Settings())
        assert len(names) == len(given)

    def _is_newest(self, lease: Lease) -> bool:
        return lease.token == max(other.token for _, other in self.leases if other.key == lease.key)


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
