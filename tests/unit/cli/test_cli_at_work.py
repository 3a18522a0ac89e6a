"""What is said of runs at work: the oldest first, not too many, in the same words below the bar and in `s2s atlas status`."""

import io
import re
import sys
import threading
from pathlib import Path

import pytest

from s2s import cli
from s2s.cli.at_work import MOST_LINES, age, asking, lines_at_work
from s2s.cli.fleet_view import fleet_view
from s2s.cli.progress import progress_bar
from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, AtlasStatus, RunState
from s2s.contracts.settings import Settings
from s2s.errors import StorageError
from s2s.orchestration.fleet import Tally
from s2s.recipes.atlas.status import store_plan
from s2s.recipes.run import ledger_of

NOW = 1_000_000.0


def at_work(section: str, *, since: float, note: str = "train 3/60", holder: str = "node-7:4711") -> RunState:
    about = {"key": "0" * 16, "tissue": "breast", "organism": "human", "seed": 0, "state": "running"}
    return RunState(section_id=section, holder=holder, taken_at=NOW - since, note=note, **about)


def test_a_line_per_run_the_oldest_first() -> None:
    lines = lines_at_work(
        [at_work("b", since=5, note=""), at_work("breast-1", since=3725, note="train 120/500 loss 0.0421", holder="gpu-1:99")], NOW
    )
    assert lines == ["breast-1  gpu-1   1 h 02 min  train 120/500 loss 0.0421", "b         node-7  5 s         begun"]


def test_eight_lines_at_most_and_the_last_says_how_many_more() -> None:
    some = [at_work(f"s-{number}", since=100 - number) for number in range(MOST_LINES)]
    assert len(lines_at_work(some, NOW)) == MOST_LINES
    many = [at_work(f"s-{number}", since=100 - number) for number in range(20)]
    lines = lines_at_work(many, NOW)
    assert len(lines) == MOST_LINES
    assert lines[0].startswith("s-0 ")
    assert lines[-1] == "and 13 more"


def test_nobody_at_work_is_no_line() -> None:
    assert lines_at_work([], NOW) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(-3, "0 s", id="clock-behind"),
        pytest.param(59.9, "59 s", id="seconds"),
        pytest.param(60, "1 min 00 s", id="minutes"),
        pytest.param(7199, "1 h 59 min", id="hours"),
    ],
)
def test_ages_are_short(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_the_view_hands_its_lines_on_below_the_line_of_the_bar() -> None:
    said: list[str] = []
    view = fleet_view(
        AtlasConfig(name="a", sections=("s",)),
        lambda stage, done, total, note="": said.append(note),
        lambda: [at_work("breast-1", since=1)],
    )
    view(Tally(total=3, done=1, running=2))
    (note,) = said
    first, second = note.split("\n")
    assert first.startswith("2 handed in")
    assert second.startswith("breast-1  node-7")


def test_whoever_is_asked_in_the_background_is_heard_at_the_next_look_and_may_fail() -> None:
    asked = threading.Semaphore(0)
    answers = iter([StorageError("silent"), [at_work("late", since=1)]])

    def ask() -> list[RunState]:
        try:
            answer = next(answers, [at_work("late", since=1)])
            if isinstance(answer, StorageError):
                raise answer
            return answer
        finally:
            asked.release()

    with asking(ask, every_s=0.01) as latest:
        assert latest() == ()
        for _ in range(3):  # a third question is asked only after the second answer was taken
            assert asked.acquire(timeout=30)
        assert [state.section_id for state in latest()] == ["late"]


def test_where_nobody_looks_nobody_asks() -> None:
    before = threading.active_count()
    with asking(None) as latest:
        assert latest() == ()
        assert threading.active_count() == before


def test_status_lists_what_every_worker_does_for_people_and_for_machines(
    s2s_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(is_local=True, home=s2s_home)
    about = {"section": "none", "tissue": "breast", "organism": "none", "technology": "none", "data_sha256": "", "is_synthetic": True}
    runs = tuple(AtlasRun(key=f"{seed:016x}", section_id=f"s-{seed}", seed=seed, num_bins=1, num_genes=1, **about) for seed in range(2))
    store_plan(AtlasPlan(config=AtlasConfig(name="a", sections=("s",)), runs=runs, code_version="0", created_at="now"), settings)
    ledger = ledger_of(settings, holder="node-7:4711")
    lease = ledger.take(runs[0].key, lease_s=600)
    assert lease is not None
    ledger.renew(lease, lease_s=600, note="train [3/60]")

    def say(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["s2s", "atlas", "status", "a", "--local", "--out", str(tmp_path), *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr().out

    (line,) = (line for line in say().splitlines() if "s-0" in line)
    assert re.fullmatch(r"s-0 +node-7 +\d+ s +train \[3/60\] *", line)
    told = AtlasStatus.model_validate_json(say("--json"))
    assert [(run.state, run.note, run.taken_at) for run in told.runs] == [
        ("running", "train [3/60]", lease.taken_at),
        ("waiting", "", None),
    ]


def test_on_a_terminal_the_lines_stand_below_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(is_quiet=False) as report:
        report("runs", 1, 3, "2 handed in\n[red]breast-1  node-7  5 s  train 3/60")
    last = sys.stderr.getvalue().rpartition("runs")[2]
    assert "2 handed in" in last
    assert "\n[red]breast-1  node-7  5 s  train 3/60" in last.replace("\x1b[2m", "").replace("\r", ""), "in a line of its own, as it is"


def test_without_a_terminal_the_lines_stay_out_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(is_quiet=False) as report:
        report("runs", 10, 100, "5 handed in\nbreast-1 node-7")
    assert capsys.readouterr().err == "  runs 10 % 5 handed in\n"
