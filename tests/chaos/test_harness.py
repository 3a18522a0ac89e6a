"""The hosts of the harness and Ray on them: what is cut is unreachable, what is killed is gone, and it all comes back."""

import errno
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chaos.cluster import Cluster, alive, running
from chaos.hosts import Network
from chaos.namespaces import Namespaces
from chaos.places import ChaosError, Place, sweep
from s2s.errors import StackError
from s2s.stack.probe import accepts

pytestmark = pytest.mark.chaos

LOST_S = CUT_S = 60.0
FENCED_S = 150.0
"""How long a host that was given up may live on after it is back: TCP tries again ever more rarely, at worst after two minutes."""
JOIN = (
    "from s2s.contracts.settings import load_settings; from s2s.orchestration.cluster import join; join(load_settings()); print('joined')"
)
ANSWER = "import socket; s = socket.create_server(('', 7000)); [s.accept()[0].sendall(b'here') for _ in iter(int, 1)]"


@pytest.fixture(scope="module")
def shared(network: Network) -> Iterator[Cluster]:
    """One cluster for every test that leaves it whole."""
    with running(network, {}) as cluster:
        yield cluster


# --- hosts


def test_a_host_that_is_cut_off_is_silent_until_it_is_back(network: Network) -> None:
    host = network.hosts["worker1"]
    program = host.start("answer", [sys.executable, "-c", ANSWER])
    address = f"{host.address}:7000"
    try:
        deadline = time.monotonic() + 10
        while not accepts(address):
            assert time.monotonic() < deadline
        host.cut()
        started = time.monotonic()
        assert not accepts(address)
        assert time.monotonic() - started > 4, "expected a black hole, not a refusal"
        host.give_back()
        assert accepts(address)
    finally:
        host.give_back()
        program.kill()


def test_a_killed_host_takes_everything_with_it_but_its_disk(network: Network) -> None:
    host = network.hosts["worker1"]
    program = host.start("sleep", ["sh", "-c", "echo kept > kept; sleep 1000"])
    pid = program.pid
    while not (host.disk / "kept").exists():
        time.sleep(0.01)
    program.stop()  # even one that hangs
    host.kill()
    assert (program.is_running, psutil.pid_exists(pid), host.processes()) == (False, False, [])
    with pytest.raises(ChaosError, match="worker1 to be up"):
        host.run("ls", ["ls"])
    host.boot()
    assert host.run("cat", ["cat", "kept"]) == "kept\n"
    host.reset()
    assert not (host.disk / "kept").exists()


def test_a_process_that_lost_its_parent_is_an_orphan(network: Network) -> None:
    host = network.hosts["worker2"]
    host.start("parent", ["sh", "-c", "sleep 1001 & exit 0"]).wait(10)
    (line,) = network.orphans(patience_s=0)
    assert line.startswith("worker2: ")
    assert line.endswith("sleep 1001")
    host.reset()
    assert network.orphans(patience_s=0) == []


def test_a_disk_can_be_filled_and_emptied(network: Network) -> None:
    host = network.hosts["worker1"]
    host.fill_disk()
    with pytest.raises(OSError, match="No space left") as error:
        (host.disk / "more").write_bytes(bytes(10_000))
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(ChaosError, match="No space left"):
        host.run("write", ["sh", "-c", "head -c 10000 /dev/zero > more"])
    assert network.hosts["worker2"].run("write", ["sh", "-c", "head -c 10000 /dev/zero > more; wc -c < more"]) == "10000\n"
    host.empty_disk()
    assert host.run("write", ["sh", "-c", "head -c 10000 /dev/zero > more; wc -c < more"]) == "10000\n"


def test_what_a_killed_session_left_is_swept_away(network: Network) -> None:
    place = Place({1})
    spaces = Namespaces(place, "switch")
    place.add_disk("head", 1, 1024**2)
    sweep()
    assert place.folder.is_dir(), "its owner lives"
    spaces.end()
    place.abandon()
    sweep()
    assert not place.folder.exists()
    assert str(place.folder) not in Path("/proc/mounts").read_text(encoding="utf-8")
    assert network.hosts["head"].is_up


# --- Ray


def test_a_driver_outside_of_the_cluster_is_told_so(shared: Cluster, network: Network) -> None:
    services = network.hosts["services"]
    with pytest.raises(ChaosError, match=f"{StackError.__name__}: expected a Ray head at {shared.address}.*say this on a machine"):
        services.run("join", [sys.executable, "-c", JOIN], shared.env)


def test_a_killed_raylet_is_lost_and_can_be_started_again(shared: Cluster, network: Network) -> None:
    victim, other = shared.workers
    (raylet,) = victim.processes("raylet/raylet")
    raylet.kill()
    nodes = shared.wait_for(lambda nodes: victim.address not in alive(nodes), "worker1 lost", timeout_s=LOST_S)
    assert alive(nodes) == {shared.head.address, other.address}
    assert network.orphans() == []
    shared.start_member(victim)
    assert sum(node.cpus for node in shared.wait_ready() if node.is_alive) == 2


def test_a_worker_that_is_cut_off_for_a_minute_is_lost_and_can_join_again(shared: Cluster, network: Network) -> None:
    victim = shared.workers[0]
    victim.cut()
    started = time.monotonic()
    shared.wait_for(lambda nodes: victim.address not in alive(nodes), "worker1 lost", timeout_s=LOST_S)
    time.sleep(max(0.0, CUT_S - (time.monotonic() - started)))
    victim.give_back()
    shared.member(victim).wait(FENCED_S)  # the head tells it that it is dead
    assert network.orphans(patience_s=FENCED_S) == []  # Ray's agents notice in their own time
    shared.start_member(victim)
    shared.wait_ready()


def test_a_killed_host_is_lost_and_can_join_again(shared: Cluster) -> None:
    victim = shared.workers[1]
    victim.kill()
    shared.wait_for(lambda nodes: victim.address not in alive(nodes), "worker2 lost", timeout_s=LOST_S)
    shared.start_member(victim)
    shared.wait_ready()


def test_a_killed_head_starts_again_with_new_workers(shared: Cluster) -> None:
    shared.head.kill()
    for worker in shared.workers:
        shared.kill_member(worker)  # in good order it would take them minutes: they wait for their head
    shared.start()
    assert shared.run("join", [sys.executable, "-c", JOIN]).endswith("joined\n")
