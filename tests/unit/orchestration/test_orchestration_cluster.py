"""What is said, at once, when there is no Ray head to join. Joining a real one is an integration test."""

import os
import socket
import time
from collections.abc import Iterator

import pytest

from s2s.contracts.settings import Settings
from s2s.errors import StackError
from s2s.orchestration import cluster
from s2s.orchestration.cluster import HeadWatch, join


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port of this machine that is taken, and that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_no_address_says_how_to_get_one():
    with pytest.raises(StackError, match=r"expected a Ray head, but S2S_RAY_ADDRESS is not set .* run `s2s stack up`"):
        join(Settings())


@pytest.mark.parametrize("scheme", [pytest.param("", id="plain"), pytest.param("ray://", id="client")])
def test_where_nothing_listens_it_fails_at_once(deaf_port, scheme):
    address = f"{scheme}127.0.0.1:{deaf_port}"
    before, started = dict(os.environ), time.monotonic()
    with pytest.raises(StackError, match=rf"expected a Ray head at {address}, got .*refused; look at `s2s stack status`"):
        join(Settings(ray_address=address))
    assert time.monotonic() - started < 2
    assert dict(os.environ) == before, "nothing is prepared for a cluster that is not there"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="no-port"),
        pytest.param("127.0.0.1:head", id="port-in-words"),
        pytest.param("127.0.0.1:99999", id="port-too-high"),
    ],
)
def test_an_address_that_is_none_is_said(address):
    with pytest.raises(StackError, match=rf"expected a Ray head at {address}, got .*; look at `s2s stack status`"):
        join(Settings(ray_address=address))


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("head.invalid:6379", id="no-such-host"),
        pytest.param("ray://head.invalid:10001", id="client"),
        pytest.param("head.invalid", id="no-port"),
        pytest.param("", id="empty"),
    ],
)
def test_whoever_names_a_cluster_elsewhere_is_not_sent_to_a_stack_they_do_not_have(address):
    with pytest.raises(
        StackError, match=rf"expected a Ray head at {address}, got .*; say this on a machine .* unset S2S_RAY_ADDRESS"
    ) as told:
        join(Settings(ray_address=address))
    assert "stack status" not in str(told.value)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_head_may_be_silent_for_a_while_and_no_longer(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(cluster, "time", clock)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        watch = HeadWatch(Settings(ray_address=f"127.0.0.1:{port}"))
        assert watch.answers()
    assert not watch.answers()
    clock.now += 19.9
    assert not watch.answers()
    with socket.create_server(("127.0.0.1", port)):
        assert watch.answers(), "it is back, and its silence is forgotten"
    clock.now += 1
    assert not watch.answers()
    clock.now += 20
    assert not watch.is_lost
    words = rf"expected the Ray head at 127.0.0.1:{port} to answer, it has been silent for 20 s; start the cluster again"
    with pytest.raises(StackError, match=words):
        watch.answers()
    assert watch.is_lost
