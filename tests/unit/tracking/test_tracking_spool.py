"""The spool: what is on disk, who owns it, and what a killed process leaves."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s2s.errors import ExistsError, InputError
from s2s.tracking.records import CloseRecord, ParamsRecord, SpoolHeader, SpoolState
from s2s.tracking.spool import Spool, claim_spool, create_spool, left_over

LIVE_PROCESS = """
import sys, time
from pathlib import Path
from s2s.tracking.records import ParamsRecord, SpoolHeader
from s2s.tracking.spool import create_spool
spool = create_spool(Path(sys.argv[1]), SpoolHeader(experiment="e", run_name="r", tags={}, is_local=True))
spool.append(ParamsRecord(values={"seed": "1"}))
print(spool.folder, flush=True)
time.sleep(600)
"""
FIRST, SECOND = ParamsRecord(values={"a": "1"}), ParamsRecord(values={"b": "é"})


def make(home: Path, run_name: str = "run") -> Spool:
    return create_spool(home, SpoolHeader(experiment="e", run_name=run_name, tags={"t": "v"}, is_local=False))


def test_records_come_back_in_order_from_any_record_on(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.append(FIRST)
    spool.append(SECOND)
    (first, end_of_first), (second, end_of_second) = spool.read(0)
    assert (first, second) == (FIRST, SECOND)
    assert spool.read(end_of_first) == [(SECOND, end_of_second)]
    assert end_of_second == spool.num_bytes == (spool.folder / "records.jsonl").stat().st_size
    spool.release()


def test_a_line_that_is_being_written_is_not_read_and_is_cut_when_claimed(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.append(FIRST)
    spool.release()
    with (spool.folder / "records.jsonl").open("ab") as file:
        file.write(b'{"kind":"par')
    assert [record for record, _ in spool.read(0)] == [FIRST]
    claimed = claim_spool(spool.folder)
    assert claimed is not None
    claimed.append(SECOND)
    assert [record for record, _ in claimed.read(0)] == [FIRST, SECOND]
    claimed.release()


def test_of_many_who_make_the_same_spool_one_does(tmp_path: Path) -> None:
    header, start = SpoolHeader(experiment="e", run_name="run", tags={}, is_local=False), threading.Barrier(8)

    def make_same(_: int) -> Spool | None:
        start.wait()
        try:
            return create_spool(tmp_path, header)
        except ExistsError:
            return None

    with ThreadPoolExecutor(8) as pool:
        (spool,) = filter(None, pool.map(make_same, range(8)))
    assert [path.name for path in (tmp_path / "spool").iterdir()] == [header.id]
    assert claim_spool(spool.folder) is None
    spool.release()


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    spool = make(tmp_path)
    assert claim_spool(spool.folder) is None
    spool.release()
    claimed = claim_spool(spool.folder)
    assert claimed is not None
    assert claimed.header == spool.header
    assert claim_spool(spool.folder) is None
    claimed.remove()
    assert claim_spool(spool.folder) is None
    assert left_over(tmp_path) == []


def test_a_killed_process_gives_up_its_spool_and_a_live_one_does_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LIVE_PROCESS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            folder = Path(process.stdout.readline().strip())
            assert left_over(tmp_path) == [folder]
            assert claim_spool(folder) is None
        finally:
            process.send_signal(signal.SIGKILL)
    claimed = claim_spool(folder)
    assert claimed is not None
    assert not claimed.is_closed()
    assert [record for record, _ in claimed.read(0)] == [ParamsRecord(values={"seed": "1"})]
    claimed.append(CloseRecord(at_ms=1, status="killed"))
    assert claimed.is_closed()
    claimed.release()


def test_left_over_lists_the_oldest_last_word_first_and_nothing_set_aside(tmp_path: Path) -> None:
    spools = [make(tmp_path, name) for name in ("b", "a", "refused")]
    for age, spool in zip((10, 20, 30), spools, strict=True):
        os.utime(spool.folder / "records.jsonl", (1_000 - age, 1_000 - age))
    kept = spools[2].set_aside()
    assert left_over(tmp_path) == [spools[1].folder, spools[0].folder]
    assert kept.name.endswith(".refused")
    assert (kept / "header.json").is_file()
    spools[0].release()
    spools[1].release()


def test_of_a_run_that_is_refused_twice_both_are_kept(tmp_path: Path) -> None:
    header = SpoolHeader(experiment="e", run_name="run", tags={}, is_local=False)
    kept = {create_spool(tmp_path, header).set_aside() for _ in range(3)}
    assert {path.name for path in kept} == {f"{header.id}.refused{number}" for number in ("", 1, 2)}
    assert left_over(tmp_path) == []


def test_state_is_kept_and_begins_at_the_beginning(tmp_path: Path) -> None:
    spool = make(tmp_path)
    assert spool.load_state() == SpoolState()
    state = SpoolState(experiment_id="1", run_id="r", offset=7)
    spool.save_state(state)
    assert spool.load_state() == state
    assert sorted(path.name for path in spool.folder.iterdir()) == ["files", "header.json", "lock", "records.jsonl", "state.json"]
    spool.release()


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    spool = make(tmp_path)
    assert [spool.reserve(name) for name in ("figures/a.png", "a.png")] == ["files/000001/a.png", "files/000002/a.png"]
    with pytest.raises(AssertionError, match="relative"):
        spool.reserve("../a.png")
    spool.release()


def test_a_damaged_record_says_where(tmp_path: Path) -> None:
    spool = make(tmp_path)
    (spool.folder / "records.jsonl").write_bytes(b'{"kind":"unheard of"}\n')
    with pytest.raises(InputError, match=r"records\.jsonl before byte 22"):
        spool.read(0)
    spool.release()


def test_a_disk_that_is_full_leaves_whole_records_only(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.append(FIRST)
    records = spool.folder / "records.jsonl"
    records.rename(tmp_path / "kept")
    records.symlink_to("/dev/full")  # writing to it fails as on a full disk
    with pytest.raises(OSError, match="No space left"):
        spool.append(SECOND)
    records.unlink()
    (tmp_path / "kept").rename(records)
    assert [record for record, _ in spool.read(0)] == [FIRST]
    assert spool.num_bytes == records.stat().st_size
    spool.release()
