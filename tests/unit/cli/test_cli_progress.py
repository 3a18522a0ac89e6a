"""Progress goes to stderr, in lines where nobody watches a bar, and not at all to machines."""

import io
import sys

import pytest

from s2s.cli.progress import progress_bar


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def tell(*words: tuple[str, int, int, str], is_quiet: bool = False) -> None:
    with progress_bar(is_quiet=is_quiet) as report:
        for stage, done, total, note in words:
            report(stage, done, total, note)


def test_a_short_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell(("hash", 0, 3, ""), ("hash", 2, 3, ""), ("write", 0, 0, ""), ("hash", 3, 3, ""))
    said = capsys.readouterr()
    assert said.err == "  hash ...\n  write ...\n"
    assert said.out == ""


def test_a_long_stage_tells_its_tenths_with_the_note(capsys: pytest.CaptureFixture[str]) -> None:
    tell(*(("train", step, 200, f"loss {step}") for step in range(1, 61)))
    assert capsys.readouterr().err == "  train ...\n  train 10 % loss 20\n  train 20 % loss 40\n  train 30 % loss 60\n"


def test_a_stage_that_comes_back_is_not_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    tell(("read", 1, 2, ""), ("write", 1, 2, ""), ("read", 2, 2, ""))
    assert capsys.readouterr().err == "  read ...\n  write ...\n"


@pytest.mark.parametrize("stderr", [pytest.param(io.StringIO, id="a log"), pytest.param(Terminal, id="a terminal")])
def test_machines_are_told_nothing(stderr: type[io.StringIO], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", stderr())
    tell(("train", 1, 2, "loss 1"), is_quiet=True)
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_on_a_terminal_there_is_a_bar_per_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm")
    tell(("hash", 1, 2, ""), ("train", 5, 10, "loss 0.5"))
    last = sys.stderr.getvalue().rpartition("hash")[2]
    assert "2/2" in last, "the stage before is over when the next begins"
    assert "train" in last
    assert "5/10" in last
    assert "loss 0.5" in last
    assert capsys.readouterr().out == ""
