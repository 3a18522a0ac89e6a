"""Ours are ended to the last orphan; a stranger with a recycled pid is never touched."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from s2s.errors import StackError
from s2s.stack.processes import Launch, ProcessRecord, is_alive, members, spawn, stop, tail, wait_until_healthy

SLEEPER = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


def launch(folder: Path, code: str, name: str = "part") -> Launch:
    return Launch(
        name=name,
        command=(sys.executable, "-c", code),
        inherited=dict(os.environ),
        env={},
        ports={},
        log=folder / "logs" / f"{name}.log",
        scratch=(folder / "scratch",),
    )


def start(folder: Path, code: str) -> ProcessRecord:
    record = spawn(launch(folder, code))
    wait_until_healthy(record, lambda: "ready" in record.log.read_text() or code == SLEEPER, timeout_s=20)
    return record


def remembered(folder: Path, pid: int, created_s: float) -> ProcessRecord:
    return ProcessRecord(name="part", pid=pid, created_s=created_s, mark="nobody's", recipe="", ports={}, log=folder / "log", scratch=())


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True) as process:
        yield process
        process.kill()


def test_a_started_process_is_alive_and_ends_with_its_scratch(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    record = start(tmp_path, SLEEPER)
    assert is_alive(record)
    assert stop(record) == 1
    assert not is_alive(record)
    assert not (tmp_path / "scratch").exists()


def test_it_is_alone_in_its_session(tmp_path: Path) -> None:
    record = start(tmp_path, SLEEPER)
    assert os.getsid(record.pid) == record.pid != os.getsid(0)
    stop(record)


def test_children_end_too(tmp_path: Path) -> None:
    record = start(tmp_path, PARENT)
    processes = members(record)
    assert len(processes) == 2
    assert stop(record) == 2
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_orphans_of_a_killed_parent_are_found_by_their_mark(tmp_path: Path) -> None:
    record = start(tmp_path, PARENT)
    psutil.Process(record.pid).kill()
    psutil.Process(record.pid).wait(timeout=5)
    assert not is_alive(record)
    assert len(members(record)) == 1
    assert stop(record) == 1
    assert members(record) == []


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    record = start(tmp_path, STUBBORN)
    assert stop(record, grace_s=0.3) == 1
    assert not is_alive(record)


@pytest.mark.parametrize("age_s", [pytest.param(3600.0, id="recorded an hour before"), pytest.param(-3600.0, id="recorded an hour after")])
def test_a_recycled_pid_is_never_killed(tmp_path: Path, stranger: subprocess.Popen[bytes], age_s: float) -> None:
    created_s = psutil.Process(stranger.pid).create_time()
    record = remembered(tmp_path, stranger.pid, created_s - age_s)
    assert not is_alive(record)
    assert stop(record) == 0
    assert stranger.poll() is None


def test_the_same_pid_and_creation_time_are_ours(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    created_s = psutil.Process(stranger.pid).create_time()
    record = remembered(tmp_path, stranger.pid, created_s)
    assert is_alive(record)


def test_a_process_never_ends_itself(tmp_path: Path) -> None:
    me = psutil.Process()
    record = ProcessRecord(
        name="me", pid=me.pid, created_s=me.create_time(), mark="", recipe="", ports={}, log=tmp_path / "log", scratch=()
    )
    assert me not in members(record)


def test_one_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    record = spawn(launch(tmp_path, "print('no such disk'); raise SystemExit(3)"))
    with pytest.raises(StackError, match=r"part ended before it answered\n(.|\n)*part\.log(.|\n)*no such disk"):
        wait_until_healthy(record, lambda: False, timeout_s=20)


def test_one_that_stays_silent_shows_its_log(tmp_path: Path) -> None:
    record = start(tmp_path, PARENT)
    with pytest.raises(StackError, match=r"did not answer within 0 s\n(.|\n)*ready"):
        wait_until_healthy(record, lambda: False, timeout_s=0.2)
    stop(record)


def test_a_missing_executable_is_a_plain_error(tmp_path: Path) -> None:
    missing = Launch(name="part", command=(str(tmp_path / "none"),), inherited={}, env={}, ports={}, log=tmp_path / "part.log")
    with pytest.raises(StackError, match=r"part could not be started: .*none: No such file"):
        spawn(missing)


def test_its_folders_are_private(tmp_path: Path) -> None:
    stop(spawn(replace(launch(tmp_path, SLEEPER), folders=(tmp_path / "data",))))
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path)
    os.chown(tmp_path / "data", 12345, 12345, follow_symlinks=False)
    with pytest.raises(StackError, match="another user made it"):
        spawn(replace(launch(tmp_path, SLEEPER), folders=(tmp_path / "data",)))


def test_the_log_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        record = spawn(launch(tmp_path, f"print('{word}')"))
        psutil.Process(record.pid).wait(timeout=10)
    assert record.log.read_text() == "second\n"
    assert record.log.with_name("part.log.previous").read_text() == "first\n"


def test_the_tail_is_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("\n".join(f"line {index}" for index in range(100)))
    assert tail(log, num_lines=2) == f"--- last lines of {log} ---\nline 98\nline 99"


def test_the_recipe_follows_command_and_environment_only(tmp_path: Path) -> None:
    def recipe(code: str, env: dict[str, str]) -> str:
        return Launch(name="part", command=("python", code), inherited={"now": str(time.time())}, env=env, ports={}, log=tmp_path).recipe

    assert recipe("a", {"x": "1", "y": "2"}) == recipe("a", {"y": "2", "x": "1"})
    assert len({recipe("a", {}), recipe("b", {}), recipe("a", {"x": "1"})}) == 3
