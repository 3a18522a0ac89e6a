"""Work in a process of its own: what it says comes back, how it ends is told, and it neither outlives nor ends who started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from s2s.recipes.fresh_process import Ended, run_fresh

READ = "from s2s.recipes.fresh_process import read_message\nmessage = read_message().decode().strip()\n"
STARTER = "from s2s.recipes.fresh_process import run_fresh; run_fresh('work', 'x', {})"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give the module `work` a body."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def write(body: str) -> None:
        (tmp_path / "work.py").write_text(READ + body, encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        pytest.param("import os; print(message, os.environ['A'])", Ended(code=0, out="hello 1\n", words=""), id="well"),
        pytest.param("import sys; sys.exit('no bins')", Ended(code=1, out="", words="no bins"), id="a-word"),
        pytest.param("import os; os.kill(os.getpid(), 9)", Ended(code=-9, out="", words=""), id="killed"),
    ],
)
def test_how_it_ended_is_told(work, body: str, ended: Ended) -> None:
    work(body)
    assert run_fresh("work", "hello", {"A": "1"}) == ended


def test_of_a_defect_the_end_of_the_traceback_is_kept(work) -> None:
    work("import sys; sys.stderr.write('.' * 5000 + '\\n'); {}['gene']")
    ended = run_fresh("work", "", {})
    assert (ended.code, len(ended.words)) == (1, 2000)
    assert ended.words.endswith("KeyError: 'gene'")


def test_one_that_dies_before_it_listens_is_told_too(tmp_path: Path) -> None:
    ended = run_fresh("no_such_module", "x" * 1_000_000, {})
    assert ended.code == 1
    assert "No module named no_such_module" in ended.words


def wait_for(is_reached, what: str) -> None:
    deadline = time.monotonic() + 30
    while not is_reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def starting(tmp_path: Path) -> "tuple[subprocess.Popen[bytes], psutil.Process]":
    """A process that runs `work`, once that has begun, and the process of `work`."""
    starter = subprocess.Popen([sys.executable, "-c", STARTER], stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "begun").exists, "the work did not begin")
    (child,) = psutil.Process(starter.pid).children()
    return starter, child


def test_a_stop_reaches_it_once_and_it_has_time_to_write_it_down(work, tmp_path: Path) -> None:
    work(f"""
import pathlib, time
folder = pathlib.Path({str(tmp_path)!r})
try:
    (folder / "begun").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    (folder / "stopped").touch()
""")
    starter, child = starting(tmp_path)
    starter.send_signal(signal.SIGINT)
    starter.wait(30)
    assert (tmp_path / "stopped").exists()
    assert not child.is_running()


def test_it_does_not_outlive_a_starter_that_is_killed(work, tmp_path: Path) -> None:
    work(f"import pathlib, time; pathlib.Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(60)")
    starter, child = starting(tmp_path)
    starter.kill()
    starter.wait(30)
    wait_for(lambda: not child.is_running(), "it lives on")
