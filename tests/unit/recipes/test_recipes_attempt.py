"""An attempt: what it owns, how its end is written down, and what happens to one that another took over."""

import signal
import time
import weakref

import pytest
import torch

from s2s.contracts.run import RunReport
from s2s.errors import ConfigError, InputError, LeaseError, MissingError, PreemptedError, StorageError, TrainingError
from s2s.recipes.attempt import DRAINING, Launch, attempting, cause_of, commit
from s2s.recipes.run import Run, ledger_of
from s2s.storage.ledger import Ledger
from s2s.storage.objects import exists, list_names

QUIET = Launch(takes_over=False)


def report_of(run: Run) -> RunReport:
    return RunReport(
        run_key=run.key, config=run.config, section_uri=run.section.uri, data_sha256=run.section.meta.data_sha256, code_version="0",
        is_leaky=False, steps=6, best_step=4, validation_error=0.5, scores=(), seconds=1.5, peak_memory_bytes=1, device="cpu float32",
    )  # fmt: skip


@pytest.fixture
def run(make_run, tmp_path) -> Run:
    run = make_run(seed=time.time_ns() % 2**31)  # the memory store outlives a test
    return Run(
        config=run.config,
        settings=run.settings.model_copy(update={"home": tmp_path, "is_local": True}),
        section=run.section,
        photographs=None,
        on_progress=run.on_progress,
    )


def failures(run: Run, *tokens: int) -> list[tuple[str, str]]:
    return [(failure.cause, failure.message) for failure in ledger_of(run.settings).read_failures([(run.key, token) for token in tokens])]


def test_a_run_is_finished_by_its_commit_and_not_by_its_report(run):
    with attempting(run, QUIET) as held:
        held.write("report.json", report_of(held).model_dump_json().encode())
        assert run.finished() is None
        report = commit(held, report_of(held))
    assert run.finished() == report
    assert held.folder.startswith(f"{run.place_uri}/attempt-000001-")
    with pytest.raises(LeaseError, match="at work or finished"), attempting(run, QUIET):
        pass


def test_a_user_takes_over_at_once_and_the_other_can_no_longer_commit(run):
    with pytest.raises(LeaseError, match="taken over"), attempting(run, QUIET) as first:
        first.write("notes.txt", b"half")
        with attempting(run, Launch()) as second:
            assert second.checkpoints == (f"{second.folder}/checkpoint", f"{first.folder}/checkpoint")
            done = commit(second, report_of(second))
        commit(first, report_of(first))
    assert run.finished() == done
    assert list_names(run.place_uri, run.settings) == [second.folder.rpartition("/")[2]], "the loser's folder is gone"


def test_whoever_was_taken_over_is_told_where_it_tells_its_progress(run):
    with pytest.raises(LeaseError, match="taken over"), attempting(run, Launch(lease_s=0.09)) as first:
        ledger_of(run.settings).take(run.key, lease_s=60, takes_over=True)
        for step in range(200):
            first.on_progress("train", step, 200)
            time.sleep(0.02)


def test_a_lease_is_renewed_while_the_work_goes_on(run):
    with attempting(run, Launch(lease_s=0.3)):
        time.sleep(0.6)
        assert ledger_of(run.settings).take(run.key, lease_s=60) is None


def test_a_lease_that_is_renewed_says_what_its_holder_does(run):
    with attempting(run, Launch(lease_s=0.3)) as held:
        held.on_progress("train", 3, 60, "loss 0.5")
        held.on_progress("judge", 0, 0)
        held.on_progress("train", 4, 60, "loss 0.25")
        deadline = time.monotonic() + 30
        while (lease := ledger_of(run.settings).last_lease(run.key)) is None or not lease.note:
            assert time.monotonic() < deadline, "no renewal in thirty seconds"
            time.sleep(0.02)
    assert lease.note == "train 4/60 loss 0.25"


def test_a_failed_attempt_says_why_and_leaves_the_run_open(run):
    with pytest.raises(InputError), attempting(run, QUIET):
        raise InputError("expected genes, got none")
    assert failures(run, 1) == [("bad-input", "expected genes, got none")]
    with attempting(run, QUIET) as second:
        commit(second, report_of(second))
    assert exists(f"{second.folder}/report.json", run.settings)


def test_a_machine_that_is_taken_back_stops_its_runs(run):
    (run.settings.home / DRAINING).touch()
    with pytest.raises(PreemptedError, match="goes on elsewhere"), attempting(run, QUIET) as held:
        held.on_progress("train", 1, 2)
    assert failures(run, 1)[0][0] == "preempted"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_stops_the_attempt_at_the_next_word_of_progress(run):
    class Tensor:
        """Whatever is collected while it is watched."""

    tensor = Tensor()
    watch = weakref.ref(tensor, lambda _: signal.raise_signal(signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), attempting(run, QUIET) as held:
        del tensor
        assert watch() is None, "Python went on after the interrupt"
        held.on_progress("train", 1, 2)
        raise AssertionError("never reached")
    assert failures(run, 1)[0][0] == "stopped"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_store_that_fails_while_a_failure_is_written_hides_no_error(run, monkeypatch):
    def refuse(*_: object) -> None:
        raise StorageError("gone")

    monkeypatch.setattr(Ledger, "fail", refuse)
    with pytest.raises(TrainingError), attempting(run, QUIET):
        raise TrainingError("loss is nan")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        pytest.param(InputError("x"), "bad-input", id="input"),
        pytest.param(ConfigError("x"), "bad-input", id="config"),
        pytest.param(MissingError("x"), "bad-input", id="missing"),
        pytest.param(TrainingError("x"), "diverged", id="diverged"),
        pytest.param(StorageError("x"), "storage", id="storage"),
        pytest.param(MemoryError(), "out-of-memory", id="memory"),
        pytest.param(torch.OutOfMemoryError("x"), "out-of-memory", id="gpu-memory"),
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out-of-memory", id="cpu-allocator"),
        pytest.param(KeyboardInterrupt(), "stopped", id="ctrl-c"),
        pytest.param(ZeroDivisionError(), "defect", id="defect"),
    ],
)
def test_errors_have_causes(error: BaseException, cause: str):
    assert cause_of(error) == cause
