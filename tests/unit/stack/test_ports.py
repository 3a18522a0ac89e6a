"""Ports are free, distinct, and the same again where they can be."""

import socket
from collections.abc import Iterator

import pytest

from s2s.stack import ports
from s2s.stack.ports import HIGHEST, HOST, LOWEST, choose_ports, is_free


@pytest.fixture
def busy_port() -> Iterator[int]:
    (port,) = choose_ports(["server"], last={}).values()
    with socket.create_server((HOST, port)):
        yield port


def test_ports_are_distinct_free_and_below_the_ephemeral_range() -> None:
    chosen = choose_ports([f"purpose{index}" for index in range(50)], last={})
    assert len(set(chosen.values())) == 50
    assert all(LOWEST <= port < HIGHEST and is_free(port) for port in chosen.values())


def test_a_port_with_a_listener_is_not_free(busy_port: int) -> None:
    assert not is_free(busy_port)


def test_the_ports_of_last_time_are_kept() -> None:
    last = choose_ports(["http", "grpc"], last={})
    assert choose_ports(["http", "grpc"], last=last) == last


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        pytest.param(["http"], True, id="promised to another part"),
        pytest.param(["http", "grpc"], False, id="a new purpose has come"),
    ],
)
def test_the_ports_of_last_time_are_given_up(names: list[str], taken: bool) -> None:
    last = choose_ports(["http"], last={})
    chosen = choose_ports(names, last=last, taken=tuple(last.values()) if taken else ())
    assert set(chosen) == set(names)
    assert chosen != last


def test_a_busy_port_of_last_time_is_given_up(busy_port: int) -> None:
    assert choose_ports(["server"], last={"server": busy_port})["server"] != busy_port


def test_a_busy_port_is_never_chosen(busy_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LOWEST", busy_port)
    monkeypatch.setattr(ports, "HIGHEST", busy_port + 2)
    assert choose_ports(["server"], last={}) == {"server": busy_port + 1}
